"""Draw the picture of the README: drawings of five new characters, as pixels and in the learned space.

usage: python scripts/make_readme_picture.py [FILE; default: book/images/two_spaces.png]
"""

import sys
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import torch
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.offsetbox import AnnotationBbox, OffsetImage
from torch import Tensor

import metalearn as ml

OUT = Path(__file__).resolve().parents[1] / "book" / "images" / "two_spaces.png"
SCRIPTS = ["Armenian", "Devanagari", "Georgian", "Greek", "Hebrew"]
EPISODE = 11  # the one that chapter 1 begins with
SHOWN = 14  # drawings of each class


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


def main(out: Path) -> None:
    """Write the picture to `out`."""
    mpl.use("Agg")
    ml.plots.use_style()
    new = ml.load_pool("glyphs").select(groups=SCRIPTS)
    tasks = ml.ClassificationTasks(new, n_way=5, n_shot=1, n_query=15, seed=0)
    five = new.select(names=[new.names[c] for c in tasks.episode(EPISODE).classes[0]])
    chosen = torch.cat([torch.from_numpy(rows[:SHOWN]) for rows in five.examples_of])
    drawings, labels = five.take(chosen), five.labels[chosen]

    fig, axes = plt.subplots(1, 2, figsize=(9, 4))
    pixels = ml.MetricLearner(ml.backbones.identity(), ml.heads.Prototypical())
    for ax, learner, space in (
        (axes[0], pixels, "as pixels"),
        (axes[1], ml.pretrained("conv4-glyphs"), "in the learned space"),
    ):
        with torch.inference_mode():
            z = learner.embed(drawings[None])[0]
        scatter(ax, spread(z), drawings, labels)
        accuracy = ml.evaluate(learner, tasks, episodes=1000).accuracy
        ax.set_title(f"{space}: {100 * accuracy:.1f} % right", fontsize=13)
    out.parent.mkdir(parents=True, exist_ok=True)
    fig.savefig(out, dpi=130)
    print(out)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else OUT)
