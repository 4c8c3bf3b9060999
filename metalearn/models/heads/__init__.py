"""Metric heads: one file a method, all under one contract (`Head`)."""

from ..._registry import Registry
from .cosine_classifier import CosineClassifier
from .feat import Feat
from .head import Head
from .information_maximisation import InformationMaximisation
from .label_propagation import LabelPropagation
from .mahalanobis import Mahalanobis
from .matching import Matching
from .prototypical import Prototypical
from .relation import Relation
from .ridge import Ridge
from .siamese import Siamese
from .sinkhorn import Sinkhorn
from .soft_k_means import SoftKMeans
from .support_vector import SupportVector

__all__ = [
    "CosineClassifier",
    "Feat",
    "Head",
    "InformationMaximisation",
    "LabelPropagation",
    "Mahalanobis",
    "Matching",
    "Prototypical",
    "Relation",
    "Ridge",
    "Siamese",
    "Sinkhorn",
    "SoftKMeans",
    "SupportVector",
    "create",
    "names",
]

HEADS = Registry(
    "head",
    prototypical=Prototypical,
    matching=Matching,
    siamese=Siamese,
    relation=Relation,
    mahalanobis=Mahalanobis,
    feat=Feat,
    ridge=Ridge,
    support_vector=SupportVector,
    cosine_classifier=CosineClassifier,
    soft_k_means=SoftKMeans,
    label_propagation=LabelPropagation,
    sinkhorn=Sinkhorn,
    information_maximisation=InformationMaximisation,
)


def names() -> list[str]:
    """The names that `create` knows.

    Example:
        >>> names()[:3]
        ['prototypical', 'matching', 'siamese']

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
