"""An update that chooses settings which no gradient reaches."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .._checks import seed_of
from .objective import Objective, finite

STREAM = 2  # sets the draws of (seed, step) apart from the episodes of (seed, index)


class RandomSearch:
    """Plain random search over a table of settings: try others, keep them if the objective is lower.

    Each step evaluates the objective twice, with the settings so far and with settings drawn from the
    table, on the same tasks, so that the two are compared in pairs.

    Bergstra, Bengio (2012), https://jmlr.org/papers/v13/bergstra12a.html

    Args:
        estimator: what has the settings, with scikit-learn's `set_params`; it starts from the first value
            of each.
        table: for each setting the values to choose from.
        seed: of the draws, which are decided by it and the number of the step.

    Raises:
        ValueError: an empty table or an empty row of it, or a setting that the estimator does not have.

    Example:
        >>> from sklearn.tree import DecisionTreeClassifier
        >>> tree = DecisionTreeClassifier()
        >>> update = RandomSearch(tree, {"max_depth": [1, 2, 3, 4]}, seed=0)
        >>> values = [update.step(lambda: torch.tensor((tree.max_depth - 3.0) ** 2)) for _ in range(20)]
        >>> tree.max_depth, values[0], values[-1]
        (3, 4.0, 0.0)

    Derived in chapter 6, *Update*.
    """

    differentiates = False

    def __init__(self, estimator: Any, table: Mapping[str, Sequence[Any]], seed: int = 0):
        if not table or not all(len(values) for values in table.values()):
            raise ValueError("the table needs at least one setting, and values for each")
        for name, values in table.items():
            if isinstance(values, str):
                raise ValueError(f"the values of {name} are {values!r}; they need to be a list")
        self.estimator = estimator
        self.table = {name: list(values) for name, values in table.items()}
        self.seed = seed_of(seed)
        self.steps = 0
        self.chosen = [0] * len(self.table)
        self._use(self.chosen)

    def __repr__(self) -> str:
        return f"RandomSearch({type(self.estimator).__name__}, {self.table}, seed={self.seed})"

    @property
    def settings(self) -> dict[str, Any]:
        """The best settings so far."""
        return {
            name: values[i]
            for (name, values), i in zip(self.table.items(), self.chosen, strict=True)
        }

    @torch.no_grad()
    def step(self, objective: Objective, progress: float = 0.0) -> float:
        """Try other settings once; returns the objective's value with the settings so far.

        Args:
            objective: gives the scalar to make smaller.
            progress: not used; a random search does not slow down.

        Raises:
            FloatingPointError: the objective is not finite; the settings were left as they are.
        """
        rng = np.random.default_rng([self.seed, self.steps, STREAM])
        other = [int(rng.integers(len(values))) for values in self.table.values()]
        value = finite(objective())
        try:
            self._use(other)
            if finite(objective()) < value:
                self.chosen = other
        finally:
            self._use(self.chosen)
        self.steps += 1
        return value.item()

    def state_tensors(self) -> dict[str, Tensor]:
        """The settings chosen and the number of steps, for a checkpoint."""
        return {"steps": torch.tensor(self.steps), "chosen": torch.tensor(self.chosen)}

    def load_state_tensors(self, tensors: dict[str, Tensor]) -> None:
        """Take back what `state_tensors` gave."""
        self.steps = int(tensors["steps"])
        self.chosen = tensors["chosen"].tolist()
        self._use(self.chosen)

    def _use(self, choice: list[int]) -> None:
        values = {name: row[i] for (name, row), i in zip(self.table.items(), choice, strict=True)}
        self.estimator.set_params(**values)
