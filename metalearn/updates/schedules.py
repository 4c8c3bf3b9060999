"""How a learning rate changes in the course of a training."""

import math
from collections.abc import Callable

Schedule = Callable[[float], float]


def constant(progress: float) -> float:
    """A learning rate that stays.

    Example:
        >>> constant(0.0), constant(1.0)
        (1.0, 1.0)

    Derived in chapter 6, *Update*.
    """
    return 1.0


def cosine_to_zero(progress: float) -> float:
    r"""A learning rate that falls to zero as $\frac{1}{2}(1 + \cos \pi t)$, t from 0 to 1.

    Loshchilov, Hutter (2017), https://arxiv.org/abs/1608.03983

    Example:
        >>> cosine_to_zero(0.0), round(cosine_to_zero(0.5), 6), cosine_to_zero(1.0)
        (1.0, 0.5, 0.0)

    Derived in chapter 6, *Update*.
    """
    return (1 + math.cos(math.pi * progress)) / 2
