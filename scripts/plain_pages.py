"""Mends in every page what the theme leaves wrong, a Sphinx extension.

Jupyter Book adds Thebe, which would run cells on a server elsewhere, to each page, and twice: the
second copy of its settings is an error in the browser. Two things have no name or the wrong one for
a screen reader: the arrow that opens a section in the side bar, and a signature's list of arguments.
"""

import re

from sphinx.application import Sphinx

ARGUMENTS = re.compile(r"<dl>\n((?:<dd>.*?</dd>\n)+)</dl>", re.DOTALL)


def setup(app: Sphinx) -> dict[str, bool]:
    """Ask Sphinx for every page before it is written, after the theme and Thebe have had it."""
    app.connect("html-page-context", mend, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def mend(app: Sphinx, page: str, template: str, context: dict, doctree: object) -> None:
    """Mend what the template is about to write."""
    context["script_files"] = [
        script
        for script in context.get("script_files", [])
        if "thebe" not in f"{script} {getattr(script, 'attributes', {}).get('body', '')}"
    ]
    contents = context["generate_toctree_html"]
    arrow = '<summary aria-label="Show or hide the pages of this section">'
    context["generate_toctree_html"] = lambda *how, **more: str(contents(*how, **more)).replace(
        "<summary>", arrow
    )
    context["body"] = ARGUMENTS.sub(list_of_arguments, context.get("body", ""))


def list_of_arguments(found: re.Match) -> str:
    """A list of terms without terms as the plain list that it is."""
    items = re.sub(r"(</?)dd>", r"\1li>", found[1])
    return f'<ul class="arguments">\n{items}</ul>'
