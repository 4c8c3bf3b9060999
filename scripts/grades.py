"""What the grader writes: a report for each submission, a table, and one to give points by hand in."""

import csv
import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

LEGEND = "The number in brackets is what a check is worth. Checks without one are those in your notebook."


@dataclass
class Grade:
    """What a submission earned, and what there is to say about it."""

    submission: str
    status: str = "graded"
    assignment: str = ""
    # As in assignment.json; "earned" is None where points are still to be given by hand.
    questions: list[dict] = field(default_factory=list)
    # Cells that ended with an error: the first line of each, and what it said.
    errors: list[dict] = field(default_factory=list)

    @property
    def points(self) -> float:
        """What was earned so far."""
        return sum(question["earned"] or 0 for question in self.questions)

    @property
    def possible(self) -> float:
        """What could be earned, what is still to be given by hand not counted."""
        return sum(q["points"] for q in self.questions if q["earned"] is not None)

    @property
    def by_hand(self) -> float:
        """What is still to be given by hand."""
        return sum(q["points"] for q in self.questions if q["earned"] is None)

    @property
    def in_words(self) -> str:
        """The result in one line."""
        if not self.assignment:
            return self.status
        more = f", {self.by_hand:g} more to be given by hand" if self.by_hand else ""
        noted = self.status.removeprefix("graded")
        return f"{self.assignment}: {self.points:g} of {self.possible:g} points{more}{noted}"


def read(result: str, name: str, assignments: Path) -> Grade:
    """Count the points of the checks that passed; what the submission's process wrote is only data."""
    found = json.loads(result)
    if not found["assignment"]:
        return Grade(name, f"not graded: {printable(found['problem']):.200}")
    built = {path.parent.name: path for path in assignments.glob("*/assignment.json")}
    questions = json.loads(built[found["assignment"]].read_text(encoding="utf-8"))["questions"]
    for question in questions:
        said = {check["name"]: check for check in found["checks"].get(question["name"], [])}
        for check in question["checks"]:
            answer = said.get(check["name"], {"passed": False, "message": "the check did not run"})
            check["passed"] = answer["passed"] is True
            check["message"] = str(answer["message"])
        earned = sum(check["points"] for check in question["checks"] if check["passed"])
        question["earned"] = None if question["manual"] else earned
    errors = [{part: str(e[part]) for part in ("cell", "error")} for e in found["errors"][:50]]
    status = "graded"
    if not any(check["passed"] for question in questions for check in question["checks"]):
        status += "; nothing is answered"
    if errors:
        status += f"; cells that failed: {len(errors)}"
    if found["replaced"]:
        replaced = printable(", ".join(dict.fromkeys(map(str, found["replaced"]))))
        status += f"; it replaced {replaced:.200}, which was undone"
    return Grade(name, status, found["assignment"], questions, errors)


def report(grade: Grade) -> str:
    """Return what a student reads: every question, and what each check that failed said."""
    lines = [f"# {grade.in_words}", "", f"`{grade.submission}`", ""]
    if grade.questions:
        lines += [LEGEND, ""]
    for question in grade.questions:
        name, points, earned = (question[part] for part in ("name", "points", "earned"))
        hand = "by hand, " if question["manual"] else ""
        lines += [
            f"## {name}: {hand}{'____' if earned is None else f'{earned:g}'} of {points:g} points",
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
    return [f"      {printable(line)}" for line in text[:most].splitlines()]


def table(grades: Iterable[Grade], path: Path) -> None:
    """Write one row a submission; what was not graded, or not yet by hand, is left empty."""
    columns = list(dict.fromkeys(q["name"] for grade in grades for q in grade.questions))
    rows = [["submission", "assignment", "status", "points", "of", "still by hand", *columns]]
    for grade in grades:
        row = [harmless(grade.submission), grade.assignment, grade.status]
        if grade.assignment:
            earned = {q["name"]: q["earned"] for q in grade.questions}
            numbers = [grade.points, grade.possible, grade.by_hand, *map(earned.get, columns)]
            row += ["" if number is None else f"{number:g}" for number in numbers]
        rows.append(row + [""] * (len(rows[0]) - len(row)))
    write(rows, path)


def write(rows: list[list[str]], path: Path) -> None:
    """Write a table that spreadsheets open as UTF-8."""
    with path.open("w", newline="", encoding="utf-8-sig") as file:
        csv.writer(file).writerows(rows)


def printable(text: str) -> str:
    """Return a text in one line, without what terminals and files cannot take."""
    kept = "".join(letter if letter.isprintable() else " " for letter in str(text))
    return kept.encode(errors="replace").decode()


def harmless(text: str) -> str:
    """Return a text that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


def read_by_hand(path: Path, assignments: Path) -> dict[str, dict[str, str]]:
    """Return the rows of `by_hand.csv` by submission; exit at an entry that cannot be.

    A row holds the assignment, and the points of each question, empty where they are still to be given.
    """
    if not path.exists():
        return {}
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        if not {"submission", "assignment"} <= row.keys() or None in row or None in row.values():
            sys.exit(f"{path} is not as it was made; is it saved with commas?")
        built = assignments / row["assignment"] / "assignment.json"
        if not built.exists():
            sys.exit(f"{path}: there is no assignment {row['assignment']!r}")
        for question in json.loads(built.read_text(encoding="utf-8"))["questions"]:
            entry, most = row.get(question["name"], ""), question["points"]
            try:
                right = not entry.strip() or 0 <= number(entry) <= most
            except ValueError:
                right = False
            if not right:
                where = f"{path}: {row['submission']}, {question['name']}"
                sys.exit(f"{where}: {entry!r} is no number from 0 to {most:g}")
    return {row["submission"]: row for row in rows}


def number(entry: str) -> float:
    """Return a number that may be written with a comma."""
    return float(entry.replace(",", "."))


def give_by_hand(grade: Grade, given: dict[str, dict[str, str]]) -> None:
    """Enter what was given by hand."""
    row = given.get(harmless(grade.submission), {})
    for question in grade.questions:
        if question["manual"]:
            entry = row.get(question["name"], "").strip()
            question["earned"] = number(entry) if entry else None


def write_by_hand(grades: list[Grade], given: dict[str, dict[str, str]], path: Path) -> None:
    """Write the table in which points are given by hand: what stood there, and a row for what is new."""
    rows = dict(given)
    for grade in grades:
        manual = [question["name"] for question in grade.questions if question["manual"]]
        name = harmless(grade.submission)
        if manual and name not in rows:
            rows[name] = {"submission": name, "assignment": grade.assignment}
            rows[name] |= dict.fromkeys(manual, "")
    if rows:
        columns = list(dict.fromkeys(column for row in rows.values() for column in row))
        entries = [[row.get(column, "") for column in columns] for row in rows.values()]
        write([columns, *entries], path)
