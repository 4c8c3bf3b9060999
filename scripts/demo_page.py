"""The drawing pad of the book's pages, a Sphinx extension.

A page that has an element of the class `draw-a-character` gets the pad. Its programs stand in
`book/demo`; the weights of the network and some glyphs to try are made from the package.
"""

import base64
import json
import shutil
from pathlib import Path

import numpy as np
import torch
from sphinx.application import Sphinx

import metalearn as ml

SOURCE = Path(__file__).resolve().parents[1] / "book" / "demo"
PROGRAMS = ["weights.js", "glyphs.js", "network.js", "strokes.js", "demo.js"]
# Of scripts that the network was not trained on.
CHOSEN = ["Georgian/don", "Devanagari/ka", "Hebrew/alef", "Armenian/capital ken", "Greek/small psi"]
DRAWINGS = 4  # of each: one to learn from, the others to ask about


def in_base64(array: np.ndarray) -> str:
    return base64.b64encode(array.tobytes()).decode()


def weights() -> str:
    """The convolutions of the network that ships with the package, batch norms folded in."""
    parts = []
    for convolution, norm, *_ in ml.pretrained("conv4-glyphs").eval().backbone.blocks:
        folded = torch.nn.utils.fusion.fuse_conv_bn_eval(convolution, norm)
        parts += [folded.weight.detach().flatten(), folded.bias.detach()]
    return in_base64(torch.cat(parts).numpy().astype("<f4"))


def glyphs() -> dict[str, list]:
    """Five characters with one drawing each to learn from, and drawings to ask about in a mixed order."""
    pool = ml.load_pool("glyphs").select(names=CHOSEN)
    known, asked = [], []
    for name, rows in zip(pool.names, pool.examples_of, strict=True):
        first, *others = pool.images[rows[:DRAWINGS]].flatten(1).numpy()
        known.append({"name": name.split()[-1].split("/")[-1], "picture": in_base64(first)})
        asked += map(in_base64, others)
    order = np.random.default_rng(0).permutation(len(asked))
    return {"known": known, "asked": [asked[i] for i in order]}


def write(folder: Path) -> None:
    """Write the pad's programs, weights and glyphs."""
    shutil.copytree(SOURCE, folder, dirs_exist_ok=True)
    made = {"weights.js": f"const WEIGHTS = {json.dumps(weights())};\n"}
    made["glyphs.js"] = f"const GLYPHS = {json.dumps(glyphs())};\n"
    for name, text in made.items():
        (folder / name).write_text(text, encoding="utf-8")


def add_pad(app: Sphinx, page: str, template: str, context: dict, doctree: object) -> None:
    """Let a page that has a place for the pad load it."""
    if "draw-a-character" in context.get("body", ""):
        here = context["pathto"]("demo", resource=True)
        tags = [f'<link rel="stylesheet" href="{here}/demo.css">']
        tags += [f'<script defer src="{here}/{name}"></script>' for name in PROGRAMS]
        context["body"] += "\n".join(tags)


def finish(app: Sphinx, error: Exception | None) -> None:
    """Write the pad beside the pages."""
    if error is None and app.builder.format == "html":
        write(Path(app.outdir, "demo"))


def setup(app: Sphinx) -> dict:
    """Register with Sphinx."""
    app.connect("html-page-context", add_pad)
    app.connect("build-finished", finish)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
