"""Prototypes refined by examples without labels, the queries among them."""

from typing import NamedTuple

import torch
from torch import Tensor

from ..._checks import whole
from ..distances import squared_euclidean
from .head import Head, ones_unless, weighted_mean


class Clusters(NamedTuple):
    """The state: the labelled examples, the unlabelled ones, and the centres that follow from both.

    Attributes:
        z: [B, S, D] labelled examples.
        membership: [B, S, N] which class each belongs to.
        z_unlabelled: [B, U, D], U may be 0.
        weight_unlabelled: [B, U]
        centres: [B, N, D]
    """

    z: Tensor
    membership: Tensor
    z_unlabelled: Tensor
    weight_unlabelled: Tensor
    centres: Tensor


class SoftKMeans(Head):
    r"""Prototypes moved by soft k-means: unlabelled examples join the classes they are near.

    Starting from the mean of each class, each step gives every unlabelled $\tilde z_j$ the memberships
    $m_{jk} = \text{softmax}_k(-\|\tilde z_j - c_k\|^2)$ and sets
    $c_k = (\sum_i y_{ik} z_i + \sum_j m_{jk} \tilde z_j) / (\sum_i y_{ik} + \sum_j m_{jk})$.
    Labelled examples keep their class.

    Ren and others (2018), https://arxiv.org/abs/1803.00676

    Args:
        steps: of k-means, at least 1; the paper takes 1.
        use_queries: take the queries as unlabelled examples too. The head is then transductive.

    Shape:
        as `Head`

    Raises:
        ValueError: no steps.

    Example:
        >>> z = torch.tensor([[[0.0], [4.0]]])
        >>> head = SoftKMeans()
        >>> state = head.fit(z, targets=torch.eye(2)[None])
        >>> head.score(state, torch.tensor([[[1.0]]]))  # the query has drawn centre 0 to 0.5
        tensor([[[-0.2501, -8.9940]]])

    Derived in chapter 13, *Transductive heads*.
    """

    def __init__(self, steps: int = 1, use_queries: bool = True):
        super().__init__()
        self.steps = whole("steps", steps)
        self.config = {
            "name": "soft_k_means",
            "steps": self.steps,
            "use_queries": bool(use_queries),
        }
        self.transductive = use_queries

    def fit(
        self,
        z_support: Tensor,
        targets: Tensor,
        weight: Tensor | None = None,
        z_unlabelled: Tensor | None = None,
        weight_unlabelled: Tensor | None = None,
    ) -> Clusters:
        membership = ones_unless(weight, z_support)[..., None] * targets
        if z_unlabelled is None:
            z_unlabelled = z_support[:, :0]
        weight_unlabelled = ones_unless(weight_unlabelled, z_unlabelled)
        centres = self._centres(z_support, membership, z_unlabelled, weight_unlabelled)
        return Clusters(z_support, membership, z_unlabelled, weight_unlabelled, centres)

    def score(self, state: Clusters, z_query: Tensor, weight: Tensor | None = None) -> Tensor:
        centres = state.centres
        if self.transductive:
            z = torch.cat([state.z_unlabelled, z_query], dim=1)
            weight = torch.cat([state.weight_unlabelled, ones_unless(weight, z_query)], dim=1)
            centres = self._centres(state.z, state.membership, z, weight)
        return -squared_euclidean(z_query, centres)

    def _centres(self, z: Tensor, membership: Tensor, z_joining: Tensor, weight: Tensor) -> Tensor:
        """The centres of labelled z [B, S, D] after some steps in which z_joining [B, U, D] joins."""
        centres = weighted_mean(z, membership)
        empty = (membership.sum(1) == 0)[:, None, :]
        everything = torch.cat([z, z_joining], dim=1)
        for _ in range(self.steps):
            closeness = (-squared_euclidean(z_joining, centres)).masked_fill(empty, -torch.inf)
            joining = weight[..., None] * closeness.softmax(-1)
            centres = weighted_mean(everything, torch.cat([membership, joining], dim=1))
        return centres
