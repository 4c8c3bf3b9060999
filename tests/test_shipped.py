"""The learner that ships keeps what its card promises."""

from pathlib import Path

import pytest

import metalearn as ml


def test_it_is_small():
    path = Path(ml.__file__).parent / "checkpoints" / "conv4-glyphs.safetensors"
    assert path.stat().st_size <= 500_000


def test_unknown_name_lists_the_known():
    with pytest.raises(
        ValueError, match=r"unknown pretrained learner .conv.; known, closest first: conv4"
    ):
        ml.pretrained("conv")


@pytest.mark.parametrize(("n_shot", "at_least"), [(1, 0.96), (5, 0.99)])
def test_it_knows_real_characters_that_no_training_saw(omniglot, n_shot, at_least):
    pool = ml.Pool(omniglot["images"][:, None], omniglot["labels"], omniglot["names"])
    test = pool.select(names=ml.published_split("omniglot", "test"))
    report = ml.evaluate(ml.pretrained(), ml.ClassificationTasks(test, n_shot=n_shot, seed=0))
    assert report.accuracy >= at_least
    measured = ml.model_card()["measured"][f"Omniglot test, 5-way {n_shot}-shot"]
    assert report.accuracy == pytest.approx(measured[0], abs=0.002)


def test_it_reads_real_digits(mnist_real):
    pool = ml.Pool(mnist_real["images"][:, None], mnist_real["labels"], mnist_real["names"])
    report = ml.evaluate(ml.pretrained(), ml.ClassificationTasks(pool, n_shot=5, seed=0), 300)
    assert report.accuracy > 0.8
