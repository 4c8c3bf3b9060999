"""Files that a user may exchange: written whole or not at all, and free of pickles."""

import json
import os
import secrets
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

ABOUT = "metalearn"
PICKLES = (b"PK", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
"""How they begin: torch's archives and the protocols from 2 on."""


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A temporary name beside `path` to write to; it takes the place of `path` once all is written.

    A reader of `path` sees the old file or the new one, never a part: renaming is one step.
    """
    temporary = path.with_name(f".{path.name[:80]}.{secrets.token_hex(4)}")
    temporary.touch(exist_ok=False)
    mode = temporary.stat().st_mode
    try:
        yield temporary
        temporary.chmod(mode)  # some writers replace the file by one that only its owner may read
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def writable_folder(folder: Path) -> Path:
    """The folder, made if need be.

    Raises:
        OSError: it cannot be made or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise OSError(f"cannot write to the folder {folder}: {error.strerror}") from error
    return folder


def save_tensors(path: str | Path, tensors: dict[str, Tensor], about: dict[str, Any]) -> None:
    """Tensors by name and a description that JSON can hold, in one safetensors file.

    Raises:
        OSError: the file cannot be written.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Clones, since safetensors refuses tensors that share memory, as tied weights do.
    own = {
        name: tensor.detach().clone(memory_format=torch.contiguous_format)
        for name, tensor in tensors.items()
    }
    note = json.dumps({"content": about, "checksum": checksum(tensors, about)})
    with written_whole(path) as temporary:
        save_file(own, temporary, metadata={ABOUT: note})


def load_tensors(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What `save_tensors` wrote.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is cut short, is not a safetensors file, was not written by metalearn, or
            holds a pickle, which could run any program and is therefore not opened.
    """
    path = Path(path)
    with path.open("rb") as file:
        start = file.read(9)
    # What follows the length of its header, which may look like a pickle's beginning.
    is_safetensors = start[8:] == b"{"
    if start[:2] in PICKLES and not is_safetensors:
        raise ValueError(f"{path} holds a pickle, which could run any program; it is not opened")
    try:
        with safe_open(path, framework="pt") as file:
            note = (file.metadata() or {}).get(ABOUT)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged or cut short ({error})") from error
    if note is None:
        raise ValueError(f"{path} is a safetensors file, but metalearn did not write it")
    try:
        note = json.loads(note)
        content, stated = note["content"], note["checksum"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ValueError(f"{path} is damaged: its description cannot be read") from error
    if not isinstance(content, dict) or checksum(tensors, content) != stated:
        raise ValueError(
            f"{path} is damaged: its content does not have the checksum that it states"
        )
    return tensors, content


def checksum(tensors: dict[str, Tensor], about: dict[str, Any]) -> int:
    """A CRC-32 of the description, and of the numbers of all tensors in the order of their names."""
    result = zlib.crc32(json.dumps(about, sort_keys=True).encode())
    for name in sorted(tensors):
        flat = tensors[name].detach().contiguous().flatten().view(torch.uint8)
        result = zlib.crc32(flat.cpu().numpy(), result)
    return result
