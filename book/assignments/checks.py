"""What the checks of the assignments share; this text stands at the head of every file of checks.

Answers are compared here as plain numbers of Python. A submission that puts its own function in
the place of `torch.allclose`, or answers with an object that equals everything, gains nothing.
"""

import math
import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ClassVar
from unittest.mock import patch

import numpy as np
import torch


def course_rng(*key: int) -> np.random.Generator:
    """Return the generator of hidden cases: it depends on the course's seed and on the key."""
    return np.random.default_rng(
        [int(os.environ["METALEARN_COURSE_SEED"]), *key]
    )


def plain(
    value: object, what: str, shape: tuple[int, ...] | None = None
) -> list | float:
    """Return a tensor, an array or a number as nested lists of Python; refuse anything else."""
    if type(value) in (bool, int, float):
        numbers, has = value, ()
    elif type(value) is torch.Tensor:
        numbers, has = value.detach().cpu().tolist(), tuple(value.shape)
    elif type(value) is np.ndarray or isinstance(
        value, (np.floating, np.integer, np.bool_)
    ):
        numbers, has = value.tolist(), tuple(value.shape)
    else:
        raise AssertionError(
            f"{what} is {described(value)}; a tensor, an array or a number is wanted"
        )
    assert shape is None or has == shape, (
        f"{what} has the shape {has}; {shape} is wanted"
    )
    return numbers


def described(value: object) -> str:
    """Return a value's type, or what it says of an answer that is still missing."""
    if value is ...:
        return "still ..."
    if value is None:
        return "None: is it not written yet, or is a return missing?"
    return f"of type {type(value).__name__}"


def close(
    got: object,
    wanted: object,
    what: str,
    tolerance: float = 1e-5,
    shape: tuple | None = None,
) -> None:
    """Complain of the first number that differs by more than the tolerance, relative above 1.

    `what` ends with the name of the thing: the place of the number is written after it.
    """
    compare(
        plain(got, what, shape),
        plain(wanted, "the wanted value"),
        what,
        tolerance,
    )


def compare(
    got: list | float, wanted: list | float, what: str, tolerance: float
) -> None:
    """Compare nested lists of numbers."""
    if type(wanted) is list or type(got) is list:
        mine, theirs = (
            f"{len(each)} entries" if type(each) is list else "one number"
            for each in (got, wanted)
        )
        assert mine == theirs, f"{what}: {mine} where {theirs} should be"
        for i, (number, right) in enumerate(zip(got, wanted, strict=True)):
            compare(
                number, right, f"{what}[{i}]".replace("][", ", "), tolerance
            )
        return
    if not (math.isfinite(got) and math.isfinite(wanted)):
        same = got == wanted or (math.isnan(got) and math.isnan(wanted))
        assert same, f"{what} is {got:.6g}; {wanted:.6g} is wanted"
        return
    far = abs(got - wanted) > tolerance * max(1.0, abs(wanted))
    assert not far, f"{what} is {got:.6g}; {wanted:.6g} is wanted"


def raises(
    error: type[Exception],
    function: Callable,
    *arguments: object,
    naming: tuple,
) -> None:
    """Ask that a call ends with this error, and that its message names these numbers."""
    try:
        function(*arguments)
    except error as caught:
        message = str(caught)
        missing = [str(part) for part in naming if str(part) not in message]
        assert not missing, (
            f"the error says {message!r}; it should also name {', '.join(missing)}"
        )
    else:
        raise AssertionError(f"no {error.__name__} was raised")


@contextmanager
def given(env: dict, **names: object) -> Iterator[None]:
    """For a while, put these objects in the place of the notebook's: no fault counts twice."""
    before = {name: env[name] for name in names if name in env}
    env.update(names)
    try:
        yield
    finally:
        for name in names:
            del env[name]
        env.update(before)


@contextmanager
def leaves_global_randomness_alone() -> Iterator[None]:
    """Ask that the generators which a whole program shares are neither drawn from nor seeded."""
    before = global_states()
    yield
    for name, state in global_states().items():
        assert state == before[name], (
            f"the global generator of {name} was used"
        )


def global_states() -> dict[str, object]:
    """Return where the generators stand that a whole program shares."""
    _, words, place, *_ = np.random.get_state()  # noqa: NPY002
    return {
        "Python": random.getstate(),
        "NumPy": (words.tolist(), place),
        "torch": torch.get_rng_state().tolist(),
    }


@contextmanager
def without_autograd() -> Iterator[None]:
    """Ask that torch differentiates nothing meanwhile: a formula is wanted."""
    used = AssertionError("autograd was used; a formula is wanted")
    with (
        patch("torch.autograd.grad", side_effect=used),
        patch("torch.autograd.backward", side_effect=used),
        torch.inference_mode(),
    ):
        yield


def torch_calls(function: Callable, *arguments: object) -> list[str]:
    """Return the names of torch's functions that a call uses: as many for any batch without a loop."""

    class Noting(torch.overrides.TorchFunctionMode):
        names: ClassVar[list[str]] = []

        def __torch_function__(self, function, types, args=(), kwargs=None):
            self.names.append(getattr(function, "__name__", ""))
            return function(*args, **(kwargs or {}))

    with Noting() as noting:
        function(*arguments)
    return noting.names


class NoPackage:
    """Stands in the place of `ml`, as in `given(env, ml=NoPackage())`, where torch alone is wanted."""

    def __getattr__(self, name: str) -> object:
        """Refuse whatever is asked for."""
        raise AssertionError(
            f"the answer uses ml.{name}; torch alone is wanted"
        )
