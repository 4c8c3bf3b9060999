"""The bibliography: every paper of `book/back/bibliography.yml`, and where the book cites it.

As a Sphinx extension it writes the list where the page `book/back/bibliography` says `PAPERS`.
"""

import inspect
import json
import re
from functools import cache
from pathlib import Path

import yaml
from api_page import ROOT, address, public_names
from sphinx.application import Sphinx

PAGE = "book/back/bibliography"
BOOK = ROOT / "book"
PART = r"(?:[^\s\"'<>`()\]\\]|\([^\s()]*\))"  # of an address: a bracket only with its partner
ADDRESS = rf"https?://{PART}*(?<![.,;:])"

MONTH = "January|February|March|April|May|June|July|August|September|October|November|December"
INITIALS = r"(?:[A-Z]\.[ -]?)+"
NAME = rf"(?!{MONTH})(?:van der |Ben )?[A-Z][\w\u2019'-]*[a-zà-ž]"
AUTHORS = rf"(?:{INITIALS})?{NAME}(?:(?:, | and |, and )(?:{INITIALS})?{NAME})*(?: and others)?"
CITATION = rf"({AUTHORS}),? \(?((?:19|20)\d\d)\b"


def setup(app: Sphinx) -> dict[str, bool]:
    """Ask Sphinx for every page's text before it is parsed."""
    app.connect("source-read", add_papers)
    return {"parallel_read_safe": True}


def add_papers(app: Sphinx, page: str, source: list[str]) -> None:
    """Put the list in its place; the page is read in every build: citations change without it."""
    if page == PAGE:
        app.env.note_reread()
        source[0] = re.sub(r"(?m)^PAPERS$", lambda _: listing(), source[0])


def papers() -> list[dict]:
    """The papers, in the order of their authors."""
    return yaml.safe_load((ROOT / f"{PAGE}.yml").read_text(encoding="utf-8"))


def listing() -> str:
    """Every paper that a page of the book or the package cites, in Markdown."""
    return "\n".join(
        written(paper) for paper in papers() if citing_pages(paper) or citing_modules(paper)
    )


def written(paper: dict) -> str:
    """A paper in Markdown, with links to what cites it."""
    title = paper["title"] + ("" if paper["title"].endswith("?") else ".")
    what = f"**{paper['authors']} ({paper['year']}).** {title} *{paper['where']}*."
    pages = [
        f"[{name}](../{path.relative_to(BOOK).as_posix()})"
        for path, name in citing_pages(paper).items()
    ]
    items = [f"{{py:obj}}`{name}`" for name in citing_names(paper)]
    link = f" {address(paper['address'])}." if "address" in paper else ""
    where = [*pages, *items] or [f"`{path}`" for path in citing_modules(paper)]
    return f"- {what}{link} In {', '.join(where)}.\n"


# What cites a paper


def citing_pages(paper: dict) -> dict[Path, str]:
    """The pages that cite it, and what each is called here."""
    return {path: name for path, name in pages().items() if cites(text_of(path), paper)}


def citing_names(paper: dict) -> list[str]:
    """The public names whose docstrings cite it."""
    return [
        names[0]
        for item, names in public_names().items()
        if cites(inspect.getdoc(item) or "", paper)
    ]


def citing_modules(paper: dict) -> list[str]:
    """The files of the package that cite it."""
    files = sorted((ROOT / "metalearn").rglob("*.py"))
    return [
        path.relative_to(ROOT).as_posix()
        for path in files
        if cites(path.read_text(encoding="utf-8"), paper)
    ]


def cites(text: str, paper: dict) -> bool:
    """Whether a text has the paper's address, or its authors with its year."""
    return paper.get("address") in addresses(text) or any(
        is_meant(names, year, paper) for names, year in citations(text)
    )


@cache
def addresses(text: str) -> set[str]:
    """Every address in a text."""
    return set(re.findall(ADDRESS, text))


@cache
def citations(text: str) -> list[tuple[str, str]]:
    """ "Snell, Swersky and Zemel (2017)", "J. Snell and others, 2017": authors and year, as written."""
    return re.findall(CITATION, text)


def is_meant(names: str, year: str, paper: dict) -> bool:
    """Whether these authors and this year are the paper's; the last of them may be left out."""
    surnames = re.sub(rf"{INITIALS}| and others", "", names)
    said = re.split(r", and |, | and ", surnames)
    ours = [paper["authors"].split(", "), paper.get("together", "").split(" and ")]
    return int(year) == paper["year"] and any(said == each[: len(said)] for each in ours)


def pages() -> dict[Path, str]:
    """The pages of the book in their order, chapters by their number, without the bibliography."""
    contents = (ROOT / "_toc.yml").read_text(encoding="utf-8")
    found = {}
    for name in re.findall(r"(?:root|file): (book/\S+)", contents):
        path = next(path for end in (".ipynb", ".md") if (path := ROOT / f"{name}{end}").exists())
        if name != PAGE:
            chapter = re.match(r"\d\d(?=_)", path.name)
            found[path] = f"chapter {int(chapter[0])}" if chapter else title(path)
    return found


def title(path: Path) -> str:
    """The title of a page."""
    return re.match(r"# (.+)", text_of(path))[1]


@cache
def text_of(path: Path) -> str:
    """The text of a page, without code and outputs."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        return text
    cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "markdown"]
    return "\n\n".join("".join(cell["source"]) for cell in cells)
