"""Distances between embeddings: smaller means more alike.

Each compares every query with every centre of its own episode, [B, Q, D], [B, N, D] -> [B, Q, N].
"""

import torch.nn.functional as F
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
        >>> import torch
        >>> squared_euclidean(torch.tensor([[[0.0, 0.0]]]), torch.tensor([[[0.0, 0.0], [3.0, 4.0]]]))
        tensor([[[ 0., 25.]]])

    Derived in chapter 10, *Prototypical networks*.
    """
    origin = centres[:, :1]
    z, c = z_query - origin, centres - origin
    norms = z.square().sum(-1)[:, :, None] + c.square().sum(-1)[:, None, :]
    return (norms - 2 * z @ c.mT).clamp(min=0)


def cosine(z_query: Tensor, centres: Tensor) -> Tensor:
    r"""The cosine distance, $d(z, c) = 1 - \frac{z \cdot c}{\|z\| \|c\|}$, from 0 to 2.

    A vector of length zero has distance 1 to everything.

    Args:
        z_query: [B, Q, D]
        centres: [B, N, D]

    Returns:
        [B, Q, N]

    Example:
        >>> import torch
        >>> cosine(torch.tensor([[[1.0, 0.0]]]), torch.tensor([[[2.0, 0.0], [0.0, 2.0]]]))
        tensor([[[0., 1.]]])

    Derived in chapter 10, *Prototypical networks*.
    """
    similarity = F.normalize(z_query, dim=-1) @ F.normalize(centres, dim=-1).mT
    return (1 - similarity).clamp(min=0)


DISTANCES = Registry("distance", squared_euclidean=squared_euclidean, cosine=cosine)
