"""The classifier in use: scikit-learn's manners, enrolling, forgetting, rejecting, calibrating, files."""

import pickle
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from sklearn.base import clone
from sklearn.metrics import log_loss
from sklearn.model_selection import cross_val_score
from sklearn.neighbors import NearestCentroid
from sklearn.utils.estimator_checks import parametrize_with_checks

import metalearn as ml
from metalearn.files import load_tensors, save_tensors

ALIKE = ["Greek/capital archaic sampi", "Greek/small archaic sampi"]
GREEK = ml.load_pool("glyphs").select(groups=["Greek"]).exclude(names=ALIKE)
NAMES = np.array(GREEK.names)[GREEK.labels]
OTHERS = ml.load_pool("glyphs").select(groups=["Runic", "Thai"])


def rows(class_number: int, first: int = 0, last: int = 20) -> np.ndarray:
    return GREEK.examples_of[class_number][first:last]


def enrolled(n_classes: int = 5, shots: int = 5, **options) -> ml.FewShotClassifier:
    chosen = np.concatenate([rows(number, 0, shots) for number in range(n_classes)])
    clf = ml.FewShotClassifier(ml.pretrained(), **options)
    return clf.fit(GREEK.images[chosen], NAMES[chosen])


def queries(n_classes: int = 5) -> tuple[torch.Tensor, np.ndarray]:
    chosen = np.concatenate([rows(number, 5, 10) for number in range(n_classes)])
    return GREEK.images[chosen], NAMES[chosen]


# Every check that scikit-learn has for a classifier; check_array_api_input skips itself unless the
# environment variable SCIPY_ARRAY_API is set, and the classifier does not claim that interface.
@parametrize_with_checks([ml.FewShotClassifier()])
def test_manners_of_scikit_learn(estimator, check) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn's of its own skips
        check(estimator)


def test_answers_are_those_of_the_learner() -> None:
    x, _ = queries()
    clf, learner = enrolled(), ml.pretrained()
    support = ml.Examples(
        GREEK.images[np.concatenate([rows(number, 0, 5) for number in range(5)])][None],
        torch.arange(5).repeat_interleave(5)[None],
        torch.ones(1, 25),
    )
    with torch.inference_mode():
        logits = learner.predict(learner.fit(support), x[None])[0]
    order = np.argsort(GREEK.names[:5])
    torch.testing.assert_close(
        torch.from_numpy(clf.predict_proba(x)).float(),
        logits[:, order].softmax(1),
        rtol=1e-3,
        atol=1e-5,
    )
    np.testing.assert_allclose(clf.confidence(x), logits.amax(1), rtol=1e-4)


def test_without_a_learner_it_is_the_nearest_centroid() -> None:
    pool = ml.load_pool("digits")
    x, y = pool.images.flatten(1).numpy(), pool.labels.numpy()
    x = x + np.random.default_rng(0).random(x.shape)  # NearestCentroid warns of constant features
    ours = ml.FewShotClassifier().fit(x[:500], y[:500])
    assert (ours.predict(x[500:]) == NearestCentroid().fit(x[:500], y[:500]).predict(x[500:])).all()


def test_scikit_learn_can_validate_it() -> None:
    x, y = queries()
    assert cross_val_score(ml.FewShotClassifier(ml.pretrained()), x.numpy(), y, cv=3).mean() > 0.9


def test_enrolling_one_by_one_is_fitting_all_and_forgetting_undoes_it() -> None:
    x, y = queries()
    clf, five = enrolled(4), enrolled(5)
    four = clf.predict_proba(x)
    new = GREEK.names[4]
    clf.enrol(new, GREEK.images[rows(4, 0, 2)]).enrol(new, GREEK.images[rows(4, 2, 5)].numpy())
    np.testing.assert_allclose(clf.predict_proba(x), five.predict_proba(x), atol=1e-6)
    assert clf.classes_.tolist() == sorted(GREEK.names[:5])
    assert clf.score(x, y) > 0.9
    clf.forget(new)
    np.testing.assert_allclose(clf.predict_proba(x), four, atol=1e-6)
    assert len(clf.embeddings_) == len(clf.labels_) == 20


@pytest.mark.parametrize("name", ml.heads.names())
def test_every_head_can_be_deployed(name: str) -> None:
    learned = {"relation", "feat"}
    options = {"n_features": 64} if name in learned else {}
    learner = ml.MetricLearner(ml.pretrained().backbone, ml.heads.create(name, **options))
    x, y = queries(3)
    chosen = np.concatenate([rows(number, 0, 5) for number in range(3)])
    clf = ml.FewShotClassifier(learner).fit(GREEK.images[chosen], NAMES[chosen])
    proba = clf.predict_proba(x)
    assert proba.shape == (15, 3)
    np.testing.assert_allclose(proba.sum(1), 1, atol=1e-6)
    if name not in learned:  # those need training
        assert clf.score(x, y) > 0.8


def test_learner_is_left_as_it_was() -> None:
    learner = ml.pretrained().train()
    before = {name: tensor.clone() for name, tensor in learner.state_dict().items()}
    chosen = np.concatenate([rows(0, 0, 5), rows(1, 0, 5)])
    clf = ml.FewShotClassifier(learner).fit(GREEK.images[chosen], NAMES[chosen])
    clf.predict(queries()[0])
    assert learner.training
    assert learner.head.log_scale.dtype == torch.float32
    assert all(torch.equal(tensor, before[name]) for name, tensor in learner.state_dict().items())


# Rejecting and calibrating


def test_threshold_rejects_what_was_asked_for_and_most_of_the_unknown() -> None:
    clf = enrolled(20)
    calibration = clf.calibrate(OTHERS, false_rejection=0.1)
    assert calibration.false_rejection == pytest.approx(0.1, abs=2 / len(calibration.known))
    assert calibration.false_acceptance < 0.1
    known, _ = queries(20)
    unknown = ml.load_pool("glyphs").select(groups=["Devanagari"]).images[::20]
    assert (clf.predict(known) == "unknown").mean() < 0.25
    assert (clf.predict(unknown) == "unknown").mean() > 0.75
    assert clf.confidence(unknown).mean() < clf.threshold_ < clf.confidence(known).mean()


def test_temperature_makes_the_answers_likelier_and_changes_none() -> None:
    pool = ml.load_pool("digits")
    x, y = pool.images.flatten(1).float().numpy() / 16, pool.labels.numpy()  # far too sure
    low = y < 5
    few, rest = (np.nonzero(low)[0][part] for part in (slice(25), slice(25, None)))
    clf = ml.FewShotClassifier().fit(x[few], y[few])
    before = clf.predict_proba(x[rest])
    calibration = clf.calibrate(x[~low], y[~low], false_rejection=0)
    after = clf.predict_proba(x[rest])
    assert calibration.temperature > 1
    assert calibration.false_rejection == 0
    assert log_loss(y[rest], after) < log_loss(y[rest], before)
    assert (after.argmax(1) == before.argmax(1)).all()


def test_calibration_is_decided_by_its_seed_and_fit_begins_anew() -> None:
    clf = enrolled(5)
    first, again, other = (clf.calibrate(OTHERS, episodes=20, seed=seed) for seed in (0, 0, 1))
    assert first[:2] == again[:2] != other[:2]
    few = rows(0, 0, 5)
    clf.fit(GREEK.images[few], NAMES[few])
    assert (clf.temperature_, clf.threshold_) == (1, -np.inf)


def test_rejected_among_numbers_is_minus_one_and_may_be_named() -> None:
    pool = ml.load_pool("digits")
    x, y = pool.images.flatten(1).numpy(), pool.labels.numpy()
    low, high = y < 5, y >= 5
    clf = ml.FewShotClassifier().fit(x[low], y[low])
    clf.calibrate(x[high], y[high] + 10, false_rejection=0.5)
    answers = clf.predict(x[high])
    assert answers.dtype.kind == "i"
    assert -1 in answers
    clf = ml.FewShotClassifier(unknown=99).fit(x[low], y[low])
    clf.calibrate(x[high], y[high], false_rejection=0.5)
    assert set(clf.predict(x[high])) <= {0, 1, 2, 3, 4, 99}
    with pytest.raises(ValueError, match="0 is a class; give rejected examples another name"):
        ml.FewShotClassifier(unknown=0).fit(x[low], y[low]).calibrate(x[high], y[high])
    with pytest.raises(
        ValueError, match="the label 'no' does not fit: the known classes are numbers"
    ):
        ml.FewShotClassifier(unknown="no").fit(x[low], y[low]).calibrate(x[high], y[high])
    with pytest.raises(ValueError, match="99 is what rejected examples are called"):
        clf.enrol(99, x[:3])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda clf: clf.calibrate(GREEK), "needs classes that are not enrolled; 'Greek/.*' is"),
        (lambda clf: clf.calibrate(OTHERS, false_rejection=1), "false_rejection is 1"),
        (lambda clf: clf.calibrate(OTHERS, episodes=0), "episodes is 0"),
        (
            lambda clf: clf.calibrate(OTHERS.images[:40], ["a"] * 20 + ["b"] * 20),
            "at least 4 classes",
        ),
        (lambda clf: clf.calibrate(OTHERS.images[:5], list("abcdd")), "class 'a' has 1 examples"),
        (
            lambda clf: clf.forget("Greek/alpah"),
            "unknown class 'Greek/alpah'; known, closest first",
        ),
        (lambda clf: clf.enrol(3, GREEK.images[:2]), "the label 3 does not fit: .* are text"),
        (lambda clf: clf.enrol(["a", "b"], GREEK.images[:2]), "does not fit"),
        (lambda clf: clf.enrol("a", GREEK.images[:2, 0]), "are 28x28; those enrolled are 1x28x28"),
        (lambda clf: clf.enrol("a", GREEK.images[:0]), "0 sample"),
        (
            lambda clf: clf.predict(np.zeros((2, 3, 28, 28), np.uint8)),
            "are 3x28x28; those enrolled",
        ),
        (lambda clf: clf.predict(GREEK.images[:2].float()), "float images reach 255"),
        (lambda clf: clf.predict(torch.full((1, 1, 28, 28), torch.nan)), "NaN"),
        (lambda clf: clf.read(Path(__file__)), "test_deploy.py cannot be read as a picture"),
    ],
)
def test_bad_input_is_named_and_nothing_is_lost(change, message) -> None:
    clf = enrolled(3)
    x, _ = queries(3)
    before = clf.predict_proba(x)
    with pytest.raises(ValueError, match=message):
        change(clf)
    assert np.array_equal(clf.predict_proba(x), before)
    assert clf.threshold_ == -np.inf


def test_the_only_class_stays() -> None:
    clf = enrolled(1)
    with pytest.raises(ValueError, match="only class"):
        clf.forget(clf.classes_[0])


# Files


def test_own_pictures_from_a_folder_and_a_new_one(tmp_path: Path) -> None:
    """The three lines of the README."""
    for number in range(3):
        folder = tmp_path / "mine" / f"letter {number}"
        folder.mkdir(parents=True)
        for row in rows(number, 0, 6):
            Image.fromarray(GREEK.images[row, 0].numpy()).resize((90, 90)).save(
                folder / f"{row}.png"
            )
    new = tmp_path / "mine" / "letter 2" / f"{rows(2)[5]}.png"
    new = new.rename(tmp_path / "new.png")
    pool = ml.Pool.from_folder(tmp_path / "mine", size=28, channels=1)
    clf = ml.FewShotClassifier(ml.pretrained()).fit(pool)
    assert clf.predict(clf.read(new)).tolist() == ["letter 2"]
    assert clf.read(new, str(new)).shape == (2, 1, 28, 28)


def test_features_are_not_read_from_pictures() -> None:
    clf = ml.FewShotClassifier().fit(np.eye(4), [0, 0, 1, 1])
    with pytest.raises(ValueError, match="examples are 4, no square pictures"):
        clf.read("a.png")


@pytest.mark.parametrize("call", ["predict", "fit"])
def test_a_path_in_the_place_of_pictures_is_refused(call: str) -> None:
    known = ml.FewShotClassifier().fit(np.eye(2), ["a", "b"])
    with pytest.raises(TypeError, match=r"'new.png' is a path; pictures are read by read\(path\)"):
        getattr(known, call)("new.png")


def test_reading_no_picture_is_refused() -> None:
    with pytest.raises(ValueError, match="no picture is named"):
        enrolled(2).read()


def test_a_learner_that_is_none_is_refused() -> None:
    with pytest.raises(TypeError, match=r"learner is .*; it needs to be a MetricLearner"):
        ml.FewShotClassifier(ml.pretrained).fit(np.eye(4), [0, 0, 1, 1])


@pytest.mark.parametrize(
    "labels", [["b", "a", "ä"], [3, 1, 2], [True, False, True], [0.0, 1.0, 2.0]]
)
def test_a_file_keeps_every_answer(tmp_path: Path, labels) -> None:
    x = np.eye(3).repeat(5, 0)
    clf = ml.FewShotClassifier().fit(x, np.repeat(labels, 5))
    path = tmp_path / "new" / "clf.safetensors"
    clf.save(path)
    again = ml.FewShotClassifier.load(path)
    assert (again.predict(x) == clf.predict(x)).all()
    assert (again.classes_ == clf.classes_).all()
    assert again.classes_.dtype.kind == clf.classes_.dtype.kind


def test_a_file_keeps_calibration_learner_and_what_can_be_done(tmp_path: Path) -> None:
    x, _ = queries()
    clf = enrolled(5, unknown="?")
    clf.calibrate(OTHERS, false_rejection=0.5)
    clf.save(tmp_path / "clf.safetensors")
    again = ml.FewShotClassifier.load(tmp_path / "clf.safetensors")
    assert (again.predict(x) == clf.predict(x)).all()
    assert "?" in again.predict(x)
    assert np.array_equal(again.predict_proba(x), clf.predict_proba(x))
    new = GREEK.images[rows(7, 0, 5)]
    assert np.array_equal(
        again.enrol("new", new).predict_proba(x), clf.enrol("new", new).predict_proba(x)
    )
    assert clone(again).fit(x, _).classes_.tolist() == clone(clf).fit(x, _).classes_.tolist()


def test_files_that_are_none(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(ValueError, match="holds a pickle"):
        ml.FewShotClassifier.load(path)
    ml.pretrained().save(path)
    with pytest.raises(ValueError, match="holds no classifier"):
        ml.FewShotClassifier.load(path)
    clf = enrolled(2)
    clf.save(path)
    tensors, about = load_tensors(path)
    about["classifier"]["format"] = 2
    save_tensors(path, tensors, about)
    with pytest.raises(ValueError, match="has format 2; this metalearn reads 1"):
        ml.FewShotClassifier.load(path)


@pytest.mark.parametrize(
    ("entry", "value"),
    [
        ("format", "1"),
        ("learner", None),
        ("learner", {"backbone": {"name": "conv5"}, "head": {"name": "prototypical"}}),
        ("learner", {"backbone": {"name": "torchvision", "weights": "DEFAULT"}, "head": {}}),
        ("labels", ["a"]),
        ("labels", [1] * 9 + ["a"]),
        ("labels", [["a"]] * 10),
        ("unknown", {"a": 1}),
        ("temperature", 0.0),
        ("temperature", float("nan")),
        ("threshold", [1]),
        ("example_shape", []),
        ("example_shape", ["1", 28]),
    ],
)
def test_a_crafted_file_is_refused_by_name(entry, value, tmp_path: Path) -> None:
    path = tmp_path / "clf.safetensors"
    enrolled(2).save(path)
    tensors, about = load_tensors(path)
    about["classifier"][entry] = value
    save_tensors(path, tensors, about)
    with pytest.raises(ValueError, match=r"clf\.safetensors (describes|holds) no"):
        ml.FewShotClassifier.load(path)
    del about["classifier"][entry]
    save_tensors(path, tensors, about)
    with pytest.raises(ValueError, match=f"its {entry} is None"):
        ml.FewShotClassifier.load(path)


def test_embeddings_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "clf.safetensors"
    enrolled(2).save(path)
    tensors, about = load_tensors(path)
    save_tensors(path, tensors | {"embeddings": tensors["embeddings"] * torch.nan}, about)
    with pytest.raises(ValueError, match="embeddings that are not finite"):
        ml.FewShotClassifier.load(path)


@pytest.mark.parametrize("note", ["[]", "3", "null", "{", '{"checksum": 1}', "[" * 100_000])
def test_a_description_that_cannot_be_read(note, tmp_path: Path) -> None:
    save_file(
        {"embeddings": torch.zeros(2, 2)}, path := tmp_path / "x", metadata={"metalearn": note}
    )
    with pytest.raises(ValueError, match="x is damaged"):
        ml.FewShotClassifier.load(path)


def test_a_changed_label_in_the_file_is_found(tmp_path: Path) -> None:
    path = tmp_path / "clf.safetensors"
    enrolled(2).save(path)
    content = path.read_bytes()
    assert b"dotted lunate" in content
    path.write_bytes(content.replace(b"dotted lunate", b"dotted lunatE"))
    with pytest.raises(ValueError, match="its content does not have the checksum"):
        ml.FewShotClassifier.load(path)


def test_what_the_caller_changes_later_changes_no_answer() -> None:
    x, y = queries(2)
    learner, labels = ml.pretrained(), y.copy()
    clf = ml.FewShotClassifier(learner).fit(x, labels)
    before = clf.predict_proba(x)
    labels[:] = "other"
    with torch.no_grad():
        next(learner.parameters()).zero_()
    clf.enrol("new", GREEK.images[rows(9, 0, 3)]).forget("new")
    assert np.array_equal(clf.predict_proba(x), before)


@pytest.mark.parametrize(
    ("labels", "label"), [([1, 2], 1.5), ([1, 2], "a"), ([True, False], 7), ([1, 2], float("nan"))]
)
def test_a_label_of_another_kind_is_refused(labels, label) -> None:
    clf = ml.FewShotClassifier().fit(np.eye(4), labels * 2)
    with pytest.raises(ValueError, match="does not fit: the known classes are numbers"):
        clf.enrol(label, np.eye(4)[:1])
    assert clf.enrol(labels[0], np.eye(4)[:1]).labels_.dtype == np.array(labels).dtype


def test_numpy_numbers_go_into_files(tmp_path: Path) -> None:
    clf = ml.FewShotClassifier(unknown=np.int64(-7)).fit(np.eye(4), [0, 0, 1, 1])
    clf.save(tmp_path / "clf")
    assert ml.FewShotClassifier.load(tmp_path / "clf").unknown == -7


def test_what_cannot_be_saved_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "clf.safetensors"
    enrolled(2).save(path)
    before = path.read_bytes()
    own = ml.MetricLearner(torch.nn.Flatten(), ml.heads.Prototypical())
    clf = ml.FewShotClassifier(own).fit(GREEK.images[:40], NAMES[:40])
    with pytest.raises(TypeError, match="Flatten has no `config`"):
        clf.save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
