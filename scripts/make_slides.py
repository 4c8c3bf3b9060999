"""Make a deck of slides for each part of the book, in `build/slides/`, from the chapters' own cells.

usage: python scripts/make_slides.py [folder; default: build/slides]

A chapter opens with its title and its first paragraph. The tags of cells choose its other slides:

slide   a slide begins with this cell
more    the slide goes on with this cell

On a cell of text such a tag takes all paragraphs; `slide-2` begins with the second alone, `more-4` goes on
with the fourth. A formula, a list and a table count as paragraphs, a heading does not: the heading above
is the title of the slide. A code cell shows its code and what it prints, a cell with a picture only the
picture and its caption. A guess hides its default, and a link to another page of the book becomes words.
"""

import re
import struct
import sys
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat
import yaml
from markdown_it import MarkdownIt
from mdit_py_plugins.dollarmath import dollarmath_plugin
from nbformat import NotebookNode, v4
from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parents[1]
MARKDOWN = MarkdownIt("commonmark").enable("table").use(dollarmath_plugin)
TAG = re.compile(r"(slide|more)(?:-([1-9]\d*))?")
ROOM = 13.5  # how many lines of text fit below the title of a slide; slides.css sets their size
KEYS = "Arrow keys turn the slides, Esc shows all of them, F fills the screen."
SETTINGS = {
    "extensions": ["myst_nb", "sphinx_revealjs", "sphinx-mathjax-offline"],
    "html_copy_source": False,
    "html_use_index": False,
    "myst_enable_extensions": ["amsmath", "dollarmath"],
    "nb_execution_mode": "off",
    "nb_merge_streams": True,
    "nb_mime_priority_overrides": [("revealjs", "image/png", 1), ("revealjs", "text/plain", 2)],
    "revealjs_css_files": ["slides.css"],
    "revealjs_html_theme": "revealjs-simple",
    "revealjs_script_conf": {"width": 1280, "height": 720, "margin": 0, "center": False}
    | {"display": "flex", "hash": True, "navigationMode": "linear", "transition": "none"}
    | {"controls": False, "slideNumber": "c/t"},
    "revealjs_script_plugins": [
        {"name": "RevealHighlight", "src": "revealjs/plugin/highlight/highlight.js"}
    ],
    "revealjs_static_path": [str(ROOT / "scripts" / "slides.css")],
    "revealjs_style_theme": "white",
}


@dataclass
class Slide:
    title: str
    cells: list[NotebookNode] = field(default_factory=list)


def parts() -> dict[str, list[Path]]:
    """The chapters of each part that has any, by the part's title."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    found = {}
    for part in toc["parts"]:
        paths = [(ROOT / entry["file"]).with_suffix(".ipynb") for entry in part["chapters"]]
        if chapters := [path for path in paths if path.match("part*/*") and path.exists()]:
            found[f"Part {len(found) + 1}: {part['caption']}"] = chapters
    return found


def slides(path: Path) -> list[Slide]:
    """The slides of a chapter; the first has its title and its first paragraph."""
    (title, sentence, _), *rest = pieces(path)
    made = [Slide(title, [sentence])]
    for heading, cell, said in rest:
        if said == "slide":
            made.append(Slide(heading))
        if said:
            made[-1].cells.append(cell)
    if len(made) == 1:
        sys.exit(f"{path.name}: no cell is tagged for a slide")
    for slide in made:
        if (lines := sum(map(height, slide.cells))) > ROOM:
            sys.exit(f"{path.name}: {slide.title!r} has {lines:.1f} lines, and room for {ROOM}")
    return made


def pieces(path: Path) -> Iterator[tuple[str, NotebookNode, str | None]]:
    """Each code cell and each paragraph, with the heading above it and what its tag says."""
    heading = ""
    for cell in nbformat.read(path, as_version=4).cells:
        tags = cell.metadata.get("tags", [])
        said = {int(tag[2] or 0): tag[1] for tag in map(TAG.fullmatch, tags) if tag}
        if cell.cell_type == "code" and cell.source and "remove-cell" not in tags:
            yield heading, code_cell(cell), said.pop(0, None)
        number, whole = 0, None
        for is_heading, text in blocks(cell.source) if cell.cell_type == "markdown" else ():
            if is_heading:
                heading = text.lstrip("# ")
            else:
                number += 1
                whole = said.pop(0, whole and "more")
                yield heading, text_cell(text), said.pop(number, whole)
        for number, word in said.items():
            tag = f"{word}-{number}" if number else word
            sys.exit(f"{path.name}: below {heading!r} the tag {tag!r} has nothing to show")


def blocks(source: str) -> Iterator[tuple[bool, str]]:
    """Each heading, paragraph, formula, list and table, and whether it is a heading."""
    lines = source.splitlines()
    for token in MARKDOWN.parse(source):
        if token.level == 0 and token.map:
            yield token.type == "heading_open", "\n".join(lines[slice(*token.map)]).strip()


def text_cell(text: str) -> NotebookNode:
    return v4.new_markdown_cell(re.sub(r"\[([^\]]+)\]\((?!https?:)[^)]+\)", r"\1", text))


def code_cell(cell: NotebookNode) -> NotebookNode:
    """The cell with the tags that myst-nb and slides.css heed, and no others."""
    source, tags = cell.source, []
    if guess := re.search(r"(?m)^(guess\w* =)\s(?:\(\s+)?[^#\n]+?(  #.*)?$", source):
        source, tags = f"{guess[1]} ...{guess[2] or ''}", ["guess"]
    if picture_of(cell):
        tags = ["remove-input", "beside"] if is_larger_beside_caption(cell) else ["remove-input"]
    return v4.new_code_cell(source, outputs=cell.outputs, metadata=cell.metadata | {"tags": tags})


def picture_of(cell: NotebookNode) -> str | None:
    pictures = (output.get("data", {}).get("image/png") for output in cell.outputs)
    return next(filter(None, pictures), None)


def wrapped(text: str, width: int) -> int:
    """How many lines a text takes, so many characters wide."""
    return sum(max(1, ceil(len(line) / width)) for line in text.splitlines())


def caption_lines(cell: NotebookNode) -> int:
    return wrapped(cell.metadata.mystnb.figure.caption, 95)


def is_larger_beside_caption(cell: NotebookNode) -> bool:
    """Whether the picture, a PNG, fits larger into the room beside its caption than above it."""
    width, height = struct.unpack(">II", b64decode(picture_of(cell))[16:24])
    above = min(1180 / width, (580 - 34 * caption_lines(cell)) / height)
    return min(760 / width, 580 / height) > above


def height(cell: NotebookNode) -> float:
    """How many lines of text the cell takes, rather too many than too few."""
    if cell.cell_type == "code":
        if picture_of(cell):
            return 7 + caption_lines(cell)
        printed = [o.get("text") or o.get("data", {}).get("text/plain") for o in cell.outputs]
        return sum(0.9 + 0.7 * wrapped(text, 80) for text in [cell.source, *printed] if text)
    if cell.source.startswith("$$"):
        return 3.8 if "brace" in cell.source else 2.8
    text = re.sub(r"[\]\[{}$*`_^]|\(https?:[^)]*\)", "", cell.source)
    text = re.sub(r"\\[a-zA-Z]+", "x", text)
    return 0.4 + wrapped(text, 78) * (1.2 if text.startswith("|") else 1)


def deck(title: str, book: str, chapters: list[list[Slide]]) -> NotebookNode:
    """A notebook whose headings are titles of slides: part, chapters, and the slides below them."""
    links = [f'- <a href="#/{n}">{first.title}</a>' for n, (first, *_) in enumerate(chapters, 1)]
    cells = [v4.new_markdown_cell("\n".join([f"# {title}", "", book, "", *links]))]
    for first, *rest in chapters:
        for level, slide in [("##", first), *(("###", slide) for slide in rest)]:
            cells += [v4.new_markdown_cell(f"{level} {slide.title}"), *slide.cells]
    return v4.new_notebook(cells=cells, metadata={"language_info": {"name": "python"}})


def main(folder: str | Path = ROOT / "build" / "slides") -> None:
    """Make all decks and a page that leads to them; as one Sphinx project they share MathJax."""
    book = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))["title"]
    index = [f"# {book}", "", KEYS, "", "```{toctree}", ":maxdepth: 1"]
    with TemporaryDirectory() as source:
        for title, chapters in parts().items():
            index.append(chapters[0].parent.name)
            made = deck(title, book, [slides(path) for path in chapters])
            nbformat.write(made, Path(source, f"{index[-1]}.ipynb"))
        Path(source, "index.md").write_text("\n".join([*index, "```"]), encoding="utf-8")
        places = source, None, folder, Path(source, "doctrees")
        Sphinx(*places, "revealjs", SETTINGS, status=None, warningiserror=True).build()
    print(f"open {Path(folder, 'index.html')}")


if __name__ == "__main__":
    main(*sys.argv[1:])
