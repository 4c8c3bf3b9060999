"""An episode: the support set to learn from and the query set to be judged on."""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Protocol, Self

import torch
from torch import Tensor

PADDING = -100


@dataclass(frozen=True, eq=False)
class Examples:
    """Examples of B episodes, padded to the longest with examples of weight 0.

    Attributes:
        x: [B, S, ...] pixels or features.
        y: [B, S] int64, class 0..N-1 of its episode, -100 where padded; or [B, S, T] real values.
        weight: [B, S] float, 1 for an example, 0 for padding.
        rows: [B, S] int64, the position of each example in its pool; None if it has no pool.

    Derived in chapter 3, *Select a task*.
    """

    x: Tensor
    y: Tensor
    weight: Tensor
    rows: Tensor | None = None

    def to(self, device: torch.device | str) -> Self:
        """The same examples on this device."""
        return _moved(self, device)


@dataclass(frozen=True, eq=False)
class Batch:
    """B episodes side by side.

    Attributes:
        support: the examples to learn from.
        query: the examples to be judged on.
        n_way: [B] int64, how many classes each episode has; 0 where targets are real.
        unlabelled: further examples, or None. A learner is not shown their y, which holds for those who
            want to judge it the class in the episode; classes N, N+1, ... are distractors, which no
            support example has.
        classes: [B, N] int64, which class of the pool is class 0, 1, ... of the episode, -100 where an
            episode has fewer; None if they have no pool.

    Derived in chapter 3, *Select a task*.
    """

    support: Examples
    query: Examples
    n_way: Tensor
    unlabelled: Examples | None = None
    classes: Tensor | None = None

    def __len__(self) -> int:
        return len(self.n_way)

    def to(self, device: torch.device | str) -> Self:
        """The same episodes on this device."""
        return _moved(self, device)


class Tasks(Protocol):
    """Step 1: a family of tasks, whose episode i is a pure function of i.

    One whose examples are those of a `pool`, unchanged, may offer `with_embeddings(z)`, the same episodes
    with embeddings in their place: an evaluation then embeds the pool once.

    Attributes:
        identity: what decides the episodes, in words; the same words mean the same episodes.

    Derived in chapter 3, *Select a task*.
    """

    @property
    def identity(self) -> str:
        """What decides the episodes."""

    def batch(self, indices: Iterable[int]) -> Batch:
        """These episodes stacked."""


def check_tasks(tasks: object) -> None:
    """Raise TypeError for what is no family of tasks, such as a pool that none was made from."""
    if not hasattr(tasks, "batch"):
        raise TypeError(
            f"tasks is a {type(tasks).__name__}; it needs to be a family of tasks, such as "
            "ClassificationTasks(pool, n_way=5, n_shot=1)"
        )


def _moved(record, device: torch.device | str):
    """A dataclass with everything in it on this device."""
    values = {field.name: getattr(record, field.name) for field in fields(record)}
    return type(record)(**{k: v if v is None else v.to(device) for k, v in values.items()})
