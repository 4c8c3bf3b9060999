"""Pictures of strokes; tests/test_pad.py compares them with those of the pad."""

import numpy as np
import pytest

import metalearn as ml

LINE = [(0.2, 0.5), (0.8, 0.5)]


def test_a_drawing_is_moved_to_the_middle_and_brought_to_its_size() -> None:
    wanted = ml.draw_strokes([LINE])
    moved = [[(0.5 * x + 0.4, 0.5 * y + 0.1) for x, y in LINE]]
    assert wanted.shape == (1, 28, 28)
    assert wanted.dtype == np.uint8
    np.testing.assert_allclose(ml.draw_strokes(moved), wanted, atol=1)
    rows, columns = np.nonzero(wanted[0] > 127)
    assert set(rows) == {13, 14}
    assert np.ptp(columns) + 1 == 18


def test_a_dot_stays_a_dot() -> None:
    dot = ml.draw_strokes([[(0.9, 0.9)]])
    assert (dot > 0).sum() == 4
    assert (dot[0, 13:15, 13:15] > 0).all()


def test_ink_is_that_of_the_glyphs() -> None:
    """A line of 18 pixels with the pen of half width 0.7 has the ink of 1.4 pixels on each of them."""
    ink = ml.draw_strokes([LINE]).sum() / 255
    assert ink == pytest.approx(18 * 1.4 + 1.4, rel=0.05)


@pytest.mark.parametrize(
    ("strokes", "said"),
    [
        ([], "no point"),
        ([[], []], "no point"),
        ([[(0.1, 0.2, 0.3)]], "two coordinates"),
        ([LINE, [(np.nan, 0.5)]], "not finite"),
    ],
)
def test_what_cannot_be_drawn_is_named(strokes: list, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        ml.draw_strokes(strokes)
