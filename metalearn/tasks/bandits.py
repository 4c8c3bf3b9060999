"""Step 1, select a task: a contextual bandit, the smallest reinforcement-learning problem."""

import operator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..data.pool import Pool
from .episode import Batch, Examples
from .family import PoolFamily, at_rows, check_pool


class Policy(Protocol):
    """Who plays: chooses an arm for each context, and is told the reward of that arm alone.

    Derived in chapter 3, *Select a task*.
    """

    def act(self, context: Tensor) -> int:
        """The arm to take for a context [...]."""

    def learn(self, context: Tensor, arm: int, reward: float) -> None:
        """What the arm gave."""


@dataclass(frozen=True, eq=False)
class Play:
    """What happened in one problem.

    Attributes:
        arms: [T] int64, the arm taken in each round.
        rewards: [T] what it gave.
        regret: [T] what the best arm would have given more.

    Derived in chapter 3, *Select a task*.
    """

    arms: Tensor
    rewards: Tensor
    regret: Tensor

    @property
    def total_regret(self) -> float:
        """The regret of all rounds together."""
        return float(self.regret.sum())


@dataclass(frozen=True)
class BanditTasks(PoolFamily):
    r"""Contextual bandits over a pool: which arm pays depends on the class of the picture shown.

    A problem draws n_way classes and for each the arm that pays: $r_a = 1$ for that arm, 0 for the others.
    Each round shows an example of one of the classes. A policy that plays sees the rewards of its own arms
    only. The batch holds the whole problem: support are the rounds that are played, query further contexts,
    y the reward of every arm.

    Args:
        pool: what contexts are drawn from.
        n_way: classes of contexts in a problem, at least 2.
        n_arms: at least 2. Classes share arms only if there are fewer arms than classes.
        n_rounds: contexts in which an arm is chosen.
        n_query: further contexts, to judge on what was learned.
        seed: which family of problems.

    Raises:
        TypeError: pool is no Pool.
        ValueError: the pool has too few classes or examples; the message says how many are needed.

    Example:
        >>> pool = Pool(np.zeros((40, 1, 28, 28), np.uint8), np.arange(40) // 8, names="abcde")
        >>> tasks = BanditTasks(pool, n_way=3, n_arms=3, n_rounds=10, n_query=5)
        >>> tasks.batch(range(8)).support.y.shape
        torch.Size([8, 10, 3])

    Langford, Zhang (2007),
    https://papers.nips.cc/paper_files/paper/2007/hash/4b04a686b0ad13dce35fa99fa4161c65-Abstract.html.
    Derived in chapter 3, *Select a task*.
    """

    pool: Pool
    n_way: int = 5
    n_arms: int = 5
    n_rounds: int = 50
    n_query: int = 25
    seed: int = 0

    def __post_init__(self):
        check_pool(self.pool)
        self._settle_whole(n_way=2, n_arms=2, n_rounds=1, n_query=1)
        if self.pool.n_classes < self.n_way:
            raise ValueError(
                f"the pool has {self.pool.n_classes} classes; {self.n_way}-way needs {self.n_way}"
            )
        needed = self.n_rounds + self.n_query
        has = sum(sorted(map(len, self.pool.examples_of))[: self.n_way])
        if has < needed:
            raise ValueError(
                f"the {self.n_way} smallest classes have {has} examples together; {self.n_rounds} rounds "
                f"and {self.n_query} queries need {needed}"
            )

    def play(self, policy: Policy, index: int) -> Play:
        """Let a policy, new to it, play the rounds of problem `index` in order."""
        rounds = self.episode(index).support
        arms, rewards = [], []
        for context, paid in zip(rounds.x[0], rounds.y[0], strict=True):
            taken = policy.act(context)
            if taken not in range(self.n_arms):
                raise ValueError(f"the policy took arm {taken!r}; there are {self.n_arms}, from 0")
            arm = operator.index(taken)
            reward = float(paid[arm])
            policy.learn(context, arm, reward)
            arms.append(arm)
            rewards.append(reward)
        rewards = torch.tensor(rewards)
        return Play(torch.tensor(arms), rewards, rounds.y[0].amax(-1) - rewards)

    def _draw(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Classes [n_way], the rows of all contexts, and the arm that pays in each."""
        classes = rng.choice(self.pool.n_classes, self.n_way, replace=False)
        arm_of = np.resize(rng.permutation(self.n_arms), self.n_way)
        rows = np.concatenate([self.pool.examples_of[c] for c in classes])
        arms = np.repeat(arm_of, [len(self.pool.examples_of[c]) for c in classes])
        drawn = rng.choice(len(rows), self.n_rounds + self.n_query, replace=False)
        return classes, rows[drawn], arms[drawn]

    def _stacked(self, drawn: list[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> Batch:
        classes, rows, arms = (
            torch.from_numpy(np.stack(part)).long() for part in zip(*drawn, strict=True)
        )
        n_way = torch.zeros(len(drawn), dtype=torch.int64)
        support, query = (
            self._examples(rows[:, part], arms[:, part])
            for part in (slice(self.n_rounds), slice(self.n_rounds, None))
        )
        return Batch(support, query, n_way, classes=classes)

    def _examples(self, rows: Tensor, arms: Tensor) -> Examples:
        return at_rows(self.pool, rows, F.one_hot(arms, self.n_arms).float())
