"""From a trained learner to a classifier in use: enrol, forget, reject, calibrate, keep in one file."""

from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor

from ._labels import check_kind, is_text, plain, with_label
from ._naming import times
from ._registry import unknown
from .calibration import Calibration, calibrate
from .data.folder import read
from .data.pool import Pool
from .files import save_tensors
from .models import backbones, heads
from .models.learner import MetricLearner
from .saved import FORMAT, read_classifier
from .tasks import Examples

Labelled = np.ndarray | Tensor | Pool


class FewShotClassifier(ClassifierMixin, BaseEstimator):
    r"""A classifier that learns a class from a few examples and does not train to do so.

    It keeps the embeddings of its examples and fits the learner's head to them. Class $k$ has the
    probability $\text{softmax}(\text{logits} / T)_k$; the confidence in an answer is its logit. The
    interface is scikit-learn's.

    Args:
        learner: a trained learner, of which it keeps a copy; None compares the examples as they are, by the
            prototypical rule.
        unknown: what `predict` calls an example that it rejects; None is "unknown" among text labels and
            -1 among numbers.

    Attributes:
        classes_: [N] the classes it knows, sorted.
        embeddings_: [S, D] what it keeps of the examples that it was given, float32.
        labels_: [S] their labels.
        learner_: the learner in use.
        temperature_, threshold_: set by `calibrate`; 1 and minus infinity before.
        unknown_: what an example that is rejected is called.

    Example:
        >>> import metalearn as ml
        >>> pool = ml.load_pool("digits")
        >>> clf = ml.FewShotClassifier().fit(pool.images[:100], pool.labels[:100])
        >>> clf.forget(7).classes_
        array([0, 1, 2, 3, 4, 5, 6, 8, 9])
        >>> sevens = pool.images[pool.labels == 7]
        >>> clf.enrol(7, sevens[:5]).predict(sevens[5:8])
        array([7, 7, 7])

    Derived in chapter 16, *From model to product*.
    """

    def __init__(self, learner: MetricLearner | None = None, unknown: Any = None):
        self.learner = learner
        self.unknown = unknown

    # Learning classes

    def fit(self, X: Labelled, y: Sequence | None = None) -> Self:
        """Learn classes anew from labelled examples; what was known or calibrated before is gone.

        Args:
            X: [S, C, H, W] uint8 pixels, or [S, ...] what the learner's backbone takes; or a pool, whose
                class names are then the labels.
            y: [S] labels: text, or whole numbers.

        Raises:
            ValueError: examples without labels, NaN, or labels that are no classes.
            TypeError: the learner is no MetricLearner.
        """
        pool, y = self._pool(X, y, reset=True)
        check_classification_targets(y)
        self._begin(pool.shape, y)
        return self._know(self._embed(pool), y)

    def enrol(self, label: Any, X: np.ndarray | Tensor) -> Self:
        """Learn one more class, or give a known one more examples.

        Args:
            label: its name, of the same kind as the others.
            X: [S, ...] its examples.

        Raises:
            ValueError: a label of another kind, or examples of another shape than the others'.
        """
        check_is_fitted(self)
        check_kind(label, self.labels_)
        if self.threshold_ > -np.inf and label == self.unknown_:
            raise ValueError(f"{label!r} is what rejected examples are called")
        z = self._embed(self._pool(X)[0])
        labels = with_label(self.labels_, label, len(z))
        return self._know(torch.cat([self.embeddings_, z]), labels)

    def forget(self, label: Any) -> Self:
        """Remove a class with all that was kept of its examples.

        Raises:
            ValueError: it is not known, or is the only one.
        """
        check_is_fitted(self)
        check_kind(label, self.labels_)
        others = self.labels_ != label
        if np.all(others):
            raise ValueError(unknown("class", label, map(str, self.classes_)))
        if not others.any():
            raise ValueError(f"{label!r} is the only class; a classifier needs one")
        return self._know(self.embeddings_[torch.from_numpy(others)], self.labels_[others])

    # Answering

    def predict(self, X: np.ndarray | Tensor) -> np.ndarray:
        """The class of each example [n]; what `calibrate`'s threshold rejects is called `unknown`."""
        logits = self._logits(X)
        answers = self.classes_[logits.argmax(1)]
        rejected = logits.max(1) < self.threshold_
        return np.where(rejected, self.unknown_, answers) if rejected.any() else answers

    def predict_proba(self, X: np.ndarray | Tensor) -> np.ndarray:
        """The probability [n, N] of each class, were there no others."""
        return torch.from_numpy(self._logits(X) / self.temperature_).softmax(1).numpy()

    def confidence(self, X: np.ndarray | Tensor) -> np.ndarray:
        """The logit [n] of the best class; `predict` rejects what is below `threshold_`."""
        return self._logits(X).max(1)

    def calibrate(
        self,
        X: Labelled,
        y: Sequence | None = None,
        *,
        false_rejection: float = 0.05,
        episodes: int = 200,
        seed: int = 0,
    ) -> Calibration:
        r"""Set temperature and threshold by examples of classes that were never trained on nor enrolled.

        They play this classifier's situation again and again: as many classes as it knows are enrolled,
        with as many examples each (half of the classes at most, and one example of each is kept to ask
        about); as many others are not. $T$ minimises the negative log-likelihood of the known ones, minus
        $\log \mathcal{N}(\log T; 0, 1)$; the threshold rejects the share `false_rejection` of them.

        Guo, Pleiss, Sun, Weinberger (2017), https://arxiv.org/abs/1706.04599

        Args:
            X: [S, ...] examples, or a pool.
            y: [S] their labels.
            false_rejection: the share of known examples that may be rejected, from 0 to below 1.
            episodes: how often it is played.
            seed: names the episodes.

        Raises:
            ValueError: a class that is enrolled, fewer than four classes, or too few examples of one.
        """
        check_is_fitted(self)
        pool, y = self._pool(X, y)
        names, labels = np.unique(y, return_inverse=True)
        if enrolled := sorted(set(names.tolist()) & set(self.classes_.tolist())):
            raise ValueError(f"calibration needs classes that are not enrolled; {enrolled[0]!r} is")
        check_kind(self.unknown_, self.labels_)
        if self.unknown_ in self.classes_:
            name = self.unknown_
            raise ValueError(
                f"{name!r} is a class; give rejected examples another name, unknown=..."
            )
        result = calibrate(
            self.rule_,
            Pool(self._embed(pool), labels, [str(name) for name in names]),
            n_way=len(self.classes_),
            n_shot=int(np.median(np.unique(self.labels_, return_counts=True)[1])),
            false_rejection=false_rejection,
            episodes=episodes,
            seed=seed,
        )
        self.temperature_, self.threshold_ = result.temperature, result.threshold
        return result

    # Files

    def read(self, *pictures: str | Path) -> np.ndarray:
        """Picture files [n, C, H, W] uint8, cut and scaled as `Pool.from_folder` does it.

        Raises:
            ValueError: one cannot be read, there is none, or the classifier's examples are no square
                pictures.
        """
        check_is_fitted(self)
        shape = self.example_shape_
        if len(shape) != 3 or shape[0] not in (1, 3) or shape[1] != shape[2]:
            raise ValueError(f"this classifier's examples are {times(shape)}, no square pictures")
        if not pictures:
            raise ValueError("no picture is named; read needs at least one file")
        paths = [Path(picture).expanduser() for picture in pictures]
        return np.stack([read(path, shape[1], shape[0]) for path in paths])

    def save(self, path: str | Path) -> None:
        """Write learner, classes and calibration to one safetensors file, whole or not at all.

        Raises:
            TypeError: a backbone or head that cannot be made again by name; labels that JSON cannot hold.
            OSError: the file cannot be written.
        """
        check_is_fitted(self)
        learner = self.learner_
        weights = {f"learner/{name}": tensor for name, tensor in learner.state_dict().items()}
        about = {
            "format": FORMAT,
            "learner": learner.config,
            "labels": self.labels_.tolist(),
            "unknown": plain(self.unknown),
            "temperature": float(self.temperature_),
            "threshold": self.threshold_ if self.threshold_ > -np.inf else None,
            "example_shape": list(self.example_shape_),
        }
        save_tensors(path, {"embeddings": self.embeddings_, **weights}, {"classifier": about})

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """The classifier that `save` wrote.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the file is damaged, holds a pickle or no classifier, or is of a later format.
        """
        tensors, about = read_classifier(Path(path))
        embeddings = tensors.pop("embeddings")
        weights = {name.removeprefix("learner/"): tensor for name, tensor in tensors.items()}
        clf = cls(MetricLearner.from_file(about["learner"], weights, path), about["unknown"])
        labels = np.array(about["labels"])
        clf._begin(tuple(about["example_shape"]), labels)
        clf.temperature_ = about["temperature"]
        if about["threshold"] is not None:
            clf.threshold_ = about["threshold"]
        return clf._know(embeddings, labels)

    # Helpers

    def _begin(self, example_shape: tuple[int, ...], labels: np.ndarray) -> None:
        if not isinstance(self.learner, MetricLearner | None):
            raise TypeError(
                f"learner is {self.learner!r}; it needs to be a MetricLearner, such as pretrained()"
            )
        as_they_are = MetricLearner(backbones.identity(), heads.Prototypical())
        self.learner_ = as_they_are if self.learner is None else deepcopy(self.learner)
        self.example_shape_ = example_shape
        self.n_features_in_ = example_shape[0]
        self.temperature_, self.threshold_ = 1.0, -np.inf
        usual = "unknown" if is_text(labels) else -1
        self.unknown_ = usual if self.unknown is None else plain(self.unknown)

    def _pool(
        self, X: Labelled, y: Any = "no_validation", reset: bool = False
    ) -> tuple[Pool, np.ndarray]:
        """Checked examples as a pool, whose own labels are not looked at, and their labels [S]."""
        if isinstance(X, str | Path):
            raise TypeError(
                f"{str(X)!r} is a path; pictures are read by read(path), a folder by Pool.from_folder"
            )
        X = X.numpy(force=True) if isinstance(X, Tensor) else X
        shape = X.shape if isinstance(X, Pool) else np.asarray(X).shape[1:]
        if (
            not reset
            and shape != self.example_shape_
            and (isinstance(X, Pool) or max(len(shape), len(self.example_shape_)) > 1)
        ):
            own = times(self.example_shape_)
            raise ValueError(f"the examples are {times(shape)}; those enrolled are {own}")
        if isinstance(X, Pool):
            if not (y is None or isinstance(y, str)):
                raise ValueError("a pool has labels of its own; y needs to be left out")
            return X, np.array(X.names)[X.labels]
        checked = validate_data(self, X, y, reset=reset, dtype="numeric", allow_nd=True)
        X, y = checked if isinstance(checked, tuple) else (checked, None)
        if X.dtype != np.uint8 or X.ndim == 2:
            X = X.astype(np.float32)
        return Pool(X, np.zeros(len(X), np.int64), ["any"]), y

    def _embed(self, pool: Pool) -> Tensor:
        return self.learner_.embed_pool(pool).images

    def _know(self, z: Tensor, labels: np.ndarray) -> Self:
        """Fit the head to embeddings [S, D] with labels [S], so precisely that no answer moves another."""
        classes, y = np.unique(labels, return_inverse=True)
        weight = torch.ones(1, len(y), dtype=torch.double)
        support = Examples(z.double()[None], torch.from_numpy(y)[None], weight)
        rule = deepcopy(self.learner_.on_embeddings()).cpu().double().eval()
        self.rule_, self.fitted_ = rule, rule.fit(support)
        self.embeddings_, self.labels_, self.classes_ = z, np.array(labels), classes
        return self

    def _logits(self, X: np.ndarray | Tensor) -> np.ndarray:
        check_is_fitted(self)
        z = self._embed(self._pool(X)[0])
        with torch.inference_mode():
            return self.rule_.predict(self.fitted_, z.double()[None])[0].numpy()
