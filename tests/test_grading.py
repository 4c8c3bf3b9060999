"""`scripts/grade.py` on a folder as a class hands it in: every file is reported, none stops the rest."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import assignments
import nbformat
import psutil
import pytest

ROOT = Path(__file__).resolve().parents[1]
NAMES = assignments.names()
FIRST = "1_sampler"
LOOP = "while True:\n    pass"
STUBBORN = """
while True:
    try:
        while True:
            pass
    except BaseException:
        pass
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The instructor's copies."""
    folder = tmp_path_factory.mktemp("assignments")
    for name in NAMES:
        assignments.write_instructors(assignments.read(name), folder)
    return folder


def grade(submissions: Path, built: Path, out: Path, *options: str) -> tuple[dict[str, dict], int]:
    """Grade a folder as the command does; return the rows of the table, and the grader's process."""
    command = [sys.executable, ROOT / "scripts" / "grade.py", submissions]
    command += ["--assignments", built, "--out", out, "--workers", "2", *options]
    environment = os.environ | {"METALEARN_COURSE_SEED": "1234567890123"}
    with subprocess.Popen(command, env=environment, text=True, stdout=subprocess.PIPE) as process:
        printed, _ = process.communicate()
    assert process.returncode == 0
    with (out / "grades.csv").open(newline="", encoding="utf-8") as file:
        rows = {row["submission"]: row for row in csv.DictReader(file)}
    assert len(printed.splitlines()) == len(rows) + 1
    return rows, process.pid


def test_every_solution_earns_all_points(built, tmp_path):
    submissions = tmp_path / "handed_in"
    submissions.mkdir()
    for name in NAMES:
        (submissions / f"{name}.ipynb").write_bytes((built / name / f"{name}.ipynb").read_bytes())
    rows, _ = grade(submissions, built, tmp_path / "grades")
    for name in NAMES:
        row = rows[f"{name}.ipynb"]
        said = (tmp_path / "grades" / f"{name}.ipynb.md").read_text(encoding="utf-8")
        assert (row["status"], row["assignment"]) == ("graded", name)
        assert row["points"] == row["of"], said
        assert "WRONG" not in said
        assert "Cells that ended with an error" not in said


def handed_in(
    built: Path, folder: Path, name: str, added: str = "", old: str = "", new: str = ""
) -> None:
    """Write a submission: the solution of the first assignment with a further cell, or a change."""
    notebook = nbformat.read(built / FIRST / f"{FIRST}.ipynb", as_version=4)
    if added:
        first = next(i for i, c in enumerate(notebook.cells) if c.source.startswith("grader.check"))
        notebook.cells.insert(first, nbformat.v4.new_code_cell(added))
    if old:
        assert sum(old in cell.source for cell in notebook.cells) == 1
    for cell in notebook.cells:
        cell.source = cell.source.replace(old, new) if old else cell.source
    folder.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, folder / f"{name}.ipynb")


@pytest.fixture(scope="module")
def class_of_fifteen(built, tmp_path_factory):
    """All that can go wrong, graded: rows, reports, the folder of notes, the grader's process."""
    folder, notes = tmp_path_factory.mktemp("handed_in"), tmp_path_factory.mktemp("notes")
    out = tmp_path_factory.mktemp("grades")
    handed_in(built, folder, "right")
    handed_in(
        built,
        folder / "anna",
        "a class twice",
        old="rng.permutation(len(large))[:n_way]",
        new="rng.choice(len(large), n_way)",
    )
    handed_in(built, folder, "loop", added=LOOP)
    handed_in(
        built, folder, "loop in a function", old="faults, first = set(), {}", new="while True: pass"
    )
    handed_in(built, folder, "stubborn loop", added=STUBBORN)
    handed_in(built, folder, "crash", added="import os\nos._exit(3)")
    handed_in(built, folder, "memory", added="hoard = [bytearray(10**8) for _ in range(200)]")
    handed_in(built, folder, "leaves", added="raise SystemExit")
    handed_in(
        built, folder, "syntax", old="def examples_of(labels):", new="def examples_of(labels:"
    )
    handed_in(
        built, folder, "replaced", added="import torch\ntorch.allclose = lambda *a, **k: True"
    )
    child = "child = subprocess.Popen(['sleep', '600'], start_new_session=True).pid"
    note = f"pathlib.Path({str(notes / 'pids')!r}).write_text(f'{{os.getpid()}} {{child}}')"
    forged = "import pathlib\npathlib.Path('../result.json').write_text('[' * 100000)\nos._exit(0)"
    handed_in(built, folder, "forged result", added=f"import os\n{forged}")
    handed_in(built, folder, "child", added=f"import os, pathlib, subprocess\n{child}\n{note}")
    (folder / "report.pdf").write_bytes(b"%PDF-1.7")
    (folder / "cut off.ipynb").write_text((folder / "right.ipynb").read_text()[:5000])
    (folder / "chapter.ipynb").write_bytes((ROOT / "book/part1/01_one_example.ipynb").read_bytes())
    (folder / ".DS_Store").write_bytes(b"hidden files are nobody's submission")
    rows, pid = grade(folder, built, out, "--seconds", "75", "--cell-seconds", "10")
    reports = {path.name.removesuffix(".md"): path.read_text() for path in out.glob("*.md")}
    return rows, reports, notes, pid


def test_every_file_has_a_row_and_a_report(class_of_fifteen):
    rows, reports, _, _ = class_of_fifteen
    assert len(rows) == 15
    assert rows.keys() == reports.keys()
    assert rows["right.ipynb"]["points"] == rows["right.ipynb"]["of"] == "20"


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("stubborn loop", "it took longer than 75 seconds in the cell that begins: while True:"),
        ("crash", "it crashed in the cell that begins: import os"),
        ("forged result", "its result cannot be read"),
        ("cut off", "no notebook"),
        ("chapter", "a notebook of no assignment"),
    ],
)
def test_what_cannot_be_graded_says_why(class_of_fifteen, name, status):
    rows, reports, _, _ = class_of_fifteen
    assert status in rows[f"{name}.ipynb"]["status"]
    assert status in reports[f"{name}.ipynb"]
    assert "no notebook" in rows["report.pdf"]["status"]


@pytest.mark.parametrize("name", ["loop", "memory", "leaves"])
def test_a_cell_that_fails_costs_only_what_depends_on_it(class_of_fifteen, name):
    rows, reports, _, _ = class_of_fifteen
    assert rows[f"{name}.ipynb"]["points"] == "20"
    error = {"loop": "TimeoutError", "memory": "MemoryError", "leaves": "SystemExit"}[name]
    assert error in reports[f"{name}.ipynb"].split("## Cells that ended with an error")[1]


def test_a_replaced_function_is_put_back_and_named(class_of_fifteen):
    rows, reports, _, _ = class_of_fifteen
    assert (
        rows["replaced.ipynb"]["status"] == "graded; it replaced torch.allclose, which was undone"
    )
    assert "it replaced torch.allclose" in reports["replaced.ipynb"]
    assert all(
        "replaced" not in row["status"] for name, row in rows.items() if name != "replaced.ipynb"
    )


@pytest.mark.parametrize(
    ("name", "question", "said"),
    [
        ("anna__a class twice", "q2", "a class is there twice"),
        ("loop in a function", "q5", "stopped after 10 seconds"),
        ("syntax", "q1", "examples_of"),
    ],
)
def test_a_fault_costs_its_question(class_of_fifteen, name, question, said):
    rows, reports, _, _ = class_of_fifteen
    row, full = rows[f"{name}.ipynb"], rows["right.ipynb"]
    assert float(row[question]) < float(full[question])
    for other in {"q1", "q2", "q3", "q4", "q5"} - {question}:
        assert row[other] == full[other]
    assert said in reports[f"{name}.ipynb"]


def test_a_submission_runs_in_another_process_and_leaves_none_behind(class_of_fifteen):
    rows, _, notes, grader = class_of_fifteen
    own, child = map(int, (notes / "pids").read_text().split())
    assert own != grader
    assert not psutil.pid_exists(child)
    assert rows["child.ipynb"]["points"] == "20"


@pytest.mark.parametrize(
    ("folder", "said"), [("nowhere", "is no folder"), ("empty", "holds no file to grade")]
)
def test_a_folder_without_submissions_is_named(built, tmp_path, folder, said):
    (tmp_path / "empty").mkdir()
    command = [sys.executable, ROOT / "scripts" / "grade.py", tmp_path / folder]
    ran = subprocess.run(
        [*command, "--assignments", built], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 1
    assert f"{tmp_path / folder} {said}" in ran.stderr
