"""The API reference lists every public name once; every docstring says which chapter derives it."""

import inspect
import re
from functools import cache
from pathlib import Path

import api_page
import nbformat
import pytest
from api_page import chapters, derivation, entry, listed, pages, prose, public_names, public_values

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


# What is listed, and where


def test_every_module_with_public_names_is_listed_on_one_page() -> None:
    on_pages = [module for page in pages() for module in listed(page)]
    assert sorted(on_pages) == sorted({item.__module__ for item in NAMES})


def test_every_page_of_the_reference_is_in_the_table_of_contents() -> None:
    folder = api_page.ROOT / api_page.INDEX
    assert sorted(pages()) == sorted(folder.glob("*.md"))


@pytest.mark.parametrize("name", public_values())
def test_a_public_value_is_described_by_hand(name) -> None:
    texts = [page.read_text(encoding="utf-8") for page in pages()]
    assert sum(f"{{py:data}} {name}\n" in text for text in texts) == 1


def test_names_are_found_without_all_and_by_every_spelling() -> None:
    assert NAMES[ml.metrics.accuracy] == ["ml.metrics.accuracy"]
    assert NAMES[ml.backbones.Conv4] == ["ml.backbones.Conv4", "ml.backbones.conv4"]


# How an entry is written


@pytest.mark.parametrize(("item", "names"), each(NAMES))
def test_an_entry_says_all_that_the_docstring_says(item, names) -> None:
    """Every word of a docstring is in its entry, in the same order, whatever becomes of the form."""
    written = iter(re.findall(r"\w+", entry(item, names)))
    said = re.sub(r"(?m)^\w+:$", "", inspect.cleandoc(item.__doc__))  # Args: and the like
    missing = [word for word in re.findall(r"\w+", said) if word not in written]
    assert not missing, f"from here on: {missing[:5]}"


@pytest.mark.parametrize(("item", "names"), each(NAMES))
def test_an_entry_has_no_address_of_an_object_and_no_module(item, names) -> None:
    head = entry(item, names).splitlines()[0]
    assert not re.search(r" at 0x|<|metalearn\.|torch\.|typing\.", head.replace(" -> ", ""))


def small(x: int, *, scale: float = 0.1, rule=ml.metrics.accuracy, pool: ml.Pool = None) -> list:
    r"""The $x$-th of [B, N] scores, of `Pool` and not of `pool`.

    A term with $\|z\|^2$ in it.

    Langford (2007), https://papers.nips.cc/a/b.html; Snell, https://arxiv.org/abs/1703.05175.

    Args:
        x: which one,
            if any.
        scale, rule: two more.

    Returns:
        [B], its value

    Raises:
        ValueError: no such number.

    Example:
        >>> 1 + 1
        2

    Derived in chapter 99, *Not
    written*.
    """


SMALL = r"""
::::{py:function} ml.small(x: int, *, scale: float = 0.1, rule = accuracy, pool: ml.Pool = None) -> list

The $x$-th of `[B, N]` scores, of {py:obj}`Pool <ml.Pool>` and not of `pool`.

A term with $\|z\|^2$ in it.

Langford (2007), [papers.nips.cc](https://papers.nips.cc/a/b.html); Snell, [arXiv:1703.05175](https://arxiv.org/abs/1703.05175).

**Arguments**

- `x`: which one, if any.
- `scale`, `rule`: two more.

**Returns** `[B]`, its value

**Raises**

- `ValueError`: no such number.

```pycon
>>> 1 + 1
2
```

Derived in chapter 99, *Not written*.
::::
"""


def test_an_entry_is_markdown() -> None:
    made = re.sub(r"\n\n+", "\n\n", entry(small, ["ml.small"]))
    assert made.replace("\n\n::::\n", "\n::::\n") == SMALL.lstrip()


def test_a_class_lists_its_methods_and_what_it_is() -> None:
    made = entry(ml.heads.Prototypical, NAMES[ml.heads.Prototypical])
    assert "It is a {py:obj}`Head <ml.heads.Head>`" in made
    made = entry(ml.MetricLearner, NAMES[ml.MetricLearner])
    assert ":::{py:method} load(path: str | Path) -> Self\n:classmethod:\n" in made
    assert ":::{py:property} device\n" in made


def test_only_a_chapter_that_exists_is_linked() -> None:
    said = "Derived in chapter 10, *Prototypical networks*."
    assert prose(said) == (
        "Derived in [chapter 10, *Prototypical networks*](../../part3/10_prototypical.ipynb)."
    )
    assert prose("Derived in chapter 99, *Not*.") == "Derived in chapter 99, *Not*."
