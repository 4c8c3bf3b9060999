"""Metric-based meta-learning: select a task, learn a model, evaluate it, update.

The folders are the four steps, in this order: `tasks`, `models`, `metrics`, `updates`; `training` is the
loop that joins them, `evaluation` the honest score, `data` what tasks are drawn from.
"""

from importlib import import_module

from . import losses, metrics, parallel, tasks, updates
from .calibration import Calibration
from .data import OMNIGLOT_SCRIPTS, Pool, draw_strokes, load_pool, published_split
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
    "Calibration",
    "ClassificationTasks",
    "CurveTasks",
    "Difference",
    "Estimator",
    "Examples",
    "FeatureTasks",
    "FewShotClassifier",
    "History",
    "MetricLearner",
    "Pool",
    "Report",
    "Trainer",
    "ViewTasks",
    "backbones",
    "compare",
    "distances",
    "draw_strokes",
    "evaluate",
    "export",
    "heads",
    "load_pool",
    "losses",
    "metrics",
    "model_card",
    "parallel",
    "plots",
    "pretrained",
    "published_split",
    "table",
    "tasks",
    "updates",
]


# What imports matplotlib or scikit-learn is imported when it is first asked for.
LATER = {"FewShotClassifier": ".deploy", "export": ".exporting", "plots": ".plots"}


def __getattr__(name: str):
    if name not in LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(LATER[name], __name__)
    return module if name == "plots" else getattr(module, name)
