"""Run notebooks from top to bottom and store their outputs in the form that is committed.

usage: python scripts/run_notebooks.py [notebook ...; default: all chapters]
"""

import os
import subprocess
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parents[1]
os.environ["OMP_NUM_THREADS"] = "1"  # two threads add in another order, and store other digits
LIMIT = 60  # seconds on one core, the start of the kernel included


def execute(notebook: NotebookNode, path: Path) -> None:
    """Run the cells in the notebook's folder; exit with the complaint of the first that fails."""
    folder = {"metadata": {"path": path.parent}}
    try:
        NotebookClient(
            notebook, timeout=300, resources=folder, record_timing=False, coalesce_streams=True
        ).execute()
    except CellExecutionError as error:
        sys.exit(f"{path}: {error}")


def store(notebook: NotebookNode, path: Path) -> None:
    """Write the notebook without what differs from run to run: git shows real changes only."""
    nbformat.write(notebook, path)
    extra = "cell.metadata.execution metadata.language_info"
    keep = ["--keep-output", "--keep-count", f"--extra-keys={extra}"]
    subprocess.run([sys.executable, "-m", "nbstripout", *keep, path], check=True)


def main(*named: str) -> None:
    """Run every notebook that is named, and exit with a complaint where one was too slow."""
    slow, paths = [], [Path(name) for name in named]
    if missing := [str(path) for path in paths if not path.exists()]:
        sys.exit(f"there is no notebook {', '.join(missing)}")
    for path in paths or sorted((ROOT / "book").glob("part*/*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        start = time.perf_counter()
        execute(notebook, path)
        seconds = time.perf_counter() - start
        store(notebook, path)
        slow += [path.name] if seconds > LIMIT else []
        print(f"{seconds:5.1f} s  {path}", flush=True)
    if slow:
        sys.exit(f"over {LIMIT} s: {', '.join(slow)}")


if __name__ == "__main__":
    main(*sys.argv[1:])
