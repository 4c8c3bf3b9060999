"""Characters of some 140 writing systems, each drawn by 20 synthetic hands.

The package holds a sheet of skeletons: lines of one pixel, made by `scripts/make_glyph_sheet.py`
from the Noto fonts. A drawing bends the plane of a skeleton and runs a pen along its lines.
"""

import zlib
from functools import cache as once
from importlib import resources
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from . import cache
from .pool import Pool

FILE = resources.files(__package__) / "glyphs.npz"
SIDE = 28  # of a drawing, in pixels
SHEET = 64  # side of a skeleton
HANDS = 20

# Lengths are parts of half the picture's side, angles radians; sizes and widths vary by a factor of
# exp(normal). Chosen so that size, position, ink and pen, and how far two drawings of a character
# differ, are as in 1,200 of Omniglot's characters. Raise RECIPE with every change of the drawings.
RECIPE = 2
SIZE, SIZES = 0.59, 0.15  # of a character: the usual one, and how much characters differ
PEN = 0.70  # half the pen's width, in pixels
KEPT = {"size": 0.09, "narrow": 0.05, "slant": 0.12, "x": 0.05, "y": 0.05, "pen": 0.05}
VARIED = {"size": 0.07, "narrow": 0.11, "slant": 0.10, "x": 0.075, "y": 0.075, "turn": 0.08}
FIELDS = (4, 8)  # control points along a side of the coarse and of the fine displacement field
BENDS = (0.075, 0.021)  # how far they displace
REACH = 10  # pixels of a skeleton, beyond which no pen reaches

# Scripts that also occur in Omniglot: to be left out of training where Omniglot is the test.
OMNIGLOT_SCRIPTS = (
    *("Armenian", "Balinese", "Bengali", "Cyrillic", "Georgian", "Glagolitic", "Grantha", "Greek"),
    *("Gujarati", "Gurmukhi", "Hebrew", "Kannada", "Latin", "Malayalam", "Mongolian", "Oriya"),
    *("Syriac", "Tagalog", "Tibetan", "Tifinagh"),  # so far of the same name there
    "Arabic",  # Malay (Jawi)
    "Avestan",  # Avesta
    "Canadian Aboriginal",  # Blackfoot, Inuktitut, Ojibwe
    "Coptic",  # Greek, whose letters it has
    "Devanagari",  # Sanskrit
    "Ethiopic",  # Ge'ez
    "Imperial Aramaic",  # Early Aramaic
    "Lisu",  # Latin, whose capitals it has, upright and turned
    "Meetei Mayek",  # Manipuri
    "Myanmar",  # Burmese
    "Nko",  # N'Ko
    "Phoenician",  # Early Aramaic, which was written with it
    "Runic",  # Anglo-Saxon Futhorc
    "Syloti Nagri",  # Sylheti
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
    images = cache.images(cache_key(), shape, lambda out: draw(sheet.skeletons, out))
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
    with FILE.open("rb") as file, np.load(file) as arrays:
        bits, names, scripts = (arrays[key] for key in ("bits", "names", "scripts"))
    skeletons = np.unpackbits(bits, axis=1).reshape(-1, SHEET, SHEET).astype(bool)
    return Sheet(skeletons, names.tolist(), scripts.tolist())


def draw(skeletons: np.ndarray, out: np.ndarray, seed: int = 0, chunk: int = 100) -> None:
    """Draw every skeleton by every hand.

    A drawing depends on the seed, its class and its hand alone, to a grey level between machines.

    Args:
        skeletons: [classes, 64, 64] bool.
        out: [classes * 20, 1, 28, 28] uint8, written: ink 255 on 0.
        seed: of the hands and of their drawings.
        chunk: classes drawn at a time; bounds the memory.
    """
    basis = _basis()
    with tqdm(total=len(skeletons), desc="drawing glyphs", unit=" characters") as progress:
        for start in range(0, len(skeletons), chunk):
            some = skeletons[start : start + chunk]
            drawings = zip(*(_warps(seed, c) for c in range(start, start + len(some))), strict=True)
            warps, pens, sizes = (torch.from_numpy(np.stack(each)).float() for each in drawings)
            ink = _ink(_distance(some), warps @ basis, pens, sizes)
            out[start * HANDS : (start + len(some)) * HANDS] = ink.numpy()
            progress.update(len(some))


def _habits(random: np.random.Generator, spreads: dict[str, float]) -> dict[str, np.ndarray]:
    """Normal deviations, [20] for each name."""
    return {name: spread * random.standard_normal(HANDS) for name, spread in spreads.items()}


def _warps(seed: int, c: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """How the hands draw class c: warps [20, 2, 3 + 16 + 64], pens [20] and sizes [20].

    A warp says which point of the skeleton is seen at a point of the picture, so it undoes what the
    hand does: stretch, slant, turn, shift and bend.
    """
    random = np.random.default_rng([seed, 1, c])
    hand = _habits(np.random.default_rng([seed, 0]), KEPT)
    hand = {name: habit - habit.mean() for name, habit in hand.items()}
    drawing = _habits(random, VARIED)
    own = {name: hand.get(name, 0.0) + drawing.get(name, 0.0) for name in KEPT | VARIED}
    size = SIZE * np.exp(own["size"] + SIZES * random.standard_normal())
    width, height = size * np.exp(-own["narrow"] / 2), size * np.exp(own["narrow"] / 2)
    cos, sin, slant = np.cos(own["turn"]), np.sin(own["turn"]), own["slant"]
    x_row = [cos * width, -(sin + slant * cos) * height]
    y_row = [sin * width, (cos - slant * sin) * height]
    back = np.linalg.inv(np.array([x_row, y_row]).transpose(2, 0, 1))
    shift = -back @ np.stack([own["x"], own["y"]], 1)[:, :, None]
    # Divided by the size, bends are as wide on paper for large characters as for small ones.
    bends = [
        bend / size[:, None, None] * random.standard_normal((HANDS, 2, n * n))
        for n, bend in zip(FIELDS, BENDS, strict=True)
    ]
    warps = np.concatenate([back, shift, *bends], axis=2)
    return warps, PEN * np.exp(own["pen"]), size


@once
def _basis() -> Tensor:
    """What warps are sums of, [3 + 16 + 64, 28 * 28]: x, y, 1, a bump for each control point."""
    steps = (torch.arange(SIDE) + 0.5) / SIDE * 2 - 1
    y, x = torch.meshgrid(steps, steps, indexing="ij")
    parts = [torch.stack([x, y, torch.ones_like(x)])]
    for n in FIELDS:
        points = torch.eye(n * n).view(-1, 1, n, n)
        parts.append(F.interpolate(points, (SIDE, SIDE), mode="bicubic", align_corners=True)[:, 0])
    return torch.cat(parts).flatten(1)


def _distance(skeletons: np.ndarray) -> Tensor:
    """How far from the skeleton, [classes, 64, 64] bool -> [classes, 84, 84] in skeleton pixels."""
    from scipy.ndimage import distance_transform_edt

    around = np.pad(skeletons, [(0, 0), (REACH, REACH), (REACH, REACH)])
    far = np.stack([distance_transform_edt(~skeleton) for skeleton in around])
    return torch.from_numpy(far).float().clamp(max=REACH)


def _ink(distance: Tensor, places: Tensor, pens: Tensor, sizes: Tensor) -> Tensor:
    """Run a pen along warped skeletons.

    Ink falls from full to none over one pixel at the pen's rim: about what a much finer picture,
    reduced by area, would give, in a fraction of the time.

    Args:
        distance: [classes, 84, 84] from the skeleton.
        places: [classes, 20, 2, 28 * 28], x and y of the skeleton's point that a pixel shows; the
            skeleton spans -1 to 1.
        pens: [classes, 20], half widths in pixels of the picture.
        sizes: [classes, 20] of the drawings, as parts of the picture's side.

    Returns:
        [classes * 20, 1, 28, 28] uint8.
    """
    grid = places.transpose(2, 3).reshape(-1, HANDS * SIDE, SIDE, 2) * (SHEET / distance.shape[-1])
    away = F.grid_sample(distance[:, None], grid, padding_mode="border", align_corners=False)
    away = away.view(-1, 1, SIDE, SIDE) * (SIDE / SHEET) * sizes.view(-1, 1, 1, 1)
    ink = 0.5 + pens.view(-1, 1, 1, 1) - away
    return (ink.clamp(0, 1) * 255).round().to(torch.uint8)


def cache_key() -> str:
    """The cache key: changes with the sheet and with the recipe."""
    return f"glyphs-{zlib.crc32(FILE.read_bytes()):08x}-{RECIPE}"
