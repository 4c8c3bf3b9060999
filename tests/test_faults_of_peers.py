"""Faults seen in other few-shot libraries, each made impossible here.

Each was reproduced with the version named: easyfsl 1.5.0 and learn2learn 0.2.1, on Python 3.11 with
torch 2.14.1. Further faults are covered by the specifications of this package's parts: no interval
(test_evaluation), the mode after an evaluation (test_evaluation), leaks through batch statistics
(test_evaluation), heads for one episode only (test_heads), too small a class named (test_tasks).
"""

import numpy as np
import pytest
import torch
from head_variants import made

from metalearn import ClassificationTasks, MetricLearner, Pool, backbones, evaluate, heads
from metalearn.models.distances import cosine
from metalearn.tasks import Examples


def test_sampler_runs_on_this_torch(pool):
    """easyfsl: `TaskSampler` raises TypeError since torch dropped Sampler.__init__(data_source)."""
    assert len(ClassificationTasks(pool, n_query=3).batch(range(2))) == 2


def test_no_state_on_the_module_between_support_and_query():
    """easyfsl: a second support set changes the answers of the first."""
    head = heads.Prototypical()
    z, targets, query = torch.randn(2, 1, 2, 4), torch.eye(2)[None], torch.randn(1, 5, 4)
    first = head.fit(z[0], targets)
    before = head.score(first, query)
    head.fit(z[1], targets)
    assert torch.equal(head.score(first, query), before)


@pytest.mark.parametrize("labels", [[3, 4, 5], [0, 2, 2]])
def test_labels_that_are_not_0_to_n_never_give_nan(labels):
    """easyfsl: prototypes of absent labels are NaN, and accuracy is 0 without a word."""
    learner = MetricLearner(backbones.identity(), heads.Prototypical())
    with pytest.raises(ValueError, match="classes are numbered 0 to"):
        learner.fit(Examples(torch.zeros(1, 3, 4), torch.tensor([labels]), torch.ones(1, 3)))


def test_prototypical_distance_is_the_papers_squared_one():
    """easyfsl: logits of the origin to (0, 0), (3, 4) are 0, -5; the paper's are 0, -25."""
    head = heads.Prototypical()
    state = head.fit(torch.tensor([[[0.0, 0.0], [3.0, 4.0]]]), torch.eye(2)[None])
    assert head.score(state, torch.zeros(1, 1, 2)).tolist() == [[[0.0, -25.0]]]


def test_cosine_distance_is_a_distance():
    """easyfsl: `cosine_distance_to_prototypes` is a similarity, 1 for equal vectors."""
    e = torch.eye(2)[None]
    assert cosine(e[:, :1], e).tolist() == [[[0.0, 1.0]]]


def test_evaluation_on_a_cpu_needs_no_device(pool):
    """easyfsl: `evaluate` defaults to a CUDA device."""
    learner = MetricLearner(backbones.identity(), heads.Prototypical())
    assert evaluate(learner, ClassificationTasks(pool, n_query=3), 3).episodes == 3


@pytest.mark.parametrize("seed_globals", [0, 1])
def test_episodes_do_not_hang_on_a_global_generator(pool, seed_globals):
    """easyfsl, learn2learn: only Python's global `random.seed` fixes the episodes."""
    import random

    random.seed(seed_globals)
    torch.manual_seed(seed_globals)
    rows = ClassificationTasks(pool, n_way=3, n_query=2, seed=0).episode(0).support.rows
    random.seed(99)
    assert torch.equal(
        rows, ClassificationTasks(pool, n_way=3, n_query=2, seed=0).episode(0).support.rows
    )


def test_unequal_shots_work_from_sampler_to_score(pool):
    """learn2learn: 'Only same number of query per label supported.'; easyfsl cannot sample them."""
    tasks = ClassificationTasks(pool, n_way=(2, 5), n_shot=(1, 6), n_query=3)
    learner = MetricLearner(backbones.identity(), heads.Prototypical())
    assert np.isfinite(evaluate(learner, tasks, 10).scores).all()


@pytest.mark.parametrize("head", heads.names())
def test_support_examples_may_swap_places(head):
    """easyfsl: matching networks answer otherwise when two support examples swap places."""
    head = made(head, n_features=3).eval()
    z, targets, query = torch.randn(1, 4, 3), torch.eye(4)[None], torch.randn(1, 2, 3)
    swap = torch.tensor([1, 0, 2, 3])
    torch.testing.assert_close(
        head.score(head.fit(z, targets), query),
        head.score(head.fit(z[:, swap], targets[:, swap]), query),
    )


def test_string_names_are_fine():
    """easyfsl: string labels raise inside torch; here classes have names and labels are numbers."""
    pool = Pool(np.zeros((4, 1, 8, 8), np.uint8), [0, 0, 1, 1], names=["ka", "kha"])
    assert pool.names == ["ka", "kha"]


def test_labels_are_read_without_loading_a_picture(pool, monkeypatch):
    """learn2learn: `MetaDataset` loads every image to read its label."""

    def refuse(*_):
        raise AssertionError("a picture was loaded")

    monkeypatch.setattr(Pool, "take", refuse)
    monkeypatch.setattr(Pool, "images", property(refuse))
    part, _ = pool.split((0.5, 0.5), seed=0)
    tasks = ClassificationTasks(part, n_query=3)
    assert "n_way=5" in tasks.identity
    with pytest.raises(AssertionError, match="a picture was loaded"):
        tasks.episode(0)


def test_support_never_reappears_among_the_queries(pool):
    """learn2learn: with replacement=True in 95 of 100 episodes."""
    batch = ClassificationTasks(pool, n_way=5, n_shot=5, n_query=15).batch(range(100))
    both = torch.cat([batch.support.rows, batch.query.rows], dim=1)
    assert all(len(rows.unique()) == both.shape[1] for rows in both)


def test_episodes_leave_nothing_behind_in_memory(pool):
    """learn2learn: descriptions of all tasks ever drawn are kept."""
    tasks = ClassificationTasks(pool, n_query=3)
    tasks.episode(0)
    held = set(vars(tasks))
    for i in range(1, 200):
        tasks.episode(i)
    assert set(vars(tasks)) == held


def test_two_episodes_in_a_batch_are_not_mixed():
    """learn2learn: `PrototypicalClassifier` averages the prototypes of two episodes."""
    head = heads.Prototypical()
    z = torch.tensor([[[0.0], [1.0]], [[10.0], [11.0]]])
    centres = head.fit(z, torch.eye(2).expand(2, 2, 2)).centres
    assert torch.equal(centres, z)
