"""`scripts/grade.py` on a folder as a class hands it in: every file is reported, none stops the rest."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import assignments
import grade as grade_script
import grades
import nbformat
import psutil
import pytest

ROOT = Path(__file__).resolve().parents[1]
NAMES = assignments.names()
FIRST = "1_sampler"
DEF = "def examples_of(labels):"
STUBBORN = """
while True:
    try:
        while True:
            pass
    except BaseException:
        pass
"""
# Cells that fail, or do what no cell should, one after the other.
TROUBLES = [
    "import os\nos.chdir('/')",
    "import torch\ntorch.allclose = lambda *_, **__: True",
    "from otter.test_files.exception_test import test_case\ntest_case.call_func = lambda *_: None",
    "hoard = [bytearray(10**8) for _ in range(200)]",
    "raise SystemExit",
    "while True:\n    print('x' * 1000)",
    "while True:\n    pass",
]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The instructor's copies."""
    folder = tmp_path_factory.mktemp("assignments")
    for name in NAMES:
        assignments.write_instructors(assignments.read(name), folder, seed=0)
    return folder


def grade(submissions: Path, built: Path, out: Path, *options: str) -> tuple[dict[str, dict], int]:
    """Grade a folder as the command does; return the rows of the table, and the grader's process."""
    command = [sys.executable, ROOT / "scripts" / "grade.py", submissions]
    command += ["--assignments", built, "--out", out, "--workers", "2", *options]
    environment = os.environ | {"METALEARN_COURSE_SEED": "1234567890123"}
    with subprocess.Popen(command, env=environment, text=True, stdout=subprocess.PIPE) as process:
        printed, _ = process.communicate()
    assert process.returncode == 0
    with (out / "grades.csv").open(newline="", encoding="utf-8-sig") as file:
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
        row = rows[name]
        said = (tmp_path / "grades" / f"{name}.md").read_text(encoding="utf-8")
        assert (row["status"], row["assignment"]) == ("graded", name)
        assert row["points"] == row["of"], said
        assert "WRONG" not in said
        assert "Cells that ended with an error" not in said


def handed_in(
    built: Path, folder: Path, name: str, *added: str, old: str = "", new: str = ""
) -> None:
    """Write a submission: the solution of the first assignment with further cells, or a change."""
    notebook = nbformat.read(built / FIRST / f"{FIRST}.ipynb", as_version=4)
    if old:
        (cell,) = (cell for cell in notebook.cells if old in cell.source)
        cell.source = cell.source.replace(old, new)
    first = next(i for i, c in enumerate(notebook.cells) if c.source.startswith("grader.check"))
    notebook.cells[first:first] = map(nbformat.v4.new_code_cell, added)
    folder.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, folder / f"{name}.ipynb")


@pytest.fixture(scope="module")
def graded_class(built, tmp_path_factory):
    """All that can go wrong, graded: rows, reports, the folder of notes, the grader's process."""
    folder, notes = tmp_path_factory.mktemp("handed_in"), tmp_path_factory.mktemp("notes")
    out = tmp_path_factory.mktemp("grades")
    twice = {"old": "rng.permutation(len(large))[:n_way]", "new": "rng.choice(len(large), n_way)"}
    handed_in(built, folder / "anna", "a class twice", **twice)
    loop = {"old": "faults, first = set(), {}", "new": "while True: pass"}
    handed_in(built, folder, "loop in a function", **loop)
    handed_in(built, folder, "loop in the first", old=DEF, new=f"{DEF}\n    while True: pass")
    handed_in(built, folder, "leaves in an answer", old=DEF, new=f"{DEF}\n    raise SystemExit")
    handed_in(built, folder, "syntax", old=DEF, new=DEF.replace(")", ""))
    child = "child = subprocess.Popen(['sleep', '600'], start_new_session=True).pid"
    note = f"pathlib.Path({str(notes / 'pids')!r}).write_text(f'{{os.getpid()}} {{child}}')"
    process = f"import os, pathlib, subprocess\n{child}\n{note}"
    handed_in(built, folder, "troubled", process, *TROUBLES)
    handed_in(built, folder, "crash", "import os\nos._exit(3)")
    forged = "pathlib.Path('../result.json').write_text('{}')\nos.kill(os.getppid(), 9)"
    handed_in(built, folder, "forged", f"import os, pathlib\n{forged}")
    (folder / "report.pdf").write_bytes(b"%PDF-1.7")
    (folder / "cut off.ipynb").write_text((folder / "crash.ipynb").read_text()[:5000])
    (folder / "chapter.ipynb").write_bytes((ROOT / "book/part1/01_one_example.ipynb").read_bytes())
    (folder / "nowhere.ipynb").symlink_to(folder / "gone.ipynb")
    (folder / ".DS_Store").write_bytes(b"hidden files are nobody's submission")
    rows, pid = grade(folder, built, out, "--cell-seconds", "10")
    reports = {path.name.removesuffix(".md"): path.read_text() for path in out.glob("*.md")}
    return rows, reports, notes, pid


def test_every_file_has_a_row_and_a_report(graded_class):
    rows, reports, _, _ = graded_class
    assert len(rows) == 12
    assert rows.keys() == reports.keys()


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("crash", "it crashed in the cell that begins: import os"),
        ("forged", "it crashed"),
        ("nowhere", "a link to nowhere"),
        ("cut off", "cut off.ipynb is not a notebook"),
        ("chapter", "does not say of which assignment it is"),
        ("report.pdf", "report.pdf is not a notebook"),
    ],
)
def test_what_cannot_be_graded_says_why(graded_class, name, status):
    rows, reports, _, _ = graded_class
    assert status in rows[name]["status"]
    assert status in reports[name]
    assert rows[name]["points"] == ""


def test_a_loop_that_nothing_interrupts_ends_with_its_submission(built, tmp_path):
    handed_in(built, tmp_path / "handed_in", "stubborn", STUBBORN)
    limits = "--seconds", "40", "--cell-seconds", "2"
    rows, _ = grade(tmp_path / "handed_in", built, tmp_path / "grades", *limits)
    assert "it took longer than 40 seconds" in rows["stubborn"]["status"]


def test_cells_that_fail_cost_only_what_depends_on_them(graded_class):
    rows, reports, _, _ = graded_class
    row, said = rows["troubled"], reports["troubled"].split("## Cells that ended with an error")[1]
    assert row["points"] == row["of"] == "20"
    for error in ("TimeoutError", "MemoryError", "SystemExit", "printed more than"):
        assert error in said
    assert row["status"] == (
        "graded; cells that failed: 4; it replaced torch.allclose, test_case.call_func, which was undone"
    )


def test_points_by_hand_are_kept_and_counted(built, tmp_path):
    """by_hand.csv is made with empty places; what stands there goes into the table and the report."""
    by_hand = tmp_path / "by_hand.csv"
    told = {"assignment": "5_project", "checks": {}, "errors": [], "replaced": []}
    one = grades.read(json.dumps(told), "=bo", built)
    assert (one.points, one.by_hand) == (0, 20)
    grades.write_by_hand([one], {}, by_hand)
    with by_hand.open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.reader(file))
    assert rows == [["submission", "assignment", "q4", "q5"], ["'=bo", "5_project", "", ""]]

    rows[1][2] = "6,5"
    grades.write(rows, by_hand)
    given = grades.read_by_hand(by_hand, built)
    grades.give_by_hand(one, given)
    assert (one.points, one.by_hand) == (6.5, 12)
    assert "## q4: by hand, 6.5 of 8 points" in grades.report(one)
    grades.write_by_hand([grades.Grade("=bo", "not graded: it crashed")], given, by_hand)
    assert grades.read_by_hand(by_hand, built) == given


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("submission,assignment,q4\nbo,5_project,9", "bo, q4: '9' is no number from 0 to 8"),
        ("submission,assignment,q4\nbo,5_project,six", "'six' is no number"),
        ("submission,assignment,q4\nbo,5_project,nan", "'nan' is no number"),
        ("submission,assignment,q4\nbo,6_more,1", "no assignment '6_more'"),
        ("submission;assignment;q4\nbo;5_project;1", "saved with commas"),
        ("submission,assignment,q4\nbo", "saved with commas"),
    ],
)
def test_a_wrong_entry_by_hand_is_named(built, tmp_path, table, said):
    (tmp_path / "by_hand.csv").write_text(table, encoding="utf-8")
    with pytest.raises(SystemExit, match=said):
        grades.read_by_hand(tmp_path / "by_hand.csv", built)


def test_files_of_like_names_have_a_report_each(tmp_path):
    """Browsers call a second download "anna (1)"; some file systems do not tell A from a."""
    for name in ("anna (1)", "anna (2)", "anna", "Anna", "a/b", "a__b"):
        path = tmp_path / f"{name}.ipynb"
        path.parent.mkdir(exist_ok=True)
        path.touch()
    found = grade_script.submissions(tmp_path)
    assert len({name.lower() for name in found}) == 6
    assert found["anna (1)"].name == "anna (1).ipynb"


@pytest.mark.parametrize(
    ("name", "question", "said"),
    [
        ("anna__a class twice", "q2", "a class is there twice"),
        ("loop in a function", "q5", "stopped after 10 seconds"),
        ("loop in the first", "q1", "stopped after 10 seconds"),
        ("leaves in an answer", "q1", "SystemExit"),
        ("syntax", "q1", "examples_of is not defined"),
    ],
)
def test_a_fault_costs_its_question(graded_class, name, question, said):
    rows, reports, _, _ = graded_class
    row, full = rows[name], rows["troubled"]
    assert float(row[question]) < float(full[question])
    for other in {"q1", "q2", "q3", "q4", "q5"} - {question}:
        assert row[other] == full[other]
    assert said in reports[name]


def test_a_submission_runs_in_another_process_and_leaves_none_behind(graded_class):
    _, _, notes, grader = graded_class
    own, child = map(int, (notes / "pids").read_text().split())
    assert own != grader
    assert not psutil.pid_exists(child)


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
