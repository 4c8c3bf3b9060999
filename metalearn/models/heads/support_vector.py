"""MetaOptNet: a multi-class support vector machine, solved inside the forward pass."""

import torch
from torch import Tensor, nn

from ..._checks import check_positive
from .crammer_singer import DualSolution
from .head import Head, ones_unless

NO_MARGIN = 1e6
"""The target of a class that an episode lacks; far above any score, so that it never competes."""


class SupportVector(Head):
    r"""The linear classifier of largest margin, fitted to each support set exactly.

    $W = \arg\min_W \frac12 \|W\|^2 + C \sum_i \xi_i$ with
    $\xi_i = \max_k (w_k \cdot z_i + [k \ne y_i]) - w_{y_i} \cdot z_i$, the machine of Crammer and Singer
    (2001), solved in its dual. The score of a query is $a \, z W$, with $a$ learned across tasks. Gradients
    are those of the optimum, so that training can move the embedding.

    Lee, Maji, Ravichandran, Soatto (2019), MetaOptNet, https://arxiv.org/abs/1904.03758

    Args:
        C: what a margin that is missed by 1 costs, positive; the paper takes 0.1.
        scale: the $a$ that training starts from, positive.
        tolerance: the relative duality gap at which the solver stops, positive.

    Shape:
        as `Head`: [B, S, D], [B, S, N] -> state [B, D, N]; [B, Q, D] -> logits [B, Q, N]

    Raises:
        ValueError: a C, scale or tolerance that is not positive.
        FloatingPointError: the solver does not reach its tolerance, as with embeddings thousands long.

    Example:
        >>> head = SupportVector(C=10.0)
        >>> W = head.fit(torch.tensor([[[1.0], [-1.0]]]), torch.eye(2)[None])
        >>> W  # the scores of the two examples differ by just 1 between the classes
        tensor([[[ 0.5000, -0.5000]]])

    Derived in chapter 12, *Ridge, SVM and cosine classifiers*.
    """

    def __init__(self, C: float = 0.1, scale: float = 1.0, tolerance: float = 1e-6):
        super().__init__()
        check_positive(C=C, scale=scale, tolerance=tolerance)
        self.config = {
            "name": "support_vector",
            "C": float(C),
            "scale": float(scale),
            "tolerance": float(tolerance),
        }
        self.C, self.tolerance = float(C), float(tolerance)
        self.log_scale = nn.Parameter(torch.tensor(float(scale)).log())

    def fit(
        self,
        z_support: Tensor,
        targets: Tensor,
        weight: Tensor | None = None,
        z_unlabelled: Tensor | None = None,
        weight_unlabelled: Tensor | None = None,
    ) -> Tensor:
        weight = ones_unless(weight, z_support)[..., None]
        Z = torch.where(weight > 0, z_support, 0)
        upper = self.C * weight * targets
        absent = upper.sum(1, keepdim=True) == 0
        alpha = DualSolution.apply(
            Z.double() @ Z.double().mT,
            targets.masked_fill(absent, NO_MARGIN),
            upper,
            self.tolerance,
        )
        return Z.mT @ alpha.to(Z.dtype)

    def score(self, state: Tensor, z_query: Tensor, weight: Tensor | None = None) -> Tensor:
        return self.log_scale.exp() * (z_query @ state)
