"""Trained learners that ship with the package."""

from importlib import resources
from pathlib import Path
from typing import Any

from .._registry import unknown
from ..files import load_tensors
from .learner import MetricLearner


def pretrained(name: str = "conv4-glyphs") -> MetricLearner:
    """A trained learner, in evaluation mode.

    "conv4-glyphs": Conv4 and prototypes for 28x28 characters, made by `scripts/train_checkpoint.py` from
    the glyphs of scripts that do not occur in Omniglot.

    Raises:
        ValueError: none has this name; the message lists those there are.

    Example:
        >>> pretrained().config["backbone"]["name"]
        'conv4'

    Derived in chapter 10, *Prototypical networks*.
    """
    return MetricLearner.load(_path(name)).eval()


def model_card(name: str = "conv4-glyphs") -> dict[str, Any]:
    """How a learner that ships was trained, and what was measured with it.

    Returns:
        "training": the settings and the time that it took; "measured": for each setting the accuracy and
        half of its 95 % interval, 0 to 1.

    Raises:
        ValueError: none has this name; the message lists those there are.

    Example:
        >>> sorted(model_card())
        ['measured', 'training']

    Derived in chapter 4, *Learn a model*.
    """
    return load_tensors(_path(name))[1]["card"]


def _path(name: str) -> Path:
    folder = Path(str(resources.files("metalearn"))) / "checkpoints"
    known = {path.stem: path for path in folder.glob("*.safetensors")}
    if name not in known:
        raise ValueError(unknown("pretrained learner", name, known))
    return known[name]
