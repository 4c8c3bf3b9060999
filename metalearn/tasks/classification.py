"""Step 1, select a task: N classes, a few labelled examples of each, and queries."""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from ..data.pool import Pool
from .episode import Batch
from .family import PoolFamily, Range, at_rows, check_pool, least_and_most, padded, pick

NOTHING = np.empty(0, np.int64)


class Drawn(NamedTuple):
    """An episode as positions: classes of the pool, and rows and labels of the three sets."""

    classes: np.ndarray
    support: np.ndarray
    support_y: np.ndarray
    query: np.ndarray
    query_y: np.ndarray
    unlabelled: np.ndarray
    unlabelled_y: np.ndarray


@dataclass(frozen=True)
class ClassificationTasks(PoolFamily):
    """All N-way K-shot episodes of a pool; episode i is a pure function of (seed, i).

    An episode draws N different classes, in random order, and from each n_shot support, n_query query
    and n_unlabelled further examples, all different. Queries and unlabelled examples come in random order.

    Args:
        pool: what to draw from.
        n_way: classes in an episode, at least 2; or (least, most), drawn anew for each episode.
        n_shot: support examples a class, at least 1; or (least, most), drawn anew for each class, up to
            what the class has beyond its other examples.
        n_query: query examples a class, at least 1; or (least, most), so that classes are imbalanced.
        seed: which family of episodes; the same seed gives the same episodes in every process.
        within_group: draw all classes of an episode from one group (one script).
        n_unlabelled: examples a class without labels.
        n_distractors: further classes, of which an episode has n_unlabelled unlabelled examples each
            and nothing else.

    Raises:
        TypeError: pool is no Pool.
        ValueError: the pool has too few classes or a class too few examples; the message names it.

    Example:
        >>> pool = Pool(np.zeros((40, 1, 28, 28), np.uint8), np.arange(40) // 8, names="abcde")
        >>> tasks = ClassificationTasks(pool, n_way=3, n_shot=1, n_query=4, seed=0)
        >>> batch = tasks.batch(range(8))
        >>> batch.support.x.shape, batch.query.y.shape
        (torch.Size([8, 3, 1, 28, 28]), torch.Size([8, 12]))

    Vinyals and others (2016), https://arxiv.org/abs/1606.04080; with unlabelled examples and
    distractors Ren and others (2018), https://arxiv.org/abs/1803.00676. Derived in chapter 3,
    *Select a task*.
    """

    pool: Pool
    n_way: Range = 5
    n_shot: Range = 1
    n_query: Range = 15
    seed: int = 0
    within_group: bool = False
    n_unlabelled: int = 0
    n_distractors: int = 0

    def __post_init__(self):
        check_pool(self.pool)
        least_way, _ = self._settle_range("n_way", at_least=2)
        least_shot, _ = self._settle_range("n_shot")
        least_query, _ = self._settle_range("n_query")
        self._settle_whole(n_unlabelled=0, n_distractors=0)
        if self.n_distractors and not self.n_unlabelled:
            raise ValueError(
                f"n_distractors is {self.n_distractors} and n_unlabelled 0: distractors have unlabelled "
                "examples only"
            )
        self._check_examples(least_shot, least_query)
        needed = least_way + self.n_distractors
        way = f"{least_way}-way" + (
            f" with {self.n_distractors} distractors" if self.n_distractors else ""
        )
        if self.pool.n_classes < needed:
            raise ValueError(f"the pool has {self.pool.n_classes} classes; {way} needs {needed}")
        if self.within_group and not self._classes_to_draw_from:
            raise ValueError(f"no group of the pool has {needed} classes, which {way} needs")

    @cached_property
    def _classes_to_draw_from(self) -> list[np.ndarray]:
        """The sets of classes that an episode may draw from: all of them, or each group's."""
        if not self.within_group:
            return [np.arange(self.pool.n_classes)]
        if self.pool.groups is None:
            raise ValueError("within_group needs a pool with groups")
        least = least_and_most("n_way", self.n_way)[0] + self.n_distractors
        group_of = np.array(self.pool.groups)
        members = (np.flatnonzero(group_of == group) for group in np.unique(group_of))
        return [classes for classes in members if len(classes) >= least]

    @cached_property
    def _ranges(self) -> list[tuple[int, int]]:
        """Least and most of the classes, support examples and queries."""
        names = ("n_way", "n_shot", "n_query")
        return [least_and_most(name, getattr(self, name)) for name in names]

    def _draw(self, rng: np.random.Generator) -> Drawn:
        way, shot, asked = self._ranges
        sets = self._classes_to_draw_from
        candidates = sets[rng.integers(len(sets))] if len(sets) > 1 else sets[0]
        n_way = pick(rng, way, at_most=len(candidates) - self.n_distractors)
        classes = _chosen(rng, candidates, n_way + self.n_distractors)
        support, query, unlabelled = [], [], []
        for c in classes[:n_way]:
            rows = self.pool.examples_of[c]
            free = len(rows) - self.n_unlabelled
            n_query = pick(rng, asked, at_most=free - shot[0])
            n_shot = pick(rng, shot, at_most=free - n_query)
            drawn = _chosen(rng, rows, n_shot + n_query + self.n_unlabelled)
            support.append(drawn[:n_shot])
            query.append(drawn[n_shot : n_shot + n_query])
            unlabelled.append(drawn[n_shot + n_query :])
        query, query_y = _shuffled(rng, query)
        for c in classes[n_way:]:
            unlabelled.append(_chosen(rng, self.pool.examples_of[c], self.n_unlabelled))
        further = _shuffled(rng, unlabelled) if self.n_unlabelled else (NOTHING, NOTHING)
        return Drawn(classes[:n_way], *_labelled(support), query, query_y, *further)

    def _stacked(self, drawn: list[Drawn]) -> Batch:
        rows = Drawn(*map(padded, zip(*drawn, strict=True)))
        unlabelled = None
        if self.n_unlabelled:
            unlabelled = at_rows(self.pool, rows.unlabelled, rows.unlabelled_y)
        return Batch(
            support=at_rows(self.pool, rows.support, rows.support_y),
            query=at_rows(self.pool, rows.query, rows.query_y),
            n_way=(rows.classes >= 0).sum(1),
            unlabelled=unlabelled,
            classes=rows.classes,
        )

    def _check_examples(self, n_shot: int, n_query: int) -> None:
        """Raise ValueError for the first class that has too few examples, and say what is needed."""
        needed = n_shot + n_query + self.n_unlabelled
        setting = f"{n_shot}-shot with {n_query} queries"
        if self.n_unlabelled:
            setting += f" and {self.n_unlabelled} unlabelled examples"
        for name, rows in zip(self.pool.names, self.pool.examples_of, strict=True):
            if len(rows) < needed:
                raise ValueError(
                    f"class {name!r} has {len(rows)} examples; {setting} needs {needed} "
                    f"(pool.select(min_examples={needed}) leaves such classes out)"
                )


def _chosen(rng: np.random.Generator, values: np.ndarray, n: int) -> np.ndarray:
    """As `rng.choice(values, n, replace=False)`, which takes twice as long when it is given the values."""
    return values[rng.choice(len(values), n, replace=False)]


def _labelled(rows: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The rows of class 0, 1, ... in one array, and their classes."""
    return np.concatenate(rows), np.arange(len(rows)).repeat([len(some) for some in rows])


def _shuffled(rng: np.random.Generator, rows: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The same in random order."""
    rows, labels = _labelled(rows)
    order = rng.permutation(len(rows))
    return rows[order], labels[order]
