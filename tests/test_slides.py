"""The decks of slides: that each chapter gives some, that they fit, and that they need no network."""

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import make_slides
import nbformat
import pytest
from make_slides import Slide, slides
from nbformat import NotebookNode, v4

PARTS = make_slides.parts()
CHAPTERS = [path for chapters in PARTS.values() for path in chapters]
PIXEL = (  # a picture of 1 by 1, in base64
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNkYAAAAAYAAjCB0C8AAAAASUVORK5CYII="
)
OPENING = v4.new_markdown_cell("# 1 A chapter\n\nAfter this chapter you can test.")


def text(source: str, *tags: str) -> NotebookNode:
    return v4.new_markdown_cell(source, metadata={"tags": list(tags)})


def code(source: str, *tags: str, outputs: tuple = (), **metadata) -> NotebookNode:
    metadata["tags"] = list(tags)
    return v4.new_code_cell(source, outputs=list(outputs), metadata=metadata)


@pytest.fixture
def chapter(tmp_path):
    """Write these cells as a chapter, and return its slides."""

    def made(*cells: NotebookNode) -> list[Slide]:
        path = tmp_path / "chapter.ipynb"
        nbformat.write(v4.new_notebook(cells=[OPENING, *cells]), path)
        return slides(path)

    return made


# What the tags choose


def shown(slide: Slide) -> list[str]:
    return [cell.source for cell in slide.cells]


def test_a_tag_takes_a_cell_or_a_paragraph(chapter) -> None:
    made = chapter(
        text(
            "Not chosen.\n\n## A heading\n\nOne.\n\n$$\na\n\n= b\n$$\n\n- x\n- y",
            "slide-3",
            "more-4",
        ),
        code("print(1)", "more"),
        text("Not chosen."),
        text("Two.\n\nThree.", "slide"),
    )
    assert [slide.title for slide in made] == ["1 A chapter", "A heading", "A heading"]
    assert [shown(slide) for slide in made] == [
        ["After this chapter you can test."],
        ["$$\na\n\n= b\n$$", "- x\n- y", "print(1)"],
        ["Two.", "Three."],
    ]


@pytest.mark.parametrize(
    ("source", "seen"),
    [
        ("guess = 0.5  # from 0 to 1", "guess = ...  # from 0 to 1"),
        ("guess_ms = 20", "guess_ms = ..."),
        ("guess = [1, 2]  # in points", "guess = ...  # in points"),
        ("guess = (\n    0.5  # from 0 to 1\n)", "guess = ...  # from 0 to 1"),
        ("chance = 2\nguess = 3  # more?\nkept = guess", "guess = ...  # more?"),
        ("error = guess - truth", "error = guess - truth"),
    ],
)
def test_a_guess_hides_its_default(chapter, source, seen) -> None:
    assert shown(chapter(code(source, "slide"))[1]) == [seen]


def test_links_within_the_book_become_words(chapter) -> None:
    made = chapter(text("[Chapter 2](02.ipynb) and [a paper](https://arxiv.org/abs/1).", "slide"))
    assert shown(made[1]) == ["Chapter 2 and [a paper](https://arxiv.org/abs/1)."]


def test_of_a_picture_the_code_is_hidden(chapter) -> None:
    picture = v4.new_output("display_data", {"image/png": PIXEL})
    about = {"figure": {"caption": "A point."}, "image": {"alt": "One point"}}
    (cell,) = chapter(code("plt.show()", "slide", outputs=(picture,), mystnb=about))[1].cells
    assert "remove-input" in cell.metadata.tags
    assert cell.metadata.mystnb == about


PRINTING = v4.new_output("stream", text="line\n" * 18)


@pytest.mark.parametrize(
    ("cells", "complaint"),
    [
        ([text("No tag."), code("1 + 1")], "no cell is tagged for a slide"),
        ([text("Words " * 200, "slide")], "'1 A chapter' has .* lines, and room for"),
        ([text("Words " * 100, "slide"), text("Words " * 100, "more")], "has .* lines"),
        ([code("x = 1\n" * 20, "slide")], "has .* lines"),
        ([code("run()", "slide", outputs=(PRINTING,))], "has .* lines"),
        ([text("One.", "slide"), text("## Two", "more")], "below 'Two' the tag 'more' has nothing"),
        ([code("", "slide")], "the tag 'slide' has nothing to show"),
        ([code("import sys", "remove-cell", "slide")], "the tag 'slide' has nothing to show"),
        ([text("One.\n\nTwo.", "slide-3")], "the tag 'slide-3' has nothing to show"),
        ([code("1 + 1", "slide-2")], "the tag 'slide-2' has nothing to show"),
    ],
)
def test_a_chapter_that_makes_no_good_slides_is_named(chapter, cells, complaint) -> None:
    with pytest.raises(SystemExit, match=rf"chapter\.ipynb: .*{complaint}"):
        chapter(*cells)


# The chapters


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_a_chapter_gives_four_to_eight_slides_with_a_guess_and_pictures(path) -> None:
    _, *chosen = slides(path)
    cells = [cell for slide in chosen for cell in slide.cells]
    assert 4 <= len(chosen) <= 8
    assert any("guess" in cell.metadata.get("tags", []) for cell in cells)
    assert (
        sum(cell.cell_type == "code" and bool(make_slides.picture_of(cell)) for cell in cells) >= 2
    )


# The decks


class Deck(HTMLParser):
    """What a page asks for, where its links lead, and what each of its slides shows."""

    def __init__(self, path: Path):
        super().__init__()
        self.asked: list[str] = []
        self.links: list[str] = []
        self.alts: list[str] = []
        self.slides: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list) -> None:
        found = dict(attrs)
        if tag == "section":
            self.slides.append("")
        if tag == "img":
            self.alts.append(found.get("alt", ""))
        if tag == "a":
            self.links.append(found["href"])
        elif address := found.get("src") or found.get("href"):
            self.asked.append(address.partition("?")[0])

    def handle_data(self, data: str) -> None:
        if self.slides:
            self.slides[-1] += data


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("slides")
    subprocess.run([sys.executable, make_slides.__file__, made], check=True)
    return made


@pytest.fixture(scope="module")
def decks(folder):
    return {path.stem: Deck(path) for path in folder.glob("*.html")}


def test_there_is_a_deck_for_each_part_and_a_page_that_leads_to_it(decks) -> None:
    names = [chapters[0].parent.name for chapters in PARTS.values()]
    assert names == ["part1", "part2", "part3", "part4", "part5"]
    assert sorted(decks) == ["index", *names]
    assert decks["index"].links == [f"{name}.html" for name in names]


def test_decks_ask_for_nothing_but_files_beside_them(decks, folder) -> None:
    asked = {address for deck in decks.values() for address in deck.asked}
    assert any(address.endswith("tex-chtml.js") for address in asked)
    assert [address for address in asked if not (folder / address).is_file()] == []
    style = (folder / "_static" / "slides.css").read_text(encoding="utf-8")
    assert "url(" not in style
    assert "@import" not in style


def test_links_lead_to_a_slide_a_deck_or_a_paper(decks) -> None:
    links = [link for deck in decks.values() for link in deck.links]
    assert [link for link in links if not re.match(r"#/\d+$|part\d\.html$|https://", link)] == []


def test_pictures_keep_their_alternative_text(decks) -> None:
    for chapters in PARTS.values():
        cells = [cell for path in chapters for slide in slides(path) for cell in slide.cells]
        wanted = [cell.metadata.mystnb.image.alt for cell in cells if "mystnb" in cell.metadata]
        assert decks[chapters[0].parent.name].alts == wanted


def test_every_slide_shows_something_below_its_title(decks) -> None:
    for chapters in PARTS.values():
        expected = [slide for path in chapters for slide in slides(path)]
        _, *found = [" ".join(part.split()) for part in decks[chapters[0].parent.name].slides]
        found = [part for part in found if part]
        assert len(found) == len(expected) + 1  # and the title of the part
        assert all(
            len(part) > len(slide.title) + 20
            for part, slide in zip(found[1:], expected, strict=True)
        )
