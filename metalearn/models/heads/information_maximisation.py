"""TIM: classes are moved until the queries are answered surely, and evenly."""

import torch
from torch import Tensor

from ..._checks import check_positive, whole
from ..distances import squared_euclidean, unit
from .head import NEVER
from .transduction import Known, Transductive


class InformationMaximisation(Transductive):
    r"""Centres moved by gradient descent until the queries' answers say much about the queries.

    With embeddings of length 1, $p_{jk} = \text{softmax}_k(-s \|z_j - c_k\|^2)$ and
    $\hat p_k = \frac1Q \sum_j p_{jk}$, the centres $c$ minimise

    $\lambda \cdot$ cross-entropy of the support set $+ \lambda \frac1Q \sum_j H(p_j) - b \, H(\hat p)$,

    $H$ being the entropy: each answer sure, and with $b > 0$ all classes answered equally often. The last
    two are minus the mutual information of queries and answers when $\lambda = b = 1$. The steps are
    plain gradient descent, where the paper takes many small ones of Adam, and are written out, so that
    gradients pass through them to the embedding. Unlabelled examples count as queries.

    Boudiaf and others (2020), TIM, https://arxiv.org/abs/2008.11297

    Args:
        balance: $b$, from 0 to 1. 1, the paper's, draws towards answers that are equally often of each
            class: right on most benchmarks, seldom elsewhere.
        certainty: $\lambda$, positive; the paper takes 0.1.
        steps: of gradient descent, at least 1.
        learning_rate: of each, positive.
        scale: $s$, positive; the paper takes 7.5.

    Shape:
        as `Head`

    Raises:
        ValueError: a balance that is not from 0 to 1, no steps, another number that is not positive.

    Example:
        >>> z, queries = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]]), torch.tensor([[[1.0, 0.1], [1.0, 0.8]]])
        >>> for balance in (0, 1):  # both queries are nearer to class 0; balanced, each class gets one
        ...     head = InformationMaximisation(balance=balance)
        ...     print(head.score(head.fit(z, torch.eye(2)[None]), queries).argmax(-1))
        tensor([[0, 0]])
        tensor([[0, 1]])

    Derived in chapter 13, *Transductive heads*.
    """

    def __init__(
        self,
        balance: float = 0.0,
        certainty: float = 0.1,
        steps: int = 50,
        learning_rate: float = 0.1,
        scale: float = 20.0,
    ):
        super().__init__()
        check_positive(certainty=certainty, learning_rate=learning_rate, scale=scale)
        if not 0 <= balance <= 1:
            raise ValueError(f"balance is {balance}; it needs to be from 0 to 1")
        self.config = {
            "name": "information_maximisation",
            "balance": float(balance),
            "certainty": float(certainty),
            "steps": whole("steps", steps),
            "learning_rate": float(learning_rate),
            "scale": float(scale),
        }
        self.balance, self.certainty, self.steps = float(balance), float(certainty), steps
        self.learning_rate, self.scale = float(learning_rate), float(scale)

    def placed(self, z: Tensor) -> Tensor:
        return unit(z)

    def score(self, state: Known, z_query: Tensor, weight: Tensor | None = None) -> Tensor:
        z_joining, weight_joining = state.joined_by(unit(z_query), weight)
        everything = torch.cat([state.z, z_joining], dim=1)
        labelled = state.membership / state.membership.sum((1, 2), keepdim=True)
        mass = weight_joining.sum(1, keepdim=True)
        joining = (weight_joining / mass.where(mass > 0, 1))[..., None]
        centres = state.centres
        for _ in range(self.steps):
            known = self._log_p(state.z, centres, state.present).exp()
            pull_known = self.certainty * (labelled.sum(-1, keepdim=True) * known - labelled)
            pull = joining * self._pull(self._log_p(z_joining, centres, state.present), joining)
            slope = torch.cat([pull_known, pull], dim=1)  # of the loss by the logits, [B, M, N]
            moved = slope.mT @ everything - slope.sum(1)[..., None] * centres
            centres = centres - self.learning_rate * 2 * self.scale * moved
        return self._log_p(z_joining, centres, state.present)[:, state.z_unlabelled.shape[1] :]

    def _log_p(self, z: Tensor, centres: Tensor, present: Tensor) -> Tensor:
        logits = -self.scale * squared_euclidean(z, centres)
        return logits.masked_fill(~present, NEVER).log_softmax(-1)

    def _pull(self, log_p: Tensor, share: Tensor) -> Tensor:
        r"""The slope of an answer's two entropies by its logits, [B, M, N].

        $\partial H(p_j) / \partial \ell_{jk} = -p_{jk} (\log p_{jk} + H(p_j))$, and of minus the entropy of
        the mean answer $p_{jk} (\log \hat p_k - \sum_l p_{jl} \log \hat p_l)$.
        """
        p = log_p.exp()
        log_mean = (share.log() + log_p).logsumexp(1, keepdim=True).clamp(min=NEVER)
        surprise = self.balance * log_mean - self.certainty * log_p
        return p * (surprise - (p * surprise).sum(-1, keepdim=True))
