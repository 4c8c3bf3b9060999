"""Any classifier or regressor of scikit-learn as the model of a task."""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .._checks import seed_of
from .backbones import Identity
from .heads.head import Head
from .learner import MetricLearner

LEAST_PROBABILITY = 1e-6


class Estimator(MetricLearner):
    """A scikit-learn estimator, fitted anew to the support set of each episode.

    On pixels, or on what a backbone makes of them. Nothing of it is shared by tasks but its settings, which
    `updates.RandomSearch` can choose. It cannot be written to a file: that would take a pickle.

    Args:
        estimator: a classifier or regressor; each episode fits a clone of it.
        backbone: embeds the examples; None takes them as they are, flattened, pixels from 0 to 1.
        seed: becomes the estimator's `random_state`, and those of its parts, where they are None.

    Scores are log-probabilities where the estimator has `predict_proba`, else its decision function of each
    class against the rest, else 0 for the answer and a large negative number for the rest; a regressor's
    are its values.

    Raises:
        TypeError: neither a classifier nor a regressor of scikit-learn.

    Example:
        >>> from sklearn.svm import SVC
        >>> from metalearn import ClassificationTasks, evaluate, load_pool
        >>> tasks = ClassificationTasks(load_pool("digits"), n_way=5, n_shot=5, seed=0)
        >>> 0.8 < evaluate(Estimator(SVC()), tasks, episodes=20).accuracy < 1
        True

    Derived in chapter 4, *Learn a model*.
    """

    def __init__(self, estimator: Any, backbone: nn.Module | None = None, seed: int = 0):
        super().__init__(backbone or Identity(), EstimatorHead(estimator, seed))


class EstimatorHead(Head):
    """The state is one fitted clone for each episode, and how many columns a score has."""

    def __init__(self, estimator: Any, seed: int):
        from sklearn.base import BaseEstimator, is_classifier, is_regressor

        super().__init__()
        known = isinstance(estimator, BaseEstimator)
        if not known or not (is_classifier(estimator) or is_regressor(estimator)):
            raise TypeError(
                f"{estimator!r} is neither a classifier nor a regressor of scikit-learn, such as SVC()"
            )
        self.estimator = estimator
        self.regression = is_regressor(estimator)
        self.seed = seed_of(seed)

    @property
    def config(self) -> dict[str, Any]:
        """There is none.

        Raises:
            TypeError: always.
        """
        raise TypeError(
            "an Estimator holds a scikit-learn object, which only a pickle could write; keep its settings "
            "(get_params), and save the backbone in a learner of its own"
        )

    def extra_repr(self) -> str:
        return f"{self.estimator!r}, seed={self.seed}"

    def fit(
        self,
        z_support: Tensor,
        targets: Tensor,
        weight: Tensor | None = None,
        z_unlabelled: Tensor | None = None,
        weight_unlabelled: Tensor | None = None,
    ) -> tuple[list[Any], int]:
        n_episodes, n_examples = z_support.shape[:2]
        real = np.ones((n_episodes, n_examples), bool) if weight is None else _array(weight) > 0
        z, t = _array(z_support), _array(targets)
        y = t if self.regression else t.argmax(-1)
        fitted = [
            self._clone().fit(z[b][real[b]], self._shaped(y[b][real[b]])) for b in range(n_episodes)
        ]
        return fitted, targets.shape[-1]

    def score(
        self, state: tuple[list[Any], int], z_query: Tensor, weight: Tensor | None = None
    ) -> Tensor:
        fitted, n_columns = state
        answers = [
            self._answers(model, z, n_columns)
            for model, z in zip(fitted, _array(z_query), strict=True)
        ]
        return torch.as_tensor(np.stack(answers), dtype=z_query.dtype, device=z_query.device)

    def _clone(self) -> Any:
        from sklearn.base import clone

        model = clone(self.estimator)
        for name, value in model.get_params(deep=True).items():
            last = name.rpartition("__")[2]
            if last == "random_state" and value is None:
                model.set_params(**{name: self.seed})
            elif last == "decision_function_shape":
                model.set_params(**{name: "ovr"})
        return model

    def _shaped(self, y: np.ndarray) -> np.ndarray:
        """A single real target as [S]: some regressors warn of [S, 1]."""
        return y[:, 0] if self.regression and y.shape[1] == 1 else y

    def _answers(self, model: Any, z: np.ndarray, n_columns: int) -> np.ndarray:
        """Scores [Q, n_columns] of one episode."""
        if self.regression:
            return model.predict(z).reshape(len(z), n_columns)
        scores = np.full((len(z), n_columns), math.log(LEAST_PROBABILITY))
        if hasattr(model, "predict_proba"):
            given = np.log(model.predict_proba(z).clip(LEAST_PROBABILITY))
        elif hasattr(model, "decision_function"):
            given = model.decision_function(z)
            given = np.stack([-given, given], axis=1) / 2 if given.ndim == 1 else given
        else:
            given = np.where(
                model.predict(z)[:, None] == model.classes_, 0, math.log(LEAST_PROBABILITY)
            )
        scores[:, model.classes_] = given
        return scores


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().cpu().numpy()
