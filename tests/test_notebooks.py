"""How `make test` runs the notebooks: nbval, with the code of the hidden solutions in between."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat import v4

ROOT = Path(__file__).resolve().parents[1]
SOLUTION = "<details>\n<summary>Solution</summary>\n\n```python\n{code}\n```\n\n</details>"


def notebook(solution: str, printed: str) -> nbformat.NotebookNode:
    """Makes a number, has a solution that changes it, prints it and the name of its folder."""
    output = v4.new_output("stream", text=printed)
    return v4.new_notebook(
        cells=[
            v4.new_code_cell("from pathlib import Path\nx = 1", execution_count=1),
            v4.new_markdown_cell(SOLUTION.format(code=solution)),
            v4.new_code_cell("print(x, Path.cwd().name)", execution_count=2, outputs=[output]),
        ]
    )


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], str]:
    """PASSED or FAILED for each cell of notebooks in a folder that has the book's conftest.py."""
    book = tmp_path_factory.mktemp("book")
    shutil.copy(ROOT / "book" / "conftest.py", book)
    for name, solution, printed in (
        ("as_stored", "x += 1\nprint('not stored, not compared')", "2 book0\n"),
        ("solution_fails", "assert x == 2", "1 book0\n"),
        ("output_differs", "x += 1", "1 book0\n"),
    ):
        nbformat.write(notebook(solution, printed), book / f"{name}.ipynb")
    command = [sys.executable, "-m", "pytest", "-v", "--color=no", "--nbval", "-p", "no:xdist", "."]
    run = subprocess.run(command, cwd=book, capture_output=True, text=True, check=False)
    line = r"(?m)^(\w+)(?:\.|::)ipynb::(.+?) (PASSED|FAILED)"
    return {(name, cell): result for name, cell, result in re.findall(line, run.stdout)}


def test_cells_and_solutions_run_once_in_their_order_and_in_the_notebooks_folder(outcome) -> None:
    cells = [(cell, result) for (name, cell), result in outcome.items() if name == "as_stored"]
    assert cells == [("Cell 0", "PASSED"), ("Code in text 1", "PASSED"), ("Cell 1", "PASSED")]


@pytest.mark.parametrize(
    ("name", "cell"), [("solution_fails", "Code in text 1"), ("output_differs", "Cell 1")]
)
def test_only_what_is_wrong_fails(outcome, name, cell) -> None:
    failed = [key for key, result in outcome.items() if result == "FAILED" and key[0] == name]
    assert failed == [(name, cell)]
