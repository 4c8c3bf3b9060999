"""What happened in a training."""

from dataclasses import dataclass, field


@dataclass
class History:
    """What happened in training.

    Attributes:
        loss: the objective's value at each step, before its update.
        validated_at: after how many steps the learner was validated.
        validation: the mean score each time.
        best: the best of these.
        best_step: after how many steps it was measured.
        seconds: spent in training, validations included.
        metric: what validation measures.

    Derived in chapter 6, *Update*.
    """

    loss: list[float] = field(default_factory=list)
    validated_at: list[int] = field(default_factory=list)
    validation: list[float] = field(default_factory=list)
    best: float | None = None
    best_step: int = 0
    seconds: float = 0.0
    metric: str = ""

    @property
    def steps(self) -> int:
        """How many steps were made."""
        return len(self.loss)
