"""Step 1, select a task: a few values of an unknown function, and places where to predict it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from .._registry import unknown
from ..data.pool import Pool
from .episode import Batch, Examples
from .family import Family, PoolFamily, check_pool

CURVES = {"sine": np.sin, "step": lambda x: np.sign(np.sin(x))}
REACH = 5.0
"""Curves are looked at from -5 to 5, as Finn and others (2017) do."""


@dataclass(frozen=True)
class CurveTasks(Family):
    r"""Regression on curves: each episode is a curve of its own amplitude and phase.

    $y = a \sin(x + \phi)$, or its sign times $a$: steps. Amplitude and phase are drawn evenly for each
    episode, and the places $x$ evenly between -5 and 5.

    Args:
        kinds: of curves, "sine" or "step"; each episode draws one.
        n_shot: points to learn from.
        n_query: points to predict.
        amplitude: (least, most) of $a$.
        phase: (least, most) of $\phi$, in radians.
        noise: the standard deviation of what is added to the support's values; queries are judged on the
            curve itself.
        seed: which family of episodes.

    Raises:
        ValueError: a setting that makes no sense; the message names it.

    Example:
        >>> batch = CurveTasks(kinds=("sine",), n_shot=5, n_query=10).batch(range(4))
        >>> batch.support.x.shape, batch.query.y.shape
        (torch.Size([4, 5, 1]), torch.Size([4, 10, 1]))

    Sines: Finn, Abbeel, Levine (2017), https://arxiv.org/abs/1703.03400. Derived in chapter 3,
    *Select a task*.
    """

    kinds: tuple[str, ...] = ("sine", "step")
    n_shot: int = 10
    n_query: int = 15
    amplitude: tuple[float, float] = (0.1, 5.0)
    phase: tuple[float, float] = (0.0, math.pi)
    noise: float = 0.0
    seed: int = 0

    def __post_init__(self):
        if isinstance(self.kinds, str) or not self.kinds:
            raise ValueError(f"kinds is {self.kinds!r}; it needs to be a tuple, such as ('sine',)")
        for kind in self.kinds:
            if kind not in CURVES:
                raise ValueError(unknown("curve", kind, CURVES))
        self._settle("kinds", tuple(self.kinds))
        self._settle_whole(n_shot=1, n_query=1)
        for name in ("amplitude", "phase"):
            value = getattr(self, name)
            ends = tuple(map(float, value)) if isinstance(value, Sequence | np.ndarray) else ()
            if len(ends) != 2 or not -math.inf < ends[0] <= ends[1] < math.inf:
                raise ValueError(f"{name} is {value!r}; it needs to be (least, most)")
            self._settle(name, ends)
        if not 0 <= self.noise < math.inf:
            raise ValueError(f"noise is {self.noise}; it needs to be at least 0")
        self._settle("noise", float(self.noise))

    def _draw(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Places and values of support and query, [n_shot + n_query] each."""
        curve = CURVES[self.kinds[rng.integers(len(self.kinds))]]
        amplitude, phase = rng.uniform(*self.amplitude), rng.uniform(*self.phase)
        x = rng.uniform(-REACH, REACH, self.n_shot + self.n_query)
        y = amplitude * curve(x + phase)
        y[: self.n_shot] += self.noise * rng.standard_normal(self.n_shot)
        return x, y

    def _stacked(self, drawn: list[tuple[np.ndarray, np.ndarray]]) -> Batch:
        x, y = (torch.from_numpy(np.stack(part)).float() for part in zip(*drawn, strict=True))
        return _regression(x[..., None], y[..., None], self.n_shot, None)


@dataclass(frozen=True, eq=False)
class FeatureTasks(PoolFamily):
    r"""Regression on a pool: each episode asks for a direction of its own in the examples' features.

    $y = \tilde t \cdot w$, where $\tilde t$ are the features of an example, each scaled to mean 0 and
    standard deviation 1 over the pool, and $w$ is a random direction of length 1 for each episode.

    Args:
        pool: the examples that a learner sees.
        features: [N, F] real numbers of each example of the pool, which it does not see; an array or a
            tensor.
        n_shot: examples to learn from.
        n_query: examples to predict.
        seed: which family of episodes.

    Raises:
        TypeError: pool is no Pool.
        ValueError: features of another shape, or constant, or too few examples.

    Example:
        >>> pool = Pool(np.zeros((40, 1, 28, 28), np.uint8), np.arange(40) // 8, names="abcde")
        >>> ink = np.random.default_rng(0).normal(size=(40, 3))
        >>> FeatureTasks(pool, ink, n_shot=5, n_query=10).batch(range(4)).query.y.shape
        torch.Size([4, 10, 1])

    Derived in chapter 3, *Select a task*.
    """

    pool: Pool
    features: Tensor | np.ndarray
    n_shot: int = 10
    n_query: int = 15
    seed: int = 0

    def __post_init__(self):
        check_pool(self.pool)
        self._settle_whole(n_shot=1, n_query=1)
        raw = self.features
        if not isinstance(raw, Tensor):
            raw = torch.from_numpy(np.array(raw, np.float64, order="C"))
        self._settle("features", raw.double().contiguous())
        shape = list(self.features.shape)
        if len(shape) != 2 or shape[0] != len(self.pool) or shape[1] == 0:
            raise ValueError(
                f"features have shape {shape} for {len(self.pool)} examples; they need "
                f"[{len(self.pool)}, F], F at least 1"
            )
        needed = self.n_shot + self.n_query
        if len(self.pool) < needed:
            raise ValueError(
                f"the pool has {len(self.pool)} examples; {self.n_shot} shots and {self.n_query} queries "
                f"need {needed}"
            )
        if not self._scaled.isfinite().all():
            column = int((~self._scaled.isfinite()).any(0).nonzero()[0])
            raise ValueError(f"feature {column} is constant or not finite: it cannot be scaled")

    @cached_property
    def _scaled(self) -> Tensor:
        """The features with mean 0 and standard deviation 1."""
        return ((self.features - self.features.mean(0)) / self.features.std(0)).float()

    def _draw(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Rows of support and query [n_shot + n_query], and a direction [F]."""
        rows = rng.choice(len(self.pool), self.n_shot + self.n_query, replace=False)
        direction = rng.standard_normal(self._scaled.shape[1])
        return rows, direction / np.linalg.norm(direction)

    def _stacked(self, drawn: list[tuple[np.ndarray, np.ndarray]]) -> Batch:
        rows, directions = (torch.from_numpy(np.stack(part)) for part in zip(*drawn, strict=True))
        y = self._scaled[rows] @ directions.float()[..., None]
        return _regression(self.pool.take(rows), y, self.n_shot, rows)


def _regression(x: Tensor, y: Tensor, n_shot: int, rows: Tensor | None) -> Batch:
    """Episodes whose first n_shot examples are the support set."""

    def examples(part: slice) -> Examples:
        weight = torch.ones(x[:, part].shape[:2])
        return Examples(x[:, part], y[:, part], weight, None if rows is None else rows[:, part])

    n_way = torch.zeros(len(x), dtype=torch.int64)
    return Batch(examples(slice(n_shot)), examples(slice(n_shot, None)), n_way)
