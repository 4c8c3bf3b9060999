"""Run one submission with its checks, within limits; `scripts/grade.py` does so in a process of its own.

The submission runs in a further process, a Jupyter kernel, and Otter runs the checks there.
What comes back is written as JSON, a list of checks that passed or failed, and read as data only.
"""

import json
import os
import resource
import shutil
import tempfile
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from otter.execute import grade_notebook

STARTUP = """\
__import__("runpy").run_path({watch!r})["begin"](
    get_ipython(), {seconds}, __import__("pathlib").Path({folder!r})
)
"""


def main(
    submission: Path,
    built: Path,
    folder: Path,
    environment: dict[str, str],
    cell_seconds: int,
    megabytes: int,
) -> None:
    """Write what each check says of a submission, and the errors of its cells, into a folder."""
    limit = megabytes * 2**20
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit // 10, limit // 10))
    output = os.open(folder / "output", os.O_WRONLY | os.O_CREAT)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.environ.update(environment)
    tempfile.tempdir = str(folder)  # it was set before the environment was
    work = folder / "work"
    work.mkdir()
    os.chdir(work)
    answer = folder / "result.json"

    try:
        notebook = nbformat.read(submission, as_version=4)
        name = notebook.metadata.get("otter", {}).get("assignment_name")
    except Exception as error:  # whatever a file may hold, it is reported
        problem = f"{submission.name} is not a notebook ({type(error).__name__})"
        tell(answer, assignment=None, problem=problem)
        return
    known = {path.parent.name: path.parent for path in built.glob("*/assignment.json")}
    if not isinstance(name, str) or name not in known:
        problem = (
            "the notebook does not say of which assignment it is; was it copied into a new one?"
        )
        tell(answer, assignment=None, problem=problem if name is None else f"no assignment {name}")
        return

    shutil.copytree(known[name] / "tests", "tests")
    nbformat.write(notebook, "submission.ipynb")
    startup = Path(environment["IPYTHONDIR"], "profile_default", "startup")
    startup.mkdir(parents=True)
    watch = Path(__file__).with_name("kernel_watch.py")
    begin = STARTUP.format(watch=str(watch), seconds=cell_seconds, folder=str(folder))
    (startup / "watch.py").write_text(begin, encoding="utf-8")

    tests = work / "tests"
    graded = grade_notebook(
        "submission.ipynb",
        tests_glob=sorted(map(str, tests.glob("*.py"))),
        cwd=str(work),
        test_dir=str(tests),
    )
    if not graded.results:
        tell(answer, assignment=None, problem="the checks did not run to their end")
        return
    nbformat.write(without_otters(graded.notebook), "executed.ipynb")
    checks = {
        question: [
            {"name": case.test_case.name, "passed": case.passed, "message": words(case.message)}
            for case in file.test_case_results
        ]
        for question, file in graded.results.items()
    }
    errors = [
        {
            "cell": cell.source.strip().split("\n")[0][:200],
            "error": f"{output.ename}: {output.evalue}"[:600],
        }
        for cell in graded.notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if output.output_type == "error"
    ]
    noted = folder / "replaced"
    replaced = noted.read_text(encoding="utf-8").split() if noted.exists() else []
    tell(answer, assignment=name, checks=checks, errors=errors, replaced=replaced)


def without_otters(notebook: NotebookNode) -> NotebookNode:
    """Return the notebook as it ran, without the cells and the messages that Otter added."""
    added = (
        "import sys\nsys.path.append",
        "from otter import Notebook as",
        "from otter.execute import",
    )
    cells = [cell for cell in notebook.cells if not cell.source.startswith(added)]
    for cell in cells:
        if cell.cell_type == "code":
            cell.outputs = [o for o in cell.outputs if "DEBUG otter" not in o.get("text", "")]
    return nbformat.from_dict({**notebook, "cells": cells})


def words(message: str) -> str:
    """Return what a failed check says, without Otter's lines about where in the check it was said."""
    parts = message.split("\n", 3)
    where, said = "".join(parts[-2:-1]), parts[-1].removeprefix("AssertionError: ")
    name = said.removeprefix("KeyError: ").strip("'")
    if f"env['{name}']" in where:
        return f"{name} is not defined: is there an error in its cell, or another spelling?"
    if said.count("'") % 2:  # Otter takes quotes from both ends
        said = said.replace(": ", ": '", 1)
    return said


def tell(answer: Path, **found: object) -> None:
    """Write the result whole."""
    unfinished = answer.with_suffix(".unfinished")
    unfinished.write_text(json.dumps(found), encoding="utf-8")
    unfinished.replace(answer)
