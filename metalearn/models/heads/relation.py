"""Relation networks: the comparison itself is learned."""

from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from ..._checks import seed_of, whole
from ..backbones.building import seeded
from .head import Head, check_features, ones_unless, weighted_mean


class Relatives(NamedTuple):
    """The state: what queries are paired with.

    Attributes:
        centres: [B, N, D] or [B, N, D, H, W], the mean embedding of each class.
        present: [B, N] which classes the episode has.

    Derived in chapter 11, *Relation networks*.
    """

    centres: Tensor
    present: Tensor


class Relation(Head):
    r"""A small network looks at a class and a query side by side and says how alike they are.

    $r_k(z) = g_\phi([c_k, z])$: two blocks of convolution, batch normalisation and ReLU over the pair, the
    mean over positions, and two linear layers. The score is $r$ before the sigmoid that would make it a
    number from 0 to 1; train it with `losses.pair_squared_error` as the paper does. The paper adds up the
    embeddings of a class; here they are averaged, so that shots may be unequal. Its blocks end in pooling;
    here the mean over positions takes the place of that, so that maps may have any size.

    Sung and others (2018), https://arxiv.org/abs/1711.06025

    Args:
        n_features: D, how many numbers an embedding has, or channels a feature map.
        width: filters in each block.
        kernel_size: 3 for feature maps, as in the paper; 1 for vectors.
        seed: of the initial weights.

    Shape:
        as `Head`, and feature maps: [B, S, D] or [B, S, D, H, W], [B, S, N] -> state; [B, Q, ...] -> logits
        [B, Q, N]

    Raises:
        ValueError: features, filters or kernel size that are no whole numbers, or an even kernel.

    Example:
        >>> import torch
        >>> head = Relation(n_features=2, seed=0).eval()
        >>> state = head.fit(torch.tensor([[[0.0, 1.0], [1.0, 0.0]]]), torch.eye(2)[None])
        >>> head.score(state, torch.zeros(1, 7, 2)).shape
        torch.Size([1, 7, 2])

    Derived in chapter 11, *Relation networks*.
    """

    takes_maps = True

    def __init__(self, n_features: int = 64, width: int = 64, kernel_size: int = 1, seed: int = 0):
        super().__init__()
        self.config = {
            "name": "relation",
            "n_features": whole("n_features", n_features),
            "width": whole("width", width),
            "kernel_size": whole("kernel_size", kernel_size),
            "seed": seed_of(seed),
        }
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size is {kernel_size}; it needs to be odd")
        with seeded(self.config["seed"]):
            self.compare = nn.Sequential(
                *_block(2 * n_features, width, kernel_size), *_block(width, width, kernel_size)
            )
            self.judge = nn.Sequential(nn.Linear(width, 8), nn.ReLU(), nn.Linear(8, 1))

    def fit(
        self,
        z_support: Tensor,
        targets: Tensor,
        weight: Tensor | None = None,
        z_unlabelled: Tensor | None = None,
        weight_unlabelled: Tensor | None = None,
    ) -> Relatives:
        check_features(self, z_support, self.config["n_features"])
        membership = ones_unless(weight, z_support)[..., None] * targets
        centres = weighted_mean(z_support.flatten(2), membership)
        return Relatives(centres.unflatten(2, z_support.shape[2:]), membership.sum(1) > 0)

    def score(self, state: Relatives, z_query: Tensor, weight: Tensor | None = None) -> Tensor:
        """A pair with padding, or with a class that the episode lacks, is not judged; its score is 0."""
        real = (ones_unless(weight, z_query) > 0)[:, :, None] & state.present[:, None]
        episode, query, k = real.nonzero(as_tuple=True)
        first, *rest = self.compare
        of_centre, of_query = first.weight.chunk(2, dim=1)
        centres, queries = _filtered(state.centres, of_centre), _filtered(z_query, of_query)
        # first([c, z]) is the sum of what it makes of each, so that each is filtered once
        maps = centres[episode, k] + queries[episode, query]
        for layer in rest:
            maps = layer(maps)
        relation = self.judge(maps.mean((2, 3)))[:, 0]
        return relation.new_zeros(real.shape).masked_scatter(real, relation)


def _filtered(z: Tensor, weight: Tensor) -> Tensor:
    """A convolution of embeddings [B, n, D] or maps [B, n, D, H, W] -> [B, n, width, H, W]."""
    maps = (z if z.dim() == 5 else z[..., None, None]).flatten(0, 1)
    return F.conv2d(maps, weight, padding="same").unflatten(0, z.shape[:2])


def _block(n_in: int, n_out: int, kernel_size: int) -> list[nn.Module]:
    return [
        nn.Conv2d(n_in, n_out, kernel_size, padding=kernel_size // 2, bias=False),
        nn.BatchNorm2d(n_out),
        nn.ReLU(),
    ]
