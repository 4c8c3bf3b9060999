"""What a classifier's file says of it, checked when it is loaded."""

import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .files import load_tensors

FORMAT = 1
"""Of the file; a later one is refused."""


def read_classifier(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and description of a classifier's file, each entry of the kind that it has to be.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, holds a pickle or no classifier, or is of a later format.
    """
    tensors, about = load_tensors(path)
    about = about.get("classifier")
    if not isinstance(about, dict):
        raise ValueError(f"{path} holds no classifier")
    stated = about.get("format")
    if type(stated) is int and stated > FORMAT:
        raise ValueError(f"{path} has format {stated}; this metalearn reads {FORMAT}")
    z = tensors.get("embeddings", torch.empty(0))
    fits = {
        "format": lambda v: type(v) is int and v == FORMAT,
        "learner": lambda v: isinstance(v, dict),
        "labels": lambda v: _are_labels(v) and z.dim() == 2 and len(v) == len(z),
        "unknown": lambda v: v is None or isinstance(v, str | int),
        "temperature": lambda v: isinstance(v, float) and 0 < v < math.inf,
        "threshold": lambda v: v is None or (isinstance(v, float) and math.isfinite(v)),
        "example_shape": lambda v: isinstance(v, list) and v and all(type(n) is int for n in v),
    }
    for name, fit in fits.items():
        if name not in about or not fit(about[name]):
            raise ValueError(f"{path} describes no classifier: its {name} is {about.get(name)!r}")
    if not z.isfinite().all():
        raise ValueError(f"{path} describes no classifier: it has embeddings that are not finite")
    return tensors, about


def _are_labels(labels: Any) -> bool:
    if not isinstance(labels, list) or not labels:
        return False
    kinds = {str if isinstance(label, str) else type(label) for label in labels}
    return len(kinds) == 1 and kinds <= {str, int, bool, float}
