"""Step 2, learn a model: backbones that embed, distances and heads that compare, and the learner."""

from . import backbones, distances, heads
from .estimator import Estimator
from .learner import MetricLearner
from .shipped import model_card, pretrained

__all__ = [
    "Estimator",
    "MetricLearner",
    "backbones",
    "distances",
    "heads",
    "model_card",
    "pretrained",
]
