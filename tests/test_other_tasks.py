"""Regression, unsupervised and bandit tasks keep to the same protocol as classification."""

import math

import numpy as np
import pytest
import torch
from conftest import numbered_pool

from metalearn import (
    BanditTasks,
    CurveTasks,
    FeatureTasks,
    MetricLearner,
    Pool,
    ViewTasks,
    backbones,
    evaluate,
    heads,
    metrics,
)
from metalearn.tasks import ClassificationTasks, clusters, deform, unsupervised

POOL = numbered_pool(n_classes=12, n_examples=20, n_groups=4)
STANDARD = np.random.default_rng(0).normal(size=(len(POOL), 3))
FEATURES = STANDARD * [1, 5, 0.1] + 7
FAMILIES = {
    "curves": lambda seed: CurveTasks(seed=seed),
    "features": lambda seed: FeatureTasks(POOL, FEATURES, seed=seed),
    "views": lambda seed: ViewTasks(POOL, seed=seed),
    "clusters": lambda seed: ClassificationTasks(
        clusters(POOL, POOL.images.flatten(1).float(), 4), n_way=3, n_query=2, seed=seed
    ),
    "bandits": lambda seed: BanditTasks(POOL, seed=seed),
}


@pytest.fixture(params=FAMILIES)
def family(request):
    return FAMILIES[request.param]


def test_episode_is_the_same_alone_in_any_batch_and_from_a_new_family(family):
    batch = family(4).batch([7, 2, 9])
    assert len(batch) == 3
    for b, i in enumerate([7, 2, 9]):
        alone = family(4).episode(i)
        for one, many in ((alone.support, batch.support), (alone.query, batch.query)):
            assert torch.equal(one.x[0], many.x[b])
            assert torch.equal(one.y[0], many.y[b])
            assert many.weight.shape == many.y.shape[:2]


def test_episodes_and_seeds_differ_and_global_random_state_is_left(family):
    torch.manual_seed(0)
    before = torch.get_rng_state()
    drawn = {family(seed).episode(i).query.x.numpy().tobytes() for seed in (0, 1) for i in range(9)}
    assert len(drawn) == 18
    assert torch.equal(before, torch.get_rng_state())
    assert family(0).identity != family(1).identity
    assert family(0).identity == family(0).identity


def test_golden_episodes():
    """If this fails, every published number of the book is of other episodes: change it knowingly."""
    curves = CurveTasks(n_shot=2, n_query=2, noise=0.5, seed=1).episode(2)
    assert curves.support.x.flatten().tolist() == pytest.approx([-2.22977, 3.21913], abs=1e-4)
    assert curves.support.y.flatten().tolist() == pytest.approx([-1.75093, -2.14498], abs=1e-4)
    assert curves.query.y.flatten().tolist() == pytest.approx([2.21132, -2.21132], abs=1e-4)
    features = FeatureTasks(POOL, FEATURES, n_shot=2, n_query=2, seed=1).episode(2)
    assert features.support.rows.tolist() == [[224, 103]]
    assert features.query.rows.tolist() == [[106, 152]]
    assert features.query.y.flatten().tolist() == pytest.approx([-0.62883, -1.0667], abs=1e-4)
    views = ViewTasks(POOL, n_way=3, seed=1).episode(2)
    assert views.support.rows.tolist() == [[225, 153, 107]]
    sizes = {"n_way": 3, "n_arms": 4, "n_rounds": 4, "n_query": 2}
    bandits = BanditTasks(POOL, **sizes, seed=1).episode(2)
    assert bandits.classes.tolist() == [[11, 6, 4]]
    assert bandits.support.rows.tolist() == [[222, 92, 220, 239]]
    assert bandits.support.y.argmax(-1).tolist() == [[3, 2, 3, 3]]
    assert bandits.query.rows.tolist() == [[225, 227]]


def test_an_empty_batch_is_refused(family):
    with pytest.raises(ValueError, match="at least one episode"):
        family(0).batch([])


def test_one_loop_serves_every_family(family):
    batch = family(0).batch(range(3))
    real = batch.query.y.is_floating_point()
    learner = MetricLearner(backbones.identity(), heads.Ridge() if real else heads.Prototypical())
    scores = learner.predict(learner.fit(batch.support), batch.query.x)
    assert metrics.default(batch.query.y)(scores, batch.query.y).shape == (3,)
    assert evaluate(learner, family(0), episodes=5).episodes == 5


@pytest.mark.parametrize("name", ["features", "bandits"])
def test_evaluation_on_cached_embeddings_is_of_the_same_episodes(name):
    learner = MetricLearner(backbones.identity(), heads.Ridge())
    tasks = FAMILIES[name](0)
    cached = evaluate(learner, tasks, episodes=60)
    with torch.no_grad():
        batch = tasks.batch(range(60))
        scores = learner.predict(learner.fit(batch.support), batch.query.x)
    expected = metrics.mean_squared_error(scores, batch.query.y).numpy()
    np.testing.assert_allclose(cached.scores, expected, rtol=1e-3)


# Curves


@pytest.mark.parametrize("kind", ["sine", "step"])
def test_curves_are_the_formula(kind):
    tasks = CurveTasks(
        kinds=(kind,), n_shot=200, n_query=100, amplitude=(2.0, 2.0), phase=(1.0, 1.0)
    )
    batch = tasks.batch(range(2))
    for part in (batch.support, batch.query):
        wave = torch.sin(part.x.double() + 1)
        expected = 2 * (wave if kind == "sine" else wave.sign())
        torch.testing.assert_close(part.y.double(), expected, atol=1e-5, rtol=0)
        assert part.x.abs().max() <= 5


def test_amplitude_and_phase_fill_their_ranges_and_both_kinds_occur():
    y = CurveTasks(n_shot=1, n_query=200).batch(range(200)).query.y
    largest = y.abs().amax(1).flatten()
    assert largest.min() < 0.5
    assert largest.max() > 4.5
    kinds = torch.tensor([len(row.abs().unique()) < 3 for row in y]).float().mean()
    assert 0.35 < kinds < 0.65


def test_noise_falls_on_the_support_only():
    settings = {"n_shot": 500, "n_query": 50, "seed": 1}
    clean, noisy = CurveTasks(**settings).episode(0), CurveTasks(noise=0.5, **settings).episode(0)
    assert torch.equal(clean.query.y, noisy.query.y)
    assert (noisy.support.y - clean.support.y).std().item() == pytest.approx(0.5, rel=0.2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kinds": ("sin",)}, "unknown curve 'sin'; known, closest first: sine, step"),
        ({"kinds": "sine"}, "kinds is 'sine'; it needs to be a tuple"),
        ({"kinds": ()}, "kinds is"),
        ({"n_shot": 0}, "n_shot is 0"),
        ({"n_query": 0}, "n_query is 0"),
        ({"noise": -1.0}, "noise is -1.0"),
        ({"amplitude": (5.0, 1.0)}, r"amplitude is \(5.0, 1.0\)"),
        ({"phase": (0.0, math.nan)}, "phase is"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_curves_that_make_no_sense_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        CurveTasks(**options)


# Features


def test_feature_targets_are_a_direction_in_scaled_features():
    tasks = FeatureTasks(POOL, FEATURES, n_shot=100, n_query=100)
    batch = tasks.episode(3)
    scaled = torch.from_numpy((FEATURES - FEATURES.mean(0)) / FEATURES.std(0, ddof=1))
    seen = scaled[batch.support.rows[0]]
    direction = torch.linalg.lstsq(seen, batch.support.y[0].double()).solution
    assert direction.norm().item() == pytest.approx(1, rel=1e-4)
    predicted = scaled[batch.query.rows[0]] @ direction
    torch.testing.assert_close(predicted, batch.query.y[0].double(), atol=1e-4, rtol=0)
    assert not set(batch.support.rows[0].tolist()) & set(batch.query.rows[0].tolist())


def test_features_may_be_a_list_an_array_or_a_tensor():
    one, *others = (
        FeatureTasks(POOL, features)
        for features in (
            FEATURES,
            FEATURES.tolist(),
            torch.from_numpy(FEATURES),
            FEATURES.copy("F"),
        )
    )
    for other in others:
        assert other.identity == one.identity
        assert torch.equal(other.episode(1).query.y, one.episode(1).query.y)


def test_identity_tells_features_apart():
    one, other = (FeatureTasks(POOL, features) for features in (FEATURES, FEATURES**2))
    assert one.identity != other.identity


def test_a_learner_that_sees_the_features_solves_the_tasks():
    tasks = FeatureTasks(POOL.with_images(STANDARD.astype(np.float32)), FEATURES, n_shot=30)
    report = evaluate(MetricLearner(backbones.identity(), heads.Ridge(1e-3)), tasks, 20)
    assert report.mean < 0.05


@pytest.mark.parametrize(
    ("features", "options", "message"),
    [
        (FEATURES[:-1], {}, r"features have shape \[239, 3\] for 240 examples"),
        (FEATURES[:, 0], {}, r"features have shape \[240\]"),
        (
            FEATURES[:, :0],
            {},
            r"shape \[240, 0\] for 240 examples; they need \[240, F\], F at least 1",
        ),
        (FEATURES * [1, 0, 1], {}, "feature 1 is constant"),
        (FEATURES * [1, 1, math.nan], {}, "feature 2 is constant or not finite"),
        (
            FEATURES,
            {"n_query": 231},
            "the pool has 240 examples; 10 shots and 231 queries need 241",
        ),
    ],
)
def test_features_that_do_not_fit_are_refused(features, options, message):
    with pytest.raises(ValueError, match=message):
        FeatureTasks(POOL, features, **options)


def test_a_pool_of_one_example_is_too_small():
    one = Pool(np.zeros((1, 3), np.float32), [0], ["one"])
    with pytest.raises(ValueError, match="the pool has 1 examples"):
        FeatureTasks(one, np.ones((1, 2)))


# Views and clusters


def test_first_support_is_the_picture_itself_and_all_else_are_views():
    tasks = ViewTasks(POOL, n_way=6, n_shot=2, n_query=3, seed=2)
    batch = tasks.batch(range(3))
    for part in (batch.support, batch.query):
        original = POOL.take(part.rows)
        same = (part.x == original).flatten(2).all(-1)
        expected = [[True, False] * 6] * 3 if part is batch.support else [[False] * 18] * 3
        assert same.tolist() == expected


def test_views_of_strength_zero_are_the_picture():
    batch = ViewTasks(POOL, strength=0.0).episode(0)
    assert torch.equal(batch.query.x, POOL.take(batch.query.rows))


def test_labels_are_not_read():
    bare = Pool(POOL.images, np.zeros(len(POOL), int), ["unknown"])
    for seed in range(3):
        one, other = ViewTasks(POOL, seed=seed).episode(5), ViewTasks(bare, seed=seed).episode(5)
        assert torch.equal(one.query.x, other.query.x)
        assert torch.equal(one.query.y, other.query.y)


def test_a_view_keeps_most_of_the_ink_and_moves_it():
    picture = torch.zeros(200, 1, 28, 28, dtype=torch.uint8)
    picture[:, :, 8:20, 12:16] = 255
    views = deform(picture, np.random.default_rng(0))
    ink = views.float().sum((1, 2, 3)) / picture.float().sum((1, 2, 3))
    assert ink.min() > 0.3
    assert ink.max() < 3
    assert 0.8 < ink.mean() < 1.25
    centre = (views.float() * torch.arange(28)).sum((1, 2, 3)) / views.float().sum((1, 2, 3))
    assert 0.4 < centre.std() < 3
    assert len(views.flatten(1).unique(dim=0)) == 200


def traced(strength):
    """The affine maps [300, 3, 2] by which 300 views were taken, and what these leave to bends.

    The two channels of the picture tell the place of each of its pixels.
    """
    line = (torch.arange(64) + 0.5) / 32 - 1
    places = torch.stack(torch.meshgrid(line, line, indexing="xy"))
    picture = (127.5 * (places + 1)).round().byte()
    views = deform(picture.repeat(300, 1, 1, 1), np.random.default_rng(0), strength)
    middle = (..., slice(19, 45), slice(19, 45))
    found = views[middle].flatten(2).mT.double() / 127.5 - 1
    x, y = places[middle].flatten(1).double()
    design = torch.stack([x, y, torch.ones_like(x)], dim=1)
    affine = torch.linalg.lstsq(design.expand(300, -1, -1), found).solution
    return affine, found - design @ affine


@pytest.mark.parametrize("strength", [0.5, 1.0])
def test_views_are_turned_slanted_stretched_and_shifted_as_much_as_is_said(strength, monkeypatch):
    monkeypatch.setattr(unsupervised, "BEND", 0.0)
    affine, bent = traced(strength)
    across, along, shift = affine.unbind(1)
    area = across[:, 0] * along[:, 1] - across[:, 1] * along[:, 0]
    found = {
        "turn": torch.atan2(across[:, 1], across[:, 0]),
        "slant": (across * along).sum(1) / area,
        "narrow": area.log() / 2 - across.norm(dim=1).log(),
        "size": area.log() / 2,
        "right": shift[:, 0],
        "down": shift[:, 1],
    }
    for name, spread in unsupervised.SPREADS.items():
        assert found[name].std().item() == pytest.approx(strength * spread, rel=0.15), name
    assert bent.std() < 0.01, "straight lines stay straight"


@pytest.mark.parametrize("strength", [0.5, 1.0])
def test_views_are_bent_as_much_as_is_said(strength):
    _, bent = traced(strength)
    assert 0.2 < bent.std() / (strength * unsupervised.BEND) < 0.5


def test_colour_pictures_of_any_shape_are_deformed_in_all_channels_alike():
    grey = torch.randint(0, 256, (2, 1, 20, 31), generator=torch.Generator().manual_seed(0)).byte()
    views = deform(grey.repeat(1, 3, 1, 1), np.random.default_rng(0))
    assert views.shape == (2, 3, 20, 31)
    assert torch.equal(views[:, 0], views[:, 2])


@pytest.mark.parametrize(
    ("pool", "options", "message"),
    [
        (POOL, {"n_way": 241}, "the pool has 240 pictures; 241-way needs 241"),
        (POOL, {"n_way": 1}, "n_way is 1"),
        (POOL, {"strength": -1.0}, "strength is -1.0"),
        (POOL, {"strength": math.inf}, "strength is inf"),
        (POOL.with_images(FEATURES), {}, "views need uint8 pictures"),
    ],
)
def test_views_that_make_no_sense_are_refused(pool, options, message):
    with pytest.raises(ValueError, match=message):
        ViewTasks(pool, **options)


@pytest.mark.parametrize("images", [torch.zeros(2, 1, 8, 8), torch.zeros(2, 8, 8).byte()])
def test_deform_refuses_what_is_no_stack_of_uint8_pictures(images):
    with pytest.raises(ValueError, match="deform needs uint8 pixels"):
        deform(images, np.random.default_rng(0))


@pytest.mark.parametrize("strength", [math.nan, -1.0])
def test_deform_refuses_a_strength_that_makes_no_sense(strength):
    with pytest.raises(ValueError, match=r"strength is .*; it needs to be at least 0, and finite"):
        deform(POOL.images[:2], np.random.default_rng(0), strength)


def test_clusters_find_what_lies_together_whatever_the_labels():
    z = torch.arange(4).repeat(60)[:, None] * 10.0
    z = z + torch.rand(240, 1, generator=torch.Generator().manual_seed(0))
    found = clusters(POOL, z, n_clusters=4, seed=0)
    assert found.n_classes == 4
    for rows in found.examples_of:
        assert z[rows].max() - z[rows].min() < 1
    assert torch.equal(found.images, POOL.images)


def test_clusters_start_from_their_seed():
    noise = POOL.images.flatten(1).float()
    one, again, other = (clusters(POOL, noise, 4, seed).labels for seed in (0, 0, 1))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


@pytest.mark.parametrize(
    ("z", "n", "message"),
    [
        (torch.zeros(3, 2), 2, r"embeddings have shape \[3, 2\] for 240 examples"),
        (torch.zeros(240), 2, r"embeddings have shape \[240\]"),
        (torch.zeros(240, 2), 241, "241 clusters are more than the pool's 240 examples"),
        (torch.zeros(240, 2), 1, "n_clusters is 1"),
    ],
)
def test_clusters_that_make_no_sense_are_refused(z, n, message):
    with pytest.raises(ValueError, match=message):
        clusters(POOL, z, n)


# Bandits


def test_each_class_pays_at_one_arm_and_arms_are_shared_out():
    tasks = BanditTasks(POOL, n_way=5, n_arms=3, n_rounds=60, n_query=20)
    batch = tasks.batch(range(20))
    for b in range(20):
        rows = torch.cat([batch.support.rows[b], batch.query.rows[b]])
        rewards = torch.cat([batch.support.y[b], batch.query.y[b]])
        assert (rewards.sum(-1) == 1).all()
        assert len(set(rows.tolist())) == 80
        arm_of = {
            (int(POOL.labels[r]), int(a)) for r, a in zip(rows, rewards.argmax(-1), strict=True)
        }
        assert len(arm_of) == 5, "one arm for each class"
        assert {c for c, _ in arm_of} == set(batch.classes[b].tolist())
        assert {a for _, a in arm_of} == {0, 1, 2}


def test_each_arm_is_the_one_of_class_0_about_equally_often():
    batch = BanditTasks(POOL, n_way=5, n_arms=5).batch(range(300))
    of_class_0 = POOL.labels[batch.support.rows] == batch.classes[:, :1]
    arm = torch.where(of_class_0, batch.support.y.argmax(-1), -1).amax(1)
    assert (torch.bincount(arm, minlength=5) > 35).all(), "60 each are expected"
    assert (batch.n_way == 0).all(), "rewards are real targets"


class Always:
    """A policy that takes one arm and writes down what it is told."""

    def __init__(self, arm):
        self.arm, self.told = arm, []

    def act(self, context):
        return self.arm

    def learn(self, context, arm, reward):
        self.told.append((context, arm, reward))


def test_play_tells_a_policy_its_own_rewards_and_counts_the_regret():
    tasks = BanditTasks(POOL, n_way=2, n_arms=4, n_rounds=30, n_query=2)
    policy = Always(1)
    play = tasks.play(policy, 6)
    rounds = tasks.episode(6).support
    assert torch.equal(torch.stack([context for context, _, _ in policy.told]), rounds.x[0])
    assert [reward for _, _, reward in policy.told] == rounds.y[0, :, 1].tolist()
    assert play.arms.tolist() == [1] * 30
    assert torch.equal(play.regret, 1 - rounds.y[0, :, 1])
    assert play.total_regret == 30 - play.rewards.sum()


@pytest.mark.parametrize("arm", [-1, 4, 0.5])
def test_an_arm_that_there_is_not_is_refused(arm):
    with pytest.raises(ValueError, match="there are 4, from 0"):
        BanditTasks(POOL, n_arms=4).play(Always(arm), 0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_way": 13}, "the pool has 12 classes; 13-way needs 13"),
        ({"n_arms": 1}, "n_arms is 1"),
        ({"n_rounds": 0}, "n_rounds is 0"),
        (
            {"n_rounds": 80, "n_query": 21},
            "have 100 examples together; 80 rounds and 21 queries need 101",
        ),
    ],
)
def test_bandits_that_make_no_sense_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        BanditTasks(POOL, **options)


@pytest.mark.parametrize(
    "family", [ViewTasks, BanditTasks, lambda pool: FeatureTasks(pool, FEATURES)]
)
def test_what_is_no_pool_is_refused(family):
    with pytest.raises(TypeError, match="pool is 'glyphs'; it needs to be a Pool"):
        family("glyphs")
