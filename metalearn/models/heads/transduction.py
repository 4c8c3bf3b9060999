"""What heads share that look at examples without labels: the queries, and unlabelled ones beside them."""

from typing import NamedTuple

import torch
from torch import Tensor

from .head import Head, ones_unless, weighted_mean


class Known(NamedTuple):
    """The state: what is known of an episode before its queries are seen.

    Attributes:
        z: [B, S, D] labelled examples.
        membership: [B, S, N] which class each belongs to; 0 for padding.
        centres: [B, N, D] the mean of each class.
        present: [B, 1, N] which classes the episode has.
        z_unlabelled: [B, U, D], U may be 0.
        weight_unlabelled: [B, U]
    """

    z: Tensor
    membership: Tensor
    centres: Tensor
    present: Tensor
    z_unlabelled: Tensor
    weight_unlabelled: Tensor

    def joined_by(self, z_query: Tensor, weight: Tensor | None) -> tuple[Tensor, Tensor]:
        """All that has no label, [B, U + Q, D] and its weight [B, U + Q]; queries come last."""
        z = torch.cat([self.z_unlabelled, z_query], dim=1)
        return z, torch.cat([self.weight_unlabelled, ones_unless(weight, z_query)], dim=1)


class Transductive(Head):
    """A head whose answers depend on all queries of an episode together."""

    transductive = True

    def fit(
        self,
        z_support: Tensor,
        targets: Tensor,
        weight: Tensor | None = None,
        z_unlabelled: Tensor | None = None,
        weight_unlabelled: Tensor | None = None,
    ) -> Known:
        z_support = self.placed(z_support)
        membership = ones_unless(weight, z_support)[..., None] * targets
        z_unlabelled = z_support[:, :0] if z_unlabelled is None else self.placed(z_unlabelled)
        return Known(
            z_support,
            membership,
            weighted_mean(z_support, membership),
            membership.sum(1, keepdim=True) > 0,
            z_unlabelled,
            ones_unless(weight_unlabelled, z_unlabelled),
        )

    def placed(self, z: Tensor) -> Tensor:
        """Embeddings as this head compares them."""
        return z
