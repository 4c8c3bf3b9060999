"""The benchmark runs, its table and file are complete, and it says what it had to do for easyfsl."""

import json
import math
import subprocess
import sys
from pathlib import Path

import benchmark
import pytest
import torch
from torch.utils.data import Sampler

REASON = "No module named 'easyfsl'"
IN_WORDS = f"easyfsl is not installed ({REASON})"


@pytest.fixture(scope="module")
def quick(tmp_path_factory) -> tuple[str, dict]:
    """What a quick run prints and writes where easyfsl is not installed."""
    folder = tmp_path_factory.mktemp("without_easyfsl")
    (folder / "easyfsl.py").write_text(f"raise ImportError({REASON!r})", "utf-8")
    script, out = Path(benchmark.__file__), folder / "benchmark.json"
    start = f"import sys; sys.path[:0] = {[str(folder), str(script.parent)]}; import benchmark; "
    arguments = ["--quick", "--repetitions", "2", "--out", str(out)]
    done = subprocess.run(
        [sys.executable, "-c", f"{start}benchmark.main({arguments})"],
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    return done.stdout, json.loads(out.read_text("utf-8"))


def test_it_says_that_easyfsl_is_missing(quick):
    printed, written = quick
    assert printed.startswith(IN_WORDS)
    assert written["about"]["note"].startswith(IN_WORDS)
    assert "easyfsl" not in written["about"]["versions"]


def test_every_contestant_has_a_finite_ratio_and_a_line(quick):
    printed, written = quick
    forms = {
        "sampling": ["bytes", "floats"],
        "training": benchmark.PRECISIONS,
        "evaluation": benchmark.PRECISIONS,
    }
    assert written["found"].keys() == forms.keys()
    for what, rows in written["found"].items():
        assert what in printed
        assert set(rows) == {
            f"{who}, {form}" for who in ("metalearn", "bare") for form in forms[what]
        }
        for name, row in rows.items():
            ((column, (middle, low, high)),) = row.items()
            assert column == "bare"
            assert 0 < low <= middle <= high < math.inf
            assert f"{name:24}" in printed
            assert f"{middle:.2f} ({low:.2f} to {high:.2f})" in printed


def test_the_file_says_what_was_measured(quick):
    about = quick[1]["about"]
    assert about["versions"]["torch"] in torch.__version__
    assert (about["repetitions"], about["threads"]) == (2, 1)
    assert about["processor"]


def test_ratios_are_taken_within_a_repetition_and_to_the_same_form():
    times = {
        "metalearn, float32": [1.0, 2.0, 4.0],
        "metalearn, bfloat16": [0.5, 1.0, 2.0],
        "bare, float32": [1.0, 1.0, 1.0],
        "bare, bfloat16": [0.5, 0.5, 0.5],
        "easyfsl": [3.0, 4.0, 4.0],
    }
    found = benchmark.ratios(times)
    assert found["metalearn, float32"] == {"easyfsl": [2.0, 1.0, 3.0], "bare": [0.5, 0.25, 1.0]}
    assert found["metalearn, bfloat16"] == {"easyfsl": [4.0, 2.0, 6.0], "bare": [0.5, 0.25, 1.0]}
    assert found["easyfsl"]["bare"] == [0.25, 0.25, 0.3333]


def test_all_run_as_often_and_the_first_time_does_not_count():
    order: list[str] = []
    runs = {name: lambda name=name: order.append(name) for name in "abc"}
    times = benchmark.timed(runs, repetitions=2)
    assert "".join(order) == "abcbcacab"
    assert {len(own) for own in times.values()} == {2}


class Published(Sampler):
    """Hands torch's Sampler an argument, as easyfsl's does."""

    def __init__(self, dataset, n_way, n_shot, n_query, n_tasks):
        super().__init__(data_source=None)
        self.settings = n_way, n_shot, n_query, n_tasks


class Mended(Published):
    def __init__(self, dataset, *settings):
        self.settings = settings


@pytest.mark.skipif("__init__" in vars(Sampler), reason="this torch takes the argument")
def test_the_argument_that_torch_refuses_is_passed_over_and_this_is_said():
    with pytest.raises(TypeError):
        Published([], 5, 1, 15, 4)
    sampler, note = benchmark.sampler_of(Published, [], episodes=4)
    assert sampler.settings == (5, 1, 15, 4)
    assert note.startswith(
        f"easyfsl's Published raises on torch {torch.__version__} (object.__init__()"
    )
    assert "passed over" in note
    with pytest.raises(TypeError):
        Published([], 5, 1, 15, 4)


def test_a_sampler_that_works_as_published_is_left_alone():
    sampler, note = benchmark.sampler_of(Mended, [], episodes=4)
    assert (sampler.settings, note) == ((5, 1, 15, 4), "")
