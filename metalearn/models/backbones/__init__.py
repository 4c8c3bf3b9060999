"""Backbones: from pixels to embeddings. Each starts from an explicit seed."""

from torch import nn

from ..._registry import Registry
from .borrowed import Identity, SklearnTransformer, Torchvision
from .conv4 import Conv4
from .resnet12 import ResNet12

__all__ = [
    "Conv4",
    "Identity",
    "ResNet12",
    "SklearnTransformer",
    "Torchvision",
    "conv4",
    "create",
    "identity",
    "names",
    "resnet12",
    "torchvision",
]

BACKBONES = Registry(
    "backbone", conv4=Conv4, identity=Identity, resnet12=ResNet12, torchvision=Torchvision
)


def names() -> list[str]:
    """The names that `create` knows.

    Example:
        >>> names()
        ['conv4', 'identity', 'resnet12', 'torchvision']

    Derived in chapter 4, *Learn a model*.
    """
    return list(BACKBONES)


def create(name: str, **options) -> nn.Module:
    """The backbone of this name.

    Raises:
        ValueError: no backbone has this name; the message lists those there are, closest first.

    Example:
        >>> create("conv4", width=32).config["width"]
        32

    Derived in chapter 4, *Learn a model*.
    """
    return BACKBONES[name](**options)


conv4 = Conv4
identity = Identity
resnet12 = ResNet12
torchvision = Torchvision
