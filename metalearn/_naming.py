"""What a function that a user passes is called, in reports and in the settings of a training."""

from collections.abc import Callable
from functools import partial


def plain(function: Callable) -> Callable:
    """The function itself, without options that `functools.partial` has fixed."""
    return plain(function.func) if isinstance(function, partial) else function


def name_of(function: Callable) -> str:
    """Its name, with the options that `functools.partial` has fixed; what is printed of it if it has none.

    Example:
        >>> name_of(partial(round, ndigits=2))
        'round(ndigits=2)'
    """
    if isinstance(function, partial):
        options = [repr(value) for value in function.args]
        options += [f"{name}={value!r}" for name, value in function.keywords.items()]
        return f"{name_of(function.func)}({', '.join(options)})"
    return getattr(function, "__name__", repr(function))


def in_words(metric: str) -> str:
    """A metric's name as people write it.

    Example:
        >>> in_words("macro_f1")
        'macro F1'
    """
    return metric.replace("_", " ").replace("f1", "F1")


def times(shape: tuple[int, ...]) -> str:
    """The shape of an example as people write it.

    Example:
        >>> times((1, 28, 28))
        '1x28x28'
    """
    return "x".join(map(str, shape))
