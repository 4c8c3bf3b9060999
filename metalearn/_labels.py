"""Labels that a classifier's classes have: all text, or all whole numbers."""

from typing import Any

import numpy as np


def is_text(labels: np.ndarray) -> bool:
    """Whether they are text."""
    return labels.dtype.kind in "OSU"


def plain(label: Any) -> Any:
    """A label as JSON can hold it: NumPy's numbers become Python's."""
    return label.item() if isinstance(label, np.generic) else label


def with_label(labels: np.ndarray, label: Any, n: int) -> np.ndarray:
    """The labels [S] and n times one more, [S + n]; text may become longer, numbers keep their type."""
    check_kind(label, labels)
    more = np.array([label] * n)
    return np.concatenate([labels, more if is_text(labels) else more.astype(labels.dtype)])


def check_kind(label: Any, labels: np.ndarray) -> None:
    """Raise ValueError for a label that is not of the kind of the others."""
    if is_text(labels):
        fits, kind = isinstance(label, str), "text"
    else:
        number = isinstance(label, int | float | np.number | np.bool_)
        fits, kind = number and _is_whole(label, labels.dtype), f"numbers ({labels.dtype})"
    if not fits:
        raise ValueError(f"the label {label!r} does not fit: the known classes are {kind}")


def _is_whole(number: Any, dtype: np.dtype) -> bool:
    """Whether the number is whole and this type can hold it."""
    try:
        return bool(int(number) == number == dtype.type(number))
    except (OverflowError, ValueError):
        return False
