"""What metrics and losses share: checks of scores and targets, and means over real queries."""

import torch
from torch import Tensor

from .tasks.episode import PADDING


def check_classes(name: str, scores: Tensor, y: Tensor) -> None:
    """Raise ValueError unless scores [B, Q, N] judge classes y [B, Q]; `name` is what needs them."""
    if y.is_floating_point():
        raise ValueError(f"{name} needs classes (int64); real targets have mean_squared_error")
    if scores.dim() != 3 or scores.shape[:2] != y.shape:
        raise ValueError(
            f"scores have shape {list(scores.shape)} and y {list(y.shape)}; {name} needs [B, Q, N] "
            "and [B, Q]"
        )
    unknown = y[(y != PADDING) & ((y < 0) | (y >= scores.shape[-1]))]
    if len(unknown):
        raise ValueError(
            f"y holds class {unknown[0]}; the scores are of {scores.shape[-1]} classes"
        )


def check_shape(name: str, scores: Tensor, y: Tensor) -> None:
    """Raise ValueError unless scores and y have the same shape; `name` is what needs them."""
    if scores.shape != y.shape:
        raise ValueError(
            f"scores have shape {list(scores.shape)} and y {list(y.shape)}; {name} needs the same"
        )


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
