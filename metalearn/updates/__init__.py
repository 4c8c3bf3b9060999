"""Step 4, update: make an objective smaller, by its gradient or by comparing its values.

Every update has the same three methods, so that a trainer can use any of them: `step`, and for checkpoints
`state_tensors` and `load_state_tensors`.
"""

from .descent import EvolutionStrategy, Gradient
from .random_search import RandomSearch
from .schedules import constant, cosine_to_zero

__all__ = [
    "EvolutionStrategy",
    "Gradient",
    "RandomSearch",
    "constant",
    "cosine_to_zero",
]
