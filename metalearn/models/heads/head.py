"""What every metric head is: a rule that is fitted to a support set and scores queries."""

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

State = Any
NEVER = -1e30
"""The logit of what cannot be: no other comes near it, and it is finite, so that gradients are."""


class Head(nn.Module, ABC):
    """A rule fitted to the support embeddings of many episodes at once.

    Its parameters, if it has any, are shared by all tasks; what belongs to one episode is in the state
    that `fit` returns, and nowhere else. Every tensor of a state has the episodes first.

    Attributes:
        transductive: whether a query's score may depend on the other queries.
        regression: whether it takes real targets.
        takes_maps: whether it takes feature maps [B, S, D, H, W] as well as vectors [B, S, D].
        order_matters: whether its answers depend on the order of the support set.
        config: its name and options, from which `create` makes it again.

    Derived in chapter 4, *Learn a model*.
    """

    transductive = False
    regression = False
    takes_maps = False
    order_matters = False
    config: dict[str, Any]

    @abstractmethod
    def fit(
        self,
        z_support: Tensor,
        targets: Tensor,
        weight: Tensor | None = None,
        z_unlabelled: Tensor | None = None,
        weight_unlabelled: Tensor | None = None,
    ) -> State:
        """Learn from the support set.

        Args:
            z_support: [B, S, D]
            targets: [B, S, N] one-hot classes, or [B, S, T] real values.
            weight: [B, S], 1 for an example, 0 for padding, which changes nothing. All 1 if None.
            z_unlabelled: [B, U, D] further examples without labels.
            weight_unlabelled: [B, U], 0 for padding. All 1 if None.
        """

    @abstractmethod
    def score(self, state: State, z_query: Tensor, weight: Tensor | None = None) -> Tensor:
        """Judge the queries.

        Args:
            state: what `fit` returned.
            z_query: [B, Q, D]
            weight: [B, Q], 1 for a query, 0 for padding; heads that are not transductive need none.

        Returns:
            [B, Q, N] logits, higher is better; or [B, Q, T] real values.
        """


def ones_unless(weight: Tensor | None, z: Tensor) -> Tensor:
    """The weight, or ones [B, S] for embeddings [B, S, D] where there is none."""
    return z.new_ones(z.shape[:2]) if weight is None else weight.to(z.dtype)


def check_features(head: Head, z: Tensor, n_features: int) -> None:
    """Raise ValueError for embeddings z [B, S, D, ...] of another D than the head was made for."""
    if z.shape[2] != n_features:
        raise ValueError(
            f"this {type(head).__name__} was made for embeddings of {n_features} numbers; "
            f"these have {z.shape[2]}"
        )


def weighted_mean(z: Tensor, membership: Tensor) -> Tensor:
    r"""The centre of each class, $c_k = \sum_i m_{ik} z_i / \sum_i m_{ik}$; zero for an empty class.

    Args:
        z: [B, S, D]
        membership: [B, S, N], how much each example belongs to each class, at least 0.

    Returns:
        [B, N, D]
    """
    mass = membership.sum(1)[..., None]
    return membership.mT @ z / torch.where(mass > 0, mass, 1)
