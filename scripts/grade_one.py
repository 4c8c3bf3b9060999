"""Run one submission with its checks, within limits; `scripts/grade.py` does so in a process of its own.

The submission runs in a further process, a Jupyter kernel, and Otter runs the checks there.
What comes back is written as JSON, a list of checks that passed or failed, and read as data only.
"""

import json
import os
import resource
import shutil
from pathlib import Path

import nbformat
from otter.execute import grade_notebook

# The kernel begins with this. A cell that runs too long gets a TimeoutError, and so does, 5 seconds later,
# each further check of the same cell; then the next cell is run. What a cell put in the place of a
# function that checks may use is taken away before the next, and noted.
WATCH = """\
def _watch():
    import builtins, math, signal
    import numpy, torch

    modules = builtins, math, numpy, numpy.linalg, numpy.testing, torch, torch.linalg, torch.testing
    right = [
        (module, name, value)
        for module in modules
        for name, value in list(vars(module).items())
        if callable(value) and not name.startswith("_")
    ]

    def note(kind, text):
        with open({log!r} + kind, "a", encoding="utf-8") as file:
            file.write(text + "\\n")

    def stop(number, frame):
        raise TimeoutError("stopped after {seconds} seconds")

    def before(info):
        for module, name, value in right:
            now = vars(module).get(name)
            family = (getattr(now, "__module__", None) or "").split(".")[0]
            its_own = family in (module.__name__.split(".")[0], "IPython", "ipykernel")
            if now is not None and now is not value and not its_own:
                setattr(module, name, value)
                note(".replaced", module.__name__ + "." + name)
        note("", next(iter(info.raw_cell.strip().splitlines()), ""))
        signal.setitimer(signal.ITIMER_REAL, {seconds}, 5)

    signal.signal(signal.SIGALRM, stop)
    events = get_ipython().events
    events.register("pre_run_cell", before)
    events.register("post_run_cell", lambda result: signal.setitimer(signal.ITIMER_REAL, 0))


_watch()
del _watch
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
    work = folder / "work"
    work.mkdir()
    os.chdir(work)
    answer = folder / "result.json"

    try:
        notebook = nbformat.read(submission, as_version=4)
        name = notebook.metadata.get("otter", {}).get("assignment_name")
    except Exception as error:  # whatever a file may hold, it is reported
        tell(answer, assignment=None, problem=f"no notebook ({type(error).__name__})")
        return
    known = {path.parent.name: path.parent for path in built.glob("*/assignment.json")}
    if name not in known:
        tell(answer, assignment=None, problem=f"a notebook of no assignment ({name})")
        return

    shutil.copytree(known[name] / "tests", "tests")
    nbformat.write(notebook, "submission.ipynb")
    startup = Path(environment["IPYTHONDIR"], "profile_default", "startup")
    startup.mkdir(parents=True)
    watch = WATCH.format(seconds=cell_seconds, log=str(folder / "log"))
    (startup / "watch.py").write_text(watch, encoding="utf-8")

    tests = sorted(str(path) for path in Path("tests").glob("*.py"))
    graded = grade_notebook("submission.ipynb", tests_glob=tests, cwd=str(work), test_dir="tests")
    nbformat.write(graded.notebook, "executed.ipynb")
    checks = {
        question: [
            {"name": case.test_case.name, "passed": case.passed, "message": words(case.message)}
            for case in file.test_case_results
        ]
        for question, file in graded.results.items()
    }
    errors = [
        {"cell": cell.source.strip().split("\n")[0], "error": f"{output.ename}: {output.evalue}"}
        for cell in graded.notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if output.output_type == "error"
    ]
    noted = folder / "log.replaced"
    replaced = noted.read_text(encoding="utf-8").split() if noted.exists() else []
    tell(answer, assignment=name, checks=checks, errors=errors, replaced=replaced)


def words(message: str) -> str:
    """Return what a failed check says, without Otter's lines about where in the check it was said."""
    return message.split("\n", 3)[-1].removeprefix("AssertionError: ")


def tell(answer: Path, **found: object) -> None:
    """Write the result whole."""
    unfinished = answer.with_suffix(".unfinished")
    unfinished.write_text(json.dumps(found), encoding="utf-8")
    unfinished.replace(answer)
