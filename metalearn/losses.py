"""What training makes smaller: losses of scores, one value an episode.

Each takes scores [B, Q, N], classes [B, Q] and weights [B, Q] (0 where padded), and gives [B]. The losses
of pairs take every query with every class of its episode as a pair, of one class or of two.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from . import metrics
from ._checks import check_positive
from ._scores import checked_classes, n_queries, weight_of


def default(scores: Tensor, y: Tensor, weight: Tensor | None = None) -> Tensor:
    """Cross-entropy for classes, mean squared error for real targets.

    Args:
        scores: [B, Q, N], or [B, Q, T] values.
        y: [B, Q] int64, -100 where padded, or [B, Q, T].
        weight: [B, Q]; follows from y if None.

    Returns:
        [B]

    Example:
        >>> default(torch.zeros(1, 1, 2), torch.tensor([[0]]))  # log 2
        tensor([0.6931])

    Derived in chapter 6, *Update*.
    """
    if y.is_floating_point():
        return metrics.mean_squared_error(scores, y, weight)
    return metrics.negative_log_likelihood(scores, y, weight)


def pair_logistic(
    scores: Tensor, y: Tensor, weight: Tensor | None = None, balanced: bool = True
) -> Tensor:
    r"""The logistic loss of pairs: how surprised a verifier is by which pairs are of one class.

    A score $s_{jk}$ is the log-odds that query $j$ is of class $k$. The loss is $-\log \sigma(s_{jk})$ if
    it is, $-\log \sigma(-s_{jk})$ if not. Of a query's N pairs one is of one class; `balanced` takes the
    mean over such pairs and the mean over the others, and of these two the mean.

    Koch, Zemel, Salakhutdinov (2015), https://www.cs.cmu.edu/~rsalakhu/papers/oneshot1.pdf

    Args:
        scores: [B, Q, N]
        y: [B, Q] int64, -100 where padded.
        weight: [B, Q]; follows from y if None.
        balanced: whether pairs of one class count together as much as the others.

    Returns:
        [B]

    Raises:
        ValueError: real targets, or shapes that do not belong together.

    Example:
        >>> scores, y = torch.tensor([[[0.0, -50.0, -50.0]]]), torch.tensor([[0]])  # log 2, 0 and 0
        >>> pair_logistic(scores, y), pair_logistic(scores, y, balanced=False)
        (tensor([0.3466]), tensor([0.2310]))

    Derived in chapter 8, *Siamese networks*.
    """
    scores, same, real = _pairs("pair_logistic", scores, y, weight)
    loss = F.softplus(torch.where(same > 0, -scores, scores))
    if balanced:
        return (_mean(loss, real * same) + _mean(loss, real * (1 - same))) / 2
    return _mean(loss, real)


def contrastive(
    scores: Tensor, y: Tensor, weight: Tensor | None = None, margin: float = 1.0
) -> Tensor:
    r"""The contrastive loss of pairs: those of one class are pulled together, the others pushed apart.

    For a pair at distance $d = -s$ it is $d^2$ if of one class, $\max(0, m - d)^2$ if of two, so that
    nothing pushes any more beyond the margin $m$. The mean over each of the two kinds counts half. It is
    for heads whose score is minus a distance, such as `Prototypical(distance="euclidean")`.

    Hadsell, Chopra, LeCun (2006), https://doi.org/10.1109/CVPR.2006.100

    Args:
        scores: [B, Q, N], minus a distance.
        y: [B, Q] int64, -100 where padded.
        weight: [B, Q]; follows from y if None.
        margin: $m$, in units of the distance.

    Returns:
        [B]

    Raises:
        ValueError: real targets, shapes that do not belong together, or a margin that is not positive.

    Example:
        >>> contrastive(torch.tensor([[[-0.5, -0.2]]]), torch.tensor([[0]]))  # (0.5^2 + 0.8^2) / 2
        tensor([0.4450])

    Derived in chapter 8, *Siamese networks*.
    """
    check_positive(margin=margin)
    scores, same, real = _pairs("contrastive", scores, y, weight)
    pull, push = scores.square(), (margin + scores).clamp(min=0).square()
    return (_mean(pull, real * same) + _mean(push, real * (1 - same))) / 2


def pair_squared_error(scores: Tensor, y: Tensor, weight: Tensor | None = None) -> Tensor:
    r"""The squared error of pairs, $(\sigma(s_{jk}) - [y_j = k])^2$, its mean over queries and classes.

    Sung and others (2018), https://arxiv.org/abs/1711.06025

    Args:
        scores: [B, Q, N], before the sigmoid.
        y: [B, Q] int64, -100 where padded.
        weight: [B, Q]; follows from y if None.

    Returns:
        [B]

    Raises:
        ValueError: real targets, or shapes that do not belong together.

    Example:
        >>> pair_squared_error(torch.tensor([[[0.0, -50.0]]]), torch.tensor([[0]]))  # (0.5^2 + 0) / 2
        tensor([0.1250])

    Derived in chapter 11, *Relation networks*.
    """
    scores, same, real = _pairs("pair_squared_error", scores, y, weight)
    return _mean((scores.sigmoid() - same).square(), real)


def _pairs(
    name: str, scores: Tensor, y: Tensor, weight: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Scores [B, Q, N] without infinities, which pairs are of one class, and which are real, as 0 and 1."""
    y = checked_classes(name, scores, y)
    weight = weight_of(y, weight)
    n_queries(weight)
    possible = scores != -torch.inf  # an episode need not have all classes
    same = F.one_hot(y.clamp(min=0), scores.shape[-1]).to(scores.dtype)
    return scores.where(possible, 0), same, weight[..., None] * possible


def _mean(values: Tensor, weight: Tensor) -> Tensor:
    """The weighted mean over an episode's pairs, [B]; 0 where there are none."""
    total = weight.sum((1, 2))
    return (values * weight).sum((1, 2)) / total.where(total > 0, 1)
