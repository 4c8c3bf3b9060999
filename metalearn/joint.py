"""A step that several processes make as one process would, each with its share of the episodes.

What mixes episodes is the loss's mean, the gradient, the passes that images are embedded in, and batch
normalisation, which takes the mean and variance of a pass. Each is taken over all processes here.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from .parallel import n_processes, rank, started, sum_of_all

_inside = False


@contextmanager
def joint_step(module: nn.Module, step: int) -> Iterator[None]:
    """Inside, all processes make a step of the training of `module` together.

    What draws from torch's global generator, as dropout does, draws by the number of the step, and in each
    process something else.
    """
    global _inside
    device = next((p.device for p in module.parameters()), torch.device("cpu"))
    norms = [m for m in module.modules() if started() and isinstance(m, _BatchNorm)]
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed_apart([step]) if rank() else step)
        try:
            _inside = started()
            for norm in norms:
                norm.forward = partial(_normalised, norm)
            yield
        finally:
            _inside = False
            for norm in norms:
                del norm.forward


def seed_apart(seed: list[int]) -> int:
    """One seed made of these numbers, in every process another."""
    own = [*seed, rank()] if rank() else seed
    return int(np.random.SeedSequence(own).generate_state(1)[0])


def before_and_in_all(n: int) -> tuple[int, int]:
    """Of n things that each process has: how many those before this one have, and how many all have."""
    if not _inside:
        return 0, n
    numbers = torch.zeros(n_processes(), dtype=torch.int64)
    numbers[rank()] = n
    numbers = sum_of_all(numbers)
    return int(numbers[: rank()].sum()), int(numbers.sum())


def mean_of_all(value: Tensor) -> Tensor:
    """The mean over processes; its gradient is this process's part, for `average_gradients`."""
    return _Mean.apply(value) if _inside else value


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """After `backward`, put the mean over processes in the place of each parameter's gradient."""
    parameters = list(parameters)
    if not _inside or not parameters:
        return
    has = parameters[0].new_tensor([p.grad is not None for p in parameters])
    own = [(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in parameters]
    means = sum_of_all(torch.cat([has, *own])) / n_processes()
    has, *means = means.split([len(has), *map(len, own)])
    for p, in_any, grad in zip(parameters, has.tolist(), means, strict=True):
        p.grad = torch.empty_like(p).copy_(grad.view_as(p)) if in_any else None


class _Mean(torch.autograd.Function):
    @staticmethod
    def forward(ctx, value: Tensor) -> Tensor:
        return sum_of_all(value) / n_processes()

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        return gradient


# Batch normalisation


def _normalised(norm: _BatchNorm, x: Tensor) -> Tensor:
    """`norm` of x [n, C, ...] by the mean and variance of all processes' x, which it also remembers."""
    if not norm.training:
        return type(norm).forward(norm, x)
    norm._check_input_dim(x)
    y, mean, var, n = _Normalised.apply(x, norm.weight, norm.bias, norm.eps)
    if norm.running_mean is not None:
        norm.num_batches_tracked += 1
        rate = 1 / norm.num_batches_tracked if norm.momentum is None else norm.momentum
        unbiased = var * n / (n - 1).clamp(min=1)
        norm.running_mean.lerp_(mean.to(norm.running_mean), rate)
        norm.running_var.lerp_(unbiased.to(norm.running_var), rate)
    return y


class _Normalised(torch.autograd.Function):
    r"""Batch normalisation by all processes' N numbers in a channel, whether or not this one has any.

    $y = w (x - m) / s + b$ with $s^2 = v + \epsilon$, and for the gradients, with sums over all processes,
    $\bar x = \frac{w}{s} (\bar y - \frac{1}{N} \sum \bar y - \frac{x - m}{N s^2} \sum \bar y (x - m))$.
    Sums are made in float64 of sums over each image: so they hardly depend on where an image is.
    """

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float):
        values = x.float()
        own = values.new_tensor([x.numel() // x.shape[1]], dtype=torch.float64)
        *_, n = total = sum_of_all(torch.cat([_sum(values), own]))
        mean = total[:-1] / n
        var = sum_of_all(_sum((values - _as(values, mean)).square_())) / n
        ctx.save_for_backward(x, weight, mean, var + eps, n)
        ctx.mark_non_differentiable(mean, var, n)
        y = F.batch_norm(x, mean.float(), var.float(), weight, bias, training=False, eps=eps)
        return y, mean, var, n

    @staticmethod
    def backward(ctx, dy: Tensor, *_):
        x, weight, mean, squared, n = ctx.saved_tensors
        dy, off = dy.float(), x.float() - _as(x, mean)
        of_dy, of_both = own = torch.stack([_sum(dy), _sum(dy * off)])
        all_dy, all_both = sum_of_all(own) / n
        scale = squared.rsqrt() if weight is None else weight * squared.rsqrt()
        dx = (dy - _as(x, all_dy)).sub_(off.mul_(_as(x, all_both / squared))).mul_(_as(x, scale))
        if weight is None:
            return dx.to(x.dtype), None, None, None
        dw = of_both * squared.rsqrt()
        return dx.to(x.dtype), dw.to(weight.dtype), of_dy.to(weight.dtype), None


def _sum(x: Tensor) -> Tensor:
    """The sum over all but the channels of x [n, C, ...], as [C] float64."""
    return (x.flatten(2).sum(-1) if x.dim() > 2 else x).double().sum(0)


def _as(x: Tensor, values: Tensor) -> Tensor:
    """Values [C] as float32 that broadcast with x [n, C, ...]."""
    return values.float().view(1, -1, *[1] * (x.dim() - 2))
