"""Simple CNAPS: each class has a shape of its own, and distance is measured in it."""

from typing import NamedTuple

import torch
from torch import Tensor

from ..._checks import check_positive
from ..distances import squared_mahalanobis
from .head import Head, ones_unless, weighted_mean


class Ellipsoids(NamedTuple):
    """The state: where the classes are, and how wide in each direction.

    Attributes:
        centres: [B, N, D]
        covariance: [B, N, D, D]

    Derived in chapter 7, *Distances*.
    """

    centres: Tensor
    covariance: Tensor


class Mahalanobis(Head):
    r"""Each class is a mean and a covariance; a query is scored by its Mahalanobis distance.

    $\text{logit}_k(z) = -\frac12 (z - c_k)^\top Q_k^{-1} (z - c_k)$ with
    $Q_k = \lambda_k \Sigma_k + (1 - \lambda_k) \Sigma + \beta I$ and $\lambda_k = n_k / (n_k + 1)$, where
    $\Sigma_k$ is the covariance of the $n_k$ support embeddings of class $k$ (zero for one example) and
    $\Sigma$ that of the whole support set. The more examples a class has, the more it trusts its own shape.
    In float32 the scores lose digits where embeddings are hundreds of times longer than $\sqrt\beta$:
    scale or normalise those first.

    Bateni and others (2020), Simple CNAPS, https://arxiv.org/abs/1912.03432

    Args:
        regularisation: $\beta$, positive, in squared units of the embedding; the paper takes 1.

    Shape:
        as `Head`: [B, S, D], [B, S, N] -> state; [B, Q, D] -> logits [B, Q, N]

    Raises:
        ValueError: a regularisation that is not positive.

    Example:
        >>> z = torch.tensor([[[-1.0, 0.0], [1.0, 0.0], [0.0, 4.0], [0.0, 6.0]]])
        >>> targets = torch.eye(2).repeat_interleave(2, 0)[None]
        >>> head = Mahalanobis()
        >>> state = head.fit(z, targets)  # class 0 is wide along axis 0, class 1 along axis 1
        >>> head.score(state, torch.tensor([[[0.0, 2.4]]])).argmax(-1)  # nearer to centre 0
        tensor([[1]])

    Derived in chapter 7, *Distances*.
    """

    def __init__(self, regularisation: float = 1.0):
        super().__init__()
        check_positive(regularisation=regularisation)
        self.config = {"name": "mahalanobis", "regularisation": float(regularisation)}
        self.regularisation = float(regularisation)

    def fit(
        self,
        z_support: Tensor,
        targets: Tensor,
        weight: Tensor | None = None,
        z_unlabelled: Tensor | None = None,
        weight_unlabelled: Tensor | None = None,
    ) -> Ellipsoids:
        membership = ones_unless(weight, z_support)[..., None] * targets
        centres, own = _gaussians(z_support, membership)
        _, shared = _gaussians(z_support, membership.sum(-1, keepdim=True))
        n = membership.sum(1)[..., None, None]
        trust = n / (n + 1)
        identity = torch.eye(z_support.shape[-1], dtype=z_support.dtype, device=z_support.device)
        Q = trust * own + (1 - trust) * shared + self.regularisation * identity
        return Ellipsoids(centres, Q)

    def score(self, state: Ellipsoids, z_query: Tensor, weight: Tensor | None = None) -> Tensor:
        return -0.5 * squared_mahalanobis(z_query, state.centres, state.covariance)


def _gaussians(z: Tensor, membership: Tensor) -> tuple[Tensor, Tensor]:
    """Mean [B, N, D] and unbiased covariance [B, N, D, D] of each class; zero for a single example."""
    centres = weighted_mean(z, membership)
    apart = z[:, None] - centres[:, :, None]  # [B, N, S, D]
    scatter = apart.mT @ (membership.mT[..., None] * apart)
    return centres, scatter / (membership.sum(1) - 1).clamp(min=1)[..., None, None]
