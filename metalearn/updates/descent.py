"""Updates that go downhill: along the gradient, or along a slope that is found by comparing."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .._checks import check_positive, seed_of, whole
from .._naming import name_of
from ..joint import average_gradients
from .objective import Objective, finite
from .schedules import Schedule, constant

ADVICE = "; a smaller lr may help"
STREAM = 1  # sets the directions of (seed, step) apart from the episodes of (seed, index)


class _Descent(ABC):
    """Steps of one of torch's optimisers, along a direction that a subclass finds.

    Attributes:
        differentiates: whether it needs the objective's gradient, or compares values only.
    """

    differentiates: bool

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        lr: float,
        optimiser: type[torch.optim.Optimizer],
        schedule: Schedule,
        clip: float | None,
        options: dict[str, Any],
    ):
        self.parameters = [p for p in parameters if p.requires_grad]
        if not self.parameters:
            raise ValueError("there is no parameter to change: nothing here can be trained")
        check_positive(lr=lr, **({} if clip is None else {"clip": clip}))
        self.lr = lr
        self.schedule = schedule
        self.clip = clip
        self.options = options
        self.optimiser = optimiser(self.parameters, lr=lr, **options)

    def __repr__(self) -> str:
        options = "".join(f", {name}={value}" for name, value in self.options.items())
        return (
            f"{type(self).__name__}({type(self.optimiser).__name__}, lr={self.lr}, "
            f"{name_of(self.schedule)}, clip={self.clip}{options})"
        )

    @abstractmethod
    def _slope(self, objective: Objective) -> float:
        """Leave in each parameter's `grad` where the objective rises; return the objective's value."""

    def step(self, objective: Objective, progress: float = 0.0) -> float:
        """One step down; returns the objective's value before it.

        Args:
            objective: gives the scalar to make smaller.
            progress: the fraction of training that is done, 0 to 1.

        Raises:
            FloatingPointError: the objective is not finite; the parameters were left as they are.
            ValueError: the objective has no gradient, and a gradient is asked for.
        """
        self.optimiser.zero_grad()
        value = self._slope(objective)
        if self.clip is not None:
            nn.utils.clip_grad_norm_(self.parameters, self.clip)
        for group in self.optimiser.param_groups:
            group["lr"] = self.lr * self.schedule(progress)
        self.optimiser.step()
        return value

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


class Gradient(_Descent):
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

    differentiates = True

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        lr: float = 1e-3,
        optimiser: type[torch.optim.Optimizer] = torch.optim.Adam,
        schedule: Schedule = constant,
        clip: float | None = None,
        **options,
    ):
        super().__init__(parameters, lr, optimiser, schedule, clip, options)

    def _slope(self, objective: Objective) -> float:
        value = finite(objective(), ADVICE)
        if not value.requires_grad:
            raise ValueError(
                "the objective has no gradient; EvolutionStrategy and RandomSearch need none"
            )
        value.backward()
        average_gradients(self.parameters)
        return value.item()


class EvolutionStrategy(_Descent):
    r"""Descent along a slope that is found by comparing: parameters are moved a little both ways.

    For directions $\epsilon_j \sim N(0, I)$ in pairs $\pm$ the slope is estimated as
    $\hat g = \frac{1}{n} \sum_{j=1}^n \Delta_j \epsilon_j$ with
    $\Delta_j = (J(\theta + \sigma \epsilon_j) - J(\theta - \sigma \epsilon_j)) / (2 \sigma)$.
    The objective is evaluated $2n$ times a step and need not have a gradient: it may be an F1 score or a
    regret. The more parameters, the more pairs it takes.

    Salimans, Ho, Chen, Sidor, Sutskever (2017), https://arxiv.org/abs/1703.03864

    Args:
        parameters: what to change.
        lr: the learning rate that `schedule` multiplies.
        spread: $\sigma$, how far parameters are moved to compare.
        pairs: $n$, how many directions.
        seed: of the directions, which are decided by it and the number of the step.
        optimiser: a class of `torch.optim`.
        schedule: from the fraction of training that is done, 0 to 1, to a factor of `lr`.
        clip: the largest norm of the whole estimate, or None.
        options: further options of the optimiser.

    `step` returns the mean of the objective's values.

    Raises:
        ValueError: there is nothing to change, or a rate, spread or number that is not positive.

    Example:
        >>> weight = nn.Parameter(torch.tensor([3.0, -3.0]))
        >>> update = EvolutionStrategy([weight], lr=0.1, optimiser=torch.optim.SGD, seed=0)
        >>> values = [update.step(lambda: weight.square().sum()) for _ in range(50)]
        >>> values[0] > 17, values[-1] < 0.1
        (True, True)

    Derived in chapter 6, *Update*.
    """

    differentiates = False

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        lr: float = 1e-2,
        spread: float = 0.05,
        pairs: int = 8,
        seed: int = 0,
        optimiser: type[torch.optim.Optimizer] = torch.optim.Adam,
        schedule: Schedule = constant,
        clip: float | None = None,
        **options,
    ):
        super().__init__(parameters, lr, optimiser, schedule, clip, options)
        check_positive(spread=spread)
        self.spread = spread
        self.pairs = whole("pairs", pairs)
        self.seed = seed_of(seed)
        self.steps = 0

    def __repr__(self) -> str:
        search = f", spread={self.spread}, pairs={self.pairs}, seed={self.seed})"
        return super().__repr__().removesuffix(")") + search

    @torch.no_grad()
    def _slope(self, objective: Objective) -> float:
        rng = np.random.default_rng([self.seed, self.steps, STREAM])
        centre = [p.clone() for p in self.parameters]
        slope = [torch.zeros_like(p) for p in self.parameters]
        values = []
        try:
            for _ in range(self.pairs):
                directions = [
                    torch.from_numpy(rng.standard_normal(p.shape)).to(p) for p in self.parameters
                ]
                ahead, behind = (
                    self._value_at(objective, centre, directions, sign * self.spread)
                    for sign in (1, -1)
                )
                values += [ahead, behind]
                for total, direction in zip(slope, directions, strict=True):
                    total += (ahead - behind) / (2 * self.spread * self.pairs) * direction
        finally:
            for p, at in zip(self.parameters, centre, strict=True):
                p.copy_(at)
        for p, total in zip(self.parameters, slope, strict=True):
            p.grad = total
        self.steps += 1
        return float(np.mean(values))

    def _value_at(
        self, objective: Objective, centre: list[Tensor], directions: list[Tensor], far: float
    ) -> float:
        for p, at, direction in zip(self.parameters, centre, directions, strict=True):
            p.copy_(at + far * direction)
        return finite(objective(), ADVICE).item()

    def state_tensors(self) -> dict[str, Tensor]:
        """The optimiser's memory and the number of steps, for a checkpoint."""
        return super().state_tensors() | {"steps": torch.tensor(self.steps)}

    def load_state_tensors(self, tensors: dict[str, Tensor]) -> None:
        """Take back what `state_tensors` gave."""
        self.steps = int(tensors["steps"])
        super().load_state_tensors({k: v for k, v in tensors.items() if k != "steps"})


def _laid_out_like(parameter: Tensor, value: Tensor) -> Tensor:
    """The value in the parameter's memory layout, which some optimisers take for granted."""
    if value.shape != parameter.shape:
        return value
    return torch.empty_like(parameter, dtype=value.dtype).copy_(value)
