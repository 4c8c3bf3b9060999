"""How sure a classifier may be: a temperature for its probabilities, a threshold for the unknown."""

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ._checks import whole
from .data.pool import Pool
from .models.learner import MetricLearner
from .tasks import ClassificationTasks, Examples

EPISODES_IN_BATCH = 16


class Calibration(NamedTuple):
    """What `FewShotClassifier.calibrate` set, and the confidences that it was set by.

    Attributes:
        temperature: T, by which logits are divided before they become probabilities.
        threshold: the confidence below which an example is rejected.
        known: [K] confidences of examples whose class was enrolled, ascending.
        unknown: [U] confidences of examples whose class was not, ascending.

    Derived in chapter 16, *From model to product*.
    """

    temperature: float
    threshold: float
    known: np.ndarray
    unknown: np.ndarray

    def __repr__(self) -> str:
        return (
            f"Calibration(temperature {self.temperature:.3g}, threshold {self.threshold:.3g}, "
            f"{len(self.known)} known and {len(self.unknown)} unknown examples)"
        )

    @property
    def false_rejection(self) -> float:
        """The share of the known that the threshold rejects."""
        return float((self.known < self.threshold).mean())

    @property
    def false_acceptance(self) -> float:
        """The share of the unknown that the threshold lets pass."""
        return float((self.unknown >= self.threshold).mean())


def calibrate(
    rule: MetricLearner,
    pool: Pool,
    n_way: int,
    n_shot: int,
    false_rejection: float,
    episodes: int,
    seed: int,
) -> Calibration:
    """What `FewShotClassifier.calibrate` documents, for a rule on embeddings and a pool of embeddings."""
    episodes = whole("episodes", episodes)
    if not 0 <= false_rejection < 1:
        raise ValueError(f"false_rejection is {false_rejection}; it is from 0 to below 1")
    if pool.n_classes < 4:
        raise ValueError(f"calibration needs at least 4 classes; these are {pool.n_classes}")
    n_way = min(n_way, pool.n_classes // 2)
    n_shot = min(n_shot, max(1, int(pool.labels.bincount().min()) - 1))
    tasks = ClassificationTasks(pool, n_way=2 * n_way, n_shot=n_shot, n_query=1, seed=seed)
    logits, y = _half_enrolled(rule, tasks, n_way, episodes)
    known = y < n_way
    of_known, of_unknown = (
        logits[which].amax(1).sort().values.numpy() for which in (known, ~known)
    )
    return Calibration(
        temperature=_temperature(logits[known], y[known]),
        threshold=float(of_known[int(false_rejection * len(of_known))]),
        known=of_known,
        unknown=of_unknown,
    )


def _half_enrolled(
    rule: MetricLearner, tasks: ClassificationTasks, n_way: int, episodes: int
) -> tuple[Tensor, Tensor]:
    """Logits [Q, n_way] and classes [Q] of all queries, where classes n_way and above have no support."""
    logits, classes = [], []
    for numbers in torch.arange(episodes).split(EPISODES_IN_BATCH):
        batch = tasks.batch(numbers.tolist())
        support = batch.support
        enrolled = support.y < n_way
        x, y = (part[enrolled].unflatten(0, (len(batch), -1)) for part in (support.x, support.y))
        fitted = rule.fit(Examples(x.double(), y, torch.ones(y.shape, dtype=torch.double)))
        logits.append(rule.predict(fitted, batch.query.x.double()).flatten(0, 1))
        classes.append(batch.query.y.flatten())
    return torch.cat(logits), torch.cat(classes)


def _temperature(logits: Tensor, y: Tensor) -> float:
    """The T that makes the answers [Q] likeliest under softmax(logits / T).

    With a standard normal prior on log T: where all answers are right, T would else fall to 0.
    """
    from scipy.optimize import minimize_scalar

    def loss(log_temperature: float) -> float:
        likelihood = F.cross_entropy(logits / np.exp(log_temperature), y)
        return float(likelihood) + log_temperature**2 / (2 * len(y))

    return float(np.exp(minimize_scalar(loss, bounds=(-7, 7), method="bounded").x))
