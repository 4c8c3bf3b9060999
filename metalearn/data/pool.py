"""A pool: labelled examples of many classes, from which tasks are drawn."""

import zlib
from collections.abc import Collection, Sequence
from functools import cached_property
from pathlib import Path
from typing import Self
from zipfile import BadZipFile

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .._checks import seed_of
from .._naming import times
from .._registry import unknown
from .checks import check_labels, checked_images, checked_labels


class Pool:
    """Labelled examples of many classes, and the names of the classes.

    Args:
        images: [N, C, H, W] uint8 pixels (0 to 255), or float features or pixels [N, ...] without NaN.
            An array or a tensor; memory-mapped pixels are read only where examples are taken.
        labels: [N] whole numbers; `labels[i]` is the position of example i's class in `names`.
        names: one name for each class, all different.
        groups: the group of each class (the script of a character), or None. Splits keep groups whole.

    Raises:
        ValueError: a shape, type, label or name that does not fit, or NaN; the message says which.

    Example:
        >>> images = np.zeros((6, 1, 28, 28), np.uint8)
        >>> Pool(images, [0, 0, 0, 1, 1, 1], names=["ka", "kha"])
        Pool(6 examples of 2 classes, 1x28x28 uint8)

    Derived in chapter 1, *Learning from one example*.
    """

    def __init__(
        self,
        images: np.ndarray | Tensor,
        labels: Sequence[int] | np.ndarray | Tensor,
        names: Sequence[str],
        groups: Sequence[str] | None = None,
    ):
        self._store = checked_images(images)
        self._rows: Tensor | None = None
        self.labels = checked_labels(labels)
        self.names = [str(name) for name in names]
        self.groups = None if groups is None else [str(group) for group in groups]
        check_labels(len(self._store), self.labels, self.names, self.groups)

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        kind = str(self._store.dtype).removeprefix("torch.")
        groups = f" in {len(set(self.groups)):,} groups" if self.groups else ""
        size = f"{len(self):,} examples of {self.n_classes:,} classes{groups}"
        return f"Pool({size}, {self.shape_in_words} {kind})"

    @property
    def n_classes(self) -> int:
        """How many classes there are."""
        return len(self.names)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one example, [C, H, W] for pixels."""
        return tuple(self._store.shape[1:])

    @property
    def shape_in_words(self) -> str:
        """The shape of one example as it is printed, "1x28x28"."""
        return times(self.shape)

    @property
    def images(self) -> Tensor:
        """All examples, [N, ...]."""
        return self._store if self._rows is None else self._store.index_select(0, self._rows)

    def take(self, examples: Tensor) -> Tensor:
        """The examples at these positions, from 0: [...] int64 -> [..., *shape]."""
        rows = examples.flatten()
        if self._rows is not None:
            rows = self._rows.index_select(0, rows)
        # Copies whole rows, where `_store[rows]` goes element by element: ten times as fast for uint8.
        return self._store.index_select(0, rows).reshape(*examples.shape, *self.shape)

    @cached_property
    def examples_of(self) -> list[np.ndarray]:
        """For each class the positions of its examples, ascending."""
        order = torch.argsort(self.labels, stable=True).numpy()
        counts = torch.bincount(self.labels, minlength=self.n_classes).numpy()
        return np.split(order, np.cumsum(counts)[:-1])

    # Fewer classes

    def select(
        self,
        names: Collection[str] | None = None,
        groups: Collection[str] | None = None,
        min_examples: int = 1,
    ) -> Self:
        """The classes with one of these names, in one of these groups, with enough examples.

        Raises:
            ValueError: a name or group that the pool does not have, or no class is left.
        """
        keep = self._among("class", names, self.names) & self._among("group", groups, self.groups)
        keep &= np.array([len(rows) >= min_examples for rows in self.examples_of])
        return self._of_classes(np.flatnonzero(keep))

    def exclude(
        self, names: Collection[str] | None = None, groups: Collection[str] | None = None
    ) -> Self:
        """All classes but those with one of these names or in one of these groups.

        Raises:
            ValueError: a name or group that the pool does not have, or no class is left.
        """
        drop = np.zeros(self.n_classes, bool)
        if names is not None:
            drop |= self._among("class", names, self.names)
        if groups is not None:
            drop |= self._among("group", groups, self.groups)
        return self._of_classes(np.flatnonzero(~drop))

    def split(self, fractions: Sequence[float], seed: int) -> tuple[Self, ...]:
        """Pools of disjoint classes, about these fractions of all; a group stays in one piece.

        Groups (without groups: classes) are shuffled and each goes to the part that lacks most.

        Args:
            fractions: of the classes, positive, summing to 1.
            seed: decides the shuffle; the same seed gives the same split everywhere.

        Raises:
            ValueError: the fractions do not sum to 1, a part would stay empty, or the seed is no whole
                number.
        """
        if not all(part > 0 for part in fractions) or abs(sum(fractions) - 1) > 1e-6:
            raise ValueError(f"fractions {tuple(fractions)} must be positive and sum to 1")
        group_of = np.unique(self.groups or self.names, return_inverse=True)[1]
        sizes = np.bincount(group_of)
        lacking = np.array(fractions) * self.n_classes
        part_of = np.empty(len(sizes), int)
        for group in np.random.default_rng(seed_of(seed)).permutation(len(sizes)):
            part_of[group] = np.argmax(lacking)
            lacking[part_of[group]] -= sizes[group]
        parts = [np.flatnonzero(part_of[group_of] == part) for part in range(len(fractions))]
        if not all(len(part) for part in parts):
            what = "groups" if self.groups else "classes"
            raise ValueError(f"{len(sizes)} {what} are too few for {len(fractions)} parts")
        return tuple(self._of_classes(part) for part in parts)

    # Other images

    def with_images(self, images: np.ndarray | Tensor) -> "Pool":
        """The same labels and names with other examples: embeddings [N, D], resized pixels."""
        return Pool(images, self.labels, self.names, self.groups)

    def with_embeddings(self, z: np.ndarray | Tensor) -> "Pool":
        """The same labels and names with embeddings [N, ...] in the place of pictures, of any size.

        Raises:
            ValueError: another number of embeddings than of examples.
        """
        z = torch.as_tensor(z)
        if len(z) != len(self):
            raise ValueError(f"there are {len(z)} embeddings for {len(self)} examples")
        part = object.__new__(type(self))
        part._store, part._rows = z, None
        part.labels, part.names, part.groups = self.labels, self.names, self.groups
        return part

    def with_rotations(self) -> "Pool":
        """Four times the classes: each also turned by 90, 180 and 270 degrees, as a class of its own.

        The convention of Vinyals and others (2016) on Omniglot: a turned character is a new one.

        Raises:
            ValueError: the examples are not square pictures.
        """
        if len(self.shape) != 3 or self.shape[1] != self.shape[2]:
            raise ValueError(
                f"examples are {self.shape_in_words}; only square pictures can be turned"
            )
        turned = [torch.rot90(self.images, quarter, dims=(-2, -1)) for quarter in range(4)]
        labels = [self.labels + quarter * self.n_classes for quarter in range(4)]
        names = [
            name + (f", turned {90 * quarter}" if quarter else "")
            for quarter in range(4)
            for name in self.names
        ]
        return Pool(torch.cat(turned), torch.cat(labels), names, self.groups and self.groups * 4)

    def resize(self, height: int, width: int | None = None) -> "Pool":
        """The same pictures at `height` x `width` pixels (square without `width`), smoothed.

        Raises:
            ValueError: a size below 1, or examples that are not pictures.
        """
        size = (height, height if width is None else width)
        if min(size) < 1 or len(self.shape) != 3:
            raise ValueError(
                f"examples are {self.shape_in_words} and cannot become pictures of {size}"
            )
        chunks = [
            F.interpolate(chunk.float(), size, mode="bilinear", antialias=True)
            for chunk in self.images.split(1024)
        ]
        resized = torch.cat(chunks)
        if self._store.dtype == torch.uint8:
            resized = resized.round().clamp(0, 255).to(torch.uint8)
        return self.with_images(resized)

    # The reader's own data

    @classmethod
    def from_folder(cls, path: str | Path, size: int, channels: int = 3) -> "Pool":
        """The reader's own pictures: one folder a class, or one folder a group with a folder a class.

        Pictures are cropped to a square about the centre, scaled to `size` x `size` and kept in the
        cache, memory-mapped, so that a large folder is read once and never held in memory.

        Args:
            path: the folder of class folders.
            size: height and width in pixels.
            channels: 3 for colour, 1 for grey.

        Raises:
            ValueError: no class folders, or a picture that cannot be read; the message names it.
        """
        from .folder import from_folder

        return from_folder(Path(path), size, channels)

    @classmethod
    def from_npz(cls, path: str | Path) -> "Pool":
        """A file of NumPy arrays `images`, `labels` and `names`, with `groups` where there are some.

        Raises:
            ValueError: the file is damaged, an array is missing, or one holds Python objects, which are
                not loaded.
        """
        try:
            with Path(path).open("rb") as file, np.load(file, allow_pickle=False) as content:
                arrays = dict(content)
        except (EOFError, TypeError, ValueError, BadZipFile, zlib.error) as error:
            raise ValueError(
                f"{path} is damaged, or no .npz file of plain arrays: {error}"
            ) from error
        missing = [name for name in ("images", "labels", "names") if name not in arrays]
        if missing:
            raise ValueError(f"{path} has no array named {' and '.join(missing)}")
        images, groups = arrays["images"], arrays.get("groups")
        return cls(
            images[:, None] if images.dtype == np.uint8 and images.ndim == 3 else images,
            arrays["labels"],
            arrays["names"].tolist(),
            None if groups is None else groups.tolist(),
        )

    # Helpers

    def _of_classes(self, classes: np.ndarray) -> Self:
        """The pool of these classes; it shares the images and holds only where they are."""
        if len(classes) == 0:
            raise ValueError("no class is left")
        part = object.__new__(type(self))
        rows = torch.from_numpy(np.concatenate([self.examples_of[c] for c in classes]))
        counts = torch.tensor([len(self.examples_of[c]) for c in classes])
        part._store = self._store
        part._rows = rows if self._rows is None else self._rows[rows]
        part.labels = torch.arange(len(classes)).repeat_interleave(counts)
        part.names = [self.names[c] for c in classes]
        part.groups = self.groups and [self.groups[c] for c in classes]
        return part

    def _among(
        self, kind: str, wanted: Collection[str] | None, having: Sequence[str] | None
    ) -> np.ndarray:
        """For each class whether its name or group is wanted."""
        if wanted is None:
            return np.ones(self.n_classes, bool)
        if having is None:
            raise ValueError("this pool has no groups")
        if isinstance(wanted, str):
            raise TypeError(f"{kind} names are given as a list: [{wanted!r}]")
        known = set(having)
        for name in wanted:
            if name not in known:
                raise ValueError(unknown(kind, name, sorted(known)))
        wanted = set(wanted)
        return np.array([name in wanted for name in having])
