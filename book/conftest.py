"""Lets a notebook's test run the code of its hidden solutions too, in the same kernel, where it stands."""

import re
from collections import defaultdict
from collections.abc import Iterator

import nbformat
import pytest
from nbval.plugin import IPyNbCell, IPyNbFile

collect_ignore = [
    "assignments"
]  # they have gaps; tests/test_assignments.py tries them
PYTHON = re.compile(r"(?ms)^```python\n(.*?)^```$")


class NotebookWithSolutions(IPyNbFile):
    """A notebook whose code cells are compared, and whose code in the text needs only to run."""

    def collect(self) -> Iterator[IPyNbCell]:
        tests = super().collect()
        number = 0
        for cell in nbformat.read(self.path, as_version=4).cells:
            if cell.cell_type == "code":
                yield next(tests)
                continue
            for block in PYTHON.findall(cell.source):
                number += 1
                yield IPyNbCell.from_parent(
                    self,
                    name=f"Code in text {number}",
                    cell_num=number,
                    # Without an execution count: nbval compares no output.
                    cell=nbformat.v4.new_code_cell(block),
                    options=defaultdict(bool),
                )


@pytest.hookimpl(wrapper=True)
def pytest_collect_file(parent: pytest.Collector) -> Iterator[None]:
    """Put a notebook with solutions in the place of each notebook that nbval collects."""
    collected = yield
    return [
        NotebookWithSolutions.from_parent(parent, path=file.path)
        if isinstance(file, IPyNbFile)
        else file
        for file in collected
    ]
