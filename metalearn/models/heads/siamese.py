"""Siamese networks: is this pair of the same class?"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..._checks import check_positive, whole
from .head import Head, check_features, ones_unless


class Pairs(NamedTuple):
    """The state: the support embeddings themselves, which queries are paired with.

    Attributes:
        z: [B, S, D] in units of the learned distance.
        share: [B, S, N], by how much each example counts for each class; its sum over a class is 1.

    Derived in chapter 8, *Siamese networks*.
    """

    z: Tensor
    share: Tensor


class Siamese(Head):
    r"""Verifies pairs: the log-odds that two embeddings are of one class, by a learned Manhattan distance.

    $\text{logit}(z, z') = b - \sum_j e^{a_j} |z_j - z'_j|$, with $a$ and $b$ learned across tasks. A class
    is scored by the mean of its examples' log-odds. The paper has no $b$, and its weights may have either
    sign; here they are positive, which keeps the sum a distance.

    Koch, Zemel, Salakhutdinov (2015), https://www.cs.cmu.edu/~rsalakhu/papers/oneshot1.pdf

    Args:
        n_features: D, how many numbers an embedding has.
        scale: what $b$ and the sum of the weights start from, positive. Larger is steeper: a pair is judged
            surely from the start.

    Shape:
        as `Head`: [B, S, D], [B, S, N] -> state; [B, Q, D] -> logits [B, Q, N]

    Raises:
        ValueError: no features, or a scale that is not positive.

    Example:
        >>> head = Siamese(n_features=2)  # each weight starts from 1/2, as 1/D, and b from 1
        >>> state = head.fit(torch.tensor([[[0.0, 0.0], [4.0, 0.0]]]), torch.eye(2)[None])
        >>> head.score(state, torch.tensor([[[1.0, 1.0]]])).detach()
        tensor([[[ 0., -1.]]])

    Derived in chapter 8, *Siamese networks*.
    """

    def __init__(self, n_features: int = 64, scale: float = 1.0):
        super().__init__()
        check_positive(scale=scale)
        n_features = whole("n_features", n_features)
        self.config = {"name": "siamese", "n_features": n_features, "scale": float(scale)}
        self.log_weight = nn.Parameter(torch.full((n_features,), scale / n_features).log())
        self.bias = nn.Parameter(torch.tensor(float(scale)))

    def fit(
        self,
        z_support: Tensor,
        targets: Tensor,
        weight: Tensor | None = None,
        z_unlabelled: Tensor | None = None,
        weight_unlabelled: Tensor | None = None,
    ) -> Pairs:
        check_features(self, z_support, self.config["n_features"])
        membership = ones_unless(weight, z_support)[..., None] * targets
        mass = membership.sum(1, keepdim=True)
        share = membership / mass.where(mass > 0, 1)
        return Pairs(self.log_weight.exp() * z_support, share)

    def score(self, state: Pairs, z_query: Tensor, weight: Tensor | None = None) -> Tensor:
        pair_distance = torch.cdist(self.log_weight.exp() * z_query, state.z, p=1)  # [B, Q, S]
        return self.bias - pair_distance @ state.share
