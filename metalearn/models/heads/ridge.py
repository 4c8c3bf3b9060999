"""Ridge regression, solved inside the forward pass: a linear map from embeddings to targets."""

import torch
from torch import Tensor, nn

from ..._checks import check_positive
from .head import Head, ones_unless


class Ridge(Head):
    r"""A linear map fitted to each support set in closed form.

    $W = \arg\min_W \sum_i w_i \|z_i W - y_i\|^2 + \lambda \|W\|^2$, solved as
    $(Z^\top Z + \lambda I)^{-1} Z^\top Y$ when there are more examples than dimensions and as
    $Z^\top (Z Z^\top + \lambda I)^{-1} Y$ otherwise; the two are equal. The score of a query is
    $a \, z W + b$, where $\lambda$, $a$ and $b$ are learned across tasks.

    Bertinetto, Henriques, Torr, Vedaldi (2019), R2-D2, https://arxiv.org/abs/1805.08136

    Args:
        regularisation: the $\lambda$ that training starts from, positive.
        scale: the $a$ that training starts from, positive. 1 gives the values of the regression itself.

    Shape:
        as `Head`: [B, S, D], [B, S, T] -> state [B, D, T]; [B, Q, D] -> [B, Q, T]

    Raises:
        ValueError: a regularisation or scale that is not positive.

    Example:
        >>> z = torch.ones(1, 3, 1)
        >>> head = Ridge(regularisation=1.0)
        >>> W = head.fit(z, targets=torch.tensor([[[2.0], [2.0], [4.0]]]))  # (2 + 2 + 4) / (3 + 1)
        >>> head.score(W, torch.tensor([[[3.0]]])).detach()
        tensor([[[6.]]])

    Derived in chapter 12, *Ridge, SVM and cosine classifiers*.
    """

    regression = True

    def __init__(self, regularisation: float = 1.0, scale: float = 1.0):
        super().__init__()
        check_positive(regularisation=regularisation, scale=scale)
        self.config = {
            "name": "ridge",
            "regularisation": float(regularisation),
            "scale": float(scale),
        }
        self.log_regularisation = nn.Parameter(torch.tensor(float(regularisation)).log())
        self.log_scale = nn.Parameter(torch.tensor(float(scale)).log())
        self.bias = nn.Parameter(torch.zeros(()))

    def fit(
        self,
        z_support: Tensor,
        targets: Tensor,
        weight: Tensor | None = None,
        z_unlabelled: Tensor | None = None,
        weight_unlabelled: Tensor | None = None,
    ) -> Tensor:
        root = ones_unless(weight, z_support).sqrt()[..., None]
        Z, Y = root * z_support, root * targets.to(z_support.dtype)
        n_examples, n_dimensions = Z.shape[1:]
        if n_examples > n_dimensions:
            return torch.cholesky_solve(Z.mT @ Y, self._factor(Z.mT @ Z))
        return Z.mT @ torch.cholesky_solve(Y, self._factor(Z @ Z.mT))

    def score(self, state: Tensor, z_query: Tensor, weight: Tensor | None = None) -> Tensor:
        return self.log_scale.exp() * (z_query @ state) + self.bias

    def _factor(self, gram: Tensor) -> Tensor:
        """The Cholesky factor of the regularised matrix, which is symmetric and positive definite."""
        identity = torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device)
        return torch.linalg.cholesky(gram + self.log_regularisation.exp() * identity)
