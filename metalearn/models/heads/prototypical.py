"""Prototypical networks: a class is the mean of its support embeddings."""

import torch
from torch import Tensor, nn

from ..._checks import check_positive
from ..distances import DISTANCES
from .head import Head, ones_unless, weighted_mean


class Prototypical(Head):
    r"""Each class is the mean of its support embeddings; a query is scored by its distance to it.

    $c_k = \frac{1}{|S_k|} \sum_{i \in S_k} z_i$ and $\text{logit}_k(z) = -s \, d(z, c_k)$.

    Snell, Swersky, Zemel (2017), https://arxiv.org/abs/1703.05175

    Args:
        distance: "squared_euclidean" (the paper's) or "cosine".
        scale: $s$, positive. It changes the probabilities, never which class is first.
        learn_scale: make $s$ a parameter, trained with the backbone.

    Shape:
        as `Head`: [B, S, D], [B, S, N] -> state [B, N, D]; [B, Q, D] -> logits [B, Q, N]

    Raises:
        ValueError: an unknown distance, or a scale that is not positive.

    Example:
        >>> z = torch.tensor([[[0.0, 0.0], [2.0, 0.0], [5.0, 0.0]]])
        >>> targets = torch.tensor([[[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]])
        >>> head = Prototypical()
        >>> centres = head.fit(z, targets)
        >>> centres
        tensor([[[1., 0.],
                 [5., 0.]]])
        >>> head.score(centres, torch.tensor([[[2.0, 0.0]]]))
        tensor([[[-1., -9.]]])

    Derived in chapter 10, *Prototypical networks*.
    """

    def __init__(
        self, distance: str = "squared_euclidean", scale: float = 1.0, learn_scale: bool = False
    ):
        super().__init__()
        check_positive(scale=scale)
        self.config = {
            "name": "prototypical",
            "distance": distance,
            "scale": float(scale),
            "learn_scale": learn_scale,
        }
        self.distance = DISTANCES[distance]
        self.log_scale = nn.Parameter(torch.tensor(float(scale)).log(), requires_grad=learn_scale)

    def fit(
        self,
        z_support: Tensor,
        targets: Tensor,
        weight: Tensor | None = None,
        z_unlabelled: Tensor | None = None,
        weight_unlabelled: Tensor | None = None,
    ) -> Tensor:
        weight = ones_unless(weight, z_support)
        return weighted_mean(z_support, weight[..., None] * targets)

    def score(self, state: Tensor, z_query: Tensor, weight: Tensor | None = None) -> Tensor:
        return -self.log_scale.exp() * self.distance(z_query, state)
