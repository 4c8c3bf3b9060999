"""What stands below each heading of a page of the book."""

import json
import re
from functools import cache
from pathlib import Path

from mdit_py_plugins.anchors.index import slugify


@cache
def sections(path: Path) -> dict[str, str]:
    """The text below each heading, code left out, by the heading's anchor; "" is the whole page."""
    parts = re.split(r"(?m)^(?=#{1,3} )", text_of(path))
    named = {anchor(part.splitlines()[0]): part for part in parts if part.startswith("#")}
    return {"": "".join(parts)} | named


@cache
def captions(path: Path) -> dict[str, list[str]]:
    """The captions of the figures below each heading of a notebook, by the heading's anchor."""
    found: dict[str, list[str]] = {}
    place = ""
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "markdown":
            for heading in re.findall(r"(?m)^#{1,3} .+", unfenced("".join(cell["source"]))):
                place = anchor(heading)
        elif caption := cell["metadata"].get("mystnb", {}).get("figure", {}).get("caption"):
            found.setdefault(place, []).append(caption)
    return found


def text_of(path: Path) -> str:
    """The text of a page without its code."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "markdown"]
        text = "\n\n".join("".join(cell["source"]) for cell in cells)
    return unfenced(text)


def unfenced(text: str) -> str:
    """A text without its code fences."""
    return re.sub(r"(?ms)^```.*?^```$", "", text)


def anchor(heading: str) -> str:
    """The address of a heading within its page, as the built book has it."""
    return slugify(heading.lstrip("# "))
