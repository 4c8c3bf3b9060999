# /// script
# requires-python = ">=3.10"
# dependencies = ["fonttools", "numpy", "pillow", "scikit-image", "scipy"]
# ///
"""Make the sheet of character skeletons that the `glyphs` pool is drawn from.

The characters come from the Noto fonts (SIL Open Font License 1.1); on Debian:

    apt-get install fonts-noto-core
    uv run scripts/make_glyph_sheet.py --fonts /usr/share/fonts/truetype/noto

(without uv: install what stands above with pip, and run it with python). It takes a minute or two.
The sheet, an .npz, holds `bits` uint8 [classes, 512], the packed one-bit 64x64 skeletons, and the
`names` and `scripts` of the characters.
"""

import argparse
import unicodedata
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from fontTools import unicodedata as properties
from fontTools.ttLib import TTFont
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import distance_transform_edt, label
from skimage.morphology import skeletonize

SIZE = 64  # side of a skeleton, in pixels
MARGIN = 2
RENDER = 150  # longer side of a character when it is thinned
PER_SCRIPT = (10, 50)  # smaller scripts are left out, larger ones cut
# A script of thousands is thinned out evenly to this many before anything is rendered.
CANDIDATES = 400
TOO_ALIKE = 0.90  # correlation at 16x16 above which the later of two characters is dropped

# Families that repeat a script in another style, or hold no script of their own.
OTHER_STYLES = ("Display", "Symbols", "Math", "Slanted", "Unjoined", "Tifinagh")
# Wedges and silhouettes: their strokes are areas, and nobody would know them by their middle lines.
NOT_STROKES = {"Cuneiform", "Egyptian Hieroglyphs", "Old Persian", "Ugaritic"}
# A character whose name has one of these is a variant of another one.
VARIANTS = {
    "WITH", "LIGATURE", "DIGRAPH", "FINAL", "INITIAL", "MEDIAL", "ISOLATED", "FORM",
    "MATHEMATICAL", "TURNED", "REVERSED", "INVERTED", "SIDEWAYS", "ROTATED", "MIRRORED",
    "ALTERNATE", "ALTERNATIVE", "VARIANT", "WIDE", "FULLWIDTH", "HALFWIDTH", "HIGH", "LOW",
    "ITERATION", "REPETITION", "FILLER",
}  # fmt: skip
FILLER_WORDS = {"letter", "syllable", "syllables", "syllabics", "sign", "character", "symbol"}


class Glyph(NamedTuple):
    """A character: its skeleton [64, 64] bool, and a 16x16 picture of mean 0 and length 1."""

    name: str
    script: str
    skeleton: np.ndarray
    picture: np.ndarray


def main() -> None:
    """Make the sheet and say what it holds."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--fonts", type=Path, required=True, help="folder with Noto*-Regular.ttf")
    parser.add_argument("--out", type=Path, default=Path("metalearn/data/glyphs.npz"))
    arguments = parser.parse_args()
    glyphs = sorted(choose(arguments.fonts), key=lambda glyph: glyph.script)
    save(glyphs, arguments.out)
    scripts, size = {glyph.script for glyph in glyphs}, arguments.out.stat().st_size
    print(f"{len(glyphs)} characters of {len(scripts)} scripts, {size:,} bytes")


def choose(fonts: Path) -> list[Glyph]:
    """Take the characters of each script, small scripts first, that resemble none taken before."""
    chosen: list[Glyph] = []
    smallest, largest = PER_SCRIPT
    for script, characters in sorted(
        by_script(fonts).items(), key=lambda item: (len(item[1]), item[0])
    ):
        taken: list[Glyph] = []
        for glyph in glyphs_of(script, thin_out(characters)):
            if is_new(glyph, chosen + taken):
                taken.append(glyph)
            if len(taken) == largest:
                break
        if len(taken) >= smallest:
            chosen += taken
            print(f"{script}: {len(taken)} of {len(characters)}", flush=True)
    return chosen


def by_script(fonts: Path) -> dict[str, dict[str, Path]]:
    """Map each script to its characters, and each character to the first font that has it."""
    scripts: dict[str, dict[str, Path]] = defaultdict(dict)
    for path in font_files(fonts):
        for character in map(chr, sorted(TTFont(path, lazy=True).getBestCmap())):
            if is_letter(character):
                scripts[script_of(character)].setdefault(character, path)
    return {
        script: characters for script, characters in scripts.items() if script not in NOT_STROKES
    }


def font_files(fonts: Path) -> list[Path]:
    """List the regular fonts, sans before serif: even strokes thin best."""
    sans = sorted(fonts.glob("NotoSans*-Regular.ttf"), key=lambda path: path.stem)
    serif = sorted(fonts.glob("NotoSerif*-Regular.ttf"), key=lambda path: path.stem)
    styled = {
        path
        for path in sans + serif
        for style in OTHER_STYLES
        if style in path.stem.removesuffix("Tifinagh-Regular")
    }
    return [path for path in sans + serif if path not in styled]


def is_letter(character: str) -> bool:
    """Tell whether a character is a letter of a script and no variant of another one."""
    words = set(unicodedata.name(character, "").split())
    named = bool(words) and not words & VARIANTS
    return (
        named
        and unicodedata.category(character) in ("Lu", "Ll", "Lo")
        and script_of(character) != "Common"
    )


def script_of(character: str) -> str:
    """Name the script of a character as Unicode does, with spaces."""
    return properties.script_name(properties.script(character)).replace("_", " ")


def thin_out(characters: dict[str, Path]) -> list[tuple[str, Path]]:
    """Take at most CANDIDATES characters, evenly spaced in Unicode order."""
    ordered = sorted(characters.items())
    step = max(1, -(-len(ordered) // CANDIDATES))
    return ordered[::step]


def glyphs_of(script: str, characters: list[tuple[str, Path]]) -> Iterator[Glyph]:
    """Render and thin characters, leaving out those that thinning spoils."""
    fonts = {path: ImageFont.truetype(str(path), 64) for _, path in characters}
    for character, path in characters:
        ink = render(character, fonts[path])
        skeleton = None if ink is None else thin(ink)
        if skeleton is not None:
            name = f"{script}/{short_name(character, script)}"
            yield Glyph(name, script, skeleton, small_picture(ink))


def render(character: str, font: ImageFont.FreeTypeFont) -> np.ndarray | None:
    """Render a character, its longer side RENDER, as [height, width] bool; None if it is empty."""
    left, top, right, bottom = font.getbbox(character)
    if min(right - left, bottom - top) < 1:
        return None
    large = font.font_variant(size=font.size * RENDER / max(right - left, bottom - top))
    left, top, right, bottom = large.getbbox(character)
    image = Image.new("L", (right - left + 4, bottom - top + 4))
    ImageDraw.Draw(image).text((2 - left, 2 - top), character, font=large, fill=255)
    return np.pad(np.asarray(image.crop(image.getbbox())) > 127, 2)


def thin(ink: np.ndarray) -> np.ndarray | None:
    """Thin ink to a skeleton [64, 64] bool, or to None where that would spoil the character.

    Spoiled are filled areas (somewhere the ink is much wider than usual), textures (strokes wide
    for their character), crumbs (many parts) and what leaves next to nothing.
    """
    depth = distance_transform_edt(ink)
    skeleton = skeletonize(ink)
    pen = 2 * float(np.median(depth[skeleton]))
    if depth.max() > 1.1 * pen or 2 * pen > max(ink.shape):
        return None
    square = fit(prune(skeleton, length=pen))
    parts = label(square, np.ones((3, 3)))[1]
    return square if parts <= 6 and square.sum() >= SIZE // 2 else None


def prune(skeleton: np.ndarray, length: float) -> np.ndarray:
    """Remove branches shorter than `length` pixels: thinning leaves them at corners and ends."""
    points = set(map(tuple, np.argwhere(skeleton)))
    for end in [point for point in points if len(neighbours(point, points)) == 1]:
        branch, onward = [end], neighbours(end, points)
        while len(onward) == 1 and len(branch) < length:
            branch += onward
            onward = neighbours(branch[-1], points) - set(branch)
        if len(onward) > 1:
            points -= set(branch)
    pruned = np.zeros_like(skeleton)
    pruned[tuple(np.array(sorted(points)).T)] = True
    return pruned


def neighbours(point: tuple[int, int], points: set[tuple[int, int]]) -> set[tuple[int, int]]:
    """Select those of the points that touch a point, also at a corner."""
    y, x = point
    around = {(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)}
    return (around - {point}) & points


def fit(skeleton: np.ndarray) -> np.ndarray:
    """Scale a skeleton until its longer side fills the square, centred, and thin it again."""
    points = np.argwhere(skeleton).astype(float)
    low, high = points.min(0), points.max(0)
    scale = (SIZE - 1 - 2 * MARGIN) / max((high - low).max(), 1)
    y, x = np.rint((points - (low + high) / 2) * scale + (SIZE - 1) / 2).astype(int).T
    square = np.zeros((SIZE, SIZE), bool)
    square[y, x] = True
    return skeletonize(square)


def small_picture(ink: np.ndarray) -> np.ndarray:
    """Reduce ink to 16x16, with mean 0 and length 1, so that a product is a correlation."""
    side = max(ink.shape)
    square = Image.new("L", (side, side))
    height, width = ink.shape
    square.paste(
        Image.fromarray(ink.astype(np.uint8) * 255), ((side - width) // 2, (side - height) // 2)
    )
    picture = np.asarray(square.resize((16, 16), Image.Resampling.BOX), float).ravel()
    picture -= picture.mean()
    return picture / np.linalg.norm(picture)


def is_new(glyph: Glyph, others: list[Glyph]) -> bool:
    """Tell whether a character resembles none of the others and bears a name of its own."""
    if not others:
        return True
    alike = np.stack([other.picture for other in others]) @ glyph.picture
    return bool(alike.max() < TOO_ALIKE) and all(other.name != glyph.name for other in others)


def short_name(character: str, script: str) -> str:
    """Shorten a Unicode name: GREEK SMALL LETTER ALPHA is "small alpha" in the script Greek.

    The words of the script are dropped at the start only, for in "Linear A" the A is one of them.
    """
    words = unicodedata.name(character).lower().split()
    obvious = set(script.lower().replace("-", " ").split()) | FILLER_WORDS
    while len(words) > 1 and words[0] in obvious:
        words.pop(0)
    return " ".join(
        word for i, word in enumerate(words) if word not in FILLER_WORDS or i == len(words) - 1
    )


def save(glyphs: list[Glyph], path: Path) -> None:
    """Write the sheet, without pickled objects."""
    bits = np.packbits(np.stack([glyph.skeleton.ravel() for glyph in glyphs]), axis=1)
    names = np.array([glyph.name for glyph in glyphs])
    scripts = np.array([glyph.script for glyph in glyphs])
    np.savez_compressed(path, bits=bits, names=names, scripts=scripts)


if __name__ == "__main__":
    main()
