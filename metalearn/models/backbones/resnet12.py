"""ResNet-12, the larger network of few-shot papers, and DropBlock, which keeps it from overfitting."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..._checks import seed_of, whole
from ...joint import seed_apart
from .building import check_pictures, seeded


class ResNet12(nn.Module):
    """Four residual blocks of three 3x3 convolutions each, with DropBlock after each.

    The network of Lee, Maji, Ravichandran, Soatto (2019), https://arxiv.org/abs/1904.03758. As in their
    program, the first two blocks leave out single places and the last two whole squares. Unlike there, the
    embedding is by default the mean over the last map, and the drop rate does not grow in training.

    Args:
        channels: of the pictures, 1 for grey, 3 for colour.
        widths: filters in each of the four blocks.
        drop_rate: what part of a map is left out in training, 0 to below 1.
        drop_size: the side of the squares that the last two blocks leave out.
        average: embed by the mean over the last map; False keeps its places apart.
        seed: decides the initial weights and what DropBlock leaves out; torch's global generator is left
            as it was.

    Shape:
        [B, channels, H, W] with H and W at least 16 -> [B, D]; D is the last width, times
        (H // 16) * (W // 16) without `average`.

    Raises:
        ValueError: pictures too small or with another number of channels; an option that makes no sense.

    Example:
        >>> net = ResNet12(channels=1, widths=(8, 16, 32, 64), seed=0)
        >>> net(torch.zeros(2, 1, 28, 28)).shape
        torch.Size([2, 64])

    Derived in chapter 4, *Learn a model*.
    """

    LEAST_SIZE = 16

    def __init__(
        self,
        channels: int = 3,
        widths: Sequence[int] = (64, 160, 320, 640),
        drop_rate: float = 0.1,
        drop_size: int = 5,
        average: bool = True,
        seed: int = 0,
    ):
        super().__init__()
        widths = [whole("width", width) for width in widths]
        if len(widths) != 4:
            raise ValueError(f"widths is {widths}; it needs four numbers")
        if not 0 <= drop_rate < 1:
            raise ValueError(f"drop_rate is {drop_rate}; it needs to be from 0 to below 1")
        self.config = {
            "name": "resnet12",
            "channels": whole("channels", channels),
            "widths": widths,
            "drop_rate": float(drop_rate),
            "drop_size": whole("drop_size", drop_size),
            "average": bool(average),
            "seed": seed_of(seed),
        }
        self.channels = self.config["channels"]
        self.average = average
        sides = (1, 1, drop_size, drop_size)
        drops = [DropBlock(drop_rate, side, [seed, block]) for block, side in enumerate(sides)]
        with seeded(self.config["seed"]):
            into = [self.channels, *widths[:-1]]
            self.blocks = nn.Sequential(*map(_Residual, into, widths, drops))
            for layer in self.modules():
                if isinstance(layer, nn.Conv2d):
                    nn.init.kaiming_normal_(layer.weight, a=_Residual.SLOPE, mode="fan_out")
        self.to(memory_format=torch.channels_last)

    def forward(self, images: Tensor) -> Tensor:
        check_pictures("resnet12", images, self.channels, self.LEAST_SIZE)
        maps = self.blocks(images)
        return maps.mean((2, 3)) if self.average else maps.flatten(1)


class _Residual(nn.Module):
    """Three convolutions, added to a shortcut that fits their widths; then half the size."""

    SLOPE = 0.1

    def __init__(self, n_in: int, n_out: int, drop: nn.Module):
        super().__init__()
        self.convolutions = nn.Sequential(
            *_normalised(n_in, n_out, 3),
            nn.LeakyReLU(self.SLOPE),
            *_normalised(n_out, n_out, 3),
            nn.LeakyReLU(self.SLOPE),
            *_normalised(n_out, n_out, 3),
        )
        self.shortcut = nn.Sequential(*_normalised(n_in, n_out, 1))
        self.drop = drop

    def forward(self, maps: Tensor) -> Tensor:
        maps = F.leaky_relu(self.convolutions(maps) + self.shortcut(maps), self.SLOPE)
        return self.drop(F.max_pool2d(maps, 2))


def _normalised(n_in: int, n_out: int, size: int) -> tuple[nn.Module, nn.Module]:
    convolution = nn.Conv2d(n_in, n_out, size, padding=size // 2, bias=False)
    return convolution, nn.BatchNorm2d(n_out)


class DropBlock(nn.Module):
    r"""Dropout of whole squares: in training, part of each map is set to zero and the rest scaled up.

    Each place that can be the corner of a square is drawn with probability
    $q = r \, \frac{h w}{s^2 (h - s + 1)(w - s + 1)}$ for maps of $h \times w$ and squares of side $s$, so
    that about a part $r$ is left out. Squares are not larger than the map. In evaluation mode maps pass
    unchanged.

    Ghiasi, Lin, Le (2018), https://arxiv.org/abs/1810.12890

    Args:
        rate: $r$, the part that is left out, 0 to below 1.
        size: $s$
        seed: decides what is left out, together with the number of the pass, which is kept with the
            weights: a training that is resumed goes on as it would have.

    Shape:
        [B, C, h, w] -> [B, C, h, w]

    Example:
        >>> drop = DropBlock(rate=0.25, size=2, seed=0)
        >>> (drop(torch.ones(100, 1, 6, 6)) == 0).float().mean().item() < 0.3
        True

    Derived in chapter 4, *Learn a model*.
    """

    def __init__(self, rate: float, size: int, seed: int | Sequence[int]):
        super().__init__()
        self.rate = rate
        self.size = size
        self.seed = [seed_of(s) for s in (seed if isinstance(seed, Sequence) else [seed])]
        self.register_buffer("passes", torch.tensor(0))

    def forward(self, maps: Tensor) -> Tensor:
        if not self.training or self.rate == 0:
            return maps
        height, width = maps.shape[-2:]
        side = min(self.size, height, width)
        corners = (*maps.shape[:2], height - side + 1, width - side + 1)
        chance = self.rate * height * width / (side**2 * corners[2] * corners[3])
        draws = torch.rand(corners, device=maps.device, generator=self._generator(maps.device))
        dropped = F.max_pool2d(F.pad((draws < chance).float(), [side - 1] * 4), side, stride=1)
        kept = 1 - dropped
        self.passes += 1
        return maps * (kept * kept.numel() / kept.sum().clamp(min=1)).to(maps.dtype)

    def _generator(self, device: torch.device) -> torch.Generator:
        seed = seed_apart([*self.seed, int(self.passes)])
        return torch.Generator(device).manual_seed(seed)
