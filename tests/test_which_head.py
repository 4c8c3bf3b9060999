"""The page that compares all heads is made from results that are there, and names every head."""

import measure_heads
import pytest
import torch
from heads_page import CHAPTERS, POOLS, ROOT, cell, results, table, tables

import metalearn as ml
from metalearn import heads

WHAT = ["shared", "own"]


def test_every_head_is_measured_and_leads_to_its_chapter():
    measured = {title.partition(",")[0] for title in results("shared")["heads"]}
    registered = {type(heads.create(name)).__name__ for name in heads.names()}
    assert measured == registered == set(CHAPTERS)
    assert all((ROOT / f"book/part3/{chapter}.ipynb").is_file() for chapter in CHAPTERS.values())


@pytest.mark.parametrize("what", WHAT)
def test_results_are_of_the_heads_that_the_script_measures(what):
    candidates = measure_heads.candidates(torch.zeros(64))
    titles = [c.title for c in candidates if what == "shared" or c.own]
    found = results(what)
    assert list(found["heads"]) == titles
    assert found["about"]["steps"] == measure_heads.STEPS[what]
    assert found["about"]["episodes"] == measure_heads.EPISODES
    assert found["about"]["ways"].keys() == POOLS.keys()


@pytest.mark.parametrize("what", WHAT)
def test_tables_show_what_was_measured(what):
    text = tables(what)
    for title, row in results(what)["heads"].items():
        assert f"[{title.partition(',')[0]}](" in text
        for values in row["scores"].values():
            assert f"{values[0]:.1f} ± {values[1]:.1f}" in text.replace("\N{NO-BREAK SPACE}", " ")


def shown(values: list[float]) -> str:
    return cell(values).replace("\N{NO-BREAK SPACE}", " ")


def test_a_difference_is_bold_if_its_interval_leaves_out_zero():
    assert shown([95.04, 0.31, 0.0, 0.0]) == "95.0 ± 0.3"
    assert shown([95.04, 0.31, 1.2, 1.3]) == "95.0 ± 0.3<br>+1.2 ± 1.3"
    assert shown([95.04, 0.31, -1.2, 1.1]) == "95.0 ± 0.3<br>**-1.2 ± 1.1**"


def test_a_table_by_hand():
    rows = {
        "Prototypical": {"transductive": False, "scores": {"mnist, 5-shot": [90.0, 1.0, 0.0, 0.0]}},
        "SoftKMeans": {"transductive": True, "scores": {"mnist, 5-shot": [91.0, 1.0, 1.0, 0.5]}},
    }
    assert table(rows, {"mnist": 5}, 5).replace("\N{NO-BREAK SPACE}", " ").splitlines() == [
        "**5 examples of each class**",
        "",
        "| head | mnist, 5-way |",
        "| --- | ---: |",
        "| [Prototypical](10_prototypical.ipynb) | 90.0 ± 1.0 |",
        "| [SoftKMeans](13_transductive.ipynb) † | 91.0 ± 1.0<br>**+1.0 ± 0.5** |",
    ]


@pytest.mark.parametrize("title", ["Prototypical", "Ridge"])
def test_the_script_measures_heads_on_networks_of_their_own(title, monkeypatch):
    """A few steps on digits, as an example of what takes minutes on a GPU."""
    digits = ml.load_pool("digits").resize(16)
    known, new = digits.split((0.5, 0.5), seed=0)
    monkeypatch.setattr(measure_heads, "scripts", lambda: (known, new))
    monkeypatch.setattr(measure_heads, "EPISODES", 4)
    monkeypatch.setitem(measure_heads.STEPS, "own", 8)
    monkeypatch.setattr(
        measure_heads, "TRAINING", {"n_way": 3, "n_shot": 1, "n_query": 2, "seed": 0}
    )
    monkeypatch.setattr(measure_heads, "JUDGED", {"n_way": 3, "n_shot": 1, "n_query": 2, "seed": 0})
    row = measure_heads.own_row({"digits": (new, 4)}, "cpu", title)
    kept = measure_heads.written({"first": row, "again": row})
    assert kept["again"]["scores"]["digits, 5-shot"][2:] == [0.0, 0.0]
    assert 0 < kept["first"]["scores"]["digits, 1-shot"][0] <= 100
