"""What every page of the book keeps to.

A rule is a function that takes a page and returns its complaints. Beside each rule stand pages
that break it, and both are tried: the book gives no complaint, a broken page at least one.
"""

import ast
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import nbformat
import pytest
import set_address
import yaml
from nbformat import NotebookNode, v4

ROOT = Path(__file__).resolve().parents[1]
BOOK = ROOT / "book"
CONFIG = (ROOT / "_config.yml").read_text(encoding="utf-8")


@dataclass
class Page:
    """A notebook, or a page of Markdown as a notebook of one cell."""

    path: Path
    cells: list[NotebookNode]

    @classmethod
    def read(cls, path: Path) -> "Page":
        if path.suffix == ".ipynb":
            return cls(path, nbformat.read(path, as_version=4).cells)
        return cls(path, [v4.new_markdown_cell(path.read_text(encoding="utf-8"))])

    @property
    def code(self) -> list[NotebookNode]:
        return [cell for cell in self.cells if cell.cell_type == "code"]

    @property
    def outputs(self) -> list[NotebookNode]:
        return [output for cell in self.code for output in cell.outputs]

    @property
    def texts(self) -> list[str]:
        """The text of each Markdown cell, without what stands in code fences."""
        cells = [cell.source for cell in self.cells if cell.cell_type == "markdown"]
        return [re.sub(r"(?ms)^(```|~~~)(?!\{).*?^\1$", "", text) for text in cells]


def broken(*cells: str | NotebookNode) -> Page:
    made = [v4.new_markdown_cell(cell) if isinstance(cell, str) else cell for cell in cells]
    return Page(BOOK / "part1" / "broken.ipynb", made)


def code(
    source: str = "1 + 1", count: int | None = 1, outputs: tuple = (), **metadata
) -> NotebookNode:
    return v4.new_code_cell(source, execution_count=count, outputs=list(outputs), metadata=metadata)


SOLUTION = "<details>\n<summary>Solution</summary>\n\nOne.\n\n</details>"
SHOWN = {"image": {"alt": "A line"}, "figure": {"caption": "A line."}}
PICTURE = v4.new_output("display_data", {"image/png": "", "text/plain": "<Figure>"})
PAGES = [
    Page.read(path)
    for path in sorted(BOOK.rglob("*"))
    if path.suffix in {".md", ".ipynb"} and ".ipynb_checkpoints" not in path.parts
]
NOTEBOOKS = [page for page in PAGES if page.path.suffix == ".ipynb"]
CASES: list = []
COUNTEREXAMPLES: list = []


def rule(*broken: Page, pages: list[Page] = NOTEBOOKS) -> Callable:
    """Register a rule for these pages of the book, and the pages on which it must complain."""

    def register(complaints: Callable[[Page], Iterator[str]]) -> Callable:
        name = complaints.__name__
        CASES.extend(
            pytest.param(complaints, page, id=f"{name}-{page.path.relative_to(BOOK).as_posix()}")
            for page in pages
        )
        COUNTEREXAMPLES.extend(pytest.param(complaints, page, id=name) for page in broken)
        return complaints

    return register


@rule(broken(code(count=None, outputs=(PICTURE,))), broken("# Title", code()))
def outputs_are_stored(page: Page) -> Iterator[str]:
    for number, cell in enumerate(page.code, 1):
        if cell.source and not cell.execution_count:
            yield f"code cell {number} was not run"
    if not page.outputs:
        yield "no cell has an output"


@rule(broken(code(outputs=(v4.new_output("error", ename="E", evalue="", traceback=[]),))))
def no_error_is_stored(page: Page) -> Iterator[str]:
    yield from (output.ename for output in page.outputs if output.output_type == "error")


@rule(broken(code(outputs=(v4.new_output("stream", name="stderr", text="Warning: 3 s"),))))
def no_warning_or_progress_bar_is_stored(page: Page) -> Iterator[str]:
    yield from (output.text for output in page.outputs if output.get("name") == "stderr")


@rule(broken(code(count=2), code(count=1)))
def cells_were_run_from_top_to_bottom(page: Page) -> Iterator[str]:
    counts = [cell.execution_count for cell in page.code if cell.source]
    if counts != list(range(1, len(counts) + 1)):
        yield f"execution counts {counts}"


@rule(broken(code(execution={"iopub.execute_input": "2026-01-01T00:00:00Z"})))
def no_time_of_execution_is_stored(page: Page) -> Iterator[str]:
    yield from (cell.source for cell in page.code if "execution" in cell.metadata)


@rule(
    broken(code("import sys", tags=["remove-cell"])),
    broken(code(set_address.setup_cell(set_address.address_of(CONFIG)))),
)
def first_code_cell_is_the_setup_cell(page: Page) -> Iterator[str]:
    address = set_address.address_of(CONFIG)
    first = page.code[0]
    if first.source != set_address.setup_cell(address):
        yield f"differs from the set-up cell for the address {address!r}: {first.source}"
    if "remove-cell" not in first.metadata.get("tags", []):
        yield "the set-up cell shows in the built book: it lacks the tag remove-cell"


@rule(broken(code("\n".join(["x = 1"] * 21))))
def code_cells_have_at_most_20_lines(page: Page) -> Iterator[str]:
    for cell in page.code:
        if (lines := len(cell.source.splitlines())) > 20:
            yield f"{lines} lines: {cell.source.splitlines()[0]}"


@rule(
    broken(code(outputs=(PICTURE,), mystnb={"image": {"alt": "A line"}})),
    broken(code(outputs=(PICTURE,), mystnb={"figure": {"caption": "A line"}})),
    broken(code(outputs=(PICTURE, PICTURE), mystnb=SHOWN)),
)
def figures_have_alternative_text_and_a_caption(page: Page) -> Iterator[str]:
    for cell in page.code:
        pictures = sum("image/png" in output.get("data", {}) for output in cell.outputs)
        shown = cell.metadata.get("mystnb", {})
        if pictures > 1:
            yield f"{pictures} pictures share a cell and so a caption: {cell.source}"
        if pictures and not shown.get("image", {}).get("alt"):
            yield f"no metadata mystnb.image.alt: {cell.source}"
        if pictures and not shown.get("figure", {}).get("caption"):
            yield f"no metadata mystnb.figure.caption: {cell.source}"


@rule(broken("See {doc}`notation`."), broken("```{note}\nText.\n```"), broken("(here)=\n## Here"))
def no_myst_directive_or_role(page: Page) -> Iterator[str]:
    for text in page.texts:
        yield from re.findall(r"(?m)^ *(?:```|~~~|:::+)\{.*|\{[\w:-]+\}`[^`]*`|^\([\w-]+\)=$", text)


@rule(
    broken("### Exercise 1", "### Exercise 2", "### Exercise 3"),
    broken(*[f"### Exercise {n}\n\n{SOLUTION}" for n in (1, 2)]),
    broken(*[f"### Exercise {n}\n\n{SOLUTION}" for n in (1, 2, 2)]),
)
def three_exercises_have_a_hidden_solution(page: Page) -> Iterator[str]:
    parts = re.split(r"(?m)^#+ Exercise (\d+)", "\n\n".join(page.texts))
    numbers, bodies = parts[1::2], parts[2::2]
    if len(numbers) < 3 or [int(n) for n in numbers] != list(range(1, len(numbers) + 1)):
        yield f"exercises 1, 2, 3, ... are wanted; the headings number {numbers}"
    for number, body in zip(numbers, bodies, strict=True):
        if not re.search(r"<details>\n<summary>Solution.*</summary>\n\n.*</details>", body, re.S):
            yield f"exercise {number} has no hidden solution"


@rule(broken("<details>\n<summary>Solution</summary>\n\n```python\nx = = 1\n```\n\n</details>"))
def code_in_text_is_python_that_parses(page: Page) -> Iterator[str]:
    for cell in page.cells:
        for block in re.findall(r"(?ms)^```python\n(.*?)^```$", cell.source):
            try:
                ast.parse(block)
            except SyntaxError as error:
                yield f"{error}: {block}"


@rule(
    broken(SOLUTION.replace("\n\n", "\n")),
    broken(SOLUTION.removesuffix("</details>"), "</details>"),
    pages=PAGES,
)
def folded_text_opens_and_closes(page: Page) -> Iterator[str]:
    for text in page.texts:
        if text.count("<details") != text.count("</details>"):
            yield f"a cell opens and closes <details> unequally: {text}"
        if re.search(r"</summary>(?!\n\n)", text):
            yield f"no blank line after </summary>: {text}"


@rule(
    broken("# Title", "### Too deep"), broken("## No title"), broken("# One", "# Two"), pages=PAGES
)
def one_title_and_no_skipped_heading_level(page: Page) -> Iterator[str]:
    levels = [len(marks) for text in page.texts for marks in re.findall(r"(?m)^(#+) ", text)]
    if levels.count(1) != 1 or levels[0] != 1:
        yield f"one title is wanted, first of all; the levels are {levels}"
    for above, below in pairwise(levels):
        if below > above + 1:
            yield f"level {above} is followed by level {below}"


@rule(
    broken("The distance is\n$$\nd = 1\n$$"),
    broken("$$\nd = 1\n$$\nis the distance"),
    broken("$$ d = 1 $$"),
    broken("$$\nd = 1"),
    pages=PAGES,
)
def display_formulas_stand_alone(page: Page) -> Iterator[str]:
    for text in page.texts:
        lines = text.splitlines()
        marks = [i for i, line in enumerate(lines) if "$$" in re.sub("`[^`]*`", "", line)]
        if len(marks) % 2:
            yield f"a formula is not closed: {text}"
        for i in marks:
            if lines[i].strip() != "$$":
                yield f"$$ is not alone on its line: {lines[i]}"
        for start, end in zip(marks[::2], marks[1::2], strict=False):
            if start > 0 and lines[start - 1].strip():
                yield f"no blank line before the formula: {lines[start - 1]}"
            if end + 1 < len(lines) and lines[end + 1].strip():
                yield f"no blank line after the formula: {lines[end + 1]}"


@rule(
    broken("[The preface](/book/preface.md)"),
    broken("[Nothing](nowhere.ipynb#title)"),
    broken("[Chapter 1](https://github.com/owner/repository/blob/main/book/part1/01.ipynb)"),
    pages=PAGES,
)
def links_within_the_book_are_relative_and_lead_somewhere(page: Page) -> Iterator[str]:
    for text in page.texts:
        plain = re.sub(r"`[^`]*`|\$[^$]*\$", "", text)
        for target in re.findall(r"\]\(([^)\s]+)", plain):
            if re.match(r"https?:|mailto:", target):
                if ".ipynb" in target:
                    yield f"a chapter is linked by its address: {target}"
            elif target.startswith("/"):
                yield f"not relative: {target}"
            elif not (page.path.parent / target.split("#")[0]).exists():
                yield f"leads nowhere: {target}"


@rule(broken("![](picture.png)"), broken('<img src="picture.png" alt="">'), pages=PAGES)
def pictures_in_text_have_alternative_text(page: Page) -> Iterator[str]:
    for text in page.texts:
        yield from re.findall(r"!\[\s*\]\(.*?\)", text)
        yield from (
            tag for tag in re.findall(r"<img\b[^>]*>", text) if not re.search(r'alt="[^"]', tag)
        )


@pytest.mark.parametrize(("rule", "page"), CASES)
def test_page_keeps_the_rule(rule: Callable, page: Page) -> None:
    assert list(rule(page)) == []


@pytest.mark.parametrize(("rule", "page"), COUNTEREXAMPLES)
def test_rule_complains_about_a_page_that_breaks_it(rule: Callable, page: Page) -> None:
    assert list(rule(page))


# The table of contents


def listed(toc: dict) -> list[str]:
    """The pages that a table of contents names, at any depth."""
    below = [part for key in ("parts", "chapters", "sections") for part in toc.get(key, [])]
    own = [toc[key] for key in ("root", "file") if key in toc]
    return own + [name for part in below for name in listed(part)]


def test_table_of_contents_names_every_page_once_and_nothing_else() -> None:
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    pages = [page.path.relative_to(ROOT).with_suffix("").as_posix() for page in PAGES]
    assert sorted(listed(toc)) == sorted(pages)


def test_listed_finds_pages_at_every_depth() -> None:
    toc = {"root": "a", "parts": [{"chapters": [{"file": "b", "sections": [{"file": "c"}]}]}]}
    assert listed(toc) == ["a", "b", "c"]


# What no file of the repository says

FORBIDDEN = {
    "a path of a machine": (
        r"(?<![\w.~-])/(home|Users|root|work|tmp|private)/\w|\b[A-Z]:\\+Users",
        "File /home/ada/book.py",
    ),
    "a package registry's host": (
        r"\b(pypi|pythonhosted|npmjs|anaconda)\.(org|com)\b|\b(deb\.debian|archive\.ubuntu)\b|pytorch\.org/whl",
        "from https://pypi.org/simple",
    ),
    "somebody else's package": (
        r"pip3? install(\s+-\S+)*\s+[\"'`]?metalearn(?!-book)\b",
        "pip install -q metalearn",
    ),
    "unfinished work": (
        r"\b(TODO|FIXME|XXX|TBD)\b|(?i:coming soon|lorem ipsum|to be written|work in progress)",
        "# TODO: the rest",
    ),
}


def repository_texts() -> Iterator[tuple[Path, str]]:
    """Every text file of the repository, without its pictures; this file quotes the words."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listing = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for path in sorted({ROOT / name for name in listing.splitlines()} - {Path(__file__).resolve()}):
        if path.is_file() and b"\0" not in (raw := path.read_bytes()):
            yield path, re.sub(r'"image/png": "[^"]*"', "", raw.decode("utf-8"))


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_file_names(what: str) -> None:
    pattern, example = FORBIDDEN[what]
    assert re.search(pattern, example)
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path, text in repository_texts()
        for number, line in enumerate(text.splitlines(), 1)
        if re.search(pattern, line)
    ]
    assert found == []


# The address of the repository


@pytest.mark.parametrize(
    "address",
    [
        "http://github.com/owner/repository",
        "git@github.com:owner/repository.git",
        "https://name:secret@github.com/owner/repository",
        "https://github.com",
        "https://github.com/owner/repo sitory",
        "",
    ],
)
def test_an_address_that_readers_cannot_install_from_is_refused(address: str) -> None:
    with pytest.raises(SystemExit, match="is not an https address"):
        set_address.checked(address)


@pytest.mark.parametrize(("host", "button"), [("github.com", True), ("gitlab.com", False)])
def test_address_is_written_everywhere_once(host, button, tmp_path, monkeypatch, capsys) -> None:
    address = f"https://{host}/owner/repository"
    config, notebook = tmp_path / "_config.yml", tmp_path / "book" / "a.ipynb"
    config.write_text(CONFIG, encoding="utf-8")
    notebook.parent.mkdir()
    nbformat.write(v4.new_notebook(cells=[code(set_address.setup_cell(""))]), notebook)
    monkeypatch.setattr(set_address, "ROOT", tmp_path)
    monkeypatch.setattr("sys.argv", ["set_address.py", f"{address}.git"])

    set_address.main()
    assert set_address.address_of(config.read_text(encoding="utf-8")) == address
    assert ("colab.research.google.com" in config.read_text(encoding="utf-8")) == button
    assert Page.read(notebook).code[0].source == set_address.setup_cell(address)
    assert "a.ipynb" in capsys.readouterr().out

    set_address.main()
    assert capsys.readouterr().out == f"The address is {address}\n"
