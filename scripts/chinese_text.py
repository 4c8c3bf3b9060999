"""Chinese on a page of English is marked as Chinese, for voices and for the shapes of its characters.

As a Sphinx extension it does so in every built page.
"""

import re

from sphinx.application import Sphinx

CHINESE = "[\u4e00-\u9fff][\u4e00-\u9fff\u3000-\u303f\uff00-\uffef]*"


def setup(app: Sphinx) -> dict[str, bool]:
    """Ask Sphinx for every page before it is written."""
    app.connect("html-page-context", mark_page)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def mark_page(app: Sphinx, page: str, template: str, context: dict, doctree) -> None:
    """Mark the Chinese of a page."""
    if "body" in context:
        context["body"] = marked(context["body"])


def marked(html: str) -> str:
    """HTML whose Chinese text stands in elements that name its language; tags are left alone."""
    parts = re.split(r"(<[^>]*>)", html)
    parts[::2] = [
        re.sub(CHINESE, r'<span lang="zh-Hans">\g<0></span>', text) for text in parts[::2]
    ]
    return "".join(parts)
