"""The one folder for what is drawn or downloaded, and pictures in it that are whole or absent."""

import os
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import platformdirs
import torch
from torch import Tensor

from ..files import writable_folder, written_whole

CHECKSUM_BYTES = 4


def folder() -> Path:
    """The cache folder: `METALEARN_DATA` if that is set, else the platform's user cache folder.

    Raises:
        OSError: the folder cannot be made or written; the message names it and the way out.
    """
    place = Path(os.environ.get("METALEARN_DATA") or platformdirs.user_cache_path("metalearn"))
    try:
        return writable_folder(place)
    except OSError as error:
        raise OSError(f"{error}; set METALEARN_DATA to a folder that can be written") from error


def path(key: str) -> Path:
    """Where `images` keeps an array."""
    return folder() / f"{key}.npy"


def images(key: str, shape: tuple[int, ...], fill: Callable[[np.ndarray], None]) -> Tensor:
    """The uint8 array kept under `key`, memory-mapped; made by `fill` if absent or damaged.

    The file is an ordinary `.npy` with a CRC-32 of the pixels in four bytes behind them, so that a
    damaged file is noticed and made again.

    Args:
        key: names the content; whatever changes the content must change the key.
        shape: of the array.
        fill: writes the content into the zeroed uint8 array that it is given.

    Returns:
        Tensor uint8 of `shape`. Writing to it changes the copy in memory, not the file.
    """
    kept = path(key)
    if not _is_whole(kept, shape):
        with written_whole(kept) as temporary:
            out = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.uint8, shape=shape)
            fill(out)
            out.flush()
            checksum = zlib.crc32(out)
            del out
            with temporary.open("ab") as file:
                file.write(checksum.to_bytes(CHECKSUM_BYTES, "little"))
    return torch.from_numpy(np.load(kept, mmap_mode="c"))


def _is_whole(path: Path, shape: tuple[int, ...]) -> bool:
    """Whether the file is there, of this shape, and has the content that its checksum says."""
    try:
        content = np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError):
        return False
    if content.shape != shape or content.dtype != np.uint8:
        return False
    if path.stat().st_size != content.offset + content.nbytes + CHECKSUM_BYTES:
        return False
    with path.open("rb") as file:
        file.seek(-CHECKSUM_BYTES, os.SEEK_END)
        return int.from_bytes(file.read(), "little") == zlib.crc32(content)
