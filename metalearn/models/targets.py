"""What a support set says its examples are: checked, and made ready for a head."""

import torch
from torch import Tensor

from ..tasks.episode import Examples


def check_support(support: Examples) -> None:
    """Raise ValueError where x, y and weight are not of the same examples, or an episode has none."""
    x, y, weight = support.x, support.y, support.weight
    if x.dim() < 3 or x.shape[1] == 0:
        raise ValueError(f"support examples have shape {list(x.shape)}; they need [B, S, ...]")
    if weight.shape != x.shape[:2]:
        raise ValueError(f"weight has shape {list(weight.shape)}; it needs {list(x.shape[:2])}")
    dimensions, needed = (3, "[B, S, T]") if y.is_floating_point() else (2, "[B, S]")
    if y.dim() != dimensions or y.shape[:2] != x.shape[:2]:
        kind = "real targets" if y.is_floating_point() else "classes"
        raise ValueError(
            f"{kind} have shape {list(y.shape)}; they need {needed} with B, S = {list(x.shape[:2])}"
        )
    empty = ~(weight > 0).any(1)
    if empty.any():
        episode = int(empty.nonzero()[0])
        raise ValueError(f"episode {episode} has no support examples: no weight is above 0")


def one_hot(y: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Classes as one-hot targets, and which classes each episode has.

    Args:
        y: [B, S] int64
        weight: [B, S], 0 where padded.

    Returns:
        targets [B, S, N] and present [B, N] bool.

    Raises:
        ValueError: an episode whose classes are not 0, 1, ..., n-1 without a gap.
    """
    y = torch.where(weight > 0, y.long(), 0)
    if y.min() < 0:
        raise ValueError(f"support label {y.min().item()}: classes are numbered from 0")
    n_classes = int(y.max()) + 1
    targets = weight.new_zeros(*y.shape, n_classes).scatter_(2, y[..., None], 1)
    examples = weight.new_zeros(len(y), n_classes).scatter_add_(1, y, (weight > 0).to(weight.dtype))
    present = examples > 0
    gaps = present[:, 1:] & ~present[:, :-1]
    if gaps.any():
        episode = int(gaps.any(1).nonzero()[0])
        labels = y[episode][weight[episode] > 0].unique().tolist()
        raise ValueError(
            f"episode {episode} has the support labels {labels}; "
            f"{len(labels)} classes are numbered 0 to {len(labels) - 1}"
        )
    return targets, present
