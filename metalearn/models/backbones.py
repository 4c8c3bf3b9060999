"""Backbones: from pixels to embeddings. Each starts from an explicit seed."""

from typing import ClassVar

import torch
from torch import Tensor, nn

from .._registry import Registry


class Conv4(nn.Module):
    """Four blocks of 3x3 convolution, batch normalisation, ReLU and 2x2 max-pooling.

    The network of Vinyals and others (2016), https://arxiv.org/abs/1606.04080, that most few-shot
    papers share. A 28x28 picture becomes `width` numbers. Its weights lie in memory with the channels
    last, which is faster on CPUs and with tensor cores, and changes no result but for rounding.

    Args:
        channels: of the pictures, 1 for grey, 3 for colour.
        width: filters in each block.
        seed: decides the initial weights; torch's global generator is left as it was.

    Shape:
        [B, channels, H, W] with H and W at least 16 -> [B, width * (H // 16) * (W // 16)]

    Raises:
        ValueError: pictures too small or with another number of channels; no channels or filters.

    Example:
        >>> Conv4(seed=0)(torch.zeros(5, 1, 28, 28)).shape
        torch.Size([5, 64])

    Derived in chapter 4, *Learn a model*.
    """

    LEAST_SIZE = 16

    def __init__(self, channels: int = 1, width: int = 64, seed: int = 0):
        super().__init__()
        self.config = {"name": "conv4", "channels": channels, "width": width, "seed": seed}
        self.channels = channels
        for name, value in (("channels", channels), ("width", width)):
            if value < 1:
                raise ValueError(f"{name} is {value}; it needs to be at least 1")
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            widths = [channels, width, width, width, width]
            self.blocks = nn.Sequential(*map(_block, widths[:-1], widths[1:]))
        self.to(memory_format=torch.channels_last)

    def forward(self, images: Tensor) -> Tensor:
        _, channels, height, width = images.shape
        if channels != self.channels or min(height, width) < self.LEAST_SIZE:
            raise ValueError(
                f"images are {channels}x{height}x{width}; this conv4 needs {self.channels} channels "
                f"of at least {self.LEAST_SIZE}x{self.LEAST_SIZE}"
            )
        return self.blocks(images).flatten(1)


def _block(n_in: int, n_out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(n_in, n_out, kernel_size=3, padding=1, bias=False),
        nn.BatchNorm2d(n_out),
        nn.ReLU(),
        nn.MaxPool2d(2),
    )


class Identity(nn.Module):
    """The example itself, flattened, as its own embedding: the baseline in pixel space.

    Shape:
        [B, ...] -> [B, D]
    """

    config: ClassVar = {"name": "identity"}

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1)


BACKBONES = Registry("backbone", conv4=Conv4, identity=Identity)


def names() -> list[str]:
    """The names that `create` knows."""
    return list(BACKBONES)


def create(name: str, **options) -> nn.Module:
    """The backbone of this name.

    Raises:
        ValueError: no backbone has this name; the message lists those there are, closest first.
    """
    return BACKBONES[name](**options)


conv4 = Conv4
identity = Identity
