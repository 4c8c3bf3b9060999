"""Step 2, learn a model: a backbone that embeds, and a head that is fitted to the embeddings."""

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from pathlib import Path
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor, nn

from .. import parallel
from .._naming import times
from ..data.pool import Pool
from ..files import load_tensors, save_tensors
from ..joint import before_and_in_all
from ..tasks.episode import Examples
from . import backbones, heads
from .heads.head import Head, State
from .targets import check_support, one_hot

IMAGES_IN_PASS = {"cpu": 160, "cuda": 4096}
"""How many images are embedded at a time: on a CPU larger passes are slower (chapter 6 measures it), on
a GPU the limit bounds the memory that an evaluation takes."""


class Fitted(NamedTuple):
    """What a learner knows about B episodes after it has seen their support sets.

    Attributes:
        head: the head's own state.
        present: [B, N] which classes each episode has; None for real targets.
        n_episodes: B
        shape: the shape of one support example.
    """

    head: State
    present: Tensor | None
    n_episodes: int
    shape: tuple[int, ...]


class MetricLearner(nn.Module):
    """An embedding shared by all tasks, and a rule fitted to each.

    Args:
        backbone: any module [B, C, H, W] -> [B, D] (or [B, D, H, W] for heads that compare maps).
        head: the rule.

    Raises:
        TypeError: head is no `Head`.

    Example:
        >>> from metalearn.tasks import Examples
        >>> learner = MetricLearner(backbones.conv4(seed=0), heads.Prototypical()).eval()
        >>> x, y = torch.zeros(1, 2, 1, 28, 28), torch.tensor([[0, 1]])
        >>> fitted = learner.fit(Examples(x, y, weight=torch.ones(1, 2)))
        >>> learner.predict(fitted, torch.zeros(1, 7, 1, 28, 28)).shape
        torch.Size([1, 7, 2])

    Derived in chapter 4, *Learn a model*.
    """

    def __init__(self, backbone: nn.Module, head: Head):
        super().__init__()
        if not isinstance(head, Head):
            raise TypeError(
                f"head is {head!r}; it needs to be a Head, such as heads.Prototypical()"
            )
        self.backbone = backbone
        self.head = head

    def embed(self, x: Tensor, weight: Tensor | None = None) -> Tensor:
        """The embeddings of B episodes' examples.

        uint8 pixels become float32 in [0, 1] here and nowhere else; floats are taken as they are.
        Padding is not embedded, so that it cannot enter batch statistics: its embedding is zero.

        Args:
            x: [B, S, ...]
            weight: [B, S], 0 where padded; None if nothing is.

        Returns:
            [B, S, D] (or [B, S, D, H, W])

        Raises:
            ValueError: x of another kind of number.
        """
        flat = x.flatten(0, 1)
        if weight is None or bool(weight.all()):
            z = self._passes(flat)
        else:
            real = weight.flatten() > 0
            z_real = self._passes(flat[real])
            z = z_real.new_zeros(len(flat), *z_real.shape[1:])
            z[real] = z_real
        return z.unflatten(0, x.shape[:2])

    def fit(self, support: Examples, unlabelled: Examples | None = None) -> Fitted:
        """Fit the head to the support sets of B episodes.

        Args:
            support: with classes [B, S] or real targets [B, S, T].
            unlabelled: further examples, whose y is not looked at.

        Raises:
            ValueError: an episode whose classes are not 0, 1, ..., N-1; real targets for a head that takes
                classes only; feature maps for one that takes vectors; tensors whose shapes do not belong
                together; an episode without examples.
        """
        check_support(support)
        if not support.y.is_floating_point():
            targets, present = one_hot(support.y, support.weight)
        elif self.head.regression:
            targets, present = support.y, None
        else:
            raise ValueError(
                f"{type(self.head).__name__} takes classes (int64); real targets need a head for "
                "regression, such as Ridge"
            )
        z = self._embed_precisely(support.x, support.weight)
        if z.dim() != 3 and not self.head.takes_maps:
            raise ValueError(
                f"embeddings have shape {list(z.shape)}; {type(self.head).__name__} takes vectors, "
                "[B, S, D] (nn.Flatten() at the end of a backbone makes them)"
            )
        extra = ()
        if unlabelled is not None:
            extra = self._embed_precisely(unlabelled.x, unlabelled.weight), unlabelled.weight
        with torch.autocast(z.device.type, enabled=False):
            state = self.head.fit(z, targets.to(z.dtype), support.weight, *extra)
        return Fitted(state, present, len(support.x), tuple(support.x.shape[2:]))

    def predict(self, fitted: Fitted, x: Tensor, weight: Tensor | None = None) -> Tensor:
        """Score the queries x [B, Q, ...] of B episodes.

        Args:
            fitted: what `fit` returned.
            x: [B, Q, ...], examples of the shape of the support set's.
            weight: [B, Q], 0 where padded; None if nothing is.

        Returns:
            logits [B, Q, N], minus infinity for classes that an episode does not have; or values
            [B, Q, T] for real targets.

        Raises:
            ValueError: queries of another shape than the support examples, or of other episodes.
        """
        if len(x) != fitted.n_episodes:
            raise ValueError(
                f"the queries are of {len(x)} episodes, the support sets of {fitted.n_episodes}"
            )
        shape = tuple(x.shape[2:])
        if shape != fitted.shape:
            raise ValueError(
                f"query examples are {times(shape)}, support examples {times(fitted.shape)}; "
                "they need to be the same"
            )
        z = self._embed_precisely(x, weight)
        with torch.autocast(z.device.type, enabled=False):
            scores = self.head.score(fitted.head, z, weight)
        if fitted.present is None:
            return scores
        return scores.masked_fill(~fitted.present[:, None, :], -torch.inf)

    @property
    def device(self) -> torch.device:
        """Where its parameters are; the CPU if it has none."""
        return next((p.device for p in self.parameters()), torch.device("cpu"))

    def embed_pool(self, pool: Pool) -> Pool:
        """The pool with embeddings in the place of its examples, made in evaluation mode.

        They are float32 and on the CPU.
        """
        with evaluation_mode(self), torch.inference_mode():
            parts = parallel.share(torch.arange(len(pool)).split(1024))
            z = [self.embed(pool.take(part)[None].to(self.device))[0].cpu() for part in parts]
            return pool.with_embeddings(torch.cat(parallel.gathered(z)).float())

    def on_embeddings(self) -> Self:
        """The same learner, with the same head (not a copy), for embeddings in the place of pixels."""
        other = copy(self)
        other._modules = self._modules | {"backbone": nn.Identity()}
        return other

    def save(self, path: str | Path) -> None:
        """Write architecture and weights to one safetensors file, whole or not at all.

        Raises:
            TypeError: the backbone is not one of metalearn's, and so cannot be made again by name.
            OSError: the file cannot be written.
        """
        save_tensors(path, self.state_dict(), {"learner": self.config})

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """The learner that `save` wrote.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the file is damaged, holds a pickle, or its weights do not fit.
        """
        tensors, about = load_tensors(path)
        if "learner" not in about:
            raise ValueError(f"{path} holds no learner")
        return cls.from_file(about["learner"], tensors, path)

    @classmethod
    def from_file(
        cls, config: dict[str, Any], tensors: dict[str, Tensor], path: str | Path
    ) -> Self:
        """A learner of this architecture with these weights, both of which stand in the file at `path`.

        Raises:
            ValueError: no such learner can be made, or the weights do not fit.
        """
        try:
            if config["backbone"].get("weights") is not None:
                raise ValueError("its backbone asks for weights from the network")
            learner = cls.from_config(config)
        except (AttributeError, KeyError, TypeError, RuntimeError, ValueError) as error:
            raise ValueError(f"{path} describes no learner that can be made: {error}") from error
        learner.load_weights(tensors, path)
        return learner

    @property
    def config(self) -> dict[str, Any]:
        """What `from_config` makes the same architecture from.

        Raises:
            TypeError: the backbone or head is the user's own and has no `config`.
        """
        for part in (self.backbone, self.head):
            if not isinstance(getattr(part, "config", None), dict):
                raise TypeError(
                    f"{type(part).__name__} has no `config` with a name that metalearn knows; "
                    "keep its state_dict() yourself"
                )
        return {"backbone": self.backbone.config, "head": self.head.config}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """A new learner of this architecture."""
        return cls(backbones.create(**config["backbone"]), heads.create(**config["head"]))

    def load_weights(self, tensors: dict[str, Tensor], path: str | Path) -> None:
        """Take these weights, which come from `path`.

        Raises:
            ValueError: they are of another architecture; the message names the first that differs.
        """
        own = self.state_dict()
        for name in sorted(own.keys() | tensors.keys()):
            has = list(tensors[name].shape) if name in tensors else "nothing"
            needs = list(own[name].shape) if name in own else "nothing"
            if has != needs:
                raise ValueError(
                    f"{path} is of another architecture: for {name} it has {has}; "
                    f"{json.dumps(self.config)} needs {needs}"
                )
        self.load_state_dict(tensors)

    def _embed_precisely(self, x: Tensor, weight: Tensor | None = None) -> Tensor:
        """Embeddings in at least float32: a head compares close numbers, whatever embedded them."""
        z = self.embed(x, weight)
        return z.float() if z.dtype in (torch.bfloat16, torch.float16) else z

    def _passes(self, flat: Tensor) -> Tensor:
        """Embed [n, ...] in as many passes as the processor likes, each a mixture of all classes.

        Pass i of p takes the examples i, i + p, i + 2p, ...: support sets come sorted by class, and batch
        statistics of a few classes only would mislead. In a step that several processes make, examples
        are counted on from process to process, so that together a pass is that of one process.
        """
        before, total = before_and_in_all(len(flat))
        n_passes = math.ceil(total / IMAGES_IN_PASS.get(flat.device.type, total or 1))
        if n_passes <= 1:
            return self.backbone(scaled(flat))
        taken = [slice((i - before) % n_passes, None, n_passes) for i in range(n_passes)]
        parts = [self.backbone(scaled(flat[own])) for own in taken]
        z = parts[0].new_empty(len(flat), *parts[0].shape[1:])
        for own, part in zip(taken, parts, strict=True):
            z[own] = part
        return z


@contextmanager
def evaluation_mode(module: nn.Module) -> Iterator[None]:
    """Evaluation mode inside, and afterwards every part in the mode it was in."""
    modes = {part: part.training for part in module.modules()}
    module.eval()
    try:
        yield
    finally:
        for part, training in modes.items():
            part.training = training


def scaled(x: Tensor) -> Tensor:
    """uint8 pixels as float32 from 0 to 1; floats as they are; nothing else."""
    if x.dtype == torch.uint8:
        return x.float() / 255
    if not x.is_floating_point():
        raise ValueError(f"examples are {x.dtype}; they need to be uint8 pixels or floats")
    return x
