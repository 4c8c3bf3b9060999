"""Many episodes, a mean and its confidence interval, and paired differences."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from . import metrics, parallel
from ._checks import whole
from ._naming import in_words, name_of, plain
from .models.learner import MetricLearner, evaluation_mode
from .tasks import Batch, Tasks
from .tasks.episode import check_tasks

NORMAL_95 = 1.96
EPISODES_IN_BATCH = 64


@dataclass(frozen=True, eq=False)
class Report:
    """What `evaluate` found.

    Attributes:
        scores: [E] one value an episode.
        metric: its name.
        percent: whether people read it in percent.
        tasks: what decided the episodes; reports with the same are of the same episodes.
        transductive: whether the head looked at all queries of an episode together.

    Derived in chapter 5, *Evaluate*.
    """

    scores: np.ndarray
    metric: str
    percent: bool
    tasks: str
    transductive: bool = False

    @property
    def episodes(self) -> int:
        """E, how many episodes there were."""
        return len(self.scores)

    @property
    def mean(self) -> float:
        """The mean over episodes; an accuracy is between 0 and 1."""
        return float(self.scores.mean())

    @property
    def half_width(self) -> float:
        r"""Half the 95 % confidence interval of the mean, $1.96 \, \hat\sigma / \sqrt{E}$."""
        return float(NORMAL_95 * self.scores.std(ddof=1) / math.sqrt(self.episodes))

    @property
    def accuracy(self) -> float:
        """The mean, where the metric is the accuracy."""
        if self.metric != "accuracy":
            raise AttributeError(f"this report is of {self.metric}; its value is .mean")
        return self.mean

    def __str__(self) -> str:
        transductive = ", transductive" if self.transductive else ""
        return (
            f"{_value(self.mean, self.percent)} ± {_number(self.half_width, self.percent)} "
            f"(95 % interval, {self.episodes:,} episodes{transductive})"
        )


@dataclass(frozen=True, eq=False)
class Difference:
    """What `compare` found: the mean of a minus b, episode by episode.

    Attributes:
        differences: [E] a's score minus b's on the same episode.
        percent: whether people read the metric in percent.

    Derived in chapter 5, *Evaluate*.
    """

    differences: np.ndarray
    percent: bool

    @property
    def mean(self) -> float:
        """The mean difference."""
        return float(self.differences.mean())

    @property
    def half_width(self) -> float:
        """Half the 95 % confidence interval of the mean difference."""
        n = len(self.differences)
        return float(NORMAL_95 * self.differences.std(ddof=1) / math.sqrt(n))

    def __str__(self) -> str:
        unit = " points" if self.percent else ""
        return (
            f"{_number(self.mean, self.percent, sign=True)} ± "
            f"{_number(self.half_width, self.percent)}{unit} "
            f"(paired, 95 % interval, {len(self.differences):,} episodes)"
        )


def evaluate(
    learner: MetricLearner,
    tasks: Tasks,
    episodes: int = 1000,
    metric: metrics.Metric | None = None,
) -> Report:
    """Score a learner on episodes 0 to `episodes` - 1 of a family of tasks.

    The learner is in evaluation mode meanwhile and left in the mode it was in. A pool that the episodes
    would visit more than once over is embedded once, and episodes are scored on the embeddings. Several
    processes share the work, and each has the whole report.

    Args:
        learner: what to score.
        tasks: where the episodes come from; its seed names them.
        episodes: how many, at least 2.
        metric: gives one value an episode; None is accuracy for classes, mean squared error for real
            targets.

    Raises:
        ValueError: fewer than 2 episodes, from which no interval follows; a metric that does not give one
            value an episode.
        TypeError: tasks that are none, such as a pool.
        FloatingPointError: the learner gives NaN.

    Example:
        >>> from metalearn import ClassificationTasks, backbones, heads, load_pool
        >>> tasks = ClassificationTasks(load_pool("digits"), n_way=5, n_shot=1, seed=0)
        >>> report = evaluate(MetricLearner(backbones.identity(), heads.Prototypical()), tasks, 200)
        >>> 0.7 < report.accuracy < 0.8
        True

    Derived in chapter 5, *Evaluate*.
    """
    episodes = whole("episodes", episodes, at_least=2)
    check_tasks(tasks)
    device = learner.device
    identity = tasks.identity
    first = tasks.batch([0])
    metric = metric or metrics.default(first.query.y)
    name, percent = name_of(metric), getattr(plain(metric), "percent", False)
    visits = episodes * (first.support.weight.numel() + first.query.weight.numel())
    with evaluation_mode(learner), torch.inference_mode():
        if hasattr(tasks, "with_embeddings") and visits >= len(tasks.pool):
            tasks = tasks.with_embeddings(_checked(learner.embed_pool(tasks.pool).images))
            learner = learner.on_embeddings()
        scores = [
            _scores(learner, tasks.batch(part).to(device), metric).cpu()
            for part in parallel.share(_batches(episodes))
        ]
    return Report(
        torch.cat(parallel.gathered(scores)).double().numpy(),
        name,
        percent,
        identity,
        learner.head.transductive,
    )


def compare(a: Report, b: Report) -> Difference:
    """How much better a is than b on the same episodes, paired.

    What both find hard or easy cancels, so that the interval is narrower than if each had met episodes
    of its own.

    Raises:
        ValueError: the reports are of different episodes or metrics, so that nothing is paired.

    Example:
        >>> a, b = (Report(np.array(s), "accuracy", True, "") for s in ([0.6, 0.9], [0.5, 0.7]))
        >>> print(compare(a, b))
        +15.0 ± 9.8 points (paired, 95 % interval, 2 episodes)

    Derived in chapter 5, *Evaluate*.
    """
    for what in ("metric", "tasks", "episodes"):
        if getattr(a, what) != getattr(b, what):
            raise ValueError(
                f"the reports differ in {what}: {getattr(a, what)} and {getattr(b, what)}; "
                "only scores on the same episodes can be compared in pairs"
            )
    return Difference(a.scores - b.scores, a.percent)


def table(reports: Mapping[str, Report], baseline: str | None = None) -> str:
    """Reports of the same episodes as lines of text, with paired differences to one of them.

    Args:
        reports: by the name to print, of the same metric and episodes.
        baseline: the name of the report that the others are compared with; None leaves differences out.

    Returns:
        a head line and one line for each report, with the 95 % intervals; print it.

    Raises:
        ValueError: no reports, no report of the baseline's name, or reports of different episodes or
            metrics.

    Example:
        >>> a, b = (Report(np.array(s), "accuracy", True, "") for s in ([0.5, 0.7], [0.6, 0.9]))
        >>> print(table({"pixels": a, "learned": b}, baseline="pixels"))
        2 episodes  accuracy (%)  minus pixels
        pixels      60.0 ± 19.6
        learned     75.0 ± 29.4   +15.0 ± 9.8

    Derived in chapter 5, *Evaluate*.
    """
    if not reports:
        raise ValueError("there are no reports to print")
    if baseline is not None and baseline not in reports:
        raise ValueError(f"the reports are {list(reports)}; the baseline {baseline!r} is not one")
    first = next(iter(reports.values()))
    unit = " (%)" if first.percent else ""
    against = "" if baseline is None else f"minus {baseline}"
    rows = [
        [
            f"{first.episodes:,} episodes",
            in_words(first.metric) + unit,
            against,
        ]
    ]
    for name, report in reports.items():
        difference = compare(report, first if baseline is None else reports[baseline])
        paired = "" if baseline in (None, name) else _interval(difference, sign=True)
        label = f"{name} (transductive)" if report.transductive else str(name)
        rows.append([label, _interval(report), paired])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
    return "\n".join(lines)


def _batches(episodes: int) -> list[range]:
    numbers, starts = range(episodes), range(0, episodes, EPISODES_IN_BATCH)
    return [numbers[start : start + EPISODES_IN_BATCH] for start in starts]


def _scores(learner: MetricLearner, batch: Batch, metric: metrics.Metric) -> torch.Tensor:
    fitted = learner.fit(batch.support, batch.unlabelled)
    scores = _checked(learner.predict(fitted, batch.query.x, batch.query.weight))
    values = torch.as_tensor(metric(scores, batch.query.y, batch.query.weight))
    if values.shape != (len(batch),):
        raise ValueError(
            f"{name_of(metric)} gives shape {list(values.shape)} for {len(batch)} episodes; a metric "
            "gives one value an episode, [B]"
        )
    return values


def _checked(values: torch.Tensor) -> torch.Tensor:
    if values.isnan().any():
        raise FloatingPointError("the learner gives NaN; was its training stable?")
    return values


def _number(value: float, percent: bool, sign: bool = False) -> str:
    plus = "+" if sign else ""
    return f"{100 * value:{plus}.1f}" if percent else f"{value:{plus}.4f}"


def _interval(result: Report | Difference, sign: bool = False) -> str:
    return f"{_number(result.mean, result.percent, sign)} ± {_number(result.half_width, result.percent)}"


def _value(value: float, percent: bool) -> str:
    return _number(value, percent) + (" %" if percent else "")
