"""Grade a folder of handed-in notebooks: one table, and a report for each.

usage: python scripts/grade.py SUBMISSIONS [--assignments build/assignments] [--out build/grades]
       [--workers 2] [--seconds 240] [--cell-seconds 40] [--megabytes 4000]

Every file below the folder is a submission. A notebook says itself which assignment it is of; the
assignments are those that `make assignments` made. Each submission has processes of its own, with
limits of time and memory: what it does there cannot stop the others, and none of it runs here.
"""

import argparse
import csv
import json
import multiprocessing
import os
import shutil
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import grade_one
import psutil
from assignments import BUILT, ROOT, course_seed

# Each process is a copy of one that has imported Otter, and nothing else.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["grade_one"])


@dataclass
class Grade:
    """What a submission earned, and what there is to say about it."""

    submission: str
    status: str = "graded"
    assignment: str = ""
    # As in assignment.json, and what each question and check earned.
    questions: list[dict] = field(default_factory=list)
    # Cells that ended with an error: the first line of each, and what it said.
    errors: list[dict] = field(default_factory=list)

    def total(self, what: str, manual: bool) -> float:
        """Return the sum of "earned" or "points" over questions that are graded by hand or are not."""
        return sum(question[what] for question in self.questions if question["manual"] == manual)

    @property
    def in_words(self) -> str:
        """The result in one line."""
        if not self.assignment:
            return f"{self.submission}: {self.status}"
        by_hand = self.total("points", manual=True)
        points = f"{self.total('earned', manual=False):g} of {self.total('points', manual=False):g}"
        more = f", {by_hand:g} more to be given by hand" if by_hand else ""
        noted = self.status.removeprefix("graded")
        return f"{self.submission}: {self.assignment}, {points} points{more}{noted}"


def graded(path: Path, name: str, limits: argparse.Namespace) -> Grade:
    """Grade one submission, and keep the notebook as it ran."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        ran = run(path, Path(folder), limits)
        result = Path(folder, "result.json")
        if ran and result.exists():
            executed = Path(folder, "work", "executed.ipynb")
            if executed.exists() and not executed.is_symlink():
                shutil.copy(executed, limits.out / f"{name}.ipynb")
            try:
                return read(result, name, limits.assignments)
            except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
                return Grade(name, f"not graded: its result cannot be read ({error!r:.80})")
        log = Path(folder, "log")
        begun = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
        where = f" in the cell that begins: {begun.splitlines()[-1]:.80}" if begun else ""
        how = "crashed" if ran else f"took longer than {limits.seconds} seconds"
        return Grade(name, f"not graded: it {how}{where}")


def run(path: Path, folder: Path, limits: argparse.Namespace) -> bool:
    """Run a submission and its checks in a folder; return whether that ended in time."""
    environment = {
        "METALEARN_COURSE_SEED": str(limits.seed),
        "OMP_NUM_THREADS": "1",
        "OMP_WAIT_POLICY": "PASSIVE",
        "TMPDIR": str(folder),
        "IPYTHONDIR": str(folder / "ipython"),
    }
    process = PROCESSES.Process(
        target=grade_one.main,
        args=(path.resolve(), limits.assignments.resolve(), folder, environment),
        kwargs={"cell_seconds": limits.cell_seconds, "megabytes": limits.megabytes},
    )
    process.start()
    process.join(limits.seconds)
    in_time = not process.is_alive()
    process.kill()
    for other in psutil.process_iter(["environ"]):
        if (other.info["environ"] or {}).get("TMPDIR") == str(folder):
            other.kill()
    return in_time


def read(result: Path, name: str, assignments: Path) -> Grade:
    """Count the points of the checks that passed; what the submission's process wrote is only data."""
    found = json.loads(result.read_text(encoding="utf-8"))
    if not found["assignment"]:
        return Grade(name, f"not graded: {found['problem']:.200}")
    built = {path.parent.name: path for path in assignments.glob("*/assignment.json")}
    questions = json.loads(built[found["assignment"]].read_text(encoding="utf-8"))["questions"]
    for question in questions:
        said = {check["name"]: check for check in found["checks"].get(question["name"], [])}
        for check in question["checks"]:
            answer = said.get(check["name"], {"passed": False, "message": "the check did not run"})
            check["passed"] = answer["passed"] is True
            check["message"] = str(answer["message"])
        question["earned"] = sum(c["points"] for c in question["checks"] if c["passed"])
    errors = [{part: str(error[part]) for part in ("cell", "error")} for error in found["errors"]]
    status = "graded"
    if found["replaced"]:
        status += f"; it replaced {', '.join(map(str, found['replaced']))}, which was undone"
    return Grade(name, status, found["assignment"], questions, errors)


def report(grade: Grade) -> str:
    """Return what a student reads: every question, and what each check that failed said."""
    lines = [f"# {grade.in_words}", ""]
    for question in grade.questions:
        if question["manual"]:
            lines += [f"## {question['name']}: by hand, ____ of {question['points']:g} points", ""]
            continue
        lines += [
            f"## {question['name']}: {question['earned']:g} of {question['points']:g} points",
            "",
        ]
        for check in question["checks"]:
            worth = f" ({check['points']:g})" if check["points"] else ""
            lines.append(f"- {'right' if check['passed'] else 'WRONG'}: {check['name']}{worth}")
            if not check["passed"]:
                lines += ["", *indented(check["message"]), ""]
        lines.append("")
    if grade.errors:
        lines += ["## Cells that ended with an error", ""]
        for error in grade.errors:
            lines += [*indented(error["cell"]), *indented(error["error"]), ""]
    return "\n".join(lines).rstrip() + "\n"


def indented(text: str, most: int = 600) -> list[str]:
    """Return lines of a block of code in Markdown, in which nothing has a meaning."""
    return [f"      {line}" for line in text[:most].splitlines()]


def table(grades: list[Grade], path: Path) -> None:
    """Write one row a submission; columns of questions that are graded by hand are left empty."""
    columns = list(dict.fromkeys(q["name"] for grade in grades for q in grade.questions))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["submission", "assignment", "status", "points", "of", "by hand", *columns])
        for grade in grades:
            earned = {q["name"]: "" if q["manual"] else f"{q['earned']:g}" for q in grade.questions}
            totals = [f"{grade.total(what, False):g}" for what in ("earned", "points")]
            row = [grade.submission, grade.assignment, grade.status, *totals]
            writer.writerow(
                [*row, f"{grade.total('points', True):g}", *(earned.get(c, "") for c in columns)]
            )


def submissions(folder: Path) -> dict[str, Path]:
    """Return the files below a folder by the name of their report; hidden ones are left out."""
    files = [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]
    if not files:
        sys.exit(f"{folder} holds no file to grade")
    return {"__".join(path.relative_to(folder).parts): path for path in files}


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Grade a folder of handed-in notebooks.")
    parser.add_argument("submissions", type=Path)
    parser.add_argument("--assignments", type=Path, default=BUILT)
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "grades")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--seconds", type=int, default=240, help="for one submission")
    parser.add_argument("--cell-seconds", type=int, default=40, help="for one cell or check")
    parser.add_argument("--megabytes", type=int, default=4000, help="of memory")
    parser.set_defaults(seed=course_seed())
    return parser.parse_args()


def main() -> None:
    """Grade everything, write reports and table, and say where they are."""
    limits = arguments()
    if not limits.submissions.is_dir():
        sys.exit(f"{limits.submissions} is no folder")
    if not any(limits.assignments.glob("*/assignment.json")):
        sys.exit(f"{limits.assignments} holds no assignment to grade by; run: make assignments")
    files = submissions(limits.submissions)
    limits.out.mkdir(parents=True, exist_ok=True)

    def grade(name: str) -> Grade:
        done = graded(files[name], name, limits)
        (limits.out / f"{name}.md").write_text(report(done), encoding="utf-8")
        print(done.in_words, flush=True)
        return done

    with ThreadPoolExecutor(limits.workers) as pool:
        grades = list(pool.map(grade, files))
    table(grades, limits.out / "grades.csv")
    print(f"{len(grades)} submissions, {limits.out / 'grades.csv'}")


if __name__ == "__main__":
    main()
