"""What all families of tasks share: how settings are checked, drawn from, and put in words."""

import zlib
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..data.pool import Pool
from .episode import PADDING, Examples

Range = int | tuple[int, int]


def check_pool(pool: object) -> None:
    """Raise TypeError for what is no pool."""
    if not isinstance(pool, Pool):
        raise TypeError(f"pool is {pool!r}; it needs to be a Pool (load_pool makes one)")


def check_seed(seed: object) -> None:
    """Raise ValueError for what names no family of episodes."""
    if not isinstance(seed, int | np.integer) or seed < 0:
        raise ValueError(f"seed is {seed!r}; it needs to be a whole number of at least 0")


def check_whole(name: str, value: object, at_least: int = 1) -> None:
    """Raise ValueError for what is not a whole number of at least this."""
    if not _is_whole(value) or value < at_least:
        raise ValueError(
            f"{name} is {value!r}; it needs to be a whole number of at least {at_least}"
        )


def least_and_most(name: str, value: Range, at_least: int = 1) -> tuple[int, int]:
    """A whole number or a pair of them as (least, most).

    Raises:
        ValueError: it is neither.
    """
    pair = value if isinstance(value, tuple) else (value, value)
    if len(pair) != 2 or not all(map(_is_whole, pair)) or not at_least <= pair[0] <= pair[1]:
        raise ValueError(
            f"{name} is {value!r}; it needs to be a whole number of at least {at_least} "
            "or a pair (least, most)"
        )
    return pair


def pick(rng: np.random.Generator, value: Range, at_most: int) -> int:
    """The number itself, or one drawn evenly from a range cut off at `at_most`."""
    if not isinstance(value, tuple):
        return value
    return int(rng.integers(value[0], min(value[1], at_most), endpoint=True))


def padded(arrays: Sequence[np.ndarray]) -> Tensor:
    """Arrays of different lengths as one tensor [B, longest], padded with -100."""
    longest = max(map(len, arrays))
    out = np.full((len(arrays), longest), PADDING, np.int64)
    for row, array in zip(out, arrays, strict=True):
        row[: len(array)] = array
    return torch.from_numpy(out)


def at_rows(pool: Pool, rows: Tensor, y: Tensor) -> Examples:
    """The examples at these rows of a pool; padding takes the pixels of row 0 at weight 0."""
    return Examples(
        x=pool.take(rows.clamp(min=0)), y=y, weight=(rows != PADDING).float(), rows=rows
    )


def in_words(tasks: Any) -> str:
    """The settings of a family of tasks, with a checksum in the place of a pool or of an array."""
    return ", ".join(
        f"{field.name}={_value_in_words(getattr(tasks, field.name))}" for field in fields(tasks)
    )


def _value_in_words(value: object) -> str:
    if isinstance(value, Pool):
        content = zlib.crc32(repr((value.names, value.groups)).encode())
        return f"{zlib.crc32(value.labels.numpy(), content):08x}"
    if isinstance(value, Tensor | np.ndarray):
        return f"{zlib.crc32(np.ascontiguousarray(value)):08x}"
    return repr(np.array(value).tolist())


def _is_whole(value: object) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)
