"""The reader's own pictures as a pool."""

import zlib
from pathlib import Path

import numpy as np

from . import cache
from .pool import Pool

PICTURES = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}


def from_folder(path: Path, size: int, channels: int) -> Pool:
    """What `Pool.from_folder` documents."""
    if not path.is_dir():
        raise ValueError(f"{path} is not a folder")
    if channels not in (1, 3):
        raise ValueError(f"channels is {channels}; pictures have 1 (grey) or 3 (colour)")
    pictures = sorted(p for p in path.rglob("*") if p.suffix.lower() in PICTURES)
    classes = sorted({picture.parent for picture in pictures} - {path})
    if not classes:
        raise ValueError(f"{path} holds no folders with pictures; a pool needs one folder a class")
    pictures = [picture for picture in pictures if picture.parent != path]
    label_of = {folder: label for label, folder in enumerate(classes)}

    def fill(out: np.ndarray) -> None:
        for row, picture in enumerate(pictures):
            out[row] = read(picture, size, channels)

    listing = "".join(f"{p}{p.stat().st_size}{p.stat().st_mtime_ns}" for p in pictures)
    key = f"folder-{path.name}-{size}x{channels}-{zlib.crc32(listing.encode()):08x}"
    images = cache.images(key, (len(pictures), channels, size, size), fill)
    names = [folder.relative_to(path).as_posix() for folder in classes]
    grouped = all(folder.parent != path for folder in classes)
    groups = [name.rsplit("/", 1)[0] for name in names] if grouped else None
    return Pool(images, [label_of[p.parent] for p in pictures], names, groups)


def read(picture: Path, size: int, channels: int) -> np.ndarray:
    """One picture as [channels, size, size] uint8, upright, the square about its centre."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(picture) as image:
            upright = ImageOps.exif_transpose(image).convert("L" if channels == 1 else "RGB")
            square = ImageOps.fit(upright, (size, size), Image.Resampling.BILINEAR)
    except (OSError, UnidentifiedImageError) as error:
        raise ValueError(f"{picture} cannot be read as a picture: {error}") from error
    return np.asarray(square).reshape(size, size, channels).transpose(2, 0, 1)
