"""Checks of numbers that a user gives; each names the thing, what it is and what it needs to be."""

import math
from numbers import Integral


def whole(name: str, value: object, at_least: int = 1) -> int:
    """The value as an int, if it is a whole number of at least this.

    Raises:
        ValueError: it is not.
    """
    if not isinstance(value, Integral) or isinstance(value, bool) or value < at_least:
        raise ValueError(
            f"{name} is {value!r}; it needs to be a whole number of at least {at_least}"
        )
    return int(value)


def seed_of(value: object) -> int:
    """The value as an int, if it can name a family of random numbers.

    Raises:
        ValueError: it is no whole number from 0 to 2^32 - 1; larger ones would repeat others.
    """
    if whole("seed", value, at_least=0) >= 2**32:
        raise ValueError(f"seed is {value}; it needs to be below 2^32")
    return int(value)


def check_positive(**values: float) -> None:
    """Raise ValueError for the first value that is not a positive number."""
    for name, value in values.items():
        if isinstance(value, str | None) or not 0 < value < math.inf:
            raise ValueError(f"{name} is {value!r}; it needs to be positive")
