"""Step 1, select a task."""

from .classification import ClassificationTasks
from .episode import PADDING, Batch, Examples, Tasks

__all__ = ["PADDING", "Batch", "ClassificationTasks", "Examples", "Tasks"]
