"""Step 3, evaluate: metrics that score a model on a task, one value an episode.

A metric takes the scores of a whole batch and gives [B]. Distances, which compare two embeddings, are
another thing and stand in `metalearn.models.distances`.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ._checks import whole
from ._scores import answers, check_values, checked_classes, mean_of, n_queries, weight_of
from .tasks.episode import PADDING

Metric = Callable[..., Tensor]
ROUNDING = 1e-4  # a probability of 0.7 that was rounded up stays in the bin that ends at 0.7


def metric(higher_is_better: bool, percent: bool = False) -> Callable[[Metric], Metric]:
    """Mark a function as a metric: which way is better, and whether people read it in percent.

    Example:
        >>> @metric(higher_is_better=True, percent=True)
        ... def flawless(scores, y, weight=None):
        ...     return (accuracy(scores, y, weight) == 1).float()
        >>> flawless(torch.tensor([[[2.0, 1.0], [0.0, 3.0]]]), torch.tensor([[0, 1]]))
        tensor([1.])

    Derived in chapter 5, *Evaluate*.
    """

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
        ValueError: real targets, shapes that do not belong together, a class without a score, or an
            episode without queries.
        FloatingPointError: a score is NaN.

    Example:
        >>> scores = torch.tensor([[[2.0, 1.0], [0.0, 3.0], [0.0, 3.0]]])
        >>> accuracy(scores, torch.tensor([[0, 1, -100]]))
        tensor([1.])

    Derived in chapter 5, *Evaluate*.
    """
    y = checked_classes("accuracy", scores, y)
    return mean_of((answers(scores) == y).float(), weight_of(y, weight))


@metric(higher_is_better=True, percent=True)
def balanced_accuracy(scores: Tensor, y: Tensor, weight: Tensor | None = None) -> Tensor:
    r"""The mean of the classes' recalls, $\frac{1}{N} \sum_k \text{TP}_k / (\text{TP}_k + \text{FN}_k)$.

    Every class counts the same, however many queries it has. Classes without a query are left out.

    Args:
        scores: [B, Q, N]
        y: [B, Q] int64, -100 where padded.
        weight: [B, Q]; follows from y if None.

    Returns:
        [B], 0 to 1

    Raises:
        ValueError: real targets, shapes that do not belong together, a class without a score, or an
            episode without queries.
        FloatingPointError: a score is NaN.

    Example:
        >>> scores = torch.tensor([[[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [1.0, 0.0]]])  # always class 0
        >>> balanced_accuracy(scores, torch.tensor([[0, 0, 0, 1]]))
        tensor([0.5000])

    Derived in chapter 5, *Evaluate*.
    """
    hits, missed, _ = _counts("balanced_accuracy", scores, y, weight)
    asked = hits + missed
    return mean_of(hits / torch.where(asked > 0, asked, 1), (asked > 0).float())


@metric(higher_is_better=True, percent=True)
def macro_f1(scores: Tensor, y: Tensor, weight: Tensor | None = None) -> Tensor:
    r"""The mean over classes of $F_1 = 2 \text{TP}_k / (2 \text{TP}_k + \text{FP}_k + \text{FN}_k)$.

    A class's $F_1$ is low if it is often missed and if it is often answered wrongly. A class that is
    neither asked for nor answered is left out.

    Args:
        scores: [B, Q, N]
        y: [B, Q] int64, -100 where padded.
        weight: [B, Q]; follows from y if None.

    Returns:
        [B], 0 to 1

    Raises:
        ValueError: real targets, shapes that do not belong together, a class without a score, or an
            episode without queries.
        FloatingPointError: a score is NaN.

    Example:
        >>> scores = torch.tensor([[[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [1.0, 0.0]]])  # always class 0
        >>> macro_f1(scores, torch.tensor([[0, 0, 0, 1]]))  # (6/7 + 0) / 2
        tensor([0.4286])

    Derived in chapter 5, *Evaluate*.
    """
    hits, missed, wrong = _counts("macro_f1", scores, y, weight)
    seen = 2 * hits + missed + wrong
    return mean_of(2 * hits / torch.where(seen > 0, seen, 1), (seen > 0).float())


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
        ValueError: real targets, shapes that do not belong together, a class without a score, or an
            episode without queries.

    Example:
        >>> negative_log_likelihood(torch.zeros(1, 3, 2), torch.zeros(1, 3, dtype=torch.int64))
        tensor([0.6931])

    Derived in chapter 10, *Prototypical networks*.
    """
    y = checked_classes("negative_log_likelihood", scores, y)
    losses = F.cross_entropy(scores.mT, y, reduction="none", ignore_index=PADDING)
    return mean_of(losses, weight_of(y, weight))


@metric(higher_is_better=False, percent=True)
def calibration_error(
    scores: Tensor, y: Tensor, weight: Tensor | None = None, bins: int = 10
) -> Tensor:
    r"""How far the probability of the answer given is from the fraction of answers that are right.

    Queries are sorted by that probability into bins of equal width, and
    $\text{ECE} = \sum_b \frac{n_b}{n} |\text{accuracy}_b - \text{mean probability}_b|$. With few
    queries in a bin chance alone makes it larger than 0, so compare it at equal numbers of queries.

    Guo, Pleiss, Sun, Weinberger (2017), https://arxiv.org/abs/1706.04599

    Args:
        scores: [B, Q, N] logits; softmax makes them probabilities.
        y: [B, Q] int64, -100 where padded.
        weight: [B, Q]; follows from y if None.
        bins: how many.

    Returns:
        [B], 0 to 1

    Raises:
        ValueError: real targets, shapes that do not belong together, a class without a score, or an
            episode without queries.

    Example:
        >>> scores = torch.tensor([[[0.9, 0.1], [0.9, 0.1]]]).log()  # sure at 0.9, right half of the time
        >>> calibration_error(scores, torch.tensor([[0, 1]]))
        tensor([0.4000])

    Derived in chapter 5, *Evaluate*.
    """
    y = checked_classes("calibration_error", scores, y)
    bins = whole("bins", bins)
    weight = weight_of(y, weight)
    probability, answer = scores.softmax(-1).max(-1)
    gap = weight * ((answer == y).float() - probability)
    upper = (probability * bins - ROUNDING).ceil().long().clamp(1, bins)
    bin_of = F.one_hot(upper - 1, bins)
    return (gap[..., None] * bin_of).sum(1).abs().sum(-1) / n_queries(weight)


@metric(higher_is_better=False)
def mean_squared_error(scores: Tensor, y: Tensor, weight: Tensor | None = None) -> Tensor:
    r"""The mean of $(\hat y - y)^2$ over an episode's queries and the components of its targets.

    Args:
        scores: [B, Q, T]
        y: [B, Q, T] real
        weight: [B, Q], 0 where padded; None if nothing is.

    Returns:
        [B], in squared units of the target

    Raises:
        ValueError: classes in the place of real targets, scores of another shape, or an episode without
            queries.

    Example:
        >>> mean_squared_error(torch.tensor([[[1.0], [3.0]]]), torch.zeros(1, 2, 1))
        tensor([5.])

    Derived in chapter 5, *Evaluate*.
    """
    check_values("mean_squared_error", scores, y)
    errors = (scores - y).square().mean(-1)
    return mean_of(errors, weight_of(y[..., 0], weight))


@metric(higher_is_better=False)
def regret(scores: Tensor, y: Tensor, weight: Tensor | None = None) -> Tensor:
    r"""The mean reward that is missed by taking the arm of highest score, $\max_a r_a - r_{\hat a}$.

    Args:
        scores: [B, Q, A] the value that is expected of each arm.
        y: [B, Q, A] the reward that each arm gives.
        weight: [B, Q], 0 where padded; None if nothing is.

    Returns:
        [B], in units of the reward, at least 0

    Raises:
        ValueError: classes in the place of rewards, scores of another shape, or an episode without queries.
        FloatingPointError: a score is NaN.

    Example:
        >>> regret(torch.tensor([[[0.2, 0.7]]]), torch.tensor([[[1.0, 0.25]]]))
        tensor([0.7500])

    Derived in chapter 3, *Select a task*.
    """
    check_values("regret", scores, y)
    taken = y.gather(-1, answers(scores)[..., None])[..., 0]
    missed = y.amax(-1) - taken
    return mean_of(missed, weight_of(y[..., 0], weight))


def default(y: Tensor) -> Metric:
    """Accuracy for classes, mean squared error for real targets.

    Example:
        >>> default(torch.tensor([[0, 1]])).__name__, default(torch.zeros(1, 2, 1)).__name__
        ('accuracy', 'mean_squared_error')

    Derived in chapter 5, *Evaluate*.
    """
    return mean_squared_error if y.is_floating_point() else accuracy


def _counts(
    name: str, scores: Tensor, y: Tensor, weight: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """For each class [B, N]: queries that were found, missed, and wrongly given to it."""
    y = checked_classes(name, scores, y)
    weight, n_classes = weight_of(y, weight)[..., None], scores.shape[-1]
    asked = weight * F.one_hot(y.clamp(min=0), n_classes)
    answered = weight * F.one_hot(answers(scores), n_classes)
    hits = asked * answered
    return hits.sum(1), (asked - hits).sum(1), (answered - hits).sum(1)
