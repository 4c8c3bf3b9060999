"""Four convolutional blocks, the network that most few-shot papers share."""

from collections.abc import Sequence
from numbers import Integral

import torch
from torch import Tensor, nn

from ..._checks import seed_of, whole
from .building import check_pictures, seeded


class Conv4(nn.Module):
    """Four blocks of 3x3 convolution, batch normalisation, ReLU and 2x2 max-pooling.

    The network of Vinyals and others (2016), https://arxiv.org/abs/1606.04080. A 28x28 picture becomes
    `width` numbers. Its weights lie in memory with the channels last, which is faster on CPUs and with
    tensor cores, and changes no result but for rounding.

    Args:
        channels: of the pictures, 1 for grey, 3 for colour.
        width: filters in each block; or four numbers, one for each block.
        seed: decides the initial weights; torch's global generator is left as it was.

    Shape:
        [B, channels, H, W] with H and W at least 16 -> [B, D], D = last width * (H // 16) * (W // 16)

    Raises:
        ValueError: pictures too small or with another number of channels; no channels or filters.

    Example:
        >>> Conv4(seed=0)(torch.zeros(5, 1, 28, 28)).shape
        torch.Size([5, 64])
        >>> Conv4(channels=3, width=(64, 96, 128, 256))(torch.zeros(5, 3, 84, 84)).shape
        torch.Size([5, 6400])

    Derived in chapter 4, *Learn a model*.
    """

    LEAST_SIZE = 16

    def __init__(self, channels: int = 1, width: int | Sequence[int] = 64, seed: int = 0):
        super().__init__()
        one = isinstance(width, Integral)
        widths = [whole("width", w) for w in ([width] * 4 if one else width)]
        if len(widths) != 4:
            raise ValueError(f"width is {width}; it needs to be one number or four")
        self.channels = whole("channels", channels)
        self.config = {
            "name": "conv4",
            "channels": self.channels,
            "width": widths[0] if one else widths,
            "seed": seed_of(seed),
        }
        with seeded(self.config["seed"]):
            self.blocks = nn.Sequential(*map(_block, [self.channels, *widths[:-1]], widths))
        self.to(memory_format=torch.channels_last)

    def forward(self, images: Tensor) -> Tensor:
        check_pictures("conv4", images, self.channels, self.LEAST_SIZE)
        return self.blocks(images).flatten(1)


def _block(n_in: int, n_out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(n_in, n_out, kernel_size=3, padding=1, bias=False),
        nn.BatchNorm2d(n_out),
        nn.ReLU(),
        nn.MaxPool2d(2),
    )
