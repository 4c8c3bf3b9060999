"""A learner embeds, fits its head, predicts, and is kept in a file."""

import pickle

import pytest
import torch
from head_variants import made
from safetensors.torch import save_file
from torch import nn

from metalearn import ClassificationTasks, MetricLearner, backbones, heads
from metalearn.files import load_tensors, save_tensors
from metalearn.models.learner import IMAGES_IN_PASS
from metalearn.tasks import Examples


@pytest.fixture
def learner():
    return MetricLearner(backbones.conv4(width=8, seed=0), heads.Prototypical()).eval()


@pytest.fixture
def batch(pool):
    return ClassificationTasks(pool, n_way=(3, 5), n_shot=(1, 3), n_query=4, seed=0).batch(range(4))


def test_pixels_are_scaled_in_one_place(learner):
    whole = torch.randint(0, 256, (1, 3, 1, 16, 16), dtype=torch.uint8)
    torch.testing.assert_close(learner.embed(whole), learner.embed(whole.float() / 255))


def test_passes_of_any_size_give_the_same_embeddings(learner):
    images = torch.rand(2, 100, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    assert IMAGES_IN_PASS["cpu"] < 200
    expected = learner.backbone(images.flatten(0, 1)).unflatten(0, (2, 100))
    torch.testing.assert_close(learner.embed(images), expected)


def test_missing_classes_get_minus_infinity(learner, batch):
    scores = learner.predict(learner.fit(batch.support), batch.query.x, batch.query.weight)
    for b, n in enumerate(batch.n_way):
        assert scores[b, :, :n].isfinite().all()
        assert (scores[b, :, n:] == -torch.inf).all()


@pytest.mark.parametrize("head", heads.names())
def test_padding_changes_no_score_and_no_batch_statistics(head, batch, pool):
    """Even in training mode: padding is not embedded."""

    def trained_on(batch):
        learner = MetricLearner(backbones.conv4(width=8, seed=0), made(head, n_features=8)).train()
        scores = learner.predict(learner.fit(batch.support), batch.query.x, batch.query.weight)
        return scores, learner.backbone.state_dict()

    scores, statistics = trained_on(batch)
    noise = torch.randint_like(batch.support.x, 256)
    real = (batch.support.weight > 0)[..., None, None, None]
    support = Examples(
        torch.where(real, batch.support.x, noise), batch.support.y, batch.support.weight
    )
    noisy = type(batch)(support, batch.query, batch.n_way)
    scores_noisy, statistics_noisy = trained_on(noisy)
    assert torch.equal(scores, scores_noisy)
    assert all(torch.equal(statistics[name], statistics_noisy[name]) for name in statistics)


@pytest.mark.parametrize("head", heads.names())
def test_padded_queries_and_unlabelled_examples_change_nothing(head, pool):
    sizes = {"n_way": (3, 6), "n_shot": (1, 3), "n_query": 4, "n_unlabelled": 2}
    tasks = ClassificationTasks(pool, **sizes, seed=0)
    learner = MetricLearner(backbones.conv4(width=8, seed=0), made(head, n_features=8)).eval()
    batch = tasks.batch(range(6))
    assert (batch.query.weight == 0).any()
    assert (batch.unlabelled.weight == 0).any()
    fitted = learner.fit(batch.support, batch.unlabelled)
    together = learner.predict(fitted, batch.query.x, batch.query.weight)
    for b in range(6):
        alone = tasks.episode(b)
        scores = learner.predict(learner.fit(alone.support, alone.unlabelled), alone.query.x)
        torch.testing.assert_close(
            together[b : b + 1, : scores.shape[1], : scores.shape[2]], scores
        )


def test_padded_queries_enter_no_batch_statistics(pool):
    batch = ClassificationTasks(pool, n_way=(3, 6), n_query=4, seed=0).batch(range(6))

    def statistics(x):
        learner = MetricLearner(backbones.conv4(width=8, seed=0), heads.Prototypical()).train()
        learner.predict(learner.fit(batch.support), x, batch.query.weight)
        return learner.state_dict()

    real = (batch.query.weight > 0)[..., None, None, None]
    one, other = statistics(batch.query.x), statistics(torch.where(real, batch.query.x, 255))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_pass_mixes_all_classes():
    """Support sets come sorted by class; each pass still takes examples from start to end."""
    seen = []

    class Recorder(nn.Module):
        def forward(self, x):
            seen.append(x[:, 0])
            return x

    learner = MetricLearner(Recorder(), heads.Prototypical())
    x = torch.arange(400.0)[None, :, None]
    assert torch.equal(learner.embed(x), x)
    assert len(seen) == 3
    assert all(part.min() < 10 and part.max() > 390 for part in seen)


def test_unlabelled_examples_reach_the_head(batch):
    learner = MetricLearner(backbones.identity(), heads.SoftKMeans(use_queries=False))
    batch = type(batch)(batch.support, batch.query, batch.n_way, unlabelled=batch.query)
    alone, helped = (
        learner.predict(learner.fit(batch.support, unlabelled), batch.query.x)
        for unlabelled in (None, batch.unlabelled)
    )
    assert not torch.allclose(alone, helped)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": torch.zeros(3, 4)}, r"support examples have shape \[3, 4\]"),
        ({"x": torch.zeros(1, 0, 4)}, r"shape \[1, 0, 4\]"),
        ({"y": torch.tensor([0, 1, 2])}, r"classes have shape \[3\]; they need \[B, S\]"),
        ({"y": torch.zeros(1, 3)}, r"real targets have shape \[1, 3\]; they need \[B, S, T\]"),
        ({"weight": torch.ones(1, 2)}, r"weight has shape \[1, 2\]; it needs \[1, 3\]"),
        ({"weight": torch.zeros(1, 3)}, "episode 0 has no support examples"),
        ({"weight": torch.full((1, 3), torch.nan)}, "episode 0 has no support examples"),
        ({"x": torch.zeros(1, 3, 4).long()}, "examples are torch.int64; they need to be uint8"),
    ],
)
def test_support_sets_that_make_no_sense_are_refused(change, message):
    given = {"x": torch.zeros(1, 3, 4), "y": torch.tensor([[0, 1, 2]]), "weight": torch.ones(1, 3)}
    learner = MetricLearner(backbones.identity(), heads.Ridge())
    with pytest.raises(ValueError, match=message):
        learner.fit(Examples(**(given | change)))


@pytest.mark.parametrize("head", ["prototypical", heads.Prototypical])
def test_a_learner_needs_a_head(head):
    with pytest.raises(TypeError, match=r"head is .*rototypical.*; it needs to be a Head, such as"):
        MetricLearner(backbones.identity(), head)


def test_weights_that_a_backbone_has_twice_are_saved(tmp_path):
    backbone = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    backbone[1].weight = backbone[0].weight
    learner = MetricLearner(backbone, heads.Prototypical())
    save_tensors(tmp_path / "own", learner.state_dict(), {})
    tensors, _ = load_tensors(tmp_path / "own")
    assert torch.equal(tensors["backbone.1.weight"], backbone[0].weight)


def test_queries_of_other_episodes_are_refused(learner, batch):
    fitted = learner.fit(batch.support)
    with pytest.raises(ValueError, match="queries are of 3 episodes, the support sets of 4"):
        learner.predict(fitted, batch.query.x[:3])


def test_regression_predicts_values():
    learner = MetricLearner(nn.Identity(), heads.Ridge(regularisation=1e-6))
    x = torch.tensor([[[1.0, 1.0], [2.0, 1.0], [3.0, 1.0]]])
    fitted = learner.fit(Examples(x, y=2 * x[..., :1] + 1, weight=torch.ones(1, 3)))
    values = learner.predict(fitted, torch.tensor([[[5.0, 1.0]]]))
    torch.testing.assert_close(values, torch.tensor([[[11.0]]]), atol=1e-3, rtol=0)


@pytest.mark.parametrize("labels", [[[3, 4, 5]], [[0, 2, 2]], [[-1, 0, 1]]])
def test_labels_that_are_not_0_to_n_are_refused(learner, labels):
    x = torch.zeros(1, 3, 1, 16, 16)
    with pytest.raises(ValueError, match="numbered"):
        learner.fit(Examples(x, torch.tensor(labels), torch.ones(1, 3)))


def test_queries_of_another_size_are_refused(learner, batch):
    fitted = learner.fit(batch.support)
    with pytest.raises(ValueError, match="query examples are 1x32x32, support examples 1x16x16"):
        learner.predict(fitted, torch.zeros(4, 2, 1, 32, 32))


def test_a_backbone_of_the_users_own_is_not_half_saved(tmp_path):
    learner = MetricLearner(nn.Linear(4, 2), heads.Prototypical())
    with pytest.raises(
        TypeError, match=r"Linear has no `config`.*keep its state_dict\(\) yourself"
    ):
        learner.save(tmp_path / "learner.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_feature_maps_go_to_heads_that_take_them(batch):
    maps = nn.Sequential(nn.Conv2d(1, 6, 3), nn.AdaptiveAvgPool2d(6))
    learner = MetricLearner(maps, made("relation", n_features=6)).eval()
    scores = learner.predict(learner.fit(batch.support), batch.query.x, batch.query.weight)
    assert scores.shape[:2] == batch.query.y.shape
    for name in heads.names():
        if name != "relation":
            with pytest.raises(ValueError, match=r"6, 6, 6\]; .* takes vectors, \[B, S, D\]"):
                MetricLearner(maps, made(name)).fit(batch.support)


# Files that must not load


def test_truncated_file(learner, tmp_path):
    path = tmp_path / "learner.safetensors"
    learner.save(path)
    for size in (0, 5, 200, path.stat().st_size - 4):
        path.write_bytes(path.read_bytes()[:size])
        with pytest.raises(ValueError, match="damaged or cut short"):
            MetricLearner.load(path)
        learner.save(path)


def test_a_changed_number_is_noticed(learner, tmp_path):
    path = tmp_path / "learner.safetensors"
    learner.save(path)
    content = bytearray(path.read_bytes())
    content[-50] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match="does not have the checksum"):
        MetricLearner.load(path)


def test_others_may_read_what_is_saved(learner, tmp_path):
    learner.save(tmp_path / "learner.safetensors")
    (tmp_path / "plain").touch()
    modes = [(tmp_path / name).stat().st_mode for name in ("learner.safetensors", "plain")]
    assert modes[0] == modes[1]


def test_pickle_is_refused_unopened(learner, tmp_path):
    path = tmp_path / "learner.pt"
    torch.save(learner.state_dict(), path)
    with pytest.raises(ValueError, match="holds a pickle, which could run any program"):
        MetricLearner.load(path)
    path.write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(ValueError, match="holds a pickle"):
        MetricLearner.load(path)


def test_file_of_something_else(tmp_path):
    path = tmp_path / "other.safetensors"
    save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(ValueError, match="metalearn did not write it"):
        MetricLearner.load(path)
    with pytest.raises(FileNotFoundError):
        MetricLearner.load(tmp_path / "nowhere")


def test_weights_of_another_architecture(learner, tmp_path):
    path = tmp_path / "learner.safetensors"
    learner.save(path)
    wide = MetricLearner(backbones.conv4(width=16), heads.Prototypical())
    tensors, _ = load_tensors(path)
    with pytest.raises(
        ValueError,
        match=r"another architecture: for backbone.* it has \[8, 1, 3, 3\].*\[16, 1, 3, 3\]",
    ):
        wide.load_weights(tensors, path)


def test_architecture_that_this_version_does_not_know(learner, tmp_path):
    path = tmp_path / "learner.safetensors"
    about = {"learner": {"backbone": {"name": "conv9"}, "head": {"name": "ridge"}}}
    save_tensors(path, learner.state_dict(), about)
    with pytest.raises(ValueError, match="unknown backbone 'conv9'"):
        MetricLearner.load(path)
