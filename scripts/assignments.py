"""Make the students' and the instructor's copies of the assignments from their marked sources.

usage: python scripts/assignments.py [name ...; default: all]

From `book/assignments/sources/NAME.ipynb` come
- `book/assignments/NAME.ipynb`, the student's copy: one file without solutions and hidden checks,
  which carries its public checks within it; a page of the book,
- `build/assignments/NAME/NAME.ipynb`, the instructor's copy: the solutions, and all checks,
- `build/assignments/NAME/tests/`, the files of checks that `scripts/grade.py` runs, and
  `assignment.json`, what they are worth.
"""

import ast
import base64
import json
import os
import re
import secrets
import shutil
import sys
import tempfile
import zlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import nbformat
from nbformat import NotebookNode, v4

ROOT = Path(__file__).resolve().parents[1]
ASSIGNMENTS = ROOT / "book" / "assignments"
SOURCES = ASSIGNMENTS / "sources"
BUILT = ROOT / "build" / "assignments"
SEED = ROOT / ".course_seed"

CHECKS_CELL = """\
# Run this cell: it brings the checks of this assignment. You need not read it.
import base64
import importlib.util
import json
import pathlib
import subprocess
import sys
import tempfile
import zlib

if not importlib.util.find_spec("otter"):
    command = [sys.executable, "-m", "pip", "install", "--quiet", "{otter}"]
    subprocess.run(command, check=True)
import otter

checks = "{packed}"
folder = tempfile.mkdtemp()
for name, text in json.loads(zlib.decompress(base64.b64decode(checks))).items():
    pathlib.Path(folder, name).write_text(text, encoding="utf-8")
grader = otter.Notebook(tests_dir=folder)"""


# The head of a file with hidden checks: they may ask for a solution, and compare.
REFERENCE = '''\
from functools import cache
from types import SimpleNamespace


@cache
def reference():
    """Return the solutions of this assignment."""
    names = {{"__name__": "reference"}}
    exec({source!r}, names)
    return SimpleNamespace(**names)
'''

SEED_LINES = """

import os

os.environ.setdefault("METALEARN_COURSE_SEED", "{seed}")"""


@dataclass
class Assignment:
    """What Otter makes of a source: two notebooks, and the files of checks with and without the hidden."""

    name: str
    student: NotebookNode
    instructor: NotebookNode
    public_checks: dict[str, str]  # file name -> text
    all_checks: dict[str, str]
    questions: list[dict]  # name, points, checks; or what is graded by hand
    gaps: str  # what the student's copy imports and defines, the answers still ...
    solutions: str  # and the instructor's


def course_seed() -> int:
    """Return the seed of hidden cases; the first call draws it and keeps it out of the repository."""
    if given := os.environ.get("METALEARN_COURSE_SEED"):
        return int(given)
    if not SEED.exists():
        SEED.write_text(f"{secrets.randbits(63)}\n", encoding="utf-8")
    return int(SEED.read_text(encoding="utf-8"))


def names() -> list[str]:
    """Return the names of all assignments, in their order."""
    return sorted(path.stem for path in SOURCES.glob("*.ipynb"))


def read(name: str) -> Assignment:
    """Divide a source into its copies; nothing is written."""
    from otter.assign import main as assign

    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder)
        assign(str(SOURCES / f"{name}.ipynb"), folder, no_pdfs=True, no_run_tests=True)
        student, instructor = (
            nbformat.read(result / kind / f"{name}.ipynb", as_version=4)
            for kind in ("student", "autograder")
        )
        public, full = (
            {path.name: path.read_text(encoding="utf-8") for path in sorted(tests.glob("*.py"))}
            for tests in (result / "student" / "tests", result / "autograder" / "tests")
        )
    gaps, solutions = definitions(student), definitions(instructor)
    helpers = (ASSIGNMENTS / "checks.py").read_text(encoding="utf-8")
    public = {file: f"{helpers}\n\n{named(text)}" for file, text in public.items()}
    head = f"{helpers}\n\n{REFERENCE.format(source=solutions)}"
    full = {file: f"{head}\n\n{named(text)}" for file, text in full.items()}
    for notebook, checks in ((student, public), (instructor, full)):
        notebook.cells.insert(position_of_setup(notebook) + 1, checks_cell(checks))
        number_cells(notebook)
    worth = questions(name, full)
    return Assignment(name, student, instructor, public, full, worth, gaps, solutions)


def named(text: str) -> str:
    """Give each check of a file the words of its function's name."""
    return re.sub(
        r"@test_case\((.*?)\)\ndef (\w+)",
        lambda check: (
            f'@test_case(name="{check[2].replace("_", " ")}", {check[1]})\ndef {check[2]}'
        ),
        text,
        flags=re.S,
    )


def definitions(notebook: NotebookNode) -> str:
    """Return what the code cells of a notebook import and define, without what they run."""
    code = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    lines = code.splitlines()
    kept = []
    for node in ast.parse(code).body:
        if isinstance(node, ast.Import | ast.ImportFrom | ast.FunctionDef | ast.ClassDef):
            first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])
            kept.append("\n".join(lines[first - 1 : node.end_lineno]))
    return "\n\n".join(kept)


def position_of_setup(notebook: NotebookNode) -> int:
    """Return where the first code cell stands: the one that installs the package on Colab."""
    return next(i for i, cell in enumerate(notebook.cells) if cell.cell_type == "code")


def checks_cell(checks: dict[str, str]) -> NotebookNode:
    """Return the cell that brings the checks with it, packed, so that one file is all that is needed."""
    packed = base64.b64encode(zlib.compress(json.dumps(checks).encode(), 9)).decode()
    return v4.new_code_cell(
        CHECKS_CELL.format(otter=otter_requirement(), packed=packed),
        metadata={"tags": ["remove-cell"], "jupyter": {"source_hidden": True}, "editable": False},
    )


@cache
def otter_requirement() -> str:
    """Return Otter with the version that the book is tested with."""
    text = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    return re.search(r"(?m)^otter-grader==.*$", text)[0]


def number_cells(notebook: NotebookNode) -> None:
    """Give cells numbers for names: Otter's are random, and would differ each time."""
    notebook.nbformat_minor = 5
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number}"


def questions(name: str, checks: dict[str, str]) -> list[dict]:
    """Return what each question is worth, check by check, in the order of the source."""
    from otter.test_files.exception_test import ExceptionTestFile

    found = []
    for cell in nbformat.read(SOURCES / f"{name}.ipynb", as_version=4).cells:
        if cell.cell_type != "raw" or not cell.source.startswith("# BEGIN QUESTION"):
            continue
        config = dict(re.findall(r"(?m)^(\w+): *(.*)$", cell.source))
        question = {"name": config["name"], "points": float(config["points"])}
        if config.get("manual") == "true":
            found.append({**question, "manual": True, "checks": []})
            continue
        cases = ExceptionTestFile.from_string(checks[f"{question['name']}.py"]).test_cases
        made = [{"name": c.name, "points": c.points, "hidden": c.hidden} for c in cases]
        if (given := sum(check["points"] for check in made)) != question["points"]:
            raise ValueError(
                f"{name}, {question['name']}: its checks give {given:g} points, "
                f"the question has {question['points']:g}"
            )
        found.append({**question, "manual": False, "checks": made})
    return found


def write_instructors(assignment: Assignment, built: Path, seed: int) -> None:
    """Write the instructor's copy, which knows the seed, and the checks in the place of older ones."""
    instructor = nbformat.from_dict(assignment.instructor)
    instructor.cells[position_of_setup(instructor) + 1].source += SEED_LINES.format(seed=seed)
    folder = built / assignment.name
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "tests").mkdir(parents=True)
    nbformat.write(instructor, folder / f"{assignment.name}.ipynb")
    for file, text in assignment.all_checks.items():
        (folder / "tests" / file).write_text(text, encoding="utf-8")
    worth = {"name": assignment.name, "questions": assignment.questions}
    (folder / "assignment.json").write_text(json.dumps(worth, indent=1), encoding="utf-8")


def main(*wanted: str) -> None:
    """Make the copies of the named assignments, or of all."""
    for name in wanted or names():
        assignment = read(name)
        nbformat.write(assignment.student, ASSIGNMENTS / f"{name}.ipynb")
        write_instructors(assignment, BUILT, course_seed())
        points = sum(question["points"] for question in assignment.questions)
        print(f"{name}: {len(assignment.questions)} questions, {points:g} points")
    print(
        f"for students: {ASSIGNMENTS.relative_to(ROOT)}; with the solutions: {BUILT.relative_to(ROOT)}"
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
