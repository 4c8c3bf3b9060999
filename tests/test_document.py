"""What the source document says leads to a chapter, to code that it uses and to a figure that it has."""

import re
from dataclasses import dataclass
from functools import reduce
from pathlib import Path

import pytest
from api_page import chapters
from book_sections import captions, sections

import metalearn as ml

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "book" / "back" / "document.md"
TEXT = PAGE.read_text(encoding="utf-8")
NUMBERS = "1, 2, 3.1, 3.2, 3.3, 3.4, 4, 5, 6.1, 6.2, 6.3, 6.4, 7, 8.1, 8.2"


@dataclass
class Row:
    number: str
    says: str
    chapters: list[Path]
    code: list[str]
    caption: str
    figure: str

    @classmethod
    def read(cls, line: str) -> "Row":
        said, book = re.fullmatch(r"\| (.*) \| (.*) \|", line).groups()
        where, code, figure = book.split("<br>")
        number, says = re.match(r"\*\*([\d.]+)\*\* (.*)", said).groups()
        caption, target = re.fullmatch(r"Figure: \[(.+)\]\((\S+)\)", figure).groups()
        linked = [PAGE.parent / each for each in re.findall(r"\]\(([^)#]+)", where)]
        return cls(number, says, linked, re.findall(r"`(\S+)`", code), caption, target)


ROWS = [Row.read(line) for line in TEXT.splitlines() if line.startswith("| **")]
EACH = [pytest.param(row, id=row.number) for row in ROWS]


def test_every_section_of_the_document_has_its_rows() -> None:
    assert ", ".join(row.number for row in ROWS) == NUMBERS


@pytest.mark.parametrize("row", EACH)
def test_row_quotes_the_document_and_says_it_in_english(row: Row) -> None:
    assert re.match(r"[\u4e00-\u9fff]+ \([a-z -]+\)<br>[A-Z].+\.$", row.says)


@pytest.mark.parametrize("row", EACH)
def test_code_is_public_and_a_chapter_of_the_row_has_it(row: Row) -> None:
    for name in row.code:
        reduce(getattr, name.removeprefix("ml.").split("."), ml)
        texts = [path.read_text(encoding="utf-8") for path in row.chapters if path.exists()]
        assert any(name in text for text in texts), name


@pytest.mark.parametrize("row", EACH)
def test_figure_stands_where_the_link_leads(row: Row) -> None:
    page, _, place = row.figure.partition("#")
    path = PAGE.parent / page
    assert path in row.chapters
    said = row.caption.replace("`", "")
    assert any(each.replace("`", "").startswith(said) for each in captions(path.resolve())[place])


@pytest.mark.parametrize("path", chapters().values(), ids=lambda path: path.stem)
def test_every_chapter_makes_something_of_the_document_true(path: Path) -> None:
    """Chapters 8 to 13 derive heads; their part is named with section 4, and they need no row each."""
    if not 8 <= int(path.stem[:2]) <= 13:
        assert f"/{path.name}" in TEXT


def test_links_within_pages_lead_to_headings() -> None:
    for page, place in re.findall(r"\]\((\S+?)#(\S+?)\)", TEXT):
        assert place in sections((PAGE.parent / page).resolve()), (page, place)
