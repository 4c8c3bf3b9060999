"""The tables of the page "Which head when", made from the results of `measure_heads.py`.

As a Sphinx extension it puts them where the page says `TABLES: shared` or `TABLES: own`.
"""

import json
import re
from pathlib import Path

from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "book" / "part3" / "results"
PAGE = "book/part3/which_head"
POOLS = {"glyphs": "glyphs", "digits": "digits", "mnist": "mnist", "omniglot": "Omniglot"}
CHAPTERS = {
    "Prototypical": "10_prototypical",
    "Mahalanobis": "07_distances",
    "Siamese": "08_siamese",
    "Matching": "09_matching",
    "Feat": "09_matching",
    "Relation": "11_relation",
    "Ridge": "12_solvers",
    "SupportVector": "12_solvers",
    "CosineClassifier": "12_solvers",
    "SoftKMeans": "13_transductive",
    "LabelPropagation": "13_transductive",
    "Sinkhorn": "13_transductive",
    "InformationMaximisation": "13_transductive",
}


def setup(app: Sphinx) -> dict[str, bool]:
    """Ask Sphinx for every page's text before it is parsed."""
    app.connect("source-read", add_tables)
    return {"parallel_read_safe": True}


def add_tables(app: Sphinx, page: str, source: list[str]) -> None:
    """Put the tables in their places; the page is read in every build: results change without it."""
    if page == PAGE:
        app.env.note_reread()
        source[0] = re.sub(r"(?m)^TABLES: (\w+)$", lambda found: tables(found[1]), source[0])


def results(what: str) -> dict:
    """What was measured with shared embeddings, or with networks of their own."""
    return json.loads((RESULTS / f"{what}.json").read_text("utf-8"))


def tables(what: str) -> str:
    """A table for 1 shot and one for 5, what the heads cost, and how all was made, in Markdown."""
    found = results(what)
    about, heads = found["about"], found["heads"]
    parts = [table(heads, about["ways"], n_shot) for n_shot in (1, 5)]
    if all("milliseconds" in row for row in heads.values()):
        parts.append(costs(heads))
    made = (
        f"Made by `{about['command']}` (PyTorch {about['torch']}; {about['machine']}; "
        f"{about['episodes']:,} episodes with {about['n_query']} queries a class; "
        f"{about['steps']:,} training steps)."
    )
    return "\n\n".join([*parts, made])


def table(heads: dict[str, dict], ways: dict[str, int], n_shot: int) -> str:
    """Accuracy with its interval, and the paired difference to the first head below it."""
    columns = [f"{POOLS[pool]}, {n_way}-way" for pool, n_way in ways.items()]
    rows = [
        [
            linked(title, row["transductive"]),
            *(cell(row["scores"][f"{pool}, {n_shot}-shot"]) for pool in ways),
        ]
        for title, row in heads.items()
    ]
    examples = "example" if n_shot == 1 else "examples"
    return markdown(f"{n_shot} {examples} of each class", ["head", *columns], rows)


def costs(heads: dict[str, dict]) -> str:
    """How many numbers a head learns across tasks, and how long an episode takes it."""
    rows = [
        [
            linked(title, row["transductive"]),
            f"{row['parameters']:,}",
            f"{row['milliseconds']:.2f}",
        ]
        for title, row in heads.items()
    ]
    return markdown("What it costs", ["head", "parameters", "ms an episode"], rows)


def markdown(title: str, head: list[str], rows: list[list[str]]) -> str:
    """A table of Markdown under its title."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join([f"**{title}**", "", *("| " + " | ".join(line) + " |" for line in lines)])


def cell(values: list[float]) -> str:
    """A mean with its interval, and below it the difference, bold if its interval leaves out 0."""
    mean, half_width, difference, difference_half_width = values
    shown = between(f"{mean:.1f}", half_width)
    if difference_half_width == 0:
        return shown
    compared = between(f"{difference:+.1f}", difference_half_width)
    if abs(difference) > difference_half_width:
        compared = f"**{compared}**"
    return f"{shown}<br>{compared}"


def between(value: str, half_width: float) -> str:
    """A value with its interval, which no line break parts."""
    return f"{value}\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}{half_width:.1f}"


def linked(title: str, transductive: bool) -> str:
    """A head's name with the chapter that derives it, marked if it looks at all queries together."""
    name, comma, options = title.partition(",")
    return f"[{name}]({CHAPTERS[name]}.ipynb){comma}{options}" + (" †" if transductive else "")
