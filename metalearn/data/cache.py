"""The one folder for what is drawn or downloaded, and pictures in it that are whole or absent."""

import math
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
    """The cache folder: `METALEARN_DATA` if that is set, else the platform's user cache folder."""
    named = os.environ.get("METALEARN_DATA")
    return Path(named).expanduser() if named else platformdirs.user_cache_path("metalearn")


def writable() -> Path:
    """The cache folder, made if need be.

    Raises:
        OSError: it cannot be made or written; the message names it and the way out.
    """
    try:
        return writable_folder(folder())
    except OSError as error:
        raise OSError(f"{error}; set METALEARN_DATA to a folder that can be written") from error


def path(key: str) -> Path:
    """Where `images` keeps an array."""
    return folder() / f"{key}.u8"


def images(key: str, shape: tuple[int, ...], fill: Callable[[np.ndarray], None]) -> Tensor:
    """The uint8 array kept under `key`, memory-mapped; made by `fill` if absent or damaged.

    The file holds the pixels, and behind them four bytes with their CRC-32, so that damage is noticed.

    Args:
        key: names the content; whatever changes the content must change the key.
        shape: of the array.
        fill: writes the content into the zeroed uint8 array that it is given.

    Returns:
        Tensor uint8 of `shape`. Writing to it changes the copy in memory, not the file.

    Raises:
        OSError: it must be made, and the cache folder cannot be written.
    """
    kept = path(key)
    if not _is_whole(kept, shape):
        writable()
        with written_whole(kept) as temporary:
            os.truncate(temporary, math.prod(shape))
            pixels = np.memmap(temporary, np.uint8, "r+", shape=shape)
            fill(pixels)
            pixels.flush()
            checksum = zlib.crc32(pixels)
            del pixels
            with temporary.open("ab") as file:
                file.write(checksum.to_bytes(CHECKSUM_BYTES, "little"))
    return torch.from_numpy(np.memmap(kept, np.uint8, "c", shape=shape))


def _is_whole(kept: Path, shape: tuple[int, ...]) -> bool:
    """Whether the file is there, of this size, and has the content that its checksum says."""
    size = math.prod(shape)
    if not kept.is_file() or kept.stat().st_size != size + CHECKSUM_BYTES:
        return False
    content = np.memmap(kept, np.uint8, "r")
    return int.from_bytes(content[size:].tobytes(), "little") == zlib.crc32(content[:size])
