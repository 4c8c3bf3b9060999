"""What our own backbones share: an explicit start, and a check of pictures."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Initialise from this seed inside; torch's global generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


def check_pictures(name: str, images: Tensor, channels: int, least_size: int) -> None:
    """Raise ValueError for pictures [B, C, H, W] that a backbone cannot take."""
    if images.dim() != 4:
        raise ValueError(f"images have shape {list(images.shape)}; {name} needs [B, C, H, W]")
    _, has, height, width = images.shape
    if has != channels or min(height, width) < least_size:
        raise ValueError(
            f"images are {has}x{height}x{width}; this {name} needs {channels} channels "
            f"of at least {least_size}x{least_size}"
        )
