"""Step 4, update: make an objective smaller."""

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

Schedule = Callable[[float], float]


def constant(progress: float) -> float:
    """A learning rate that stays."""
    return 1.0


def cosine_to_zero(progress: float) -> float:
    r"""A learning rate that falls to zero as $\frac{1}{2}(1 + \cos \pi t)$, t from 0 to 1.

    Example:
        >>> cosine_to_zero(0.0), round(cosine_to_zero(0.5), 6), cosine_to_zero(1.0)
        (1.0, 0.5, 0.0)
    """
    return (1 + math.cos(math.pi * progress)) / 2


def name_of(function: Callable) -> str:
    """A function's name, or what is printed of it if it has none."""
    return getattr(function, "__name__", repr(function))


class Gradient:
    """Gradient descent with any of torch's optimisers.

    Args:
        parameters: what to change; those that need no gradient are left out.
        lr: the learning rate that `schedule` multiplies.
        optimiser: a class of `torch.optim`.
        schedule: from the fraction of training that is done, 0 to 1, to a factor of `lr`.
        clip: the largest norm of the whole gradient, or None.
        options: further options of the optimiser.

    Raises:
        ValueError: there is nothing to change, or a rate that is not positive.

    Example:
        >>> weight = nn.Parameter(torch.tensor(3.0))
        >>> update = Gradient([weight], lr=0.1, optimiser=torch.optim.SGD)
        >>> update.step(lambda: weight.square())
        9.0
        >>> round(weight.item(), 4)
        2.4

    Derived in chapter 6, *Update*.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        lr: float = 1e-3,
        optimiser: type[torch.optim.Optimizer] = torch.optim.Adam,
        schedule: Schedule = constant,
        clip: float | None = None,
        **options,
    ):
        self.parameters = [p for p in parameters if p.requires_grad]
        if not self.parameters:
            raise ValueError("there is no parameter to change: nothing here can be trained")
        if not lr > 0 or (clip is not None and not clip > 0):
            raise ValueError(f"lr is {lr} and clip is {clip}; they need to be positive")
        self.lr = lr
        self.schedule = schedule
        self.clip = clip
        self.options = options
        self.optimiser = optimiser(self.parameters, lr=lr, **options)

    def __repr__(self) -> str:
        options = "".join(f", {name}={value}" for name, value in self.options.items())
        return (
            f"Gradient({type(self.optimiser).__name__}, lr={self.lr}, {name_of(self.schedule)}, "
            f"clip={self.clip}{options})"
        )

    def step(self, objective: Callable[[], Tensor], progress: float = 0.0) -> float:
        """One step down the objective's gradient; returns the objective's value before it.

        Args:
            objective: gives the scalar to make smaller, in a form that can be differentiated.
            progress: the fraction of training that is done, 0 to 1.

        Raises:
            FloatingPointError: the objective is not finite; the parameters were left as they are.
        """
        value = objective()
        if not torch.isfinite(value):
            raise FloatingPointError(f"the objective is {value.item()}; a smaller lr may help")
        self.optimiser.zero_grad()
        value.backward()
        if self.clip is not None:
            nn.utils.clip_grad_norm_(self.parameters, self.clip)
        for group in self.optimiser.param_groups:
            group["lr"] = self.lr * self.schedule(progress)
        self.optimiser.step()
        return value.item()

    def state_tensors(self) -> dict[str, Tensor]:
        """The optimiser's memory by name, for a checkpoint."""
        return {
            f"{parameter}.{name}": torch.as_tensor(value)
            for parameter, state in self.optimiser.state_dict()["state"].items()
            for name, value in state.items()
            if value is not None
        }

    def load_state_tensors(self, tensors: dict[str, Tensor]) -> None:
        """Take back what `state_tensors` gave."""
        state: dict[int, dict[str, Tensor]] = {}
        for key, value in tensors.items():
            parameter, name = key.split(".", 1)
            state.setdefault(int(parameter), {})[name] = _laid_out_like(
                self.parameters[int(parameter)], value
            )
        groups = self.optimiser.state_dict()["param_groups"]
        self.optimiser.load_state_dict({"state": state, "param_groups": groups})


def _laid_out_like(parameter: Tensor, value: Tensor) -> Tensor:
    """The value in the parameter's memory layout, which some optimisers take for granted."""
    if value.shape != parameter.shape:
        return value
    return torch.empty_like(parameter, dtype=value.dtype).copy_(value)
