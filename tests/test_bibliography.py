"""What is cited anywhere is in the bibliography, and what is in the bibliography is cited."""

import re
from itertools import pairwise
from pathlib import Path

import pytest
from bibliography_page import (
    BOOK,
    ROOT,
    addresses,
    citations,
    cites,
    is_meant,
    papers,
    text_of,
    written,
)

PAPERS = papers()
EACH = [
    pytest.param(paper, id=f"{paper['authors'].split(',')[0]}-{paper['year']}") for paper in PAPERS
]
KNOWN = {paper["address"] for paper in PAPERS if "address" in paper}

ADDRESS = r"https://(arxiv\.org/abs/\d{4}\.\d{4,5}$|doi\.org/10\.|\S+\.(html|pdf)$)"

# Addresses that are no papers: programs, their pages, licences, the book itself.
OTHER = r"""https?://(
    (www\.)?(pytorch|scikit-learn|github|jupyterbook|creativecommons|python)\.(org|com)
  | [\w-]+\.readthedocs\.io | docs\.\S+ | colab\.research\.google\.com | learn2learn\.net
  | \.\.\. | example\.org | 127\.0\.0\.1 | localhost | openfontlicense\.org | scripts\.sil\.org
)"""


FILES = [
    path
    for path in [*sorted(BOOK.rglob("*")), *sorted((ROOT / "metalearn").rglob("*.py"))]
    if path.suffix in {".md", ".ipynb", ".py"} and ".ipynb_checkpoints" not in path.parts
]
EVERY_FILE = [pytest.param(path, id=path.relative_to(ROOT).as_posix()) for path in FILES]


def read(path: Path) -> str:
    return text_of(path) if path.suffix == ".ipynb" else path.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", EVERY_FILE)
def test_every_paper_that_is_cited_is_in_the_bibliography(path) -> None:
    unknown = {each for each in addresses(read(path)) if not re.match(OTHER, each, re.X)} - KNOWN
    assert sorted(unknown) == [], "neither a paper of bibliography.yml nor another known address"


@pytest.mark.parametrize("path", EVERY_FILE)
def test_authors_and_years_in_text_are_those_of_a_paper(path) -> None:
    """ "Snell, Swersky and Zemel (2017)", "Chen and others (2019)": each name with its year."""
    for names, year in citations(read(path)):
        assert any(is_meant(names, year, paper) for paper in PAPERS), f"{names} ({year})"


@pytest.mark.parametrize("paper", EACH)
def test_every_paper_is_cited(paper) -> None:
    assert any(cites(read(path), paper) for path in FILES)


@pytest.mark.parametrize("paper", EACH)
def test_paper_is_complete(paper) -> None:
    assert paper.keys() - {"address", "together"} == {"authors", "year", "title", "where"}
    assert 1900 < paper["year"] < 2100
    assert re.match(ADDRESS, paper.get("address", "https://doi.org/10."))
    assert not re.search(r"[A-Z]\.|\band\b|et al", paper["authors"]), "surnames only, all of them"
    assert not paper["title"].endswith(".")


def test_papers_stand_in_the_order_of_their_authors_and_none_twice() -> None:
    def key(paper):
        return (paper["authors"].lower(), paper["year"])

    assert all(key(a) < key(b) for a, b in pairwise(PAPERS))
    given = [paper["address"] for paper in PAPERS if "address" in paper]
    assert len(KNOWN) == len(given)


def test_a_paper_is_written_with_what_cites_it() -> None:
    snell = next(paper for paper in PAPERS if paper["authors"].startswith("Snell"))
    made = written(snell)
    assert made.startswith("- **Snell, Swersky, Zemel (2017).** Prototypical networks")
    assert "[chapter 10](../part3/10_prototypical.ipynb)" in made
    assert "{py:obj}`ml.heads.Prototypical`" in made


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("J. Snell, K. Swersky, R. Zemel (2017). Pro", ("Snell, Swersky, Zemel", "2017")),
        ("Snell and others, 2017", ("Snell", "2017")),
        ("in chapter 3 (2017)", None),
    ],
)
def test_a_citation_is_recognised(text, found) -> None:
    matches = citations(text)
    assert bool(matches) == bool(found)
    assert not found or is_meant(
        *matches[0], next(p for p in PAPERS if p["authors"].startswith("Snell"))
    )
