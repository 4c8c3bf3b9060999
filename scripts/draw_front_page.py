"""Draw the pictures of the front page: a task, two spaces, and how far the learned one carries.

usage: python scripts/draw_front_page.py

It writes `task.png`, `two_spaces.png` and `carries.png` into `book/images`, and `_static/preview.png`,
which `make site` names to messengers. `carries.png` shows what `metalearn/results/domains.json` holds.
"""

import json
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import torch
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnnotationBbox, OffsetImage
from torch import Tensor

import metalearn as ml

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = ["Armenian", "Devanagari", "Georgian", "Greek", "Hebrew"]
EPISODE = 11  # the one that chapter 1 begins with
SHOWN = 14  # drawings of each class
SPACES = {
    "pixels": ("compared as pixels", ml.plots.ORANGE, "s"),
    "network": ("in the learned space", ml.plots.BLUE, "o"),
}
POOLS = {
    "glyphs": "new glyphs",
    "omniglot": "Omniglot",
    "mnist": "MNIST",
    "digits": "8 × 8 digits",
}


def new_characters() -> ml.Pool:
    """Characters of scripts that the shipped network was not trained on."""
    return ml.load_pool("glyphs").select(groups=SCRIPTS)


def tasks() -> ml.ClassificationTasks:
    """The episodes of chapter 1."""
    return ml.ClassificationTasks(new_characters(), n_way=5, n_shot=1, n_query=15, seed=0)


def task() -> Figure:
    """One task: five characters, each drawn once, and a drawing to name."""
    batch = tasks().episode(EPISODE)
    known, asked = batch.support.x[0], batch.query.x[0]
    row = int((batch.query.y[0] == 1).nonzero()[0])
    fig, axes = plt.subplots(1, 7, figsize=(9, 1.75), width_ratios=[1, 1, 1, 1, 1, 0.6, 1])
    for ax, drawing, name in zip(axes[:5], known, "ABCDE", strict=True):
        ml.plots.picture(drawing, ax)
        ax.set_title(name, fontsize=15)
    axes[5].axis("off")
    axes[5].annotate(
        "", (1, 0.5), (0, 0.5), "axes fraction", arrowprops={"arrowstyle": "-|>", "lw": 2}
    )
    ml.plots.picture(asked[row], axes[6])
    axes[6].set_title("?", fontsize=15, color=ml.plots.RED, weight="bold")
    return fig


def carries() -> Figure:
    """Accuracy of the learned space and of pixels, from the training's own kind to small digits."""
    file = ROOT / "metalearn" / "results" / "domains.json"
    measured = json.loads(file.read_text(encoding="utf-8"))["domains"]
    fig, ax = plt.subplots(figsize=(6.5, 3.2))
    for row, pool in enumerate(POOLS):
        accuracy = {name: measured[pool]["5-way 1-shot"][name][0] for name in SPACES}
        for name, (title, colour, marker) in SPACES.items():
            is_better = accuracy[name] == max(accuracy.values())
            where, side = ((12, 0), "left") if is_better else ((-12, 0), "right")
            look = {"color": colour, "fontsize": 13}
            ax.plot(accuracy[name], row, marker, color=colour, markersize=11)
            point, beside = (accuracy[name], row), "offset points"
            text = f"{accuracy[name]:.1f} %"
            ax.annotate(text, point, where, textcoords=beside, ha=side, va="center", **look)
            if row == 0:
                ax.text(accuracy[name], -0.45, title, ha="center", **look)
    ax.axvline(20, color=ml.plots.GREY, linestyle=":")
    ax.text(20.6, 3.35, "guessing", color=ml.plots.GREY, fontsize=12)
    ax.set_yticks(range(4), POOLS.values(), fontsize=13)
    ax.set(xlim=(15, 114), ylim=(3.5, -0.75), xticks=range(20, 101, 20))
    ax.set_xlabel("right answers (%), one example of each of five", fontsize=13)
    return fig


def spread(z: Tensor) -> Tensor:
    """Points [n, D] in the plane of their two main directions, [n, 2], scaled to -1 .. 1."""
    plane = ml.plots.main_plane(z)
    low, high = plane.amin(0), plane.amax(0)
    return (2 * plane - low - high) / (high - low)


def scatter(ax: Axes, where: Tensor, drawings: Tensor, labels: Tensor) -> None:
    """Put each drawing at its place, its ink in the colour of its class."""
    for place, drawing, label in zip(where, drawings, labels, strict=True):
        ink = torch.ones(28, 28, 4)
        ink[..., :3] = torch.tensor(to_rgb(ml.plots.COLOURS[label]))
        ink[..., 3] = drawing[0] / 255
        ax.add_artist(AnnotationBbox(OffsetImage(ink.numpy(), zoom=1.1), place, frameon=False))
    ax.set(xlim=(-1.15, 1.15), ylim=(-1.2, 1.2), xticks=[], yticks=[])
    ax.grid(False)
    ax.spines[["top", "right"]].set_visible(True)


def draw(axes: list[Axes]) -> None:
    """Draw the same drawings in both spaces, with how often each is right in the title."""
    new, episodes = new_characters(), tasks()
    five = new.select(names=[new.names[c] for c in episodes.episode(EPISODE).classes[0]])
    chosen = torch.cat([torch.from_numpy(rows[:SHOWN]) for rows in five.examples_of])
    drawings, labels = five.take(chosen), five.labels[chosen]

    pixels = ml.MetricLearner(ml.backbones.identity(), ml.heads.Prototypical())
    for ax, learner, space in (
        (axes[0], pixels, "as pixels"),
        (axes[1], ml.pretrained("conv4-glyphs"), "in the learned space"),
    ):
        with torch.inference_mode():
            z = learner.embed(drawings[None])[0]
        scatter(ax, spread(z), drawings, labels)
        accuracy = ml.evaluate(learner, episodes, episodes=1000).accuracy
        ax.set_title(f"{space}: {100 * accuracy:.1f} % right", fontsize=13)


def main() -> None:
    """Write all pictures."""
    mpl.use("Agg")
    ml.plots.use_style()
    images = ROOT / "book" / "images"
    task().savefig(images / "task.png", dpi=130)
    carries().savefig(images / "carries.png", dpi=130)

    fig, axes = plt.subplots(1, 2, figsize=(9, 4))
    draw(axes)
    fig.savefig(images / "two_spaces.png", dpi=130)

    fig, axes = plt.subplots(1, 2, figsize=(12, 6.3), layout="none")
    fig.subplots_adjust(left=0.04, right=0.96, bottom=0.05, top=0.68, wspace=0.06)
    draw(axes)
    fig.text(0.04, 0.87, "Metric-based meta-learning", fontsize=38, weight="bold")
    fig.text(0.04, 0.785, "Learn a class from one example. A book that runs.", fontsize=21)
    fig.savefig(ROOT / "_static" / "preview.png", dpi=100)


if __name__ == "__main__":
    main()
