"""Pictures of strokes, as a pen on a pad gives them."""

from collections.abc import Sequence

import numpy as np

SIDE = 28  # of the picture, in pixels
EXTENT = 18  # of the longer side of a drawing, in pixels: the mean of the glyphs
PEN = 0.7  # half the pen's width, in pixels; that of the glyphs
LEAST = 0.2  # a smaller drawing is not enlarged further


def draw_strokes(strokes: Sequence[Sequence[tuple[float, float]]]) -> np.ndarray:
    r"""A picture of strokes, as the pad in the book's pages makes it, to the last bit.

    The drawing is moved to the middle and scaled so that its longer side takes 18 of 28 pixels. A
    pixel at the distance $d$ from the nearest line, in pixels, has the ink
    $\min(1, \max(0, 0.5 + 0.7 - d))$: the pen of the pool `glyphs`.

    Args:
        strokes: each a list of points (x, y) in parts of the pad's side, x to the right and y downwards. A
            stroke of one point is a dot. A drawing smaller than a fifth of the pad is enlarged only as one
            of a fifth would be.

    Returns:
        [1, 28, 28] uint8, ink bright on black.

    Raises:
        ValueError: there is no point, one is not finite, or one has not two coordinates.

    Example:
        >>> draw_strokes([[(0.2, 0.5), (0.8, 0.5)]])[0, 13, 3:7]
        array([  0, 126, 179, 179], dtype=uint8)

    Derived in chapter 16, *From model to product*.
    """
    placed = [np.asarray(stroke, dtype=np.float64) for stroke in strokes if len(stroke)]
    if not placed:
        raise ValueError("there is no point to draw")
    for stroke in placed:
        if stroke.ndim != 2 or stroke.shape[1] != 2:
            raise ValueError(
                f"a point has two coordinates; a stroke here is of shape {stroke.shape}"
            )
    points = np.concatenate(placed)
    if not np.isfinite(points).all():
        raise ValueError(f"point {points[~np.isfinite(points).all(1)][0]} is not finite")
    low, high = points.min(0), points.max(0)
    scale = EXTENT / max(*(high - low), LEAST)
    placed = [(stroke - (low + high) / 2) * scale + SIDE / 2 for stroke in placed]
    ends = np.concatenate(placed)
    starts = np.concatenate([np.concatenate([stroke[:1], stroke[:-1]]) for stroke in placed])
    nearest = np.sqrt(_squared_distances(starts, ends).min(-1))
    ink = np.clip(0.5 + PEN - nearest, 0, 1)
    return np.floor(255 * ink + 0.5).astype(np.uint8)[None]


def _squared_distances(starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Of each pixel's middle from each line: [28, 28, lines]."""
    middles = np.arange(SIDE) + 0.5
    x, y = middles[None, :, None], middles[:, None, None]
    (ax, ay), (dx, dy) = starts.T, (ends - starts).T
    length = dx * dx + dy * dy
    along = ((x - ax) * dx + (y - ay) * dy) / np.where(length > 0, length, 1)
    along = np.where(length > 0, np.clip(along, 0, 1), 0)
    ex, ey = x - (ax + along * dx), y - (ay + along * dy)
    return ex * ex + ey * ey
