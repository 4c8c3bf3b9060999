"""Matching networks: attention over the support set."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..._checks import check_positive, seed_of, whole
from ..distances import DISTANCES
from .full_context import FullContext
from .head import NEVER, Head, check_features, ones_unless


class Memory(NamedTuple):
    """The state: what queries attend to.

    Attributes:
        z: [B, S, D]
        targets: [B, S, N] one-hot, or [B, S, T] real values.
        weight: [B, S]

    Derived in chapter 9, *Matching networks*.
    """

    z: Tensor
    targets: Tensor
    weight: Tensor


class Matching(Head):
    r"""A query attends to the support examples and answers with the mean of their targets.

    $a_i(z) = \text{softmax}_i(-s \, d(z, z_i))$ and $\hat y(z) = \sum_i a_i(z) \, y_i$: kernel regression
    (Nadaraya and Watson, 1964) in the space of embeddings. For classes the score is $\log \hat y$, for real
    targets $\hat y$ itself.

    Vinyals, Blundell, Lillicrap, Kavukcuoglu, Wierstra (2016), https://arxiv.org/abs/1606.04080

    Args:
        distance: "cosine" (the paper's), "squared_euclidean", "euclidean" or "manhattan".
        scale: $s$, positive: how sharply a query attends to what is nearest. The paper has none (1).
        learn_scale: make $s$ a parameter, trained with the backbone.
        regression: take real targets in the place of classes.
        context_steps: reading steps of the full context embeddings, which let the support set change the
            embedding of each of its examples and of the query; 0 leaves them out. The order of the support
            set matters to them.
        n_features: D; needed for full context embeddings only.
        seed: of their initial weights.

    Shape:
        as `Head`: [B, S, D], [B, S, N] -> state; [B, Q, D] -> logits [B, Q, N] or values [B, Q, T]

    Raises:
        ValueError: an unknown distance, a scale that is not positive, steps or features that are not whole.

    Example:
        >>> head = Matching(distance="squared_euclidean", regression=True)
        >>> z, y = torch.tensor([[[0.0], [1.0]]]), torch.tensor([[[0.0], [10.0]]])
        >>> head.score(head.fit(z, y), torch.tensor([[[0.5]]]))  # half way between 0 and 10
        tensor([[[5.]]])

    Derived in chapter 9, *Matching networks*.
    """

    def __init__(
        self,
        distance: str = "cosine",
        scale: float = 10.0,
        learn_scale: bool = False,
        regression: bool = False,
        context_steps: int = 0,
        n_features: int = 64,
        seed: int = 0,
    ):
        super().__init__()
        check_positive(scale=scale)
        self.regression = bool(regression)
        context_steps = whole("context_steps", context_steps, at_least=0)
        self.order_matters = context_steps > 0
        self.config = {
            "name": "matching",
            "distance": distance,
            "scale": float(scale),
            "learn_scale": bool(learn_scale),
            "regression": self.regression,
            "context_steps": context_steps,
            "n_features": whole("n_features", n_features),
            "seed": seed_of(seed),
        }
        self.distance = DISTANCES[distance]
        self.log_scale = nn.Parameter(
            torch.tensor(float(scale)).log(), requires_grad=bool(learn_scale)
        )
        self.context = FullContext(n_features, context_steps, seed) if context_steps else None

    def fit(
        self,
        z_support: Tensor,
        targets: Tensor,
        weight: Tensor | None = None,
        z_unlabelled: Tensor | None = None,
        weight_unlabelled: Tensor | None = None,
    ) -> Memory:
        weight = ones_unless(weight, z_support)
        if self.context is not None:
            check_features(self, z_support, self.config["n_features"])
            z_support = self.context.support(z_support, weight)
        return Memory(z_support, targets.to(z_support.dtype), weight)

    def score(self, state: Memory, z_query: Tensor, weight: Tensor | None = None) -> Tensor:
        if self.context is not None:
            z_query = self.context.query(z_query, state.z, state.weight)
        similarity = -self.log_scale.exp() * self.distance(z_query, state.z)
        log_attention = (similarity + _log(state.weight)[:, None]).log_softmax(-1)  # [B, Q, S]
        if self.regression:
            return log_attention.exp() @ state.targets
        return (log_attention[..., None] + _log(state.targets)[:, None]).logsumexp(2)


def _log(share: Tensor) -> Tensor:
    """The logarithm of numbers from 0 to 1; of padding's targets, which may be any, it is finite too."""
    return share.clamp(min=0).log().clamp(min=NEVER)
