"""Prototypical networks: a class is the mean of its support embeddings."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..._checks import check_positive
from ..distances import DISTANCES, unit
from .head import Head, check_features, ones_unless, weighted_mean


class Prototypes(NamedTuple):
    """The state: where the classes are, and what was taken for the origin.

    Attributes:
        centres: [B, N, D], in the space in which queries are compared with them.
        origin: [B, 1, D], what is subtracted from queries; 0 where nothing is.

    Derived in chapter 10, *Prototypical networks*.
    """

    centres: Tensor
    origin: Tensor


class Prototypical(Head):
    r"""Each class is the mean of its support embeddings; a query is scored by its distance to it.

    $c_k = \frac{1}{|S_k|} \sum_{i \in S_k} z_i$ and $\text{logit}_k(z) = -s \, d(z, c_k)$. Embeddings may
    be centred and normalised first, $z \leftarrow (z - m) / \|z - m\|$.

    Snell, Swersky, Zemel (2017), https://arxiv.org/abs/1703.05175; centred and normalised: SimpleShot, Wang
    and others (2019), https://arxiv.org/abs/1911.04623

    Args:
        distance: "squared_euclidean" (the paper's), "euclidean", "manhattan" or "cosine".
        scale: $s$, positive. It changes the probabilities, never which class is first.
        learn_scale: make $s$ a parameter, trained with the backbone.
        centre: what to subtract from every embedding: D numbers, such as the mean of the training
            embeddings (SimpleShot), "support" for the mean of the class means of the episode, or None.
        normalise: scale every embedding to length 1, after centring.

    Shape:
        as `Head`: [B, S, D], [B, S, N] -> state; [B, Q, D] -> logits [B, Q, N]

    Raises:
        ValueError: an unknown distance, a scale that is not positive, or a centre that is none of these.

    Example:
        >>> z = torch.tensor([[[0.0, 0.0], [2.0, 0.0], [5.0, 0.0]]])
        >>> targets = torch.tensor([[[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]])
        >>> head = Prototypical()
        >>> state = head.fit(z, targets)
        >>> state.centres
        tensor([[[1., 0.],
                 [5., 0.]]])
        >>> head.score(state, torch.tensor([[[2.0, 0.0]]]))
        tensor([[[-1., -9.]]])

    Derived in chapter 10, *Prototypical networks*.
    """

    def __init__(
        self,
        distance: str = "squared_euclidean",
        scale: float = 1.0,
        learn_scale: bool = False,
        centre: Sequence[float] | Tensor | str | None = None,
        normalise: bool = False,
    ):
        super().__init__()
        check_positive(scale=scale)
        self.centred_on_support = isinstance(centre, str)
        if self.centred_on_support and centre != "support":
            raise ValueError(f"centre is {centre!r}; it is 'support', D numbers or None")
        given = centre is not None and not self.centred_on_support
        mean = torch.zeros(1)
        if given:
            mean = torch.as_tensor(centre, dtype=torch.float32).detach().cpu().clone()
        if mean.dim() != 1 or len(mean) == 0 or not mean.isfinite().all():
            raise ValueError(f"centre has shape {list(mean.shape)}; it needs [D] finite numbers")
        self.config = {
            "name": "prototypical",
            "distance": distance,
            "scale": float(scale),
            "learn_scale": bool(learn_scale),
            "centre": mean.tolist() if given else centre,
            "normalise": bool(normalise),
        }
        self.distance = DISTANCES[distance]
        self.normalise = bool(normalise)
        self.log_scale = nn.Parameter(
            torch.tensor(float(scale)).log(), requires_grad=bool(learn_scale)
        )
        self.register_buffer("mean", mean, persistent=False)

    def fit(
        self,
        z_support: Tensor,
        targets: Tensor,
        weight: Tensor | None = None,
        z_unlabelled: Tensor | None = None,
        weight_unlabelled: Tensor | None = None,
    ) -> Prototypes:
        if isinstance(self.config["centre"], list):
            check_features(self, z_support, len(self.mean))
        membership = ones_unless(weight, z_support)[..., None] * targets
        origin = self.mean.expand(len(z_support), 1, -1)
        if self.centred_on_support:
            present = (membership.sum(1) > 0).to(z_support.dtype)[..., None]
            origin = weighted_mean(weighted_mean(z_support, membership), present)
        return Prototypes(weighted_mean(self._placed(z_support, origin), membership), origin)

    def score(self, state: Prototypes, z_query: Tensor, weight: Tensor | None = None) -> Tensor:
        z = self._placed(z_query, state.origin)
        return -self.log_scale.exp() * self.distance(z, state.centres)

    def _placed(self, z: Tensor, origin: Tensor) -> Tensor:
        """Embeddings as they are compared: centred and normalised where that was asked for."""
        return unit(z - origin) if self.normalise else z - origin
