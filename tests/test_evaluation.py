"""An evaluation is honest: right denominator, right episodes, no leak, an interval."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from conftest import numbered_pool
from head_variants import made
from torch import nn

from metalearn import (
    ClassificationTasks,
    MetricLearner,
    Report,
    backbones,
    compare,
    evaluate,
    heads,
    metrics,
    table,
)


class TellsTheClass(nn.Module):
    """A perfect embedding of `numbered_pool`: the class in the first pixel, one-hot."""

    def forward(self, images):
        return nn.functional.one_hot((images[:, 0, 0, 0] * 255).round().long(), 16).float()


@pytest.fixture
def learner():
    return MetricLearner(backbones.conv4(width=8, seed=0), heads.Prototypical())


@pytest.fixture
def tasks(pool):
    return ClassificationTasks(pool, n_way=5, n_shot=1, n_query=4, seed=0)


@pytest.mark.parametrize("n_way", [2, 5, 12, (2, 12)])
@pytest.mark.parametrize("n_shot", [1, 7, (1, 9)])
@pytest.mark.parametrize("n_query", [1, 8])
def test_a_perfect_classifier_scores_exactly_100_percent(pool, n_way, n_shot, n_query):
    tasks = ClassificationTasks(pool, n_way, n_shot, n_query, seed=0)
    learner = MetricLearner(TellsTheClass(), heads.Prototypical())
    assert (evaluate(learner, tasks, episodes=70).scores == 1.0).all()


def test_a_guesser_scores_one_in_n(pool):
    class Constant(nn.Module):
        def forward(self, images):
            return torch.zeros(len(images), 2)

    tasks = ClassificationTasks(pool, n_way=4, n_query=5)
    report = evaluate(MetricLearner(Constant(), heads.Prototypical()), tasks, episodes=50)
    assert report.mean == 0.25


def test_cached_embeddings_score_as_pictures_do(learner, pool):
    """Few episodes are embedded one by one, many on a cache; the first ones are the same."""
    tasks = ClassificationTasks(pool, n_way=5, n_query=4)
    direct, cached = evaluate(learner, tasks, episodes=4), evaluate(learner, tasks, episodes=40)
    np.testing.assert_allclose(direct.scores, cached.scores[:4], atol=1e-6)


class Bare:
    """The same tasks, with nothing to offer but episodes that have no unlabelled examples."""

    def __init__(self, tasks):
        self.tasks, self.identity = tasks, tasks.identity

    def batch(self, indices):
        return replace(self.tasks.batch(indices), unlabelled=None)


@pytest.mark.parametrize("episodes", [3, 60])
def test_unlabelled_examples_are_learned_from_directly_and_on_a_cache(pool, episodes):
    tasks = ClassificationTasks(pool, n_way=5, n_query=4, n_unlabelled=5)
    learner = MetricLearner(backbones.identity(), heads.SoftKMeans(use_queries=False))
    with_them, without = (
        evaluate(learner, tasks, episodes),
        evaluate(learner, Bare(tasks), episodes),
    )
    assert (with_them.scores != without.scores).any()


class LargeMaps(nn.Module):
    """The picture itself as a map [B, 1, H, W] of numbers far above 1."""

    def forward(self, images):
        return 1000 * images


class OfMaps(heads.Prototypical):
    """Prototypes of maps."""

    takes_maps = True

    def fit(self, z_support, *arguments):
        assert z_support.dim() == 5
        return super().fit(z_support.flatten(2), *arguments)

    def score(self, state, z_query, weight=None):
        return super().score(state, z_query.flatten(2), weight)


class LeastLikely(MetricLearner):
    """A learner of a user's own, which answers the other way round."""

    def predict(self, fitted, x, weight=None):
        return -super().predict(fitted, x, weight)


@pytest.mark.parametrize(
    "learner",
    [
        MetricLearner(LargeMaps(), OfMaps()),
        LeastLikely(backbones.identity(), heads.Prototypical()),
    ],
    ids=["maps", "a learner of one's own"],
)
def test_cached_embeddings_serve_every_learner(learner, pool):
    tasks = ClassificationTasks(pool, n_way=5, n_query=4)
    direct, cached = evaluate(learner, Bare(tasks), 60), evaluate(learner, tasks, 60)
    np.testing.assert_allclose(direct.scores, cached.scores, atol=1e-6)


def test_interval_is_that_of_the_mean_over_episodes():
    report = Report(np.array([0.0, 1.0, 1.0, 1.0]), "accuracy", True, "tasks")
    assert report.mean == report.accuracy == 0.75
    assert report.half_width == pytest.approx(1.96 * 0.5 / 2)
    assert str(report) == "75.0 % ± 49.0 (95 % interval, 4 episodes)"


def test_interval_covers_the_truth_in_about_19_of_20_evaluations():
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(400):
        report = Report(rng.binomial(75, 0.8, size=200) / 75, "accuracy", True, "")
        covered += abs(report.mean - 0.8) < report.half_width
    assert 0.92 < covered / 400 < 0.98


@pytest.mark.parametrize("training", [True, False])
def test_learner_is_left_in_the_mode_it_was_in(learner, tasks, training):
    learner.train(training)
    learner.backbone.blocks[1].eval()
    before = {name: part.training for name, part in learner.named_modules()}
    statistics = {name: t.clone() for name, t in learner.state_dict().items()}
    evaluate(learner, tasks, episodes=3)
    assert {name: part.training for name, part in learner.named_modules()} == before
    assert all(torch.equal(t, statistics[name]) for name, t in learner.state_dict().items())


class Leaking(heads.Prototypical):
    """Centres the queries on their own mean, without saying that it is transductive."""

    def score(self, state, z_query, weight=None):
        return super().score(state, z_query - z_query.mean(1, keepdim=True), weight)


def leaks(learner, tasks):
    """Whether an answer changes when the other queries of its episode do."""
    batch = tasks.batch(range(4))
    fitted = learner.fit(batch.support)
    whole = learner.predict(fitted, batch.query.x)
    alone = [learner.predict(fitted, batch.query.x[:, q : q + 1]) for q in range(whole.shape[1])]
    return not torch.allclose(whole, torch.cat(alone, dim=1), atol=1e-4)


@pytest.mark.parametrize("head", heads.names())
def test_no_query_leaks_into_another_in_evaluation_mode(head, tasks):
    learner = MetricLearner(backbones.conv4(width=8), made(head, n_features=8)).eval()
    assert leaks(learner, tasks) == learner.head.transductive


def test_a_head_that_leaks_on_purpose_is_caught(tasks):
    assert leaks(MetricLearner(backbones.conv4(width=8), Leaking()).eval(), tasks)


def test_training_mode_leaks_through_batch_statistics(learner, tasks):
    assert leaks(learner.train(), tasks)


def test_report_of_a_transductive_head_says_so(tasks):
    learner = MetricLearner(backbones.identity(), heads.SoftKMeans())
    assert "transductive" in str(evaluate(learner, tasks, episodes=3))


def test_regression_metric_prints_without_percent(tasks, learner):
    report = evaluate(learner, tasks, 3, metric=metrics.negative_log_likelihood)
    assert "%" not in str(report).split("(")[0]
    with pytest.raises(AttributeError, match="this report is of negative_log_likelihood"):
        _ = report.accuracy


def test_paired_difference_is_narrower_than_either_interval(tasks, learner):
    pixels = evaluate(MetricLearner(backbones.identity(), heads.Prototypical()), tasks, 100)
    noise = np.random.default_rng(0).normal(0, 0.01, 100)
    better = Report(pixels.scores + 0.05 + noise, "accuracy", True, pixels.tasks)
    difference = compare(better, pixels)
    assert difference.mean == pytest.approx(0.05, abs=0.005)
    assert difference.half_width < pixels.half_width / 5
    assert str(difference).startswith("+5.")


def test_reports_of_different_episodes_are_not_compared(pool, learner):
    one = evaluate(learner, ClassificationTasks(pool, n_query=4, seed=0), 5)
    with pytest.raises(ValueError, match=r"differ in tasks.*seed=0.*seed=1"):
        compare(one, evaluate(learner, ClassificationTasks(pool, n_query=4, seed=1), 5))
    with pytest.raises(ValueError, match="differ in episodes: 5 and 6"):
        compare(one, evaluate(learner, ClassificationTasks(pool, n_query=4, seed=0), 6))


def test_reports_of_different_metrics_are_not_compared(learner, tasks):
    one = evaluate(learner, tasks, 5)
    other = evaluate(learner, tasks, 5, metrics.negative_log_likelihood)
    with pytest.raises(ValueError, match="differ in metric"):
        compare(one, other)


def test_a_metric_with_another_option_is_another_metric(learner, tasks):
    reports = [
        evaluate(learner, tasks, 5, partial(metrics.calibration_error, bins=bins))
        for bins in (15, 15, 5)
    ]
    assert reports[0].metric == "calibration_error(bins=15)"
    assert reports[0].percent
    assert not compare(*reports[:2]).differences.any()
    with pytest.raises(ValueError, match="differ in metric"):
        compare(*reports[1:])


@pytest.mark.parametrize("episodes", [3, 40])
def test_a_learner_that_gives_nan_has_no_score(tasks, episodes):
    class Broken(nn.Module):
        def forward(self, images):
            return torch.full((len(images), 2), torch.nan)

    with pytest.raises(FloatingPointError, match="the learner gives NaN"):
        evaluate(MetricLearner(Broken(), heads.Prototypical()), tasks, episodes)


def test_one_episode_gives_no_interval(learner, tasks):
    with pytest.raises(
        ValueError, match="episodes is 1; it needs to be a whole number of at least 2"
    ):
        evaluate(learner, tasks, episodes=1)


def test_same_episodes_whatever_the_model(pool):
    """'The same 600 evaluation episodes' are the same."""
    small = numbered_pool(12, 20, n_groups=4, size=8)
    one = evaluate(
        MetricLearner(backbones.identity(), heads.Prototypical()), ClassificationTasks(small), 10
    )
    other = evaluate(
        MetricLearner(TellsTheClass(), heads.Prototypical()), ClassificationTasks(pool), 10
    )
    assert compare(other, one).mean >= 0


def of_the_same(scores, tasks="same"):
    return Report(np.asarray(scores), "accuracy", True, tasks)


def test_table_lists_every_report_and_its_paired_difference():
    rng = np.random.default_rng(0)
    reports = {name: of_the_same(rng.random(50)) for name in ("a", "long name", "c")}
    lines = table(reports, baseline="c").splitlines()
    assert len(lines) == 4
    assert lines[0].startswith("50 episodes  accuracy (%)")
    assert lines[2].startswith("long name  ")
    difference = compare(reports["a"], reports["c"])
    assert f"{100 * difference.mean:+.1f} ± {100 * difference.half_width:.1f}" in lines[1]
    assert lines[3].count("±") == 1, "the baseline is not compared with itself"
    assert table(reports).count("±") == 3


def test_table_marks_what_looked_at_all_queries_together():
    one = of_the_same([0.5, 1.0])
    lines = table({"a": one, "b": replace(one, transductive=True)}).splitlines()
    assert ["transductive" in line for line in lines] == [False, False, True]


def of_each_query(scores, y, weight):
    return (scores.argmax(-1) == y).float()


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        (of_each_query, r"of_each_query gives shape \[6, 20\] for 6 episodes"),
        (lambda *arguments: of_each_query(*arguments).mean(), r"lambda> gives shape \[\] for 6"),
        (lambda *_: 1.0, r"a metric gives one value an episode, \[B\]"),
    ],
)
def test_a_metric_that_does_not_give_one_value_an_episode_is_refused(
    learner, tasks, metric, message
):
    with pytest.raises(ValueError, match=message):
        evaluate(learner, tasks, episodes=6, metric=metric)


def test_a_pool_in_the_place_of_tasks_is_refused(learner, pool):
    with pytest.raises(TypeError, match="tasks is a Pool; it needs to be a family of tasks"):
        evaluate(learner, pool)


def test_table_refuses_what_cannot_be_compared():
    one, other = of_the_same([0.5, 1.0]), of_the_same([0.5, 1.0], "other")
    with pytest.raises(ValueError, match="differ in tasks"):
        table({"a": one, "b": other})
    with pytest.raises(ValueError, match="the baseline 'c' is not one"):
        table({"a": one}, baseline="c")
    with pytest.raises(ValueError, match="there are no reports"):
        table({})
