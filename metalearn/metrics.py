"""Step 3, evaluate: metrics that score a model on a task, one value an episode.

A metric takes the scores of a whole batch and gives [B]. Distances, which compare two embeddings, are
another thing and stand in `metalearn.models.distances`.
"""

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor

from .tasks.episode import PADDING

Metric = Callable[..., Tensor]


def metric(higher_is_better: bool, percent: bool = False) -> Callable[[Metric], Metric]:
    """Mark a function as a metric: which way is better, and whether people read it in percent."""

    def mark(function: Metric) -> Metric:
        function.higher_is_better = higher_is_better
        function.percent = percent
        return function

    return mark


@metric(higher_is_better=True, percent=True)
def accuracy(scores: Tensor, y: Tensor, weight: Tensor | None = None) -> Tensor:
    r"""The fraction of an episode's queries whose highest score is that of their class.

    Args:
        scores: [B, Q, N]
        y: [B, Q] int64, -100 where padded.
        weight: [B, Q]; follows from y if None.

    Returns:
        [B], 0 to 1

    Raises:
        ValueError: real targets.

    Example:
        >>> import torch
        >>> scores = torch.tensor([[[2.0, 1.0], [0.0, 3.0], [0.0, 3.0]]])
        >>> accuracy(scores, torch.tensor([[0, 1, -100]]))
        tensor([1.])

    Derived in chapter 5, *Evaluate*.
    """
    _check_classes("accuracy", y)
    return _mean((scores.argmax(-1) == y).float(), _weight(y, weight))


@metric(higher_is_better=False)
def negative_log_likelihood(scores: Tensor, y: Tensor, weight: Tensor | None = None) -> Tensor:
    r"""The mean of $-\log p(y)$ with $p = \text{softmax}(\text{scores})$: cross-entropy.

    Args:
        scores: [B, Q, N]
        y: [B, Q] int64, -100 where padded.
        weight: [B, Q]; follows from y if None.

    Returns:
        [B], in nats

    Raises:
        ValueError: real targets.

    Example:
        >>> import torch
        >>> negative_log_likelihood(torch.zeros(1, 3, 2), torch.zeros(1, 3, dtype=torch.int64))
        tensor([0.6931])

    Derived in chapter 10, *Prototypical networks*.
    """
    _check_classes("negative_log_likelihood", y)
    losses = F.cross_entropy(scores.mT, y, reduction="none", ignore_index=PADDING)
    return _mean(losses, _weight(y, weight))


@metric(higher_is_better=False)
def mean_squared_error(scores: Tensor, y: Tensor, weight: Tensor | None = None) -> Tensor:
    r"""The mean of $(\hat y - y)^2$ over an episode's queries and the components of its targets.

    Args:
        scores: [B, Q, T]
        y: [B, Q, T] real
        weight: [B, Q], 0 where padded; None if nothing is.

    Returns:
        [B], in squared units of the target

    Example:
        >>> import torch
        >>> mean_squared_error(torch.tensor([[[1.0], [3.0]]]), torch.zeros(1, 2, 1))
        tensor([5.])

    Derived in chapter 5, *Evaluate*.
    """
    errors = (scores - y).square().mean(-1)
    return _mean(errors, errors.new_ones(errors.shape) if weight is None else weight)


def default(y: Tensor) -> Metric:
    """Accuracy for classes, mean squared error for real targets."""
    return mean_squared_error if y.is_floating_point() else accuracy


def _check_classes(name: str, y: Tensor) -> None:
    if y.is_floating_point():
        raise ValueError(f"{name} needs classes (int64); real targets have mean_squared_error")


def _weight(y: Tensor, weight: Tensor | None) -> Tensor:
    return (y != PADDING).float() if weight is None else weight


def _mean(values: Tensor, weight: Tensor) -> Tensor:
    return (values * weight).sum(1) / weight.sum(1)
