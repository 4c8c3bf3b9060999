"""Step 1, select a task: N classes, a few labelled examples of each, and queries."""

import zlib
from collections.abc import Iterable
from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from ..data.pool import Pool
from .episode import PADDING, Batch, Examples

Range = int | tuple[int, int]


@dataclass(frozen=True)
class ClassificationTasks:
    """All N-way K-shot episodes of a pool; episode i is a pure function of (seed, i).

    An episode draws N different classes, in random order, and from each n_shot support and n_query
    query examples, all different. Queries come in random order.

    Args:
        pool: what to draw from.
        n_way: classes in an episode, at least 2; or (least, most), drawn anew for each episode.
        n_shot: support examples a class, at least 1; or (least, most), drawn for each class of each
            episode, up to what the class has beyond its queries.
        n_query: query examples a class, at least 1.
        seed: which family of episodes; the same seed gives the same episodes in every process.
        within_group: draw all classes of an episode from one group (one script).

    Raises:
        ValueError: the pool has too few classes or a class too few examples; the message names it.

    Example:
        >>> pool = Pool(np.zeros((40, 1, 28, 28), np.uint8), np.arange(40) // 8, names="abcde")
        >>> tasks = ClassificationTasks(pool, n_way=3, n_shot=1, n_query=4, seed=0)
        >>> batch = tasks.batch(range(8))
        >>> batch.support.x.shape, batch.query.y.shape
        (torch.Size([8, 3, 1, 28, 28]), torch.Size([8, 12]))

    Vinyals and others (2016), https://arxiv.org/abs/1606.04080. Derived in chapter 3, *Select a task*.
    """

    pool: Pool
    n_way: Range = 5
    n_shot: Range = 1
    n_query: int = 15
    seed: int = 0
    within_group: bool = False

    def __post_init__(self):
        if not isinstance(self.pool, Pool):
            raise TypeError(f"pool is {self.pool!r}; it needs to be a Pool (load_pool makes one)")
        if not isinstance(self.seed, int | np.integer) or self.seed < 0:
            raise ValueError(f"seed is {self.seed!r}; it needs to be a whole number of at least 0")
        if isinstance(self.n_query, tuple):
            raise ValueError(f"n_query is {self.n_query!r}; it needs to be a whole number")
        least_way, _ = _range("n_way", self.n_way, at_least=2)
        least_shot, _ = _range("n_shot", self.n_shot, at_least=1)
        _range("n_query", self.n_query, at_least=1)
        needed = least_shot + self.n_query
        for name, rows in zip(self.pool.names, self.pool.examples_of, strict=True):
            if len(rows) < needed:
                raise ValueError(
                    f"class {name!r} has {len(rows)} examples; {least_shot}-shot with "
                    f"{self.n_query} queries needs {needed} "
                    f"(pool.select(min_examples={needed}) leaves such classes out)"
                )
        if self.pool.n_classes < least_way:
            raise ValueError(
                f"the pool has {self.pool.n_classes} classes; {least_way}-way needs {least_way}"
            )
        if self.within_group and not self._classes_to_draw_from:
            raise ValueError(f"no group of the pool has {least_way} classes")

    def episode(self, index: int) -> Batch:
        """Episode `index`, as a batch of one."""
        return self.batch([index])

    def batch(self, indices: Iterable[int]) -> Batch:
        """These episodes stacked, padded where they differ in size."""
        drawn = [self._draw(index) for index in indices]
        if not drawn:
            raise ValueError("a batch needs at least one episode")
        classes, support, support_y, query, query_y = (
            _padded(column) for column in zip(*drawn, strict=True)
        )
        return Batch(
            support=self._examples(support, support_y),
            query=self._examples(query, query_y),
            n_way=(classes >= 0).sum(1),
            classes=classes,
        )

    @property
    def identity(self) -> str:
        """What decides the episodes, in words and a checksum of the pool's labels."""
        content = zlib.crc32(repr((self.pool.names, self.pool.groups)).encode())
        content = zlib.crc32(self.pool.labels.numpy(), content)
        settings = [
            f"{field.name}={np.array(getattr(self, field.name)).tolist()}"
            for field in fields(self)
            if field.name != "pool"
        ]
        return ", ".join([f"pool={content:08x}", *settings])

    @cached_property
    def _classes_to_draw_from(self) -> list[np.ndarray]:
        """The sets of classes that an episode may draw from: all of them, or each group's."""
        if not self.within_group:
            return [np.arange(self.pool.n_classes)]
        if self.pool.groups is None:
            raise ValueError("within_group needs a pool with groups")
        least, _ = _range("n_way", self.n_way)
        group_of = np.array(self.pool.groups)
        members = (np.flatnonzero(group_of == group) for group in np.unique(group_of))
        return [classes for classes in members if len(classes) >= least]

    def _draw(self, index: int) -> tuple[np.ndarray, ...]:
        """Classes, and rows and labels of support and query, from one generator of (seed, index)."""
        rng = np.random.default_rng([self.seed, index])
        sets = self._classes_to_draw_from
        candidates = sets[rng.integers(len(sets))] if len(sets) > 1 else sets[0]
        n_way = _pick(rng, self.n_way, at_most=len(candidates))
        classes = rng.choice(candidates, n_way, replace=False)
        support, query, n_shots = [], [], []
        for c in classes:
            rows = self.pool.examples_of[c]
            n_shot = _pick(rng, self.n_shot, at_most=len(rows) - self.n_query)
            drawn = rng.choice(rows, n_shot + self.n_query, replace=False)
            support.append(drawn[:n_shot])
            query.append(drawn[n_shot:])
            n_shots.append(n_shot)
        order = rng.permutation(n_way * self.n_query)
        labels = np.arange(n_way)
        return (
            classes,
            np.concatenate(support),
            np.repeat(labels, n_shots),
            np.concatenate(query)[order],
            np.repeat(labels, self.n_query)[order],
        )

    def _examples(self, rows: Tensor, y: Tensor) -> Examples:
        """The examples at these rows of the pool; padding takes the pixels of row 0 at weight 0."""
        return Examples(
            x=self.pool.take(rows.clamp(min=0)), y=y, weight=(rows >= 0).float(), rows=rows
        )


def _range(name: str, value: Range, at_least: int = 1) -> tuple[int, int]:
    """A whole number or a pair of them as (least, most)."""
    pair = value if isinstance(value, tuple) else (value, value)
    whole = all(isinstance(v, int | np.integer) and not isinstance(v, bool) for v in pair)
    if len(pair) != 2 or not whole or not at_least <= pair[0] <= pair[1]:
        raise ValueError(
            f"{name} is {value!r}; it needs to be a whole number of at least {at_least}"
            + (" or a pair (least, most)" if name != "n_query" else "")
        )
    return pair


def _pick(rng: np.random.Generator, value: Range, at_most: int) -> int:
    """The number itself, or one drawn evenly from a range cut off at `at_most`."""
    if not isinstance(value, tuple):
        return value
    return int(rng.integers(value[0], min(value[1], at_most), endpoint=True))


def _padded(arrays: tuple[np.ndarray, ...]) -> Tensor:
    """Arrays of different lengths as one tensor [B, longest], padded with -100."""
    longest = max(map(len, arrays))
    out = np.full((len(arrays), longest), PADDING, np.int64)
    for row, array in zip(out, arrays, strict=True):
        row[: len(array)] = array
    return torch.from_numpy(out)
