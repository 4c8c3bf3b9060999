"""Every public name of the package says which chapter derives it, and that chapter does."""

import inspect
import re
from functools import cache
from pathlib import Path

import nbformat
import pytest
from names_page import chapters, derivation, link, listing, public_names

import metalearn as ml

NAMES = public_names()
CHAPTERS = chapters()
DERIVED = {
    item: names
    for item, names in NAMES.items()
    if (said := derivation(item)) and said[0] in CHAPTERS
}


def each(names: dict) -> list:
    return [pytest.param(item, names, id=names[0]) for item, names in names.items()]


@cache
def contents(path: Path) -> tuple[str, str, set[str]]:
    """A chapter's title, the code of its cells, and what its text sets as code."""
    cells = nbformat.read(path, as_version=4).cells
    code = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
    text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    return re.match(r"# \d+ (.+)", text)[1], code, set(re.findall(r"`([^`\n]+)`", text))


@pytest.mark.parametrize(("item", "names"), each(NAMES))
def test_docstring_says_which_chapter_derives_it(item, names) -> None:
    assert derivation(item), "its docstring has no line: Derived in chapter N, *Title*."


@pytest.mark.parametrize(("item", "names"), each(DERIVED))
def test_that_chapter_has_the_title_and_uses_the_name(item, names) -> None:
    """Used in a code cell; a class that users only receive, such as a report, may be explained instead."""
    number, said = derivation(item)
    title, code, words = contents(CHAPTERS[number])
    used = any(re.search(rf"\b{re.escape(name)}\b", code) for name in names)
    explained = inspect.isclass(item) and words & {*names, item.__name__}
    assert said == title.partition(":")[0]
    assert used or explained, f"chapter {number} does not use {' or '.join(names)}"


def test_every_name_is_listed_once() -> None:
    text = listing()
    for names in NAMES.values():
        assert text.count("\n" + ", ".join(f"`{name}`" for name in names) + "\n: ") == 1


def derived_in_99() -> None:
    """A thing.

    Derived in chapter 99, *Not
    written*.
    """


def test_only_a_chapter_that_exists_is_linked() -> None:
    assert link(derived_in_99) == "Derived in chapter 99, *Not written*."
    assert link(ml.heads.Prototypical) == (
        "Derived in [chapter 10, *Prototypical networks*](../part3/10_prototypical.ipynb)."
    )


def test_names_are_found_without_all_and_by_every_spelling() -> None:
    assert NAMES[ml.metrics.accuracy] == ["ml.metrics.accuracy"]
    assert NAMES[ml.backbones.Conv4] == ["ml.backbones.Conv4", "ml.backbones.conv4"]
