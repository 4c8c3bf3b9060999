"""Distances between embeddings: smaller means more alike.

Each compares every query with every centre of its own episode, [B, Q, D], [B, N, D] -> [B, Q, N].
"""

import torch
from torch import Tensor

from .._registry import Registry


def squared_euclidean(z_query: Tensor, centres: Tensor) -> Tensor:
    r"""The squared Euclidean distance, $d(z, c) = \sum_i (z_i - c_i)^2$.

    Computed as $\|z\|^2 - 2 z \cdot c + \|c\|^2$ after moving the origin to the first centre, which
    changes no distance and keeps the three terms small. Never negative.

    Args:
        z_query: [B, Q, D]
        centres: [B, N, D]

    Returns:
        [B, Q, N]

    Example:
        >>> squared_euclidean(torch.tensor([[[0.0, 0.0]]]), torch.tensor([[[0.0, 0.0], [3.0, 4.0]]]))
        tensor([[[ 0., 25.]]])

    Derived in chapter 7, *Distances*.
    """
    origin = centres[:, :1]
    z, c = z_query - origin, centres - origin
    norms = z.square().sum(-1)[:, :, None] + c.square().sum(-1)[:, None, :]
    return (norms - 2 * z @ c.mT).clamp(min=0)


def euclidean(z_query: Tensor, centres: Tensor) -> Tensor:
    r"""The Euclidean distance, $d(z, c) = \sqrt{\sum_i (z_i - c_i)^2}$.

    Its gradient has length 1 everywhere but at distance 0, where it has none; 0 is taken there.

    Args:
        z_query: [B, Q, D]
        centres: [B, N, D]

    Returns:
        [B, Q, N]

    Example:
        >>> euclidean(torch.tensor([[[0.0, 0.0]]]), torch.tensor([[[0.0, 0.0], [3.0, 4.0]]]))
        tensor([[[0., 5.]]])

    Derived in chapter 7, *Distances*.
    """
    squared = squared_euclidean(z_query, centres)
    apart = squared != 0
    return torch.where(apart, squared.where(apart, 1).sqrt(), 0)


def manhattan(z_query: Tensor, centres: Tensor) -> Tensor:
    r"""The Manhattan distance, $d(z, c) = \sum_i |z_i - c_i|$.

    Args:
        z_query: [B, Q, D]
        centres: [B, N, D]

    Returns:
        [B, Q, N]

    Example:
        >>> manhattan(torch.tensor([[[0.0, 0.0]]]), torch.tensor([[[0.0, 0.0], [3.0, 4.0]]]))
        tensor([[[0., 7.]]])

    Derived in chapter 7, *Distances*.
    """
    return torch.cdist(z_query, centres, p=1)


def cosine(z_query: Tensor, centres: Tensor) -> Tensor:
    r"""The cosine distance, $d(z, c) = 1 - \frac{z \cdot c}{\|z\| \|c\|}$, from 0 to 2.

    A vector of length zero has distance 1 to everything.

    Args:
        z_query: [B, Q, D]
        centres: [B, N, D]

    Returns:
        [B, Q, N]

    Example:
        >>> cosine(torch.tensor([[[1.0, 0.0]]]), torch.tensor([[[2.0, 0.0], [0.0, 2.0]]]))
        tensor([[[0., 1.]]])

    Derived in chapter 7, *Distances*.
    """
    return (1 - unit(z_query) @ unit(centres).mT).clamp(min=0)


def squared_mahalanobis(z_query: Tensor, centres: Tensor, covariance: Tensor) -> Tensor:
    r"""The squared Mahalanobis distance, $d_k(z, c_k) = (z - c_k)^\top \Sigma_k^{-1} (z - c_k)$.

    With $\Sigma_k = L L^\top$ it is $\|L^{-1} (z - c_k)\|^2$, the squared Euclidean distance after $L^{-1}$
    has made the class as wide in every direction. Never negative.

    Mahalanobis (1936), On the generalised distance in statistics.

    Args:
        z_query: [B, Q, D]
        centres: [B, N, D]
        covariance: [B, N, D, D] of each class, or anything that broadcasts to it: [D, D] for one that all
            share.

    Returns:
        [B, Q, N]

    Raises:
        torch.linalg.LinAlgError: a covariance that is not positive definite.

    Example:
        >>> z, c = torch.tensor([[[3.0, 4.0]]]), torch.zeros(1, 1, 2)
        >>> squared_mahalanobis(z, c, covariance=torch.diag(torch.tensor([9.0, 1.0])))  # 9/9 + 16/1
        tensor([[[17.]]])

    Derived in chapter 7, *Distances*.
    """
    precision = torch.cholesky_inverse(torch.linalg.cholesky(covariance))
    apart = z_query[:, None] - centres[:, :, None]  # [B, N, Q, D]
    return ((apart @ precision) * apart).sum(-1).clamp(min=0).mT


def unit(z: Tensor) -> Tensor:
    r"""Vectors of length 1 in the same direction, $z / \|z\|$; zero stays zero, with gradient 1.

    Example:
        >>> unit(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
        tensor([[0.6000, 0.8000],
                [0.0000, 0.0000]])

    Derived in chapter 7, *Distances*.
    """
    length = torch.linalg.vector_norm(z, dim=-1, keepdim=True)
    return z / length.where(length > 0, 1)


DISTANCES = Registry(
    "distance",
    squared_euclidean=squared_euclidean,
    euclidean=euclidean,
    manhattan=manhattan,
    cosine=cosine,
)
