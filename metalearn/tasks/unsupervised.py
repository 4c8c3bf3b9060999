"""Step 1, select a task: classes made without a label, from views of a picture or from clusters."""

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .._checks import seed_of, whole
from ..data.pool import Pool
from .episode import Batch, Examples
from .family import Family, check_pool

# How far `deform` goes: standard deviations in radians, in logarithms, and in halves of the side.
SPREADS = {"turn": 0.15, "slant": 0.15, "narrow": 0.15, "size": 0.12, "right": 0.08, "down": 0.08}
BEND = 0.06
CONTROL_POINTS = 4


@dataclass(frozen=True)
class ViewTasks(Family):
    """Episodes without labels: each class is one picture, its examples are deformed views of it.

    An episode draws N different pictures. The first support example of a class is the picture itself, all
    other examples are views of it. Queries come in random order. The pool's labels are never read.

    Args:
        pool: uint8 pictures to draw from.
        n_way: pictures in an episode, at least 2.
        n_shot: support examples of each.
        n_query: query examples of each.
        strength: how much views differ from the picture; see `deform`.
        seed: which family of episodes.

    Raises:
        TypeError: pool is no Pool.
        ValueError: examples that are not uint8 pictures, or too few of them.

    Example:
        >>> pool = Pool(np.zeros((40, 1, 28, 28), np.uint8), np.zeros(40, int), names=["unknown"])
        >>> ViewTasks(pool, n_way=20, n_query=3).batch(range(2)).query.x.shape
        torch.Size([2, 60, 1, 28, 28])

    Khodadadeh, Bölöni, Shah (2019), UMTRA, https://arxiv.org/abs/1811.11819; Medina, Devos, Grossglauser
    (2020), ProtoCLR, https://arxiv.org/abs/2006.11325. Derived in chapter 3, *Select a task*.
    """

    pool: Pool
    n_way: int = 5
    n_shot: int = 1
    n_query: int = 3
    strength: float = 1.0
    seed: int = 0

    def __post_init__(self):
        check_pool(self.pool)
        self._settle_whole(n_way=2, n_shot=1, n_query=1)
        _check_strength(self.strength)
        self._settle("strength", float(self.strength))
        example = self.pool.take(torch.tensor(0))
        if example.dtype != torch.uint8 or example.dim() != 3:
            raise ValueError(
                f"examples are {self.pool.shape_in_words} {example.dtype}; views need uint8 pictures"
            )
        if len(self.pool) < self.n_way:
            raise ValueError(
                f"the pool has {len(self.pool)} pictures; {self.n_way}-way needs {self.n_way}"
            )

    def _draw(self, rng: np.random.Generator) -> tuple[Tensor, ...]:
        """Rows, labels and pictures of the support set, and of the queries."""
        pictures = torch.from_numpy(rng.choice(len(self.pool), self.n_way, replace=False))
        classes = np.arange(self.n_way)
        support_y = torch.from_numpy(classes.repeat(self.n_shot))
        query_y = torch.from_numpy(rng.permutation(classes.repeat(self.n_query)))
        support_rows, query_rows = pictures[support_y], pictures[query_y]
        support, query = self.pool.take(support_rows), self.pool.take(query_rows)
        further = torch.arange(len(support)) % self.n_shot > 0
        support[further] = deform(support[further], rng, self.strength)
        query = deform(query, rng, self.strength)
        return support_rows, support_y, support, query_rows, query_y, query

    def _stacked(self, drawn: list[tuple[Tensor, ...]]) -> Batch:
        rows, y, x, query_rows, query_y, query_x = map(torch.stack, zip(*drawn, strict=True))
        return Batch(
            support=Examples(x, y, torch.ones(y.shape), rows),
            query=Examples(query_x, query_y, torch.ones(query_y.shape), query_rows),
            n_way=torch.full((len(drawn),), self.n_way),
        )


def deform(images: Tensor, rng: np.random.Generator, strength: float = 1.0) -> Tensor:
    """Views of pictures: each is turned, slanted, stretched, shifted and bent a little, at random.

    Args:
        images: [n, C, H, W] uint8 pixels.
        rng: decides the views.
        strength: what the usual deviations are multiplied by; 0 gives the pictures back.

    Returns:
        [n, C, H, W] uint8

    Raises:
        ValueError: images of another kind, or a strength that is negative or not finite.

    Example:
        >>> picture = torch.zeros(1, 1, 28, 28, dtype=torch.uint8)
        >>> deform(picture, np.random.default_rng(0)).shape
        torch.Size([1, 1, 28, 28])

    Derived in chapter 3, *Select a task*.
    """
    if images.dtype != torch.uint8 or images.dim() != 4:
        raise ValueError(
            f"images are {list(images.shape)} {images.dtype}; deform needs uint8 pixels [n, C, H, W]"
        )
    _check_strength(strength)
    if len(images) == 0 or strength == 0:
        return images
    n, (height, width) = len(images), images.shape[-2:]
    own = {name: strength * s * rng.standard_normal(n) for name, s in SPREADS.items()}
    cos, sin = np.cos(own["turn"]), np.sin(own["turn"])
    across, along = np.exp(own["size"] - own["narrow"]), np.exp(own["size"] + own["narrow"])
    x_row = np.stack([across * cos, along * (own["slant"] * cos - sin), own["right"]], axis=1)
    y_row = np.stack([across * sin, along * (own["slant"] * sin + cos), own["down"]], axis=1)
    theta = torch.from_numpy(np.stack([x_row, y_row], axis=1)).float()
    grid = F.affine_grid(theta, [n, 1, height, width], align_corners=False)
    points = rng.standard_normal((n, 2, CONTROL_POINTS, CONTROL_POINTS))
    bends = torch.from_numpy(strength * BEND * points).float()
    bends = F.interpolate(bends, (height, width), mode="bicubic", align_corners=True)
    views = F.grid_sample(
        images.float(), grid + bends.movedim(1, -1), padding_mode="border", align_corners=False
    )
    return views.round().clamp(0, 255).to(torch.uint8)


def _check_strength(strength: float) -> None:
    if not 0 <= strength < math.inf:
        raise ValueError(f"strength is {strength}; it needs to be at least 0, and finite")


def clusters(pool: Pool, z: Tensor, n_clusters: int, seed: int = 0) -> Pool:
    """The pool with clusters of its embeddings in the place of its classes.

    Episodes of the result teach without a label: whatever lies together in one space is taken for a class.
    k-means, with k-means++ starts; a cluster is named by its number, and none is empty.

    Args:
        pool: the examples.
        z: [N, D] an embedding of each: of an untrained or self-trained network, or the pixels themselves.
        n_clusters: how many.
        seed: of the starts.

    Returns:
        the same examples with up to n_clusters classes; `select(min_examples=...)` leaves out small ones.

    Raises:
        TypeError: pool is no Pool.
        ValueError: embeddings of another number of examples, or more clusters than examples.

    Example:
        >>> pool = Pool(np.zeros((4, 1, 28, 28), np.uint8), [0, 0, 0, 0], names=["unknown"])
        >>> clusters(pool, torch.tensor([[0.0], [0.1], [5.0], [5.1]]), n_clusters=2).n_classes
        2

    Hsu, Levine, Finn (2019), CACTUs, https://arxiv.org/abs/1810.02334. Derived in chapter 3,
    *Select a task*.
    """
    from sklearn.cluster import MiniBatchKMeans

    check_pool(pool)
    n_clusters = whole("n_clusters", n_clusters, at_least=2)
    z = torch.as_tensor(z).detach()
    if z.dim() != 2 or len(z) != len(pool):
        raise ValueError(
            f"embeddings have shape {list(z.shape)} for {len(pool)} examples; they need "
            f"[{len(pool)}, D]"
        )
    if n_clusters > len(pool):
        raise ValueError(f"{n_clusters} clusters are more than the pool's {len(pool)} examples")
    k_means = MiniBatchKMeans(n_clusters, random_state=seed_of(seed), n_init=1, batch_size=4096)
    found, labels = np.unique(k_means.fit_predict(z.cpu().numpy()), return_inverse=True)
    return Pool(pool.images, labels, [f"cluster {number}" for number in range(len(found))])
