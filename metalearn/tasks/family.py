"""What all families of tasks share: numbered episodes, checked settings, and these in words."""

import operator
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import fields, replace
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from .._checks import seed_of, whole
from ..data.pool import Pool
from .episode import PADDING, Batch, Examples

Range = int | tuple[int, int]


class Family(ABC):
    """Tasks by number: a frozen dataclass of settings with a seed, and how one of them is drawn."""

    seed: int

    @abstractmethod
    def _draw(self, rng: np.random.Generator) -> Sequence[Any]:
        """What one episode consists of, from its own generator."""

    @abstractmethod
    def _stacked(self, drawn: list[Sequence[Any]]) -> Batch:
        """Drawn episodes side by side."""

    def episode(self, index: int) -> Batch:
        """Episode `index`, as a batch of one."""
        return self.batch([index])

    def batch(self, indices: Iterable[int]) -> Batch:
        """These episodes stacked, padded where they differ in size.

        Raises:
            ValueError: no episode, or a negative number.
        """
        numbers = [whole("episode", operator.index(index), at_least=0) for index in indices]
        if not numbers:
            raise ValueError("a batch needs at least one episode")
        seeds = [[self.seed, number] for number in numbers]
        return self._stacked([self._draw(np.random.default_rng(seed)) for seed in seeds])

    @property
    def identity(self) -> str:
        """What decides the episodes, in words, with a checksum of a pool's labels or an array."""
        return ", ".join(
            f"{field.name}={_in_words(getattr(self, field.name))}" for field in fields(self)
        )

    def _settle(self, name: str, value: Any) -> None:
        """Keep a setting in the form in which it was checked."""
        object.__setattr__(self, name, value)

    def _settle_range(self, name: str, at_least: int = 1) -> tuple[int, int]:
        """Keep a setting as an int or as a tuple of two; return it as (least, most).

        Raises:
            ValueError: it is neither; the message names it.
        """
        value = getattr(self, name)
        least, most = least_and_most(name, value, at_least)
        self._settle(name, (least, most) if isinstance(value, tuple | list) else least)
        return least, most

    def _settle_whole(self, **at_least: int) -> None:
        """Keep these settings as ints of at least this, and the seed as one.

        Raises:
            ValueError: one is not; the message names it.
        """
        for name, least in at_least.items():
            self._settle(name, whole(name, getattr(self, name), least))
        self._settle("seed", seed_of(self.seed))


class PoolFamily(Family):
    """A family whose examples are those of a pool, unchanged."""

    pool: Pool

    def with_embeddings(self, z: Tensor) -> Self:
        """The same episodes with embeddings [N, ...] of the pool's examples in their place."""
        return replace(self, pool=self.pool.with_embeddings(z))


def check_pool(pool: object) -> None:
    """Raise TypeError for what is no pool."""
    if not isinstance(pool, Pool):
        raise TypeError(f"pool is {pool!r}; it needs to be a Pool (load_pool makes one)")


def least_and_most(name: str, value: Range, at_least: int = 1) -> tuple[int, int]:
    """A whole number or a pair of them as (least, most).

    Raises:
        ValueError: it is neither.
    """
    pair = tuple(value) if isinstance(value, tuple | list) else (value, value)
    try:
        least, most = (whole(name, v, at_least) for v in pair)
    except ValueError:
        least, most = 1, 0
    if least > most:
        raise ValueError(
            f"{name} is {value!r}; it needs to be a whole number of at least {at_least} "
            "or a pair (least, most)"
        )
    return least, most


def pick(rng: np.random.Generator, least_most: tuple[int, int], at_most: int) -> int:
    """A number drawn evenly from a range cut off at `at_most`; nothing is drawn from a range of one."""
    least, most = least_most
    return least if least == most else int(rng.integers(least, min(most, at_most), endpoint=True))


def padded(arrays: Sequence[np.ndarray]) -> Tensor:
    """Arrays of different lengths as one tensor [B, longest], padded with -100."""
    longest = max(map(len, arrays))
    if all(len(array) == longest for array in arrays):
        return torch.from_numpy(np.concatenate(arrays).reshape(len(arrays), longest))
    out = np.full((len(arrays), longest), PADDING, np.int64)
    for row, array in zip(out, arrays, strict=True):
        row[: len(array)] = array
    return torch.from_numpy(out)


def at_rows(pool: Pool, rows: Tensor, y: Tensor) -> Examples:
    """The examples at these rows of a pool; padding takes the pixels of row 0 at weight 0."""
    return Examples(
        x=pool.take(rows.clamp(min=0)), y=y, weight=(rows != PADDING).float(), rows=rows
    )


def _in_words(value: object) -> str:
    if isinstance(value, Pool):
        content = zlib.crc32(repr((value.names, value.groups)).encode())
        return f"{zlib.crc32(value.labels.numpy(), content):08x}"
    if isinstance(value, Tensor):
        return f"{zlib.crc32(value.contiguous().numpy()):08x}"
    return repr(value)
