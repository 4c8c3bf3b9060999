"""What a pool can hold, and what it says of what it cannot."""

import warnings
from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

LARGEST_FLOAT_PIXEL = 16  # standardised pixels may pass 1, but not by so much


def checked_labels(labels: Sequence[int] | np.ndarray | Tensor) -> Tensor:
    """Whole numbers as an int64 tensor."""
    labels = np.asarray(labels)
    if labels.dtype.kind not in "iu":
        raise ValueError(
            f"labels are {labels.dtype}; they need to be whole numbers, positions in names "
            "(names, labels = np.unique(labels, return_inverse=True) makes them)"
        )
    return torch.from_numpy(labels.astype(np.int64))


def checked_images(images: np.ndarray | Tensor) -> Tensor:
    """The images if they are what a pool can hold; float64 becomes float32."""
    if not isinstance(images, Tensor):
        images = np.asarray(images)
        native = images.dtype.newbyteorder("=")
        if any(step < 0 for step in images.strides) or not images.dtype.isnative:
            images = np.ascontiguousarray(images, dtype=native)
        with warnings.catch_warnings():  # a read-only memory map is fine: a pool never writes
            warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
            images = torch.from_numpy(images)
    if len(images) == 0 or images.numel() == 0:
        raise ValueError(f"images have shape {list(images.shape)}: there is no pixel in them")
    if images.dtype == torch.uint8:
        if images.dim() != 4:
            raise ValueError(
                f"images have shape {list(images.shape)}; pixels need [N, C, H, W] "
                "(grey pictures [N, H, W]: pass images[:, None])"
            )
        if images.shape[-1] in (1, 3) and images.shape[1] > 4:
            raise ValueError(
                f"images have shape {list(images.shape)}: the channels come last; pixels need "
                "[N, C, H, W] (move them: images.transpose(0, 3, 1, 2))"
            )
        return images
    if not images.is_floating_point():
        raise ValueError(f"images are {images.dtype}; a pool needs uint8 pixels or float features")
    if images.dim() < 2:
        raise ValueError(f"features have shape {list(images.shape)}; a pool needs [N, D]")
    images = images.float()
    bad = (~images.flatten(1).isfinite()).any(1).nonzero().flatten()
    if len(bad):
        raise ValueError(
            f"{len(bad)} of {len(images)} images hold NaN or infinity; the first is number {bad[0]}"
        )
    if images.dim() == 4 and images.max() > LARGEST_FLOAT_PIXEL:
        raise ValueError(
            f"float images reach {images.max():.0f}; float pixels are from 0 to 1 (divide by 255)"
        )
    return images


def check_labels(n_images: int, labels: Tensor, names: list[str], groups: list[str] | None) -> None:
    """Raise ValueError unless every image has a label, every label a name, and every name an image."""
    if labels.dim() != 1 or len(labels) != n_images:
        raise ValueError(
            f"labels have shape {list(labels.shape)} for {n_images} images; they need [{n_images}]"
        )
    if len(set(names)) < len(names):
        repeated = Counter(names).most_common(1)[0][0]
        raise ValueError(f"two classes have the name {repeated!r}; names must differ")
    if groups is not None and len(groups) != len(names):
        raise ValueError(f"{len(groups)} groups for {len(names)} classes; need one each")
    present = torch.unique(labels)
    for label in present[(present < 0) | (present >= len(names))].tolist():
        raise ValueError(f"label {label} has no name: there are {len(names)} names, from 0")
    if len(present) < len(names):
        absent = min(set(range(len(names))) - set(present.tolist()))
        raise ValueError(f"class {names[absent]!r} (label {absent}) has no examples")
