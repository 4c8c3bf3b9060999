"""Every plot returns the Axes that it drew on, and shows what it was given."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

import metalearn as ml
from metalearn import plots


@pytest.fixture(autouse=True)
def closed():
    """No figure outlives its test."""
    yield
    plt.close("all")


def report(*scores, metric="accuracy", percent=True):
    return ml.Report(np.array(scores), metric, percent, tasks="some")


def words(ax):
    return [text.get_text().strip() for text in ax.texts]


def test_scores_show_reports_guess_and_chance_in_percent():
    ax = plots.scores({"a": report(0.4, 0.6), "b": report(0.8, 1.0)}, guess=0.7, chance=0.2)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "b"]
    drawn = {float(line.get_xdata()[0]) for line in ax.get_lines()}
    assert {50.0, 90.0, 70.0, 20.0} <= {round(x, 6) for x in drawn}
    assert words(ax) == ["your guess", "chance"]
    assert ax.get_xlim() == (0, 100)
    assert ax.get_xlabel() == "accuracy (%)"


def test_scores_of_other_units_are_as_they_are():
    ax = plots.scores({"a": report(4.0, 6.0, metric="mean_squared_error", percent=False)})
    assert ax.get_xlabel() == "mean squared error"
    assert words(ax) == []


def test_axes_write_f1_as_people_do():
    assert plots.scores({"a": report(0.4, 0.6, metric="macro_f1")}).get_xlabel() == "macro F1 (%)"


@pytest.mark.parametrize("best", [0.9, 3.0])
def test_training_names_what_validation_measures(best):
    history = ml.History([3.0, 2.0, 1.0], [1, 3], [0.5, best], best, metric="macro_f1")
    ax = plots.training(history)
    right = next(other for other in ax.figure.axes if other is not ax)
    assert right.get_ylabel() == "validation macro F1"
    assert (right.get_ylim()[1] == 1) == (best <= 1)


def test_regions_are_coloured_by_the_answer():
    ax = plots.regions(lambda points: (points[:, 0] > 1).long(), low=0, high=4)
    assert ax.get_xlim() == ax.get_ylim() == (0, 4)
    right, left = (
        any(path.contains_point(place) for path in ax.collections[0].get_paths()[1:])
        for place in ((3, 3), (0.5, 3))
    )
    assert right
    assert not left


def test_embeddings_have_a_name_for_each_class():
    z = torch.randn(20, 5, generator=torch.Generator().manual_seed(0))
    ax = plots.embeddings(z, torch.arange(20) % 2, ["ka", "kha"])
    assert [line.get_label() for line in ax.get_lines()] == ["ka", "kha"]
    assert [len(line.get_xdata()) for line in ax.get_lines()] == [10, 10]


def test_main_plane_keeps_the_directions_of_largest_spread():
    z = torch.randn(200, 4, generator=torch.Generator().manual_seed(0)) * torch.tensor(
        [1, 9, 0.1, 5]
    )
    plane = plots.main_plane(z)
    torch.testing.assert_close(plane.std(0).float(), z.std(0)[[1, 3]], rtol=0.05, atol=0)


def test_episode_shows_the_support_set_above_the_queries(pool):
    batch = ml.ClassificationTasks(pool, n_way=4, n_shot=1, n_query=3).episode(0)
    axes = plots.episode(batch, queries=3)
    assert axes.shape == (2, 4)
    assert [ax.get_title() for ax in axes[0]] == [f"class {k}" for k in range(4)]
    np.testing.assert_array_equal(axes[0, 2].images[0].get_array(), batch.support.x[0, 2, 0])
    assert [ax.get_title() for ax in axes[1]] == ["?", "?", "?", ""]
