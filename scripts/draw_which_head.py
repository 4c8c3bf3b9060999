"""Draw the figure of the page "Which head when": a row of questions, and the head that each yes leads to.

usage: python scripts/draw_which_head.py [FILE; default: book/images/which_head.png]

The numbers are read from book/part3/results, where `measure_heads.py` writes them.
"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
from heads_page import results
from matplotlib.axes import Axes

import metalearn as ml

OUT = Path(__file__).resolve().parents[1] / "book" / "images" / "which_head.png"
WIDTH, ROW = 10.0, 2.1


def gain(title: str, where: str, what: str = "shared") -> str:
    """A head's paired difference to Prototypical, in words."""
    _, _, difference, half_width = results(what)["heads"][title]["scores"][where]
    return f"{difference:+.1f} ± {half_width:.1f} points"


def questions() -> list[tuple[str, str, str]]:
    """Each question, the heads to take if the answer is yes, and what the book measured of them."""
    balanced = gain("InformationMaximisation, balance=1", "mnist, 1-shot")
    return [
        (
            "Are the targets\nreal numbers?",
            "Ridge, or\nMatching(regression=True)",
            "chapters 12 and 9",
        ),
        ("Is the question\n“are these two the same?”", "Siamese", "chapter 8"),
        (
            "Do queries come together,\nas many of each class?",
            "Sinkhorn or Information-\nMaximisation, balance=1",
            f"{balanced}\n(mnist, 1-shot); chapter 13",
        ),
        (
            "Do queries come together,\nhowever many of each?",
            "LabelPropagation\nor SoftKMeans",
            f"{gain('LabelPropagation', 'mnist, 1-shot')}\n(mnist, 1-shot); chapter 13",
        ),
        (
            "Can you train the network\ntogether with its head?",
            "Feat, or Matching\nwith full context",
            f"{gain('Feat', 'mnist, 1-shot', 'own')}\n(mnist, 1-shot); chapter 9",
        ),
        (
            "Has a class several kinds\n(two clusters)?",
            "Matching",
            "its examples are kept apart;\nchapter 9",
        ),
        (
            "Are there five examples\nof a class or more?",
            "Mahalanobis, Ridge\nor SupportVector",
            f"{gain('Mahalanobis', 'mnist, 5-shot')}\n(mnist, 5-shot); chapters 7 and 12",
        ),
    ]


def box(ax: Axes, x: float, y: float, text: str, colour: str, **style) -> None:
    ax.text(
        x,
        y,
        text,
        ha="center",
        va="center",
        bbox={
            "boxstyle": "round,pad=0.5",
            "facecolor": "white",
            "edgecolor": colour,
            "linewidth": 2,
        },
        **style,
    )


def arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float], word: str) -> None:
    style = {
        "arrowstyle": "-|>",
        "linewidth": 2,
        "color": ml.plots.GREY,
        "shrinkA": 0,
        "shrinkB": 0,
    }
    ax.annotate("", xy=end, xytext=start, arrowprops=style)
    x, y = (start[0] + end[0]) / 2, (start[1] + end[1]) / 2
    ax.text(x, y, word, ha="center", va="center", backgroundcolor="white", fontsize=11)


def main() -> None:
    ml.plots.use_style()
    steps = questions()
    fig, ax = plt.subplots(figsize=(6.4, 1.35 * (len(steps) + 1)))
    for i, (question, heads, measured) in enumerate(steps):
        y = -ROW * i
        box(ax, 2.4, y, question, ml.plots.BLUE)
        box(ax, 7.9, y + 0.25, heads, ml.plots.GREEN, fontweight="bold")
        ax.text(7.9, y - 0.42, measured, ha="center", va="top", fontsize=9.5, color=ml.plots.GREY)
        arrow(ax, (4.55, y), (5.75, y), "yes")
        arrow(ax, (2.4, y - 0.55), (2.4, y - ROW + 0.55), "no")
    y = -ROW * len(steps)
    box(ax, 2.4, y, "Prototypical", ml.plots.GREEN, fontweight="bold")
    ax.text(
        4.6,
        y,
        "the head to begin with, and to\ncompare all others to; chapter 10",
        va="center",
        fontsize=9.5,
        color=ml.plots.GREY,
    )
    ax.set(xlim=(0, WIDTH), ylim=(y - 1, 1))
    ax.axis("off")
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else OUT
    fig.savefig(path)
    print(path)


if __name__ == "__main__":
    main()
