"""Step 1, select a task."""

from .classification import ClassificationTasks
from .episode import PADDING, Batch, Examples

__all__ = ["PADDING", "Batch", "ClassificationTasks", "Examples"]
