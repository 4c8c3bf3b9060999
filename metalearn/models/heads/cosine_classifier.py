"""Baseline++: a cosine classifier, trained on the support set by a few steps of gradient descent."""

import torch
from torch import Tensor

from ..._checks import check_positive, whole
from ..distances import unit
from .head import Head, ones_unless, weighted_mean


class CosineClassifier(Head):
    r"""A softmax layer of unit vectors, trained on the support set of each episode.

    $\text{logit}_k(z) = s \cos(z, w_k)$, where the $w_k$ minimise the cross-entropy of the support set by
    `steps` steps of gradient descent on the sphere. They start from the class means, where the paper starts
    at random: with 0 steps this is a prototypical head with cosine distance. The steps are written out, so
    that gradients pass through them to the embedding.

    Chen and others (2019), Baseline++, https://arxiv.org/abs/1904.04232

    Args:
        steps: of gradient descent, 0 or more.
        learning_rate: of each, positive.
        scale: $s$, positive; the paper takes 2 in its code.

    Shape:
        as `Head`: [B, S, D], [B, S, N] -> state [B, N, D] of length 1; [B, Q, D] -> logits [B, Q, N]

    Raises:
        ValueError: steps that are no whole number, a scale or learning rate that is not positive.

    Example:
        >>> head = CosineClassifier(scale=10.0)
        >>> W = head.fit(torch.tensor([[[3.0, 4.0], [0.0, 2.0]]]), torch.eye(2)[None])
        >>> head.score(W, torch.tensor([[[1.0, 0.0]]])).argmax(-1)
        tensor([[0]])

    Derived in chapter 12, *Ridge, SVM and cosine classifiers*.
    """

    def __init__(self, steps: int = 20, learning_rate: float = 0.1, scale: float = 10.0):
        super().__init__()
        check_positive(learning_rate=learning_rate, scale=scale)
        self.config = {
            "name": "cosine_classifier",
            "steps": whole("steps", steps, at_least=0),
            "learning_rate": float(learning_rate),
            "scale": float(scale),
        }
        self.steps, self.learning_rate, self.scale = steps, float(learning_rate), float(scale)

    def fit(
        self,
        z_support: Tensor,
        targets: Tensor,
        weight: Tensor | None = None,
        z_unlabelled: Tensor | None = None,
        weight_unlabelled: Tensor | None = None,
    ) -> Tensor:
        z, weight = unit(z_support), ones_unless(weight, z_support)[..., None]
        membership = weight * targets
        absent = membership.sum(1, keepdim=True) == 0
        share = weight / weight.sum(1, keepdim=True)
        W = unit(weighted_mean(z, membership))
        for _ in range(self.steps):
            p = (self.scale * z @ W.mT).masked_fill(absent, -torch.inf).softmax(-1)
            gradient = self.scale * (share * (p - targets)).mT @ z
            along = gradient - (gradient * W).sum(-1, keepdim=True) * W  # what stays on the sphere
            W = unit(W - self.learning_rate * along)
        return W

    def score(self, state: Tensor, z_query: Tensor, weight: Tensor | None = None) -> Tensor:
        return self.scale * unit(z_query) @ state.mT
