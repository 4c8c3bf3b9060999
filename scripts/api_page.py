"""The API reference: every public name of the package, from its docstring.

As a Sphinx extension it writes them where a page below `book/back/api` says `ENTRIES: MODULE ...`, and
their names alone where `book/back/api` says `NAMES`, whenever the book is built. A docstring is
Markdown with formulas; its sections (`Args:` and the like) become lists.
"""

import inspect
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from pathlib import Path
from types import ModuleType

from docutils.nodes import Element
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx

import metalearn

ROOT = Path(__file__).resolve().parents[1]
INDEX = "book/back/api"
ENTRIES = r"(?m)^ENTRIES: (.+)$"
LISTS = {"Args": "Arguments", "Attributes": "Attributes", "Raises": "Raises"}
SHAPE = r"\[(?:[A-Z]|n|rows|\.{3})(?:, ?[^\]]+)?\](?!\()"
WITHIN = r"`[^`]+`|\$[^$]+\$"
DERIVED = r"Derived\s+in\s+chapter\s+(\d+),\s+\*([^*]+)\*\."
Item = Callable


def setup(app: Sphinx) -> dict[str, bool]:
    """Ask Sphinx for every page's text before it is parsed, and for every type that it cannot link."""
    app.connect("source-read", add_entries)
    app.connect("missing-reference", leave_other_types)
    return {"parallel_read_safe": True}


def add_entries(app: Sphinx, page: str, source: list[str]) -> None:
    """Put the entries in their places; a page is read in every build: docstrings change without it."""
    if page == INDEX or page.startswith(f"{INDEX}/"):
        app.env.note_reread()
        source[0] = re.sub(r"(?m)^NAMES$", lambda _: index(), source[0])
        source[0] = re.sub(ENTRIES, lambda found: entries(found[1].split()), source[0])


def leave_other_types(app: Sphinx, env, node: pending_xref, text: Element) -> Element | None:
    """Print types of Python, torch and others without a link; one of the package has to be found."""
    is_other = node["refdomain"] == "py" and not node["reftarget"].startswith("ml.")
    return text if is_other else None


# What is public, and where it is listed


def public_names() -> dict[Item, list[str]]:
    """Every public function and class, and the names by which `import metalearn as ml` reaches it."""
    names: dict[Item, list[str]] = {}
    for path, module in public_modules().items():
        for name in exported(module):
            item = getattr(module, name)
            if inspect.isclass(item) or inspect.isfunction(item):
                names.setdefault(item, []).append(f"{path}.{name}")
    return names


def public_values() -> list[str]:
    """Every public name that is neither a function nor a class nor a module."""
    return [
        f"{path}.{name}"
        for path, module in public_modules().items()
        for name in exported(module)
        if not callable(value := getattr(module, name)) and not inspect.ismodule(value)
    ]


def public_modules() -> dict[str, ModuleType]:
    """The package, and the modules in its `__all__`."""
    return {"ml": metalearn} | {
        f"ml.{name}": value
        for name in metalearn.__all__
        if inspect.ismodule(value := getattr(metalearn, name))
    }


def exported(module: ModuleType) -> list[str]:
    """What a module names in `__all__`; without one, what it defines and does not call private."""
    if hasattr(module, "__all__"):
        return module.__all__
    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__
    ]


def members(modules: Iterable[str]) -> dict[Item, list[str]]:
    """The public names that these modules define, in the order in which they do."""
    place = {module: number for number, module in enumerate(modules)}
    found = {item: names for item, names in public_names().items() if item.__module__ in place}
    return dict(
        sorted(
            found.items(),
            key=lambda pair: (place[pair[0].__module__], inspect.getsourcelines(pair[0])[1]),
        )
    )


def listed(page: Path) -> list[str]:
    """The modules whose public names a page lists."""
    return " ".join(re.findall(ENTRIES, page.read_text(encoding="utf-8"))).split()


def pages() -> list[Path]:
    """The pages of the reference, in the order of the table of contents."""
    contents = (ROOT / "_toc.yml").read_text(encoding="utf-8")
    return [ROOT / f"{name}.md" for name in re.findall(rf"{INDEX}/\w+", contents)]


# Pages


def index() -> str:
    """The names on each page, each a link to its entry."""
    parts = []
    for page in pages():
        title = re.match(r"# (.+)", page.read_text(encoding="utf-8"))[1]
        names = [each[0] for each in members(listed(page)).values()]
        shown = " · ".join(f"{{py:obj}}`{name}`" for name in names)
        parts.append(f"**[{title}](api/{page.name})**\n: {shown}\n")
    return "\n".join(parts)


def entries(modules: list[str]) -> str:
    """The public names of these modules in Markdown."""
    return "\n".join(entry(item, names) for item, names in members(modules).items())


def entry(item: Item, names: list[str]) -> str:
    """A function, or a class with its methods."""
    lines = [*written(item)]
    if names[1:]:
        lines += ["", "Also " + ", ".join(f"`{name}`" for name in names[1:]) + "."]
    if not inspect.isclass(item):
        return "\n".join([*directive("function", names[0] + signature(item), lines, 4), ""])
    if bases := [link for base in item.__mro__[1:] if (link := linked(base.__name__))]:
        lines += ["", f"It is a {bases[0]}: what is not listed here is described there."]
    for name, method in documented(item):
        lines += ["", *directive(kind(item, name), name + signature(method), written(method), 3)]
    return "\n".join([*directive("class", names[0] + signature(item), lines, 4), ""])


def directive(what: str, argument: str, lines: Iterable[str], colons: int) -> list[str]:
    """An object of Sphinx's Python domain."""
    name, _, option = what.partition(" ")
    fence = ":" * colons
    return [
        f"{fence}{{py:{name}}} {argument}",
        *([f":{option}:"] if option else []),
        "",
        *lines,
        fence,
    ]


def documented(item: type) -> Iterator[tuple[str, Item | property]]:
    """The public methods and properties that a class documents itself."""
    for name, value in vars(item).items():
        value = getattr(value, "__func__", value)  # of a class method
        describes = isinstance(value, property) or inspect.isfunction(value)
        if describes and value.__doc__ and not name.startswith("_"):
            yield name, value


def kind(item: type, name: str) -> str:
    """The directive that describes an attribute of a class."""
    value = vars(item)[name]
    if isinstance(value, property):
        return "property"
    return "method classmethod" if isinstance(value, classmethod) else "method"


# Signatures


def signature(item: Item | property) -> str:
    """Arguments with their types and defaults, as a reader would write them."""
    if isinstance(item, property):
        return ""
    if inspect.isclass(item) and not makes_itself(item):
        return ""
    made = inspect.signature(item)
    each = [one for one in made.parameters.values() if one.name not in {"self", "cls"}]
    arguments = [argument(one, factory(item, one.name)) for one in each]
    if keyword_only := [one.name for one in each if one.kind is one.KEYWORD_ONLY]:
        first = [one.name for one in each].index(keyword_only[0])
        if not any(one.kind is one.VAR_POSITIONAL for one in each):
            arguments.insert(first, "*")
    returned = made.return_annotation
    if inspect.isclass(item) or returned in {made.empty, None}:
        return f"({', '.join(arguments)})"
    return f"({', '.join(arguments)}) -> {type_of(returned)}"


def makes_itself(item: type) -> bool:
    """Whether a class says what it is made from: no protocol does, nor one that leaves it to torch."""
    own = [base for base in item.__mro__ if base.__module__.startswith("metalearn")]
    return not getattr(item, "_is_protocol", False) and any(
        "__init__" in vars(base) for base in own
    )


def argument(one: inspect.Parameter, default: str) -> str:
    """An argument with its type and its default."""
    stars = {one.VAR_POSITIONAL: "*", one.VAR_KEYWORD: "**"}.get(one.kind, "")
    kind = "" if one.annotation is one.empty else f": {type_of(one.annotation)}"
    if not default and one.default is not one.empty:
        default = value(one.default)
    return stars + one.name + kind + (f" = {default}" if default else "")


def factory(item: Item, name: str) -> str:
    """What the default of a data class's field is made as; nothing if it is not made."""
    if not is_dataclass(item):
        return ""
    made = {field.name: field.default_factory for field in fields(item)}.get(name, MISSING)
    return "" if made is MISSING else repr(made())


def type_of(annotation: object) -> str:
    """A type without the modules that it comes from; one of the package by its public name, a link."""
    short = re.sub(r"(?:\w+\.)+(?=\w)", "", inspect.formatannotation(annotation))
    return re.sub(r"\b[A-Z]\w+", lambda found: targets().get(found[0], found[0]), short)


def value(default: object) -> str:
    """A default as it is written in code."""
    if inspect.isclass(default) or inspect.isfunction(default):
        return default.__name__
    return f"{default:.4g}" if isinstance(default, float) else repr(default)


# Docstrings


def written(item: Item | property) -> list[str]:
    """A docstring as Markdown."""
    lines, section, body = [], "", []
    for line in [*inspect.cleandoc(item.__doc__).splitlines(), "End:"]:
        if heading := re.fullmatch(r"([A-Z]\w+):", line):
            lines += rendered(section, body)
            section, body = heading[1], []
        elif section and line and not line.startswith(" "):
            lines += rendered(section, body)
            section, body = "", [line]
        else:
            body.append(line)
    return lines


def rendered(section: str, body: list[str]) -> list[str]:
    """A section of a docstring as Markdown: text, code, or a list of names and what they are."""
    text = inspect.cleandoc("\n" + "\n".join(body))
    if not section:
        return [prose(text), ""]
    if section == "Example":
        return [*blocks(text), ""]
    if section in {"Returns", "Shape"}:
        return [f"**{section}** {prose(' '.join(text.split()))}", ""]
    pairs = [" ".join(each.split()).partition(": ") for each in re.split(r"\n(?! )", text)]
    named = [
        f"- {', '.join(f'`{name}`' for name in names.split(', '))}"
        + (f": {prose(what)}" if what else "")
        for names, _, what in pairs
    ]
    return [f"**{LISTS[section]}**", "", *named, ""]


def blocks(text: str) -> Iterator[str]:
    """Examples as code, and the words between them as text."""
    for part in text.split("\n\n"):
        yield from ["```pycon", part, "```"] if part.startswith(">>>") else [prose(part)]
        yield ""


def prose(text: str) -> str:
    """Text of a docstring with its shapes as code, and its names, addresses and chapters as links."""
    made, end = "", 0
    for found in re.finditer(WITHIN, text):
        made += plain(text[end : found.start()])
        made += linked(found[0][1:-1]) or found[0]
        end = found.end()
    return re.sub(DERIVED, chapter_link, made + plain(text[end:]))


def plain(text: str) -> str:
    """Shapes as code, and addresses as links, in text that is neither code nor formula."""
    text = re.sub(SHAPE, r"`\g<0>`", text).replace(" -> ", " → ")
    return re.sub(r"https?://[^\s;,)]*[^\s;,).:]", lambda found: address(found[0]), text)


def address(url: str) -> str:
    """A link that shows what is short: the number of a preprint, the DOI, else the host."""
    for start, name in (("https://arxiv.org/abs/", "arXiv:"), ("https://doi.org/", "doi:")):
        if url.startswith(start):
            return f"[{name}{url.removeprefix(start)}]({url})"
    return f"[{url.split('/')[2]}]({url})"


def linked(code: str) -> str:
    """A link to the entry that a name in a docstring means; nothing if it means none for sure."""
    name = re.sub(r"\(.*\)$", "", code)
    target = targets().get(name)
    return f"{{py:obj}}`{code} <{target}>`" if target else ""


@cache
def targets() -> dict[str, str]:
    """By each spelling that says enough, the name under which an entry stands."""
    found = {}
    for item, (name, *others) in public_names().items():
        short = [name, *others]
        found |= {spelling: name for path in short for spelling in (path, path.removeprefix("ml."))}
        if inspect.isclass(item):
            found[item.__name__] = name
            found |= {f"{item.__name__}.{each}": f"{name}.{each}" for each, _ in documented(item)}
    return {
        spelling: name
        for spelling, name in found.items()
        if not spelling.islower() or "." in spelling
    }


# Chapters


def derivation(item: Item) -> tuple[int, str] | None:
    """Number and title of the chapter that the docstring says derives it; None if it says none."""
    said = re.search(DERIVED, item.__doc__ or "")
    return said and (int(said[1]), " ".join(said[2].split()))


def chapter_link(said: re.Match) -> str:
    """The words that say which chapter derives it, a link where the book has this chapter."""
    number, title = int(said[1]), " ".join(said[2].split())
    if path := chapters().get(number):
        return f"Derived in [chapter {number}, *{title}*](../../{path.parent.name}/{path.name})."
    return f"Derived in chapter {number}, *{title}*."


def chapters() -> dict[int, Path]:
    """The notebook of each chapter in the table of contents, by its number."""
    contents = (ROOT / "_toc.yml").read_text(encoding="utf-8")
    found = re.finditer(r"book/part\d+/(\d+)_\w+", contents)
    return {int(chapter[1]): ROOT / f"{chapter[0]}.ipynb" for chapter in found}
