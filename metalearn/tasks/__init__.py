"""Step 1, select a task: families of tasks, supervised, unsupervised and of reinforcement learning."""

from .bandits import BanditTasks, Play, Policy
from .classification import ClassificationTasks
from .episode import PADDING, Batch, Examples, Tasks
from .regression import CurveTasks, FeatureTasks
from .unsupervised import ViewTasks, clusters, deform

__all__ = [
    "PADDING",
    "BanditTasks",
    "Batch",
    "ClassificationTasks",
    "CurveTasks",
    "Examples",
    "FeatureTasks",
    "Play",
    "Policy",
    "Tasks",
    "ViewTasks",
    "clusters",
    "deform",
]
