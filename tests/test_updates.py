"""Updates without a gradient: an evolution strategy and random search, alone and in the trainer."""

import numpy as np
import pytest
import torch
from sklearn.ensemble import RandomForestClassifier
from sklearn.tree import DecisionTreeClassifier
from torch import nn

import metalearn as ml
from metalearn.updates import EvolutionStrategy, Gradient, RandomSearch, cosine_to_zero


def bowl(seed=0, **options):
    """A parameter, and f = |2 a - 6|^2 + |b + 1|^2 of it and another."""
    a, b = nn.Parameter(torch.zeros(3)), nn.Parameter(torch.zeros(2, 2))
    update = EvolutionStrategy([a, b], seed=seed, **options)
    return a, b, update, lambda: (2 * a - 6).square().sum() + (b + 1).square().sum()


def test_slope_is_the_gradient_on_average():
    """At 2,000 pairs the error of a component is about 0.12, the gradient's components are 2 and -2."""
    a, b, update, _ = bowl(pairs=2000, spread=0.01, lr=1.0, optimiser=torch.optim.SGD)
    update.step(lambda: (a - 1).square().sum() + (b + 1).square().sum())
    torch.testing.assert_close(a.detach(), torch.full((3,), 2.0), rtol=0, atol=0.5)
    torch.testing.assert_close(b.detach(), torch.full((2, 2), -2.0), rtol=0, atol=0.5)


def test_one_pair_by_hand():
    weight = nn.Parameter(torch.tensor([3.0], dtype=torch.float64))
    update = EvolutionStrategy(
        [weight], lr=0.1, spread=0.5, pairs=1, seed=4, optimiser=torch.optim.SGD
    )
    value = update.step(lambda: weight.square().sum())
    e = np.random.default_rng([4, 0, 1]).standard_normal(1)[0]
    ahead, behind = (3 + 0.5 * e) ** 2, (3 - 0.5 * e) ** 2
    assert value == pytest.approx((ahead + behind) / 2)
    assert weight.item() == pytest.approx(3 - 0.1 * (ahead - behind) / (2 * 0.5) * e)


def test_both_kinds_of_descent_reach_the_bottom_of_the_same_objective():
    for update_of in (
        lambda p: Gradient(p, lr=0.1, optimiser=torch.optim.SGD),
        lambda p: EvolutionStrategy(p, lr=0.03, optimiser=torch.optim.SGD, seed=0),
    ):
        a, b, _, f = bowl()
        update = update_of([a, b])
        for _ in range(200):
            update.step(f)
        assert f() < 1e-3


def test_evolution_strategy_needs_no_gradient_and_calls_the_objective_twice_a_pair():
    weight = nn.Parameter(torch.tensor([2.3]))
    calls = []
    update = EvolutionStrategy([weight], lr=0.05, spread=0.6, pairs=16, seed=0)

    def stairs():
        calls.append(1)
        return weight.detach().abs().ceil().sum()

    for _ in range(80):
        update.step(stairs)
    assert len(calls) == 80 * 32
    assert stairs() <= 1


def test_evolution_strategy_follows_its_schedule_and_clips_its_estimate():
    for progress, far in ((0.0, 0.5), (0.5, 0.25), (1.0, 0.0)):
        options = {"clip": 0.5, "schedule": cosine_to_zero, "optimiser": torch.optim.SGD}
        a, b, update, f = bowl(lr=1.0, **options)
        update.step(f, progress)
        moved = torch.cat([a.detach().flatten(), b.detach().flatten()]).norm()
        assert moved.item() == pytest.approx(far, abs=1e-5)


def test_parameters_are_put_back_when_the_objective_fails():
    a, b, update, _ = bowl()
    for broken, error in (
        (lambda: torch.tensor(torch.nan), FloatingPointError),
        (lambda: 1 / 0, ZeroDivisionError),
    ):
        with pytest.raises(error):
            update.step(broken)
    assert not a.any()
    assert not b.any()
    assert update.steps == 0


def test_directions_are_decided_by_the_seed_and_leave_global_random_state():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    ends = []
    for seed in (0, 0, 1):
        a, _, update, f = bowl(seed)
        for _ in range(3):
            update.step(f)
        ends.append(a.detach().clone())
    assert torch.equal(ends[0], ends[1])
    assert not torch.equal(ends[0], ends[2])
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"spread": 0.0}, "spread is 0.0"),
        ({"pairs": 2.5}, "pairs is 2.5"),
        ({"seed": -1}, "seed is -1"),
        ({"pairs": 0}, "pairs is 0"),
        ({"lr": 0.0}, "lr is 0.0"),
        ({"lr": "0.1"}, "lr is '0.1'; it needs to be positive"),
        ({"lr": None}, "lr is None"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        bowl(**options)


def test_an_objective_of_many_numbers_is_refused():
    weight = nn.Parameter(torch.ones(3))
    for update in (Gradient([weight]), EvolutionStrategy([weight])):
        with pytest.raises(ValueError, match=r"the objective has shape \[3\]; it needs to be one"):
            update.step(weight.square)
    assert torch.equal(weight.detach(), torch.ones(3))


def test_directions_are_of_a_stream_of_their_own():
    """Episodes are drawn from (seed, index), and a search of the same seed must not follow them."""
    weight = nn.Parameter(torch.zeros(5, dtype=torch.float64))
    update = EvolutionStrategy([weight], spread=1.0, pairs=1, seed=3)
    tried = []

    def objective():
        tried.append(weight.detach().clone())
        return weight.sum()

    update.step(objective)
    of_the_episode = np.random.default_rng([3, 0]).standard_normal(5)
    assert not np.allclose(tried[0], of_the_episode)


# Random search


TABLE = {"max_depth": [1, 2, 3, 4], "min_samples_leaf": [5, 4, 3, 2, 1]}


def search(seed=0):
    tree = DecisionTreeClassifier()

    def badness():
        return torch.tensor(float((tree.max_depth - 3) ** 2 + (tree.min_samples_leaf - 2) ** 2))

    return tree, RandomSearch(tree, TABLE, seed=seed), badness


def test_random_search_starts_at_the_first_values_and_never_gets_worse():
    tree, update, badness = search()
    assert update.settings == {"max_depth": 1, "min_samples_leaf": 5}
    values = [update.step(badness) for _ in range(60)]
    assert values[0] == 13
    assert values == sorted(values, reverse=True)
    assert update.settings == {"max_depth": 3, "min_samples_leaf": 2}
    assert tree.get_params() == tree.get_params() | update.settings


def test_proposals_are_of_a_stream_of_their_own():
    tree = DecisionTreeClassifier()
    update = RandomSearch(tree, {"max_depth": range(1, 1001)}, seed=3)
    tried = []

    def objective():
        tried.append(tree.max_depth)
        return torch.tensor(1.0)

    for _ in range(20):
        update.step(objective)
    of_the_episodes = [np.random.default_rng([3, t]).integers(1000) + 1 for t in range(20)]
    assert sum(a == b for a, b in zip(tried[1::2], of_the_episodes, strict=True)) < 3


def test_settings_that_are_no_better_are_not_taken():
    _, update, _ = search()
    for _ in range(20):
        update.step(lambda: torch.tensor(1.0))
    assert update.settings == {"max_depth": 1, "min_samples_leaf": 5}


def test_random_search_goes_on_where_its_state_says():
    _, whole, badness = search()
    expected = [whole.step(badness) for _ in range(12)]
    _, first, badness = search()
    found = [first.step(badness) for _ in range(5)]
    _, second, badness = search()
    second.load_state_tensors(first.state_tensors())
    assert found + [second.step(badness) for _ in range(7)] == expected


def test_settings_stay_when_the_objective_fails():
    tree, update, _ = search()
    values = iter([1.0])
    with pytest.raises(StopIteration):
        update.step(lambda: torch.tensor(next(values)))
    assert (tree.max_depth, tree.min_samples_leaf) == (1, 5)


@pytest.mark.parametrize("table", [{}, {"max_depth": []}])
def test_an_empty_table_is_refused(table):
    with pytest.raises(ValueError, match="the table needs at least one setting"):
        RandomSearch(DecisionTreeClassifier(), table)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"table": {"criterion": "gini"}},
            "the values of criterion are 'gini'; they need to be a list",
        ),
        ({"table": TABLE, "seed": -1}, "seed is -1"),
    ],
)
def test_a_search_that_makes_no_sense_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        RandomSearch(DecisionTreeClassifier(), **options)


def test_values_of_a_table_may_be_an_array():
    tree = DecisionTreeClassifier()
    assert RandomSearch(tree, {"max_depth": np.array([3, 1, 2])}).settings == {"max_depth": 3}


def test_a_setting_that_the_estimator_lacks_is_refused():
    with pytest.raises(ValueError, match="Invalid parameter 'depth'"):
        RandomSearch(DecisionTreeClassifier(), {"depth": [1]})


# In the trainer


@pytest.mark.parametrize("differentiates", [True, False])
def test_only_an_update_that_needs_the_gradient_trains_in_training_mode(pool, differentiates):
    learner = ml.MetricLearner(ml.backbones.conv4(width=4, seed=0), ml.heads.Prototypical())
    update = Gradient if differentiates else EvolutionStrategy
    tasks = ml.ClassificationTasks(pool, n_way=3, n_query=2)
    before = {name: t.clone() for name, t in learner.backbone.named_buffers()}
    ml.Trainer(learner, tasks, update=update(learner.parameters()), progress=False).fit(1)
    moved = [not torch.equal(t, before[name]) for name, t in learner.backbone.named_buffers()]
    assert moved == [differentiates] * len(moved)


def one_minus_f1(scores, y, weight=None):
    return 1 - ml.metrics.macro_f1(scores, y, weight)


FOREST_TABLE = {
    "max_depth": [1, 2, 8],
    "n_estimators": [2, 5, 10],
    "max_features": [1, "sqrt", 0.5],
}


def forest_trainer(folder=None, **options):
    """Random search over a forest's settings by macro F1 on imbalanced tasks."""
    train, validation = ml.load_pool("digits").split((0.6, 0.4), seed=0)
    forest = RandomForestClassifier()
    return ml.Trainer(
        ml.Estimator(forest),
        ml.ClassificationTasks(train, n_way=4, n_shot=5, n_query=(1, 10), seed=0),
        ml.ClassificationTasks(validation, n_way=4, n_shot=5, n_query=(1, 10), seed=0),
        batch_size=2,
        update=RandomSearch(forest, FOREST_TABLE, seed=0),
        loss=one_minus_f1,
        metric=ml.metrics.macro_f1,
        validate_every=5,
        validation_episodes=10,
        folder=folder,
        progress=False,
        **options,
    )


def test_random_search_improves_a_forest_by_macro_f1_over_tasks():
    trainer = forest_trainer()
    test = ml.ClassificationTasks(
        trainer.validation.pool, n_way=4, n_shot=5, n_query=(1, 10), seed=1
    )
    before = ml.evaluate(trainer.learner, test, 40, ml.metrics.macro_f1)
    trainer.fit(15)
    after = ml.evaluate(trainer.learner, test, 40, ml.metrics.macro_f1)
    difference = ml.compare(after, before)
    assert difference.mean - difference.half_width > 0.03


def test_settings_that_validated_best_are_the_ones_at_the_end():
    trainer = forest_trainer()
    history = trainer.fit(10)
    again = ml.evaluate(trainer.learner, trainer.validation, 10, ml.metrics.macro_f1)
    assert again.mean == history.best == max(history.validation)


def stop(trainer, after, of):
    """Train, and stop after some steps as Ctrl-C does."""
    step = trainer.update.step

    def interrupted(objective, progress):
        if trainer.history.steps == after:
            raise KeyboardInterrupt
        return step(objective, progress)

    trainer.update.step = interrupted
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(of)


def test_a_search_in_the_trainer_is_resumed(tmp_path):
    whole = forest_trainer(tmp_path / "whole")
    whole.fit(10)
    stopped = forest_trainer(tmp_path / "stopped")
    stop(stopped, after=5, of=10)
    again = forest_trainer(tmp_path / "stopped")
    assert again.fit(10, resume=True).loss == whole.history.loss
    assert again.update.settings == whole.update.settings


def test_an_evolution_strategy_in_the_trainer_is_resumed(tmp_path):
    def trainer(folder):
        tasks = ml.ClassificationTasks(ml.load_pool("digits"), n_way=4, n_query=3, seed=0)
        learner = ml.MetricLearner(ml.backbones.identity(), ml.heads.Prototypical(learn_scale=True))
        update = EvolutionStrategy(learner.parameters(), lr=0.1, pairs=2, seed=0)
        return ml.Trainer(
            learner,
            tasks,
            tasks,
            update=update,
            validate_every=3,
            validation_episodes=5,
            folder=folder,
            progress=False,
        )

    whole = trainer(tmp_path / "whole")
    whole.fit(6)
    stopped = trainer(tmp_path / "stopped")
    stop(stopped, after=3, of=6)
    assert trainer(tmp_path / "stopped").fit(6, resume=True).loss == whole.history.loss
