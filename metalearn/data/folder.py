"""The reader's own pictures as a pool."""

import os
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from .._checks import whole
from . import cache
from .pool import Pool

PICTURES = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}


def from_folder(path: Path, size: int, channels: int) -> Pool:
    """What `Pool.from_folder` documents."""
    path = path.expanduser().resolve()
    if not path.is_dir():
        raise ValueError(f"{path} is not a folder")
    if channels not in (1, 3):
        raise ValueError(f"channels is {channels}; pictures have 1 (grey) or 3 (colour)")
    size = whole("size", size)
    pictures = sorted(picture for picture in _pictures(path) if picture.parent != path)
    if not pictures:
        raise ValueError(f"{path} holds no folders with pictures; a pool needs one folder a class")
    classes = sorted({picture.parent for picture in pictures})
    label_of = {folder: label for label, folder in enumerate(classes)}

    def fill(out: np.ndarray) -> None:
        for row, picture in enumerate(pictures):
            out[row] = read(picture, size, channels)

    listing = "".join(f"{p}{p.stat().st_size}{p.stat().st_mtime_ns}" for p in pictures)
    key = f"folder-{path.name[:40]}-{size}x{channels}-{zlib.crc32(listing.encode()):08x}"
    images = cache.images(key, (len(pictures), channels, size, size), fill)
    names = [folder.relative_to(path).as_posix() for folder in classes]
    grouped = all(folder.parent != path for folder in classes)
    groups = [name.rsplit("/", 1)[0] for name in names] if grouped else None
    return Pool(images, [label_of[p.parent] for p in pictures], names, groups)


def _pictures(path: Path) -> Iterator[Path]:
    """All pictures below a folder, links followed, hidden files and folders left out."""
    seen = set()
    for folder, folders, files in os.walk(path, followlinks=True):
        real = os.path.realpath(folder)
        folders[:] = [] if real in seen else [name for name in folders if not name.startswith(".")]
        seen.add(real)
        for name in files:
            if not name.startswith(".") and Path(name).suffix.lower() in PICTURES:
                yield Path(folder, name)


def read(picture: Path, size: int, channels: int) -> np.ndarray:
    """One picture as [channels, size, size] uint8: upright, on white, the square about its centre."""
    from PIL import Image, ImageOps

    try:
        with Image.open(picture) as opened:
            image = ImageOps.exif_transpose(opened)
            if image.mode.startswith("I"):  # more than 8 bits a pixel
                image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
            if image.has_transparency_data:
                white = Image.new("RGBA", image.size, "white")
                image = Image.alpha_composite(white, image.convert("RGBA"))
            upright = image.convert("L" if channels == 1 else "RGB")
            square = ImageOps.fit(upright, (size, size), Image.Resampling.BILINEAR)
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f"{picture} cannot be read as a picture: {error}") from error
    return np.asarray(square).reshape(size, size, channels).transpose(2, 0, 1)
