"""Write the address of the git repository into `_config.yml` and the set-up cell of every notebook.

usage: python scripts/set_address.py [https address; default: the git remote `origin`]
"""

import re
import subprocess
import sys
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parents[1]

SETUP_CELL = """\
# On Colab this cell installs the book's package; elsewhere it does nothing.
import subprocess
import sys

# The book's git repository, as `make address` wrote it:
ADDRESS = "{address}"
if "google.colab" in sys.modules:
    if not ADDRESS:
        raise RuntimeError("this copy does not say where its repository is")
    package = f"metalearn-book[book] @ git+{{ADDRESS}}"
    command = [sys.executable, "-m", "pip", "install", "--quiet", package]
    subprocess.run(command, check=True)"""


def setup_cell(address: str) -> str:
    """Return the source of a notebook's first code cell."""
    return SETUP_CELL.format(address=address)


def checked(address: str) -> str:
    """Return the address without its `.git`; exit where readers could not install from it."""
    address = address.strip().removesuffix("/").removesuffix(".git")
    if not re.fullmatch(r"https://[\w.-]+(:\d+)?(/[\w.~-]+)+", address):
        sys.exit(
            f"{address!r} is not an https address of a git repository, without user name or "
            "password, as in: make address URL=https://github.com/owner/repository"
        )
    return address


def remote() -> str:
    """Return the address of the git remote `origin`."""
    git = subprocess.run(
        ["git", "remote", "get-url", "origin"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if git.returncode:
        sys.exit(
            "This clone has no git remote `origin`. Give the address: make address URL=https://..."
        )
    return git.stdout


def configured(text: str, address: str) -> str:
    """Return the text of `_config.yml` with the address, and a Colab button if Colab can use it."""
    colab = "https://colab.research.google.com" if address.startswith("https://github.com/") else ""
    text = re.sub(r'(?m)^  url: ".*"', f'  url: "{address}"', text)
    return re.sub(r'(?m)^  colab_url: ".*"', f'  colab_url: "{colab}"', text)


def address_of(text: str) -> str:
    """Return the address that the text of `_config.yml` holds, empty where none is set."""
    return re.search(r'(?m)^  url: "(.*)"', text)[1]


def main() -> None:
    """Write the address everywhere, and name every file that changed."""
    address = checked(sys.argv[1] if len(sys.argv) > 1 else remote())

    config = ROOT / "_config.yml"
    before = config.read_text(encoding="utf-8")
    if (after := configured(before, address)) != before:
        config.write_text(after, encoding="utf-8")
        print("_config.yml")

    for path in sorted((ROOT / "book").rglob("[!.]*.ipynb")):
        notebook = nbformat.read(path, nbformat.NO_CONVERT)
        first = next(cell for cell in notebook.cells if cell.cell_type == "code")
        if not first.source.startswith(SETUP_CELL.splitlines()[0]):
            sys.exit(f"{path.relative_to(ROOT)}: the first code cell is not the set-up cell")
        if first.source != setup_cell(address):
            first.source = setup_cell(address)
            nbformat.write(notebook, path)
            print(path.relative_to(ROOT))

    print(f"The address is {address}")


if __name__ == "__main__":
    main()
