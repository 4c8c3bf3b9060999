"""The loop: select tasks, learn a model of each, evaluate it, update; and what a training needs around."""

import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor
from tqdm import tqdm

from . import losses, metrics, parallel
from ._checks import whole
from ._naming import name_of, plain
from .checkpoint import Checkpoint, architecture
from .evaluation import evaluate
from .files import writable_folder
from .history import History
from .interrupt import stop_between_steps
from .joint import joint_step, mean_of_all
from .models.learner import MetricLearner
from .precision import computes_bfloat16
from .tasks import Tasks
from .tasks.episode import check_tasks
from .updates import Gradient, cosine_to_zero


class Update(Protocol):
    """Step 4: makes an objective smaller; see `metalearn.updates`.

    Attributes:
        differentiates: whether it needs the objective's gradient. One that only compares values is given
            those of evaluation mode, which neither drops anything at random nor moves batch statistics.
            One of your own that needs it and is to run in several processes calls
            `joint.average_gradients` after `backward`.
    """

    differentiates: bool

    def step(self, objective: Callable[[], Tensor], progress: float) -> float: ...
    def state_tensors(self) -> dict[str, Tensor]: ...
    def load_state_tensors(self, tensors: dict[str, Tensor]) -> None: ...


class Trainer:
    """Trains a learner on the episodes of a family of tasks.

    Step t trains on episodes tB to tB + B - 1, so that a training is decided by its settings alone. With
    `validation`, learner and update end as they were when they validated best. Processes that torchrun has
    started share each step's episodes; batch normalisation is by the images of all (see `parallel`).

    Args:
        learner: what to train; it is changed in place and stays on its device.
        tasks: where the training episodes come from.
        validation: other tasks, of other classes, to choose the best weights by; None for the last.
        batch_size: B, episodes in a step; a multiple of the number of processes.
        update: how to make the loss smaller; None is Adam at 1e-3, falling to zero as a cosine.
        loss: [B, Q, N], [B, Q], [B, Q] -> [B]; made smaller on average.
        metric: what validation measures; None is accuracy for classes, mean squared error for real targets.
        validate_every: steps between validations, which also write the checkpoint.
        validation_episodes: episodes in a validation.
        patience: stop after this many validations without a better one; None never stops early.
        folder: where to write `best.safetensors` (a learner for `MetricLearner.load`) and
            `last.safetensors` (to resume from); None writes nothing. A backbone of your own can be resumed,
            but `MetricLearner.load` cannot make it again from the file.
        precision: "float32", "bfloat16", or "auto", which takes bfloat16 where the processor has it.
        progress: show a progress bar.

    Raises:
        ValueError: a setting that makes no sense; the message names it.
        TypeError: tasks that are none, such as a pool.

    Example:
        >>> import metalearn as ml
        >>> tasks = ml.ClassificationTasks(ml.load_pool("digits").resize(16), n_way=5, n_shot=1, n_query=5)
        >>> learner = ml.MetricLearner(ml.backbones.conv4(width=8, seed=0), ml.heads.Prototypical())
        >>> history = ml.Trainer(learner, tasks, progress=False).fit(steps=20)
        >>> history.steps, history.loss[-1] < history.loss[0]
        (20, True)

    Derived in chapter 6, *Update*.
    """

    def __init__(
        self,
        learner: MetricLearner,
        tasks: Tasks,
        validation: Tasks | None = None,
        *,
        batch_size: int = 1,
        update: Update | None = None,
        loss: metrics.Metric = losses.default,
        metric: metrics.Metric | None = None,
        validate_every: int = 100,
        validation_episodes: int = 200,
        patience: int | None = None,
        folder: str | Path | None = None,
        precision: str = "auto",
        progress: bool = True,
    ):
        for family in (tasks, validation):
            if family is not None:
                check_tasks(family)
        batch_size = whole("batch_size", batch_size)
        validate_every = whole("validate_every", validate_every)
        validation_episodes = whole("validation_episodes", validation_episodes, at_least=2)
        if batch_size % parallel.n_processes():
            raise ValueError(
                f"batch_size is {batch_size}; it needs to be a multiple of {parallel.n_processes()}, the "
                "number of processes, each of which takes a share of a step's episodes"
            )
        if precision not in ("auto", "bfloat16", "float32"):
            raise ValueError(f"precision is {precision!r}; it is 'auto', 'bfloat16' or 'float32'")
        if patience is not None and validation is None:
            raise ValueError(f"patience is {patience}; it needs validation tasks")
        if patience is not None:
            patience = whole("patience", patience)
        if metric is None:
            metric = metrics.default(tasks.batch([0]).query.y)
        if not hasattr(plain(metric), "higher_is_better"):
            raise ValueError(
                f"{metric!r} does not say whether higher is better: see metrics.metric"
            )
        self.learner = learner
        self.tasks = tasks
        self.validation = validation
        self.batch_size = batch_size
        self.update = update or Gradient(learner.parameters(), schedule=cosine_to_zero)
        self.loss = loss
        self.metric = metric
        self.validate_every = validate_every
        self.validation_episodes = validation_episodes
        self.patience = patience
        self.checkpoint = None if folder is None else Checkpoint(writable_folder(Path(folder)))
        self.precision = precision
        self.progress = progress
        self.history = History(metric=name_of(metric))
        self.best: dict[str, Tensor] = {}
        self.best_update: dict[str, Tensor] = {}
        self.finished = False
        self._architecture = architecture(learner)

    def fit(self, steps: int, resume: bool = False) -> History:
        """Train until `steps` steps have been made in all.

        Ctrl-C ends the step at hand, writes the checkpoint and raises KeyboardInterrupt.

        Args:
            steps: the length of the whole training, which a falling learning rate is measured by.
            resume: go on from the folder's checkpoint as if training had never stopped: to the last
                bit, on the same machine with the same number of threads.

        Raises:
            FileExistsError: the folder holds a checkpoint, and `resume` is False.
            ValueError: the checkpoint is of other settings, tasks or architecture.
            FloatingPointError: the loss is not finite any more.
        """
        steps = whole("steps", steps)
        if self.finished:
            raise ValueError(
                f"this trainer has finished its {self.history.steps} steps, and the learner has the best "
                "weights of them: make a new Trainer to train on"
            )
        if resume:
            self._load_checkpoint(steps)
        elif self.checkpoint is not None and self.history.steps == 0:
            self.checkpoint.refuse_to_overwrite()
        bar = tqdm(
            total=steps,
            initial=self.history.steps,
            disable=not self.progress or parallel.rank() > 0,
            unit="step",
            ncols=88,
        )
        parallel.agree(self.learner)
        self._started = time.perf_counter() - self.history.seconds
        with bar, stop_between_steps() as stop_asked:
            while self.history.steps < steps and not self._out_of_patience():
                self.history.loss.append(self._step(self.history.steps / steps))
                validate = self.history.steps % self.validate_every == 0
                if validate or self.history.steps == steps:
                    self._validate()
                    self._save_checkpoint(steps)
                bar.set_postfix_str(self._in_words(), refresh=False)
                bar.update()
                if parallel.any_of(stop_asked.is_set()) and self.history.steps < steps:
                    self._save_checkpoint(steps)
                    raise KeyboardInterrupt
        if self.history.validation:
            self.learner.load_state_dict(self.best)
            self.update.load_state_tensors(self.best_update)
        self.finished = True
        return self.history

    def _step(self, progress: float) -> float:
        """The four steps of metric-based meta-learning, once."""
        first = self.history.steps * self.batch_size
        episodes = parallel.share(range(first, first + self.batch_size))
        batch = self.tasks.batch(episodes).to(self.learner.device)  # 1 select
        self.learner.train(self.update.differentiates)

        def objective() -> Tensor:
            with self._autocast():
                fitted = self.learner.fit(batch.support, batch.unlabelled)  # 2 learn
                scores = self.learner.predict(fitted, batch.query.x, batch.query.weight)
            loss = self.loss(scores, batch.query.y, batch.query.weight).mean()  # 3 evaluate
            return mean_of_all(loss)

        with joint_step(self.learner, self.history.steps):
            return self.update.step(objective, progress)  # 4 update

    def _validate(self) -> None:
        """Measure on the validation tasks, and keep the weights if they are the best so far."""
        if self.validation is None:
            return
        report = evaluate(self.learner, self.validation, self.validation_episodes, self.metric)
        sign = 1 if plain(self.metric).higher_is_better else -1
        history = self.history
        if not history.validation or sign * report.mean > sign * history.best:
            history.best, history.best_step = report.mean, history.steps
            self.best = _copied(self.learner.state_dict())
            self.best_update = _copied(self.update.state_tensors())
        history.validated_at.append(history.steps)
        history.validation.append(report.mean)

    def _out_of_patience(self) -> bool:
        since_best = sum(step > self.history.best_step for step in self.history.validated_at)
        return self.patience is not None and since_best >= self.patience

    def _in_words(self) -> str:
        recent = self.history.loss[-50:]
        words = f"loss {sum(recent) / len(recent):.3f}"
        if self.history.validation:
            words += f", validation {self.history.validation[-1]:.3f}"
        return words

    # Number format

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.learner.device.type, torch.bfloat16, enabled=self._bfloat16)

    @property
    def _bfloat16(self) -> bool:
        if self.precision == "auto":
            return computes_bfloat16(self.learner.device)
        return self.precision == "bfloat16"

    # Checkpoints

    def _settings(self, steps: int) -> dict[str, Any]:
        """What decides a training; a checkpoint is only taken up again under the same."""
        return {
            "learner": self._architecture,
            "tasks": self.tasks.identity,
            "validation": self.validation and self.validation.identity,
            "validation_episodes": self.validation_episodes,
            "validate_every": self.validate_every,
            "metric": name_of(self.metric),
            "loss": name_of(self.loss),
            "patience": self.patience,
            "batch_size": self.batch_size,
            "update": repr(self.update),
            "bfloat16": self._bfloat16,
            "steps": steps,
        }

    def _save_checkpoint(self, steps: int) -> None:
        self.history.seconds = time.perf_counter() - self._started
        if self.checkpoint is None:
            return
        parts = {
            "learner": self.learner.state_dict(),
            "best": self.best,
            "update": self.update.state_tensors(),
            "best_update": self.best_update,
        }
        self.checkpoint.save(self._settings(steps), asdict(self.history), parts)

    def _load_checkpoint(self, steps: int) -> None:
        if self.checkpoint is None:
            raise ValueError("there is no folder to resume from")
        history, parts = self.checkpoint.load(self._settings(steps))
        self.learner.load_weights(parts["learner"], self.checkpoint.path)
        self.update.load_state_tensors(parts["update"])
        self.best, self.best_update = parts["best"], parts["best_update"]
        self.history = History(**history)


def _copied(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in tensors.items()}
