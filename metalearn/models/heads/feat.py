"""Feat: the prototypes of an episode look at each other before they are compared."""

import math

import torch
from torch import Tensor, nn

from ..._checks import check_positive, seed_of, whole
from ..backbones.building import seeded
from ..distances import squared_euclidean
from .head import Head, check_features, ones_unless, weighted_mean


class Feat(Head):
    r"""Prototypes adapted to the task by self-attention, a function from a set to a set.

    With the prototypes $c_k$ as rows of $C$, $A = \text{softmax}(C W_Q (C W_K)^\top / \sqrt{D})$ and
    $C' = \text{LayerNorm}(C + A \, C W_V W_O)$; a query is scored by $-s \|z - c'_k\|^2$. Two classes that
    are easily confused can so move apart. The order of classes and examples does not matter. The paper's
    dropout and its second, contrastive loss are left out.

    Ye, Hu, Zhan, Sha (2020), https://arxiv.org/abs/1812.03664

    Args:
        n_features: D, how many numbers an embedding has.
        scale: $s$, positive; the paper's inverse temperature.
        learn_scale: make $s$ a parameter, trained with the backbone.
        seed: of the initial weights.

    Shape:
        as `Head`: [B, S, D], [B, S, N] -> state [B, N, D]; [B, Q, D] -> logits [B, Q, N]

    Raises:
        ValueError: no features, or a scale that is not positive.

    Example:
        >>> head = Feat(n_features=2, seed=0)
        >>> centres = head.fit(torch.tensor([[[0.0, 1.0], [1.0, 0.0]]]), torch.eye(2)[None])
        >>> head.score(centres, torch.zeros(1, 7, 2)).shape
        torch.Size([1, 7, 2])

    Derived in chapter 9, *Matching networks*.
    """

    def __init__(
        self, n_features: int = 64, scale: float = 1.0, learn_scale: bool = False, seed: int = 0
    ):
        super().__init__()
        check_positive(scale=scale)
        n_features = whole("n_features", n_features)
        self.config = {
            "name": "feat",
            "n_features": n_features,
            "scale": float(scale),
            "learn_scale": bool(learn_scale),
            "seed": seed_of(seed),
        }
        self.log_scale = nn.Parameter(
            torch.tensor(float(scale)).log(), requires_grad=bool(learn_scale)
        )
        with seeded(self.config["seed"]):
            self.to_query, self.to_key, self.to_value, self.to_output = (
                nn.Linear(n_features, n_features, bias=False) for _ in range(4)
            )
        self.norm = nn.LayerNorm(n_features)

    def fit(
        self,
        z_support: Tensor,
        targets: Tensor,
        weight: Tensor | None = None,
        z_unlabelled: Tensor | None = None,
        weight_unlabelled: Tensor | None = None,
    ) -> Tensor:
        check_features(self, z_support, self.config["n_features"])
        membership = ones_unless(weight, z_support)[..., None] * targets
        C = weighted_mean(z_support, membership)
        absent = (membership.sum(1) == 0)[:, None]  # [B, 1, N]
        likeness = self.to_query(C) @ self.to_key(C).mT / math.sqrt(C.shape[-1])
        A = likeness.masked_fill(absent, -torch.inf).softmax(-1)
        return self.norm(C + self.to_output(A @ self.to_value(C)))

    def score(self, state: Tensor, z_query: Tensor, weight: Tensor | None = None) -> Tensor:
        return -self.log_scale.exp() * squared_euclidean(z_query, state)
