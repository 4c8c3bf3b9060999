"""Metric heads: one file a method, all under one contract (`Head`)."""

from ..._registry import Registry
from .head import Head
from .prototypical import Prototypical
from .ridge import Ridge
from .soft_k_means import SoftKMeans

__all__ = ["Head", "Prototypical", "Ridge", "SoftKMeans", "create", "names"]

HEADS = Registry("head", prototypical=Prototypical, ridge=Ridge, soft_k_means=SoftKMeans)


def names() -> list[str]:
    """The names that `create` knows.

    Example:
        >>> names()
        ['prototypical', 'ridge', 'soft_k_means']

    Derived in chapter 4, *Learn a model*.
    """
    return list(HEADS)


def create(name: str, **options) -> Head:
    """The head of this name.

    Raises:
        ValueError: no head has this name; the message lists those there are, closest first.

    Example:
        >>> create("prototypical", distance="cosine").config["distance"]
        'cosine'

    Derived in chapter 4, *Learn a model*.
    """
    return HEADS[name](**options)
