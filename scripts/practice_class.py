"""Make a folder of made-up submissions, to try `make grade` on before a class hands in its own.

usage: python scripts/practice_class.py FOLDER [number; default: 40]

Each is a solution with one of the wrong answers in `tests/wrong_answers`, named after it; every
tenth has a trouble of another kind: an endless loop, a crash, a copy with all gaps, no notebook.
"""

import sys
from itertools import cycle
from pathlib import Path

import nbformat
import yaml
from assignments import BUILT, ROOT, names, read
from nbformat import NotebookNode, v4

TROUBLES = {"endless loop": "while True:\n    pass", "crash": "import os\n\nos._exit(1)"}


def with_fault(solution: NotebookNode, wrong: dict) -> NotebookNode:
    """Return a copy of the solution in which one answer is wrong."""
    notebook = nbformat.from_dict(solution)
    for cell in notebook.cells:
        if "old" in wrong and cell.cell_type == "code" and 'checks = "' not in cell.source:
            cell.source = cell.source.replace(wrong["old"], wrong["new"])
    if "answer" in wrong:
        add(notebook, wrong["question"], wrong["answer"])
    return notebook


def add(notebook: NotebookNode, question: str, code: str) -> None:
    """Put a cell before the check of a question."""
    check = f'grader.check("{question}")'
    place = next(i for i, cell in enumerate(notebook.cells) if cell.source.startswith(check))
    notebook.cells.insert(place, v4.new_code_cell(code))


def main(folder: str, number: str = "40") -> None:
    """Write the submissions."""
    place = Path(folder)
    place.mkdir(parents=True)
    solutions = {name: nbformat.read(BUILT / name / f"{name}.ipynb", 4) for name in names()}
    bank = {name: ROOT / "tests" / "wrong_answers" / f"{name}.yml" for name in solutions}
    wrong = {name: yaml.safe_load(path.read_text(encoding="utf-8")) for name, path in bank.items()}
    kinds = cycle([*TROUBLES, "gaps", "no notebook"])
    for k, name in zip(range(int(number)), cycle(solutions), strict=False):
        if k % 10 == 9:
            notebook, fault = nbformat.from_dict(solutions[name]), next(kinds)
            if fault in TROUBLES:
                add(notebook, "q1", TROUBLES[fault])
            elif fault == "gaps":
                notebook = read(name).student
        else:
            answer = wrong[name][7 * k % len(wrong[name])]
            notebook, fault = with_fault(solutions[name], answer), answer["fault"]
        words = "".join(letter if letter.isalnum() else " " for letter in fault)[:60].strip()
        path = place / f"{k:02} {name} {words}.ipynb"
        text = "not a notebook" if fault == "no notebook" else nbformat.writes(notebook)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
