"""Grade a folder of handed-in notebooks: one table, and a report for each.

usage: python scripts/grade.py SUBMISSIONS [--out grades/NAME-OF-THE-FOLDER] [--workers 2]
       [--assignments build/assignments] [--seconds 240] [--cell-seconds 40] [--megabytes 4000]

Every file below the folder is a submission. A notebook says itself which assignment it is of; the
assignments are those that `make assignments` made. Each submission has processes of its own, with
limits of time and memory: what it does there cannot stop the others, and none of it runs here.
Points by hand are entered in `by_hand.csv`, beside the table; the next run puts them everywhere.
"""

import argparse
import multiprocessing
import os
import signal
import stat
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import chain, count
from pathlib import Path

import grade_one
import psutil
from assignments import BUILT, ROOT, course_seed
from grades import (
    Grade,
    give_by_hand,
    printable,
    read,
    read_by_hand,
    report,
    table,
    write_by_hand,
)

# Each process is a copy of one that has imported Otter, and nothing else.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["grade_one"])


def graded(path: Path, name: str, options: argparse.Namespace) -> Grade:
    """Grade one submission, and keep the notebook as it ran."""
    if not path.is_file():
        return Grade(name, "not graded: it is no file, or a link to nowhere")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as made:
        folder = Path(made)
        ended = run(path, folder, options)
        if ended == 0 and (result := text_of(folder / "result.json")):
            if executed := text_of(folder / "work" / "executed.ipynb"):
                (options.out / f"{name}.ipynb").write_text(executed, encoding="utf-8")
            try:
                return read(result, name, options.assignments)
            except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
                return Grade(name, f"not graded: its result cannot be read ({error!r:.80})")
        begun, said = (last_line(text_of(folder / file)) for file in ("log", "output"))
        where = f" in the cell that begins: {begun:.80}" if begun else ""
        if ended is None:
            return Grade(name, f"not graded: it took longer than {options.seconds} seconds{where}")
        return Grade(name, f"not graded: it crashed{where} ({said:.80})")


def text_of(path: Path, most: int = 100_000_000) -> str:
    """Return the text of a file that a submission may have written: plain and not too large, else empty."""
    if not path.exists() or not stat.S_ISREG(path.lstat().st_mode) or path.lstat().st_size > most:
        return ""
    return path.read_text(encoding="utf-8", errors="replace")


def last_line(text: str) -> str:
    """Return the last line that is not blank, nor a warning of Jupyter's."""
    lines = (line for line in reversed(text.splitlines()) if line.strip())
    return next((line for line in lines if "IPKernelApp" not in line), "")


def run(path: Path, folder: Path, options: argparse.Namespace) -> int | None:
    """Run a submission and its checks in a folder; return the exit code, None if time ran out."""
    environment = {
        "METALEARN_COURSE_SEED": str(options.seed),
        "OMP_NUM_THREADS": "1",
        "OMP_WAIT_POLICY": "PASSIVE",
        "TMPDIR": str(folder),
        "IPYTHONDIR": str(folder / "ipython"),
    }
    process = PROCESSES.Process(
        target=grade_one.main,
        args=(path.resolve(), options.assignments.resolve(), folder, environment),
        kwargs={"cell_seconds": options.cell_seconds, "megabytes": options.megabytes},
        daemon=True,
    )
    process.start()
    try:
        process.join(options.seconds)
        return process.exitcode
    finally:
        process.kill()
        for other in psutil.process_iter(["environ"]):
            if (other.info["environ"] or {}).get("TMPDIR") == str(folder):
                with suppress(psutil.Error):  # it may have just ended
                    other.kill()


def submissions(folder: Path) -> dict[str, Path]:
    """Return the files below a folder by the name of their report; hidden ones are left out."""
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if (path.is_dir() and not path.is_symlink()) or any(part.startswith(".") for part in parts):
            continue
        name = printable("__".join(parts)).removesuffix(".ipynb")
        name = name if len(name.encode()) <= 200 else f"{name[:60]}... {len(found)}"
        taken = {known.lower() for known in found}
        others = (f"{name} ({number})" for number in count(2))
        found[next(each for each in chain([name], others) if each.lower() not in taken)] = path
    if not found:
        sys.exit(f"{folder} holds no file to grade")
    return found


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Grade a folder of handed-in notebooks.")
    parser.add_argument("submissions", type=Path)
    parser.add_argument("--out", type=Path, help="default: grades/NAME-OF-THE-FOLDER")
    parser.add_argument("--assignments", type=Path, default=BUILT)
    parser.add_argument("--workers", type=at_least_one, default=os.cpu_count())
    parser.add_argument("--seconds", type=at_least_one, default=240, help="for one submission")
    parser.add_argument("--cell-seconds", type=at_least_one, default=40, help="for a cell or check")
    parser.add_argument("--megabytes", type=at_least_one, default=4000, help="of memory")
    options = parser.parse_args()
    if not options.submissions.is_dir():
        sys.exit(f"{options.submissions} is no folder")
    if not any(options.assignments.glob("*/assignment.json")):
        sys.exit(f"{options.assignments} holds no assignment to grade by; run: make assignments")
    options.out = options.out or ROOT / "grades" / options.submissions.resolve().name
    if options.out.resolve().is_relative_to(options.submissions.resolve()):
        sys.exit(f"{options.out} lies among the submissions; name another folder with --out")
    options.seed = course_seed()
    return options


def at_least_one(text: str) -> int:
    """Return a number that is 1 or more."""
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return number


def main() -> None:
    """Grade everything, write reports and table, and say where they are."""
    options = arguments()
    files = submissions(options.submissions)
    options.out.mkdir(parents=True, exist_ok=True)
    given = read_by_hand(options.out / "by_hand.csv", options.assignments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))

    def grade(name: str) -> Grade:
        for old in (".md", ".ipynb"):
            (options.out / f"{name}{old}").unlink(missing_ok=True)
        done = graded(files[name], name, options)
        give_by_hand(done, given)
        (options.out / f"{name}.md").write_text(report(done), encoding="utf-8")
        print(f"{name}: {done.in_words}", flush=True)
        return done

    grades: list[Grade] = []
    pool = ThreadPoolExecutor(options.workers)
    try:
        for done in pool.map(grade, files):
            grades.append(done)
            table(grades, options.out / "grades.csv")  # a run that is stopped leaves what it has
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        for child in PROCESSES.active_children():
            child.kill()
    write_by_hand(grades, given, options.out / "by_hand.csv")
    not_graded = sum(not done.assignment for done in grades)
    print(f"{len(grades)} handed in, {not_graded} of them not graded: {options.out / 'grades.csv'}")


if __name__ == "__main__":
    main()
