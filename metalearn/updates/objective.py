"""What an update makes smaller: a function without arguments that gives a scalar."""

from collections.abc import Callable

import torch
from torch import Tensor

Objective = Callable[[], Tensor]


def finite(value: Tensor | float, advice: str = "") -> Tensor:
    """The value of an objective.

    Raises:
        FloatingPointError: it is not finite.
        ValueError: it is more than one number.
    """
    value = torch.as_tensor(value)
    if value.numel() != 1:
        raise ValueError(
            f"the objective has shape {list(value.shape)}; it needs to be one number, such as the mean"
        )
    if not torch.isfinite(value):
        raise FloatingPointError(f"the objective is {value.item()}{advice}")
    return value
