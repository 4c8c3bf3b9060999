"""Prototypes refined by examples without labels, the queries among them."""

import torch
from torch import Tensor

from ..._checks import whole
from ..distances import squared_euclidean
from .head import NEVER, weighted_mean
from .transduction import Known, Transductive


class SoftKMeans(Transductive):
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
        self.transductive = bool(use_queries)

    def score(self, state: Known, z_query: Tensor, weight: Tensor | None = None) -> Tensor:
        z_joining, weight_joining = state.z_unlabelled, state.weight_unlabelled
        if self.transductive:
            z_joining, weight_joining = state.joined_by(z_query, weight)
        centres = state.centres
        everything = torch.cat([state.z, z_joining], dim=1)
        for _ in range(self.steps):
            logits = (-squared_euclidean(z_joining, centres)).masked_fill(~state.present, NEVER)
            joining = weight_joining[..., None] * logits.softmax(-1)
            centres = weighted_mean(everything, torch.cat([state.membership, joining], dim=1))
        return -squared_euclidean(z_query, centres)
