"""The page of names: every public function and class, with the chapter that derives it.

As a Sphinx extension it adds them to the page `book/back/names` when the book is built.
"""

import inspect
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from sphinx.application import Sphinx

import metalearn

ROOT = Path(__file__).resolve().parents[1]
PAGE = "book/back/names"


def setup(app: Sphinx) -> dict[str, bool]:
    """Ask Sphinx for every page's text before it is parsed."""
    app.connect("source-read", add_names)
    return {"parallel_read_safe": True}


def add_names(app: Sphinx, page: str, source: list[str]) -> None:
    """Add the list to its page, which is read in every build: docstrings change without it."""
    if page == PAGE:
        app.env.note_reread()
        source[0] += listing()


def listing() -> str:
    """The names in Markdown, one section a module."""
    lines, written = [], set()
    for item, names in public_names().items():
        module = names[0].rpartition(".")[0]
        if module not in written:
            written.add(module)
            lines += [f"\n## `{module}`\n"]
        lines += [", ".join(f"`{name}`" for name in names), f": {summary(item)} {link(item)}\n"]
    return "\n".join(lines)


def public_names() -> dict[Callable, list[str]]:
    """Every public function and class, and the names by which `import metalearn as ml` reaches it."""
    modules = {"ml": metalearn} | {
        f"ml.{name}": value
        for name in metalearn.__all__
        if inspect.ismodule(value := getattr(metalearn, name))
    }
    names: dict[Callable, list[str]] = {}
    for path, module in modules.items():
        for name in exported(module):
            item = getattr(module, name)
            if inspect.isclass(item) or inspect.isfunction(item):
                names.setdefault(item, []).append(f"{path}.{name}")
    return names


def exported(module: ModuleType) -> list[str]:
    """What a module names in `__all__`; without one, what it defines and does not call private."""
    if hasattr(module, "__all__"):
        return module.__all__
    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__
    ]


def summary(item: Callable) -> str:
    """The first paragraph of a docstring, on one line."""
    return " ".join(inspect.cleandoc(item.__doc__ or "").partition("\n\n")[0].split())


def derivation(item: Callable) -> tuple[int, str] | None:
    """Number and title of the chapter that the docstring says derives it; None if it says none."""
    said = re.search(r"Derived\s+in\s+chapter\s+(\d+),\s+\*([^*]+)\*\.", item.__doc__ or "")
    return said and (int(said[1]), " ".join(said[2].split()))


def link(item: Callable) -> str:
    """The chapter that derives it, as a link where the book has this chapter."""
    if not (said := derivation(item)):
        return ""
    number, title = said
    if path := chapters().get(number):
        return f"Derived in [chapter {number}, *{title}*](../{path.parent.name}/{path.name})."
    return f"Derived in chapter {number}, *{title}*."


def chapters() -> dict[int, Path]:
    """The notebook of each chapter in the table of contents, by its number."""
    contents = (ROOT / "_toc.yml").read_text(encoding="utf-8")
    listed = re.finditer(r"book/part\d+/(\d+)_\w+", contents)
    return {int(chapter[1]): ROOT / f"{chapter[0]}.ipynb" for chapter in listed}
