"""Every picture that more than one chapter draws, in one style; each returns its Axes.

The style is made for a phone: a figure is 5 inches wide with text of 11 points, and its colours (Okabe
and Ito) differ in brightness too, so that they can be told apart by every eye and in grey.
"""

from collections.abc import Callable, Mapping, Sequence

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from torch import Tensor

from ._naming import in_words
from .evaluation import Report
from .tasks import Batch
from .training import History

WIDTH = 5.0
BLUE, ORANGE, GREEN, PURPLE, YELLOW, SKY, RED, GREY = (
    "#0072b2",
    "#e69f00",
    "#009e73",
    "#cc79a7",
    "#f0e442",
    "#56b4e9",
    "#d55e00",
    "#595959",
)
COLOURS = (BLUE, ORANGE, GREEN, PURPLE, SKY, RED, YELLOW, GREY)
MARKERS = "osD^vP*X"


def use_style() -> None:
    """Draw all further figures in the style of the book.

    Derived in chapter 1, *Learning from one example*.
    """
    mpl.rcParams.update(
        {
            "figure.figsize": (WIDTH, 3.0),
            "figure.dpi": 100,
            "figure.constrained_layout.use": True,
            "savefig.dpi": 200,
            "font.size": 11,
            "axes.titlesize": 11,
            "axes.labelsize": 11,
            "legend.fontsize": 10,
            "legend.frameon": False,
            "lines.linewidth": 2,
            "axes.prop_cycle": mpl.cycler(color=COLOURS),
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "axes.axisbelow": True,
            "grid.color": "#e5e5e5",
            "image.cmap": "gray_r",
        }
    )


def pictures(
    images: Tensor | np.ndarray, titles: Sequence[str] | None = None, columns: int = 5
) -> np.ndarray:
    """Pictures in rows, ink dark on white.

    Args:
        images: [n, C, H, W] pixels, uint8 or 0 to 1.
        titles: one above each picture.
        columns: how many side by side.

    Returns:
        array of Axes [rows, columns]

    Derived in chapter 1, *Learning from one example*.
    """
    rows = -(-len(images) // columns)
    size = WIDTH / columns
    height = rows * (size + (0.25 if titles is not None else 0))
    _, axes = plt.subplots(rows, columns, figsize=(WIDTH, height), squeeze=False)
    for ax in axes.flat:
        ax.axis("off")
    for number, (ax, image) in enumerate(zip(axes.flat, images, strict=False)):
        picture(image, ax)
        if titles is not None:
            ax.set_title(titles[number], pad=3)
    return axes


def picture(image: Tensor | np.ndarray, ax: Axes) -> Axes:
    """One picture [C, H, W], ink dark on white, with a thin frame.

    Derived in chapter 4, *Learn a model*.
    """
    channels_last = np.asarray(image).transpose(1, 2, 0)
    ax.imshow(channels_last.squeeze(-1) if channels_last.shape[-1] == 1 else channels_last)
    ax.axis("on")
    ax.set(xticks=[], yticks=[])
    ax.grid(False)
    for spine in ax.spines.values():
        spine.set(visible=True, color="#bbbbbb", linewidth=0.8)
    return ax


def episode(batch: Batch, queries: int = 5) -> np.ndarray:
    """The first episode of a batch: its support set, and below some of its queries.

    Args:
        batch: of pictures, the same number of shots for each class.
        queries: how many to show.

    Returns:
        array of Axes [2, columns]; titles of the support set are the class numbers.

    Derived in chapter 1, *Learning from one example*.
    """
    support, query = batch.support, batch.query
    columns = max(int((support.weight[0] > 0).sum()), queries)
    size = WIDTH / columns
    _, axes = plt.subplots(2, columns, figsize=(WIDTH, 2 * size + 0.6), squeeze=False)
    for ax in axes.flat:
        ax.axis("off")
    for number, ax in enumerate(axes[0, : support.x.shape[1]]):
        picture(support.x[0, number], ax).set_title(f"class {int(support.y[0, number])}", pad=3)
    for number, ax in enumerate(axes[1, :queries]):
        picture(query.x[0, number], ax).set_title("?", pad=3)
    return axes


def training(history: History, ax: Axes | None = None) -> Axes:
    """The loss of each step, smoothed, and the validation score.

    Derived in chapter 6, *Update*.
    """
    ax = ax or plt.subplots()[1]
    loss = np.array(history.loss)
    window = max(1, len(loss) // 40)
    smooth = np.convolve(loss, np.ones(window) / window, mode="valid")
    ax.plot(np.arange(window, len(loss) + 1), smooth, color=BLUE)
    ax.set(xlabel="training steps", ylim=(0, None))
    ax.set_ylabel("training loss", color=BLUE)
    if history.validation:
        right = ax.twinx()
        right.plot(history.validated_at, history.validation, "o-", color=ORANGE, markersize=5)
        right.set_ylabel(f"validation {in_words(history.metric)}", color="#a66f00")
        right.set_ylim(None, 1 if max(history.validation) <= 1 else None)
        right.grid(False)
    return ax


def scores(
    reports: Mapping[str, Report],
    guess: float | None = None,
    chance: float | None = None,
    ax: Axes | None = None,
) -> Axes:
    """A dot with its 95 % interval for each report, top to bottom, the reader's guess and chance.

    Args:
        reports: by the label to print.
        guess: a value of the metric that the reader predicted, in the metric's unit (0 to 1).
        chance: what blind guessing scores; with it the axis goes from 0 to 1, or 100 %.
        ax: where to draw.

    Derived in chapter 1, *Learning from one example*.
    """
    if ax is None:
        _, ax = plt.subplots(figsize=(WIDTH, 0.9 + 0.45 * len(reports)))
    factor = 100 if next(iter(reports.values())).percent else 1
    for row, (label, report) in enumerate(reports.items()):
        ax.errorbar(
            factor * report.mean,
            row,
            xerr=factor * report.half_width,
            fmt=MARKERS[row % len(MARKERS)],
            color=COLOURS[row % len(COLOURS)],
            capsize=4,
            label=label,
        )
    if guess is not None:
        _marked(ax, factor * guess, "your guess", color=GREY, linestyle=":", height=1, ha="center")
    metric = in_words(next(iter(reports.values())).metric)
    if chance is not None:
        _marked(ax, factor * chance, "chance ", color=RED, linestyle="--", height=0, ha="right")
        ax.set_xlim(0, factor)
    ax.set_yticks(range(len(reports)), list(reports))
    ax.set(ylim=(len(reports) - 0.5, -0.5), xlabel=metric + (" (%)" if factor == 100 else ""))
    return ax


def embeddings(z: Tensor, y: Tensor, names: Sequence[str], ax: Axes | None = None) -> Axes:
    """Embeddings of a few classes in the plane of their two main directions.

    Args:
        z: [n, D]
        y: [n] int64, positions in `names`.
        names: what to call the classes, at most 8.
        ax: where to draw.

    Derived in chapter 1, *Learning from one example*.
    """
    ax = ax or plt.subplots()[1]
    plane = main_plane(z)
    for label, name in enumerate(names):
        points = plane[y == label]
        ax.plot(*points.mT, MARKERS[label], color=COLOURS[label], markersize=6, label=name)
    ax.set(xticks=[], yticks=[], xlabel="first main direction", ylabel="second main direction")
    return ax


def regions(
    answer: Callable[[Tensor], Tensor], low: float, high: float, ax: Axes | None = None
) -> Axes:
    """A square of the plane, each place in the colour of the class that a rule answers there.

    Args:
        answer: from points [n, 2] to classes [n] int64.
        low: where the square begins, on both axes.
        high: where it ends.
        ax: where to draw.

    Derived in chapter 4, *Learn a model*.
    """
    ax = ax or plt.subplots(figsize=(4, 4))[1]
    side = torch.linspace(low, high, 200)
    classes = answer(torch.cartesian_prod(side, side)).view(200, 200).T
    levels = np.arange(-0.5, int(classes.max()) + 1)
    ax.contourf(side, side, classes, levels, colors=COLOURS, alpha=0.25)
    ax.set(aspect="equal", xlim=(low, high), ylim=(low, high))
    return ax


def main_plane(z: Tensor) -> Tensor:
    """Points [n, D] in the plane of the two directions in which they spread most, [n, 2].

    Derived in chapter 4, *Learn a model*.
    """
    centred = (z - z.mean(0)).double()
    return centred @ torch.linalg.svd(centred, full_matrices=False).Vh[:2].mT


def _marked(
    ax: Axes, x: float, words: str, color: str, linestyle: str, height: float, ha: str
) -> None:
    """A vertical line with words at this height of the axes, 0 to 1."""
    ax.axvline(x, color=color, linestyle=linestyle, label=words.strip())
    place = {"xycoords": ("data", "axes fraction"), "ha": ha, "va": "bottom"}
    ax.annotate(words, (x, height), color=color, **place)
