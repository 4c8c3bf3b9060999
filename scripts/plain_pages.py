"""Leaves out of every page what the book does not use, a Sphinx extension.

Jupyter Book adds Thebe, which would run cells on a server elsewhere, to each page, and twice: the
second copy of its settings is an error in the browser.
"""

from sphinx.application import Sphinx


def setup(app: Sphinx) -> dict[str, bool]:
    """Ask Sphinx for every page before it is written, after Thebe has added itself."""
    app.connect("html-page-context", leave_out_thebe, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def leave_out_thebe(app: Sphinx, page: str, template: str, context: dict, doctree: object) -> None:
    """Take Thebe's program and its settings from a page's scripts."""
    context["script_files"] = [
        script
        for script in context.get("script_files", [])
        if "thebe" not in f"{script} {getattr(script, 'attributes', {}).get('body', '')}"
    ]
