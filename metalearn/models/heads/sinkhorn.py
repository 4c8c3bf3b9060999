"""PT-MAP: queries are shared out among the classes as a transport plan."""

import torch
from torch import Tensor

from ..._checks import check_positive, whole
from ..distances import squared_euclidean, unit
from .head import NEVER, weighted_mean
from .transduction import Known, Transductive

BALANCING_STEPS = 20
"""For each position of the centres; the next goes on from where the last ended."""


class Sinkhorn(Transductive):
    r"""Queries are shared out among the classes, and centres move to what they were given, in turn.

    With embeddings of length 1, query $j$ goes to class $k$ by the share
    $P_{jk} = \text{softmax}_k(-s \|z_j - c_k\|^2 + f_k)$. One number for each class makes all classes
    receive as much as each other; Sinkhorn's iteration finds it,
    $f_k \leftarrow b \, (f_k + \log \frac{Q}{N} - \log \sum_j P_{jk})$ with $b = 1$. With $b = 0$ nothing
    is assumed of how often a class is asked for, and what lies between half believes it. Then the centres
    move a part of the way to the means of what their classes have. The score is $\log P$. Unlabelled
    examples count as queries.

    Hu, Gripon, Pateux (2020), PT-MAP, https://arxiv.org/abs/2006.03806; Cuturi (2013), Sinkhorn distances,
    https://arxiv.org/abs/1306.0895. The paper's power transform is left to the embedding.

    Args:
        balance: $b$, from 0 to 1. 1, the paper's, is the assumption that all classes have equally many
            queries: true of most benchmarks, seldom elsewhere. A single query then goes to all alike.
        steps: how often the centres move.
        rate: which part of the way they move, above 0, at most 1.
        scale: $s$, positive: how sharply queries prefer what is near.

    Shape:
        as `Head`

    Raises:
        ValueError: a balance that is not from 0 to 1, no steps, a rate or scale out of range.

    Example:
        >>> z, queries = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]]), torch.tensor([[[1.0, 0.1], [1.0, 0.5]]])
        >>> for balance in (0, 1):  # both queries are nearer to class 0; balanced, each class gets one
        ...     head = Sinkhorn(balance=balance)
        ...     print(head.score(head.fit(z, torch.eye(2)[None]), queries).argmax(-1))
        tensor([[0, 0]])
        tensor([[0, 1]])

    Derived in chapter 13, *Transductive heads*.
    """

    def __init__(
        self, balance: float = 0.0, steps: int = 10, rate: float = 0.4, scale: float = 40.0
    ):
        super().__init__()
        check_positive(rate=rate, scale=scale)
        if not 0 <= balance <= 1:
            raise ValueError(f"balance is {balance}; it needs to be from 0 to 1")
        if rate > 1:
            raise ValueError(f"rate is {rate}; it needs to be at most 1")
        self.config = {
            "name": "sinkhorn",
            "balance": float(balance),
            "steps": whole("steps", steps),
            "rate": float(rate),
            "scale": float(scale),
        }
        self.balance, self.rate, self.scale = float(balance), float(rate), float(scale)
        self.steps = steps

    def placed(self, z: Tensor) -> Tensor:
        return unit(z)

    def score(self, state: Known, z_query: Tensor, weight: Tensor | None = None) -> Tensor:
        z_joining, weight_joining = state.joined_by(unit(z_query), weight)
        everything = torch.cat([state.z, z_joining], dim=1)
        centres, f = state.centres, torch.zeros_like(state.centres[..., 0])[:, None]
        for _ in range(self.steps):
            log_share, f = self._shared_out(z_joining, centres, weight_joining, state.present, f)
            joining = weight_joining[..., None] * log_share.exp()
            target = weighted_mean(everything, torch.cat([state.membership, joining], dim=1))
            centres = centres + self.rate * (target - centres)
        log_share, f = self._shared_out(z_joining, centres, weight_joining, state.present, f)
        return log_share[:, state.z_unlabelled.shape[1] :]

    def _shared_out(
        self, z: Tensor, centres: Tensor, weight: Tensor, present: Tensor, f: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Shares as log P [B, Q, N], and the f [B, 1, N] that spreads queries over classes."""
        logits = (-self.scale * squared_euclidean(z, centres)).masked_fill(~present, NEVER)
        log_weight = weight.log()[..., None]
        log_even = weight.sum(1)[:, None, None].log() - present.sum(-1, keepdim=True).log()
        for _ in range(BALANCING_STEPS if self.balance else 0):
            log_received = (log_weight + (logits + f).log_softmax(-1)).logsumexp(1, keepdim=True)
            f = self.balance * (f + log_even - log_received).where(present, 0)
        return (logits + f).log_softmax(-1), f
