"""What the folder of a training says of how it was made, for whoever goes on with it or measures it."""

import json
from pathlib import Path
from typing import Any

from .files import written_whole

FILE = "run.json"
OPTIONS = {
    "pool": str,
    "size": int,
    "channels": int,
    "shape": list,
    "without_omniglot_scripts": bool,
    "rotations": bool,
    "backbone": str,
    "head": str,
    "steps": int,
    "batch_size": int,
    "n_way": int,
    "n_shot": int,
    "n_query": int,
    "seed": int,
    "lr": float,
    "validate_every": int,
    "precision": str,
}


def write(folder: Path, options: dict[str, Any]) -> None:
    """Keep the options, so that the training can be resumed and its test classes found again."""
    with written_whole(folder / FILE) as temporary:
        kept = {name: options[name] for name in OPTIONS}
        temporary.write_text(json.dumps(kept, indent=1), "utf-8")


def read(folder: Path) -> dict[str, Any]:
    """The options of a training, and the shape of its pictures.

    Raises:
        ValueError: the folder holds no training, or its file is damaged.
    """
    path = folder / FILE
    if not path.is_file():
        raise ValueError(f"{folder} holds no training: there is no {path}")
    try:
        run = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    for name, kind in OPTIONS.items():
        if not isinstance(run, dict) or not isinstance(run.get(name), kind):
            raise ValueError(f"{path} is damaged: it has no {name} of type {kind.__name__}")
    return run
