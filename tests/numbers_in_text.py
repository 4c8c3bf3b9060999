"""The numbers that a text claims, and whether a number that was printed or coded bears them out."""

import ast
import re
from collections.abc import Iterator
from decimal import Decimal

# A number that is no part of a word ("F1") or of a longer one (a version's 1.5.0).
NUMBER = re.compile(r"(?<![\w.])\d+(?:,\d{3})*(?:\.\d+)?(?:e[+-]?\d+)?(?!\.?\d)")

# What looks like a measurement and is none.
TERM = re.compile(
    r"""
    `[^`]*` | \$\$.*?\$\$ | \$[^$]*\$                    # code and formulas
    | \]\([^)]*\) | <[^>]*> | https?:\S+ | arXiv:\S+     # addresses and tags
    | \d+\ ?%\ (?:confidence\ )?intervals?               # the name of an interval
    | \b(?:section|table|figure|version|Python|PyTorch|torch|NumPy|scikit-learn|CUDA|CC\ BY)\ \d+\.\d+
    """,
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)

# Calls on these only place and paint: what stands in them bears nothing out.
DRAWING = re.compile(r"(ax|axes|fig|plt)\b")


def claims(text: str) -> Iterator[str]:
    """Every decimal number, percentage and number beside ±; with "%" where it is a percentage."""
    text = TERM.sub(" ", text)
    for number in NUMBER.finditer(text):
        before, after = text[: number.start()].rstrip(), text[number.end() :].lstrip()
        percent = re.match(r"%|percent\b|points\b", after)
        whole = "." not in number[0]
        beside = before.endswith("±") or after.startswith("±")
        if not whole or beside or (percent and percent[0] != "points"):
            yield number[0].replace(",", "") + ("%" if percent else "")


def coded(source: str) -> Iterator[str]:
    """The decimal numbers of the code, but for those that belong to a drawing."""
    nodes: list[ast.AST] = [ast.parse(source)]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.Constant) and isinstance(node.value, float):
            yield str(node.value)
        if not (isinstance(node, ast.Call) and DRAWING.match(ast.unparse(node.func))):
            nodes.extend(ast.iter_child_nodes(node))


def bears_out(given: str, claim: str) -> bool:
    """Whether the given number rounds to the claim; for a percentage it may be a fraction of 1."""
    value, claimed = Decimal(given.rstrip("%")), Decimal(claim.rstrip("%"))
    values = [value] if given.endswith("%") or not claim.endswith("%") else [value, 100 * value]
    half_a_unit = Decimal(5).scaleb(claimed.as_tuple().exponent - 1)
    return any(abs(each - claimed) <= half_a_unit for each in values)
