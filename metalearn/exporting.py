"""A learner or classifier as an ONNX file, which runs without Python or torch."""

import json
import warnings
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from .files import written_whole
from .models.learner import MetricLearner, scaled
from .tasks import Examples

if TYPE_CHECKING:
    from .deploy import FewShotClassifier

TOLERANCE = 1e-4


def export(
    model: "MetricLearner | FewShotClassifier",
    path: str | Path,
    shape: tuple[int, ...] | None = None,
) -> float:
    """Write a model to an ONNX file, once onnxruntime gives the same numbers as torch.

    The file takes `images` [n, C, H, W] uint8 pixels (or [n, D] float32 features), any n at a time. A
    learner's gives `embeddings` [n, D]; a classifier's gives `probabilities` [n, N] and `confidence` [n],
    and its metadata hold the classes, the threshold and the name of the unknown, as JSON.

    Args:
        model: a trained learner, or a fitted classifier.
        path: where to write it.
        shape: of one example, for a learner, such as (1, 28, 28); a classifier knows its own.

    Returns:
        the largest difference between onnxruntime's numbers and torch's, on random examples, relative to
        the largest of these numbers if that is above 1.

    Raises:
        ImportError: onnx, onnxscript or onnxruntime is missing.
        OSError: the file cannot be written.
        ValueError: a learner without a shape; a transductive head, or one with operations that ONNX does
            not have (Siamese, Relation, Mahalanobis); numbers that differ by more than 1e-4. No file is
            left.

    Example:
        >>> import metalearn as ml, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     export(ml.pretrained(), Path(folder, "conv4.onnx"), shape=(1, 28, 28)) < 1e-4
        True

    Derived in chapter 16, *From model to product*.
    """
    onnx, onnxruntime = _installed()
    if isinstance(model, MetricLearner):
        if shape is None:
            raise ValueError("shape is missing: the shape of one example, such as (1, 28, 28)")
        graph, outputs, about = _Embedding(model), ["embeddings"], {}
    else:
        check_is_fitted(model)
        shape = model.example_shape_
        graph, outputs, about = _Answers(model), ["probabilities", "confidence"], _classes(model)
    examples = _examples(shape)
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; the ONNX file needs a name in it")
    path.parent.mkdir(parents=True, exist_ok=True)
    with torch.no_grad(), written_whole(path) as temporary:
        _write(graph, examples, outputs, temporary)
        _describe(onnx, temporary, about)
        session = onnxruntime.InferenceSession(temporary)
        given = session.run(None, {"images": examples.numpy()})
        difference = max(map(_difference, graph(examples), given))
        if not difference <= TOLERANCE:
            raise ValueError(
                f"onnxruntime's numbers differ from torch's by {difference:.1e}, more than {TOLERANCE}"
            )
    return difference


class _Embedding(nn.Module):
    """Images to embeddings."""

    def __init__(self, learner: MetricLearner):
        super().__init__()
        self.backbone = deepcopy(learner.backbone).cpu().eval()

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        return (self.backbone(scaled(images)),)


class _Answers(nn.Module):
    """Images to probabilities and confidence, by a head that is fitted already."""

    def __init__(self, classifier: "FewShotClassifier"):
        super().__init__()
        learner = deepcopy(classifier.learner_).cpu().eval()
        if learner.head.transductive:
            raise ValueError(
                f"{type(learner.head).__name__} looks at all queries together; an exported classifier "
                "answers each by itself"
            )
        y = torch.from_numpy(np.searchsorted(classifier.classes_, classifier.labels_))
        support = Examples(classifier.embeddings_[None], y[None], torch.ones(1, len(y)))
        with torch.no_grad():
            self.state = learner.on_embeddings().fit(support).head
        self.backbone, self.head = learner.backbone, learner.head
        self.temperature = classifier.temperature_

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        z = self.backbone(scaled(images))
        logits = self.head.score(self.state, z[None])[0]
        return (logits / self.temperature).softmax(1), logits.amax(1)


def _classes(classifier: "FewShotClassifier") -> dict[str, str]:
    threshold = classifier.threshold_
    return {
        "classes": json.dumps(classifier.classes_.tolist()),
        "threshold": json.dumps(threshold if threshold > -np.inf else None),
        "unknown": json.dumps(classifier.unknown_),
    }


def _examples(shape: tuple[int, ...]) -> Tensor:
    """Three random examples: pixels where they have the shape of pictures, else features."""
    rng = np.random.default_rng(0)
    if len(shape) == 3:
        return torch.from_numpy(rng.integers(0, 256, (3, *shape), dtype=np.uint8))
    return torch.from_numpy(rng.standard_normal((3, *shape), dtype=np.float32))


def _installed() -> tuple[ModuleType, ModuleType]:
    """The modules onnx and onnxruntime.

    Raises:
        ImportError: one of them, or onnxscript, which torch writes the file with, is missing.
    """
    try:
        import onnx
        import onnxruntime
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f"exporting needs {error.name}: pip install onnx onnxscript onnxruntime"
        ) from error
    return onnx, onnxruntime


def _write(graph: nn.Module, examples: Tensor, outputs: Sequence[str], path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch's exporter to its own parts
        try:
            torch.onnx.export(
                graph,
                (examples,),
                path,
                dynamo=True,  # what torch does by itself only since 2.9
                input_names=["images"],
                output_names=outputs,
                dynamic_shapes=({0: torch.export.Dim("n")},),
                external_data=False,
                verbose=False,
            )
        except torch.onnx.errors.OnnxExporterError as error:
            cause = error
            while cause.__cause__:
                cause = cause.__cause__
            raise ValueError(f"this model cannot be written as ONNX: {cause}") from error


def _describe(onnx: ModuleType, path: Path, about: dict[str, str]) -> None:
    """Put the description into the file, and take out what torch noted of the machine it was made on."""
    file = onnx.load(path)
    for part in (*file.graph.node, *file.graph.input, *file.graph.output, *file.graph.value_info):
        part.ClearField("metadata_props")
    file.graph.ClearField("metadata_props")
    onnx.helper.set_model_props(file, about)
    onnx.save(file, path)


def _difference(ours: Tensor, theirs: np.ndarray) -> float:
    """The largest difference, relative to the largest number if that is above 1."""
    return float(np.abs(ours.numpy() - theirs).max() / max(1, np.abs(theirs).max()))
