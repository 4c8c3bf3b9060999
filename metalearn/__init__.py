"""Metric-based meta-learning: select a task, learn a model, evaluate it, update.

The folders are the four steps, in this order: `tasks`, `models`, `metrics`, `updates`; `training` is the
loop that joins them, `evaluation` the honest score, `data` what tasks are drawn from.
"""

from importlib import import_module

from . import losses, metrics, tasks, updates
from .data import OMNIGLOT_SCRIPTS, Pool, load_pool, published_split
from .evaluation import Difference, Report, compare, evaluate, table
from .history import History
from .models import Estimator, MetricLearner, backbones, distances, heads, model_card, pretrained
from .tasks import (
    BanditTasks,
    Batch,
    ClassificationTasks,
    CurveTasks,
    Examples,
    FeatureTasks,
    ViewTasks,
)
from .training import Trainer

__version__ = "0.1.0"

__all__ = [
    "OMNIGLOT_SCRIPTS",
    "BanditTasks",
    "Batch",
    "ClassificationTasks",
    "CurveTasks",
    "Difference",
    "Estimator",
    "Examples",
    "FeatureTasks",
    "History",
    "MetricLearner",
    "Pool",
    "Report",
    "Trainer",
    "ViewTasks",
    "backbones",
    "compare",
    "distances",
    "evaluate",
    "heads",
    "load_pool",
    "losses",
    "metrics",
    "model_card",
    "plots",
    "pretrained",
    "published_split",
    "table",
    "tasks",
    "updates",
]


def __getattr__(name: str):
    """Import `plots`, and with it matplotlib, when it is first asked for."""
    if name == "plots":
        return import_module(".plots", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
