"""The file that a training is taken up from where it stopped."""

from pathlib import Path
from typing import Any

from torch import Tensor

from .files import load_tensors, save_tensors
from .models.learner import MetricLearner
from .parallel import gathered, rank

PARTS = ("learner", "best", "update", "best_update")


class Checkpoint:
    """`last.safetensors` in the folder of a training: weights, optimiser, history, and its settings."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.path = folder / "last.safetensors"

    def refuse_to_overwrite(self) -> None:
        """Raise FileExistsError if the folder holds a training already."""
        if self.path.exists():
            raise FileExistsError(
                f"{self.folder} already holds a training; resume it, or choose another folder"
            )

    def save(
        self, settings: dict[str, Any], history: dict[str, Any], parts: dict[str, dict[str, Tensor]]
    ) -> None:
        """Write everything in one file, whole or not at all, and the best learner in one of its own.

        Of several processes the first writes, and the others wait for it.
        """
        if rank() == 0:
            tensors = {
                f"{part}/{name}": t for part, named in parts.items() for name, t in named.items()
            }
            save_tensors(self.path, tensors, {"training": settings, "history": history})
            best = parts["best"] or parts["learner"]
            about = {"learner": settings["learner"]}
            save_tensors(self.folder / "best.safetensors", best, about)
        gathered([])

    def load(self, settings: dict[str, Any]) -> tuple[dict[str, Any], dict[str, dict[str, Tensor]]]:
        """History and parts, if they are of a training with these settings.

        Raises:
            FileNotFoundError: there is no checkpoint.
            ValueError: it is damaged, holds no training, or one with other settings.
        """
        if not self.path.exists():
            raise FileNotFoundError(
                f"{self.folder} holds no checkpoint to resume from: train anew, without resume"
            )
        tensors, about = load_tensors(self.path)
        if "training" not in about:
            raise ValueError(f"{self.path} holds no training")
        for name, now in settings.items():
            was = about["training"].get(name)
            if was != now:
                raise ValueError(
                    f"cannot resume {self.folder}: its {name} was {was}, and is {now} now"
                )
        parts: dict[str, dict[str, Tensor]] = {part: {} for part in PARTS}
        for key, tensor in tensors.items():
            part, name = key.split("/", 1)
            parts[part][name] = tensor
        return about["history"], parts


def architecture(learner: MetricLearner) -> dict[str, Any] | str:
    """What a learner is made again from; of parts that metalearn does not know, their printed form."""
    try:
        return learner.config
    except TypeError:
        return repr(learner)
