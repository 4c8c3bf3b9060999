"""ONNX files: onnxruntime gives torch's numbers, or there is no file."""

import builtins
import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

import metalearn as ml
from metalearn.__main__ import main

EXPORTED = ["prototypical", "matching", "feat", "ridge", "support_vector", "cosine_classifier"]
LABELS = np.repeat(["ka", "ga", "a"], 6)


def backbone() -> nn.Module:
    return ml.backbones.conv4(width=4, seed=0)


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    rng = np.random.default_rng(0)
    return torch.from_numpy(rng.integers(0, 256, (18, 1, 16, 16), dtype=np.uint8))


def classifier(images: torch.Tensor, head: str = "prototypical") -> ml.FewShotClassifier:
    options = {"n_features": 4} if head == "feat" else {}
    learner = ml.MetricLearner(backbone(), ml.heads.create(head, **options))
    return ml.FewShotClassifier(learner).fit(images, LABELS)


def run(path: Path, images: torch.Tensor) -> list[np.ndarray]:
    return onnxruntime.InferenceSession(path).run(None, {"images": images.numpy()})


@pytest.mark.parametrize("head", EXPORTED)
def test_a_classifier_answers_the_same_for_any_number_of_images(head, images, tmp_path) -> None:
    clf = classifier(images, head)
    clf.temperature_, clf.threshold_ = 2.0, -3.5
    path = tmp_path / "clf.onnx"
    assert ml.export(clf, path) < 1e-4
    for n in (1, 2, 18):
        probabilities, confidence = run(path, images[:n])
        np.testing.assert_allclose(probabilities, clf.predict_proba(images[:n]), atol=1e-4)
        np.testing.assert_allclose(confidence, clf.confidence(images[:n]), rtol=1e-3, atol=1e-4)
    about = {entry.key: json.loads(entry.value) for entry in onnx.load(path).metadata_props}
    assert about == {"classes": ["a", "ga", "ka"], "threshold": -3.5, "unknown": "unknown"}


def test_a_learner_gives_its_embeddings_and_is_left_as_it_was(images, tmp_path) -> None:
    learner = ml.MetricLearner(backbone(), ml.heads.Prototypical()).train()
    path = tmp_path / "new" / "net.onnx"
    assert ml.export(learner, path, shape=(1, 16, 16)) < 1e-4
    assert learner.training
    (z,) = run(path, images)
    with torch.no_grad():
        expected = learner.eval().embed(images[None])[0]
    np.testing.assert_allclose(z, expected, rtol=1e-4, atol=1e-5)


def test_features_in_the_place_of_pictures(tmp_path) -> None:
    x = np.random.default_rng(0).standard_normal((18, 5)).astype(np.float32)
    clf = ml.FewShotClassifier().fit(x, LABELS)
    ml.export(clf, tmp_path / "clf.onnx")
    probabilities, _ = run(tmp_path / "clf.onnx", torch.from_numpy(x))
    np.testing.assert_allclose(probabilities, clf.predict_proba(x), atol=1e-5)


def test_the_file_says_nothing_of_the_machine(images, tmp_path) -> None:
    ml.export(classifier(images), tmp_path / "clf.onnx")
    content = (tmp_path / "clf.onnx").read_bytes()
    assert str(Path(ml.__file__).parent).encode() not in content
    assert b".py" not in content


@pytest.mark.parametrize("head", ["sinkhorn", "siamese", "mahalanobis"])
def test_a_head_that_cannot_be_exported_says_why_and_leaves_no_file(head, images, tmp_path) -> None:
    why = "looks at all queries together" if head == "sinkhorn" else "cannot be written as ONNX"
    options = {"n_features": 4} if head == "siamese" else {}
    learner = ml.MetricLearner(backbone(), ml.heads.create(head, **options))
    clf = ml.FewShotClassifier(learner).fit(images, LABELS)
    with pytest.raises(ValueError, match=why):
        ml.export(clf, tmp_path / "clf.onnx")
    assert list(tmp_path.iterdir()) == []


class Wrong(nn.Module):
    """Differs between the export and the check."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.flatten(1) * (1.0 if torch.compiler.is_exporting() else 1.01)


def test_other_numbers_leave_the_old_file(tmp_path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(b"old")
    learner = ml.MetricLearner(Wrong(), ml.heads.Prototypical())
    with pytest.raises(ValueError, match="onnxruntime's numbers differ from torch's by"):
        ml.export(learner, path, shape=(1, 16, 16))
    assert [item.name for item in tmp_path.iterdir()] == ["net.onnx"]
    assert path.read_bytes() == b"old"


def test_what_is_missing_is_named(images, tmp_path, monkeypatch) -> None:
    learner = ml.MetricLearner(backbone(), ml.heads.Prototypical())
    with pytest.raises(ValueError, match="shape is missing"):
        ml.export(learner, tmp_path / "net.onnx")
    with pytest.raises(ValueError, match="not fitted"):
        ml.export(ml.FewShotClassifier(), tmp_path / "net.onnx")
    real = builtins.__import__

    def without_onnxruntime(name, *rest, **options):
        if name == "onnxruntime":
            raise ModuleNotFoundError("No module named 'onnxruntime'", name="onnxruntime")
        return real(name, *rest, **options)

    monkeypatch.setattr(builtins, "__import__", without_onnxruntime)
    with pytest.raises(ImportError, match="exporting needs onnxruntime: pip install onnx"):
        ml.export(learner, tmp_path / "net.onnx", shape=(1, 16, 16))


def test_the_command(images, tmp_path, capsys) -> None:
    clf = classifier(images)
    source, out = tmp_path / "clf.safetensors", tmp_path / "clf.onnx"
    clf.save(source)
    assert main(["export", str(source), str(out)]) == 0
    assert (
        "examples of 1x16x16; onnxruntime's numbers differ from torch's by"
        in capsys.readouterr().out
    )
    np.testing.assert_allclose(run(out, images)[0], clf.predict_proba(images), atol=1e-4)
    clf.learner_.save(source)
    assert main(["export", str(source), str(tmp_path / "net.onnx")]) == 1
    assert "shape is missing" in capsys.readouterr().err
    assert main(["export", str(source), str(out), "--shape", "1", "16", "16"]) == 0
    assert run(out, images)[0].shape == (18, 4)
    assert main(["export", str(tmp_path / "nothing"), str(out)]) == 1
    assert "No such file" in capsys.readouterr().err
