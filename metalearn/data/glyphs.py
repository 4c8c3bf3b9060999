"""Characters of some 140 writing systems, each drawn by 20 synthetic hands.

A sheet of skeletons (one-pixel lines, made from the Noto fonts by `scripts/make_glyph_sheet.py`) ships
with the package. A drawing bends the plane in which a skeleton lies and runs a pen along it.
"""

import zlib
from functools import cache as once
from importlib import resources
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm.auto import tqdm

from . import cache
from .pool import Pool

SIDE = 28
HANDS = 20
SHEET = 64  # side of a skeleton
FIELDS = (4, 8)  # control points along a side of the coarse and of the fine displacement field
REACH = 10  # how far from a skeleton ink can be, in skeleton pixels
RECIPE = 1  # goes into the cache key: raise it whenever drawings change

# The scripts of the sheet that also occur in Omniglot, and there as: leave them out of training when
# Omniglot is the test.
OMNIGLOT_SCRIPTS = (
    "Arabic",  # Malay (Jawi - Arabic)
    "Armenian",  # Armenian
    "Avestan",  # Avesta
    "Balinese",  # Balinese
    "Bengali",  # Bengali
    "Canadian Aboriginal",  # Blackfoot, Inuktitut, Ojibwe
    "Coptic",  # Greek, of whose letters it has all
    "Cyrillic",  # Cyrillic, Old Church Slavonic
    "Devanagari",  # Sanskrit
    "Ethiopic",  # Ge'ez
    "Georgian",  # Asomtavruli, Mkhedruli
    "Glagolitic",  # Glagolitic
    "Grantha",  # Grantha
    "Greek",  # Greek
    "Gujarati",  # Gujarati
    "Gurmukhi",  # Gurmukhi
    "Hebrew",  # Hebrew
    "Imperial Aramaic",  # Early Aramaic
    "Kannada",  # Kannada
    "Latin",  # Latin
    "Lisu",  # Latin, whose capitals it uses, upright and turned
    "Malayalam",  # Malayalam
    "Meetei Mayek",  # Manipuri
    "Mongolian",  # Mongolian
    "Myanmar",  # Burmese (Myanmar)
    "Nko",  # N'Ko
    "Oriya",  # Oriya
    "Phoenician",  # Early Aramaic, which wrote these letters
    "Runic",  # Anglo-Saxon Futhorc
    "Syloti Nagri",  # Sylheti
    "Syriac",  # Syriac (Estrangelo, Serto)
    "Tagalog",  # Tagalog
    "Tibetan",  # Tibetan
    "Tifinagh",  # Tifinagh
)


class Sheet(NamedTuple):
    """The skeletons of all characters: bool [classes, 64, 64], their names and their scripts."""

    skeletons: np.ndarray
    names: list[str]
    scripts: list[str]


def glyphs() -> Pool:
    """The default pool: 20 drawings of each character of the sheet, 28x28, drawn on first use.

    Images 20c .. 20c+19 are the drawings of class c by hands 0 .. 19; groups are the scripts.

    Raises:
        OSError: the cache folder cannot be written.
    """
    sheet = load_sheet()
    shape = (len(sheet.names) * HANDS, 1, SIDE, SIDE)
    images = cache.images(_key(), shape, lambda out: draw(sheet.skeletons, out))
    labels = torch.arange(len(sheet.names)).repeat_interleave(HANDS)
    return Pool(images, labels, sheet.names, sheet.scripts)


@once
def load_sheet() -> Sheet:
    """The sheet that ships with the package.

    Example:
        >>> sheet = load_sheet()
        >>> sheet.skeletons.shape[1:], sheet.names[0]
        ((64, 64), 'Adlam/capital alif')
    """
    with _file().open("rb") as file, np.load(file) as arrays:
        bits, names, scripts = (arrays[key] for key in ("bits", "names", "scripts"))
    skeletons = np.unpackbits(bits, axis=1).reshape(-1, SHEET, SHEET).astype(bool)
    return Sheet(skeletons, names.tolist(), scripts.tolist())


def draw(skeletons: np.ndarray, out: np.ndarray, seed: int = 0, chunk: int = 100) -> None:
    """Draw every skeleton by every hand.

    A drawing depends on the seed, its class and its hand alone; `chunk` only bounds the memory.

    Args:
        skeletons: [classes, 64, 64] bool.
        out: [classes * 20, 1, 28, 28] uint8, written: ink 255 on 0.
        seed: of the hands and of their drawings.
        chunk: classes drawn at a time.
    """
    basis = _basis()
    for start in tqdm(range(0, len(skeletons), chunk), desc="drawing glyphs", unit=" sheets"):
        classes = range(start, min(start + chunk, len(skeletons)))
        warps, pens = zip(*(_drawings(seed, c) for c in classes), strict=True)
        coordinates = torch.from_numpy(np.concatenate(warps)) @ basis
        distance = _distance(torch.from_numpy(skeletons[start : start + chunk]))
        ink = _ink(distance, coordinates, torch.from_numpy(np.concatenate(pens)))
        out[start * HANDS : (start + len(classes)) * HANDS] = ink.numpy()


def _hands(seed: int) -> dict[str, np.ndarray]:
    """What a hand keeps over all characters: [20] numbers each, lengths as parts of half the picture."""
    random = np.random.default_rng(seed)

    def normal(spread: float) -> np.ndarray:
        return spread * random.standard_normal(HANDS)

    return {
        "slant": normal(0.12),
        "aspect": normal(0.05),
        "size": normal(0.10),
        "x": normal(0.05) - 0.03,
        "y": normal(0.05) - 0.03,
        "pen": normal(0.05),
    }


def _drawings(seed: int, c: int) -> tuple[np.ndarray, np.ndarray]:
    """The 20 drawings of class c: coefficients [20, 2, basis] of the warps, and half pen widths [20].

    A warp says for each point of the picture which point of the skeleton it shows, so it is the
    inverse of what the hand does.
    """
    random = np.random.default_rng([seed, c])
    hand = _hands(seed)

    def normal(spread: float, *shape: int) -> np.ndarray:
        return spread * random.standard_normal((HANDS, *shape))

    size = 0.575 * np.exp(hand["size"] + normal(0.09) + 0.14 * random.standard_normal())
    aspect = np.exp((hand["aspect"] + normal(0.11)) / 2)
    angle = normal(0.08)
    slant = hand["slant"] + normal(0.10)
    shift = np.stack([hand["x"] + normal(0.08), hand["y"] + normal(0.08)], 1)
    one, zero = np.ones(HANDS), np.zeros(HANDS)
    stretch = np.stack([size / aspect, zero, zero, size * aspect], 1).reshape(-1, 2, 2)
    shear = np.stack([one, -slant, zero, one], 1).reshape(-1, 2, 2)
    cos, sin = np.cos(angle), np.sin(angle)
    turn = np.stack([cos, -sin, sin, cos], 1).reshape(-1, 2, 2)
    back = np.linalg.inv(turn @ shear @ stretch)
    offset = -back @ shift[:, :, None]
    bends = [normal(spread, 2, side * side) for spread, side in zip((0.13, 0.05), FIELDS)]
    warp = np.concatenate([back, offset, *bends], 2).astype(np.float32)
    pen = 0.72 * np.exp(hand["pen"])
    return warp, np.stack([pen, size], 1).astype(np.float32)


@once
def _basis() -> Tensor:
    """What a warp is a sum of, [3 + 16 + 64, 28 * 28]: x, y, 1 and the smooth bumps of both fields."""
    steps = (torch.arange(SIDE) + 0.5) / SIDE * 2 - 1
    y, x = torch.meshgrid(steps, steps, indexing="ij")
    bumps = [
        F.interpolate(torch.eye(n * n).view(-1, 1, n, n), (SIDE, SIDE), mode="bicubic", align_corners=True)
        for n in FIELDS
    ]
    return torch.cat([torch.stack([x, y, torch.ones_like(x)]), *(b.squeeze(1) for b in bumps)]).flatten(1)


def _distance(skeletons: Tensor) -> Tensor:
    """The distance from the skeleton, up to REACH: [classes, 64, 64] bool -> [classes, 84, 84] float."""
    around = F.pad(skeletons.float(), [REACH] * 4)
    square = torch.where(around > 0, 0.0, float(REACH**2))
    for dim in (1, 2):
        pads = [0, 0] * (2 - dim) + [REACH, REACH]
        padded = F.pad(square, pads, value=float(REACH**2))
        size = square.shape[dim]
        square = torch.stack(
            [padded.narrow(dim, REACH + d, size) + d * d for d in range(-REACH, REACH + 1)]
        ).amin(0)
    return square.clamp(max=REACH**2).sqrt()


def _ink(distance: Tensor, coordinates: Tensor, pens: Tensor) -> Tensor:
    """Run a pen along warped skeletons.

    Args:
        distance: [classes, 84, 84] from the skeleton, in skeleton pixels.
        coordinates: [classes * 20, 2, 28 * 28], where in the skeleton each point lies; its side is 2.
        pens: [classes * 20, 2], half the pen's width in pixels of the picture, and the size.

    Returns:
        [classes * 20, 1, 28, 28] uint8.
    """
    grid = coordinates.transpose(1, 2).reshape(len(distance), HANDS * SIDE, SIDE, 2)
    grid = grid * (SHEET / distance.shape[-1])
    away = F.grid_sample(distance[:, None], grid, padding_mode="border", align_corners=False)
    away = away.view(-1, 1, SIDE, SIDE)
    pen, size = pens.view(-1, 2, 1, 1, 1).unbind(1)
    ink = 0.5 + pen - away * size * (SIDE / SHEET)
    return (ink.clamp(0, 1) * 255).round().to(torch.uint8)


def _file():
    return resources.files(__package__) / "glyphs.npz"


def _key() -> str:
    """The cache key: changes with the sheet and with the recipe."""
    return f"glyphs-{zlib.crc32(_file().read_bytes()):08x}-{RECIPE}"
