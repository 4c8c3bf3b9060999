"""The assignments: what is right earns all points, what is wrong loses its own, and nothing leaks."""

import base64
import json
import math
import os
import re
import subprocess
import sys
import zlib
from functools import cache
from pathlib import Path

import assignments
import nbformat
import numpy as np
import pytest
import set_address
import torch
import yaml
from nbformat import NotebookNode
from otter.test_files.exception_test import ExceptionTestFile

ROOT = Path(__file__).resolve().parents[1]
NAMES = assignments.names()
SEEDS = (0, 2**62 + 1)
BANK = {name: ROOT / "tests" / "wrong_answers" / f"{name}.yml" for name in NAMES}
WRONG = [
    pytest.param(name, wrong, id=f"{name}-{wrong['question']}-{wrong['fault']}")
    for name, path in BANK.items()
    if path.exists()
    for wrong in yaml.safe_load(path.read_text(encoding="utf-8"))
]
# What a submission may try to replace.
COMPARISONS = [
    (torch, "allclose"),
    (torch, "equal"),
    (torch, "isclose"),
    (torch.testing, "assert_close"),
    (np, "allclose"),
    (np, "array_equal"),
    (np, "isclose"),
    (np.testing, "assert_allclose"),
    (math, "isclose"),
]

made = cache(assignments.read)


def failed(name: str, code: str, seed: int, monkeypatch: pytest.MonkeyPatch) -> dict:
    """What each check says that fails when this code is what was handed in, by question."""
    monkeypatch.setenv("METALEARN_COURSE_SEED", str(seed))
    env: dict = {"__name__": "submission"}
    with monkeypatch.context() as restored, torch.enable_grad():
        for module, function in COMPARISONS:
            restored.setattr(module, function, getattr(module, function))
        exec(code, env)
        result = {}
        for file, text in made(name).all_checks.items():
            checks = ExceptionTestFile.from_string(text, file)
            checks.run(env)
            result[checks.name] = {
                case.test_case.name: case.message
                for case in checks.test_case_results
                if not case.passed
            }
    return result


def changed(name: str, wrong: dict) -> str:
    code = made(name).solutions
    if "old" in wrong:
        assert code.count(wrong["old"]) == 1, (
            f"{wrong['old']!r} stands {code.count(wrong['old'])} times"
        )
        code = code.replace(wrong["old"], wrong["new"])
    return f"{code}\n\n{wrong.get('answer', '')}"


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", NAMES)
def test_the_reference_earns_all_points(name, seed, monkeypatch):
    assert not any(failed(name, made(name).solutions, seed, monkeypatch).values())


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_answer_earns_nothing_and_is_told_so(name, monkeypatch):
    lost = failed(name, made(name).gaps, SEEDS[0], monkeypatch)
    for question in made(name).questions:
        if not question["manual"]:
            worth = [check["name"] for check in question["checks"]]
            assert list(lost[question["name"]]) == worth
            public = next(check["name"] for check in question["checks"] if not check["hidden"])
            assert "AssertionError" in lost[question["name"]][public]


@pytest.mark.parametrize(("name", "wrong"), WRONG)
def test_a_wrong_answer_loses_its_points_and_no_others(name, wrong, monkeypatch):
    lost = failed(name, changed(name, wrong), SEEDS[0], monkeypatch)
    points = {
        (q["name"], c["name"]): c["points"] for q in made(name).questions for c in q["checks"]
    }
    costly = {
        question: [check for check in checks if points[question, check]]
        for question, checks in lost.items()
    }
    said = "\n".join(message for checks in lost.values() for message in checks.values())
    assert costly.pop(wrong["question"]) == wrong["loses"], said
    assert wrong["loses"]
    assert not any(costly.values()), said


@pytest.mark.parametrize("name", NAMES)
def test_each_question_has_six_wrong_answers_and_each_hidden_check_catches_one(name):
    bank = [param.values[1] for param in WRONG if param.values[0] == name]
    for question in made(name).questions:
        if not question["manual"]:
            wrong = [entry for entry in bank if entry["question"] == question["name"]]
            assert len(wrong) >= 6
            caught = {check for entry in wrong for check in entry["loses"]}
            assert caught == {check["name"] for check in question["checks"] if check["hidden"]}
            assert len({entry["fault"] for entry in wrong}) == len(wrong)


@pytest.mark.parametrize("name", NAMES)
def test_public_checks_need_nothing_that_is_hidden(name, monkeypatch):
    monkeypatch.delenv("METALEARN_COURSE_SEED", raising=False)
    env: dict = {"__name__": "submission"}
    exec(made(name).solutions, env)
    for file, text in made(name).public_checks.items():
        checks = ExceptionTestFile.from_string(text, file)
        checks.run(env)
        assert checks.test_case_results
        for case in checks.test_case_results:
            assert case.passed, case.message
            assert not case.test_case.hidden


def secrets(name: str) -> set[str]:
    """Lines that stand in solutions and hidden checks of the source, and nowhere else."""
    secret, shown, solved = [], [], False
    for cell in nbformat.read(assignments.SOURCES / f"{name}.ipynb", as_version=4).cells:
        if cell.cell_type == "raw":
            solved = cell.source.startswith("# BEGIN SOLUTION")
        hidden = cell.cell_type == "code" and re.search(r"(?m)^hidden: true$", cell.source)
        if hidden or (solved and cell.cell_type == "markdown"):
            secret += [line for line in cell.source.splitlines() if not line.startswith("#")]
        else:
            parts = re.split(r"# BEGIN SOLUTION\n|# END SOLUTION", cell.source)
            shown += "".join(parts[::2]).splitlines()
            secret += "".join(parts[1::2]).splitlines()
    shown += (assignments.ASSIGNMENTS / "checks.py").read_text(encoding="utf-8").splitlines()
    return {line.strip() for line in secret} - {line.strip() for line in shown}


@pytest.mark.parametrize("name", NAMES)
def test_nothing_leaks_into_the_students_copy(name):
    student = made(name).student
    shown = nbformat.writes(student) + "\n".join(made(name).public_checks.values())
    shown = shown.replace('\\"', '"')
    told = [line for line in secrets(name) if len(line) > 30 and line in shown]
    assert not told
    for word in ("reference", "hidden=True", "hidden: true", "SOLUTION", "METALEARN_COURSE_SEED"):
        assert word not in nbformat.writes(student)
    assert not [
        cell for cell in student.cells if cell.get("outputs") or cell.get("execution_count")
    ]
    assert unpacked(student) == made(name).public_checks


def unpacked(notebook: NotebookNode) -> dict[str, str]:
    """The files of checks that a copy carries."""
    packed = re.search(r'(?m)^checks = "(.*)"$', notebook.cells[2].source)[1]
    return json.loads(zlib.decompress(base64.b64decode(packed)))


@pytest.mark.parametrize("name", NAMES)
def test_the_committed_copy_is_what_its_source_makes(name):
    committed = assignments.ASSIGNMENTS / f"{name}.ipynb"
    assert committed.read_text(encoding="utf-8") == nbformat.writes(made(name).student) + "\n", (
        "run: make assignments"
    )


ON_COLAB = """
import importlib.util, json, subprocess, sys, types
import nbformat
from IPython.core.interactiveshell import InteractiveShell


class Shell(InteractiveShell):
    def __repr__(self):
        return "<google.colab.Shell>"


sys.modules["google.colab"] = types.ModuleType("google.colab")
find, asked = importlib.util.find_spec, []
importlib.util.find_spec = lambda name, *more: None if name == "otter" else find(name, *more)
subprocess.run = lambda command, **options: asked.append(command)
shell = Shell.instance()
cells = nbformat.read(sys.argv[1], as_version=4).cells
for number, cell in enumerate(cells):
    if cell.cell_type != "code":
        continue
    if "otter_answer_cell" in cell.metadata.get("tags", []):
        break
    importlib.util.find_spec = importlib.util.find_spec if number < 3 else find
    shell.run_cell(cell.source).raise_error()
check = next(c.source for c in cells[number:] if c.source.startswith("grader.check"))
shell.run_cell(cell.source).raise_error()
print(json.dumps([asked, repr(shell.run_cell(check).result)]))
"""


@pytest.mark.parametrize("name", NAMES)
def test_a_students_copy_opens_on_colab_and_runs_to_its_first_gap(name, tmp_path):
    """One file in an empty folder: the package and Otter are installed, and the first check answers."""
    copy = tmp_path / "handed_out.ipynb"
    student = nbformat.reads(nbformat.writes(made(name).student), as_version=4)
    address = "https://github.com/owner/repository"
    assert student.cells[1].source.count('ADDRESS = "') == 1
    student.cells[1].source = set_address.setup_cell(address)
    nbformat.write(student, copy)
    ran = subprocess.run(
        [sys.executable, "-c", ON_COLAB, copy],
        cwd=tmp_path,
        env=os.environ | {"MPLBACKEND": "Agg", "IPYTHONDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert not ran.returncode, ran.stdout + ran.stderr
    asked, answer = json.loads(ran.stdout.splitlines()[-1])
    assert [command[-1] for command in asked] == [
        f"metalearn-book[book] @ git+{address}",
        assignments.otter_requirement(),
    ]
    first = next(q for q in made(name).questions if not q["manual"])
    assert f"{first['name']} results" in answer
    assert "AssertionError" in answer


@pytest.mark.parametrize("name", NAMES)
def test_the_points_at_the_head_are_those_of_the_questions(name):
    head = made(name).student.cells[0].source
    worth = [question["points"] for question in made(name).questions]
    rows = re.findall(r"(?m)^\| \d+ \|.*", head)
    assert [float(re.findall(r"\| (\d+) \|", row[4:])[-1]) for row in rows] == worth
    assert f"**Points:** {sum(worth):g}." in head
