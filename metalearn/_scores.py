"""What metrics and losses share: checks of scores and targets, and means over real queries."""

import torch
from torch import Tensor

from .tasks.episode import PADDING


def checked_classes(name: str, scores: Tensor, y: Tensor) -> Tensor:
    """The classes y [B, Q] as int64, if scores [B, Q, N] judge them; `name` is what needs them.

    Raises:
        ValueError: real targets, shapes that do not belong together, or a class without a score.
    """
    if y.is_floating_point():
        raise ValueError(f"{name} needs classes (int64); real targets have mean_squared_error")
    if scores.dim() != 3 or scores.shape[:2] != y.shape:
        raise ValueError(
            f"scores have shape {list(scores.shape)} and y {list(y.shape)}; {name} needs [B, Q, N] "
            "and [B, Q]"
        )
    y = y.long()
    unknown = y[(y != PADDING) & ((y < 0) | (y >= scores.shape[-1]))]
    if len(unknown):
        raise ValueError(
            f"y holds class {unknown[0]}; the scores are of {scores.shape[-1]} classes"
        )
    return y


def check_values(name: str, scores: Tensor, y: Tensor) -> None:
    """Raise ValueError unless scores and real y have the same shape [B, Q, T]; `name` needs them."""
    if not y.is_floating_point():
        raise ValueError(f"{name} needs real targets; y is {y.dtype}")
    if scores.dim() != 3 or scores.shape != y.shape:
        raise ValueError(
            f"scores have shape {list(scores.shape)} and y {list(y.shape)}; {name} needs the same, "
            "[B, Q, T]"
        )


def answers(scores: Tensor) -> Tensor:
    """The class of the highest score, [B, Q, N] -> [B, Q].

    Raises:
        FloatingPointError: a score is NaN, which no other is higher or lower than.
    """
    if scores.isnan().any():
        raise FloatingPointError("scores hold NaN, of which none is the highest")
    return scores.argmax(-1)


def weight_of(y: Tensor, weight: Tensor | None) -> Tensor:
    """The weight [B, Q]; without one, 1 for real targets, and 0 for the class -100."""
    if weight is None:
        return torch.ones_like(y) if y.is_floating_point() else (y != PADDING).float()
    if weight.shape != y.shape:
        raise ValueError(f"weight has shape {list(weight.shape)}; it needs {list(y.shape)}")
    return weight


def mean_of(values: Tensor, weight: Tensor) -> Tensor:
    """The mean over the real queries of each episode, [B]."""
    return (values * weight).sum(1) / n_queries(weight)


def n_queries(weight: Tensor) -> Tensor:
    """How many real queries each episode has, [B]."""
    total = weight.sum(1)
    if not (total > 0).all():
        raise ValueError("an episode has no queries: all its weights are 0")
    return total
