"""Every public name of the package says which chapter derives it, and that chapter does."""

import inspect
import re
from functools import cache
from pathlib import Path

import nbformat
import pytest
from names_page import chapters, derivation, listing, public_names, title

ITEMS = [pytest.param(item, names, id=names[0]) for item, names in public_names().items()]
CHAPTERS = chapters()
DERIVED = [item for item in ITEMS if (said := derivation(item.values[0])) and said[0] in CHAPTERS]


@cache
def code_and_words(path: Path) -> tuple[str, set[str]]:
    """The code of a chapter's cells, and what its text sets as code."""
    cells = nbformat.read(path, as_version=4).cells
    code = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
    text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    return code, set(re.findall(r"`([^`\n]+)`", text))


@pytest.mark.parametrize(("item", "names"), ITEMS)
def test_docstring_says_which_chapter_derives_it(item, names) -> None:
    assert derivation(item), "its docstring has no line: Derived in chapter N, *Title*."


@pytest.mark.parametrize(("item", "names"), DERIVED)
def test_the_chapter_has_this_title_and_uses_the_name(item, names) -> None:
    """Used in a code cell; a class that users only receive, such as a report, may be explained instead."""
    number, named = derivation(item)
    assert named == title(CHAPTERS[number])
    code, words = code_and_words(CHAPTERS[number])
    used = any(re.search(rf"\b{re.escape(name)}\b", code) for name in names)
    assert used or (inspect.isclass(item) and words & {*names, item.__name__}), (
        f"chapter {number} does not use {' or '.join(names)}"
    )


def test_page_lists_every_name_once_and_links_the_chapters_that_exist() -> None:
    text = listing()
    for names in public_names().values():
        assert text.count("\n" + ", ".join(f"`{name}`" for name in names) + "\n: ") == 1
    prototypical = text.split("`ml.heads.Prototypical`\n", 1)[1].splitlines()[0]
    assert prototypical == (
        ": Each class is the mean of its support embeddings; a query is scored by its distance to it. "
        "Derived in [chapter 10, *Prototypical networks*](../part3/10_prototypical.ipynb)."
    )


def test_public_names_are_found_without_all_and_by_every_spelling() -> None:
    names = list(public_names().values())
    assert ["ml.metrics.accuracy"] in names
    assert ["ml.backbones.Conv4", "ml.backbones.conv4"] in names
