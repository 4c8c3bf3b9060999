"""Measure how far a small network overfits its training classes; chapter 19 of the book shows the results.

    python scripts/measure_overfitting.py

Each setting is trained from the same five seeds. A seed decides the weights at the start, and which
classes train, validate and test: drawn from the same scripts, so that they are equally hard on average.
Pictures have 16x16 pixels. Drawings 15 to 19 of each class are for judging, and are trained on only where
a leak is meant.

A training ends after 400 steps, unless its setting says otherwise; it is judged on the weights it then
has. Writes metalearn/results/overfitting.json. Under ten minutes on one thread.
"""

import json
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from time import process_time

import numpy as np
import torch

import metalearn as ml

OUT = Path(ml.__file__).parent / "results" / "overfitting.json"
SEEDS = range(5)
JUDGED = 60  # validation classes, and as many test classes
DRAWINGS = (15, 20)  # of a class, to judge on
MOMENTS = (0, 25, 50, 100, 200, 400, 800, 1600)  # the steps at which a curve is measured
EPISODES = 300
BATCH = 8  # episodes in a step
SETS = ["training pictures", "new drawings", "validation classes", "test classes"]


@dataclass(frozen=True)
class Setting:
    """A training.

    Attributes:
        shuffled: the part of the training pictures whose labels are shuffled among them.
        leaked: how many of the training classes are test classes.
        pictures: which drawings of these: the ones that are tested, or others.
        curve: whether it is measured at all moments, or only at the end.
    """

    n_classes: int = 16
    n_examples: int = 15
    width: int = 16
    deform: float = 0.0
    weight_decay: float = 0.0
    turned: bool = False
    shuffled: float = 0.0
    leaked: int = 0
    pictures: str = "tested"
    steps: int = 400
    curve: bool = False


SIXTY = Setting(n_classes=60, n_examples=5)
SETTINGS = {
    "16 x 15": Setting(curve=True),
    "half shuffled": Setting(shuffled=0.5, curve=True),
    "all shuffled": Setting(shuffled=1.0, steps=1600, curve=True),
    "30 x 8": Setting(n_classes=30, n_examples=8),
    "60 x 4": Setting(n_classes=60, n_examples=4),
    "120 x 2": Setting(n_classes=120, n_examples=2),
    "width 4": Setting(width=4),
    "width 64": Setting(width=64),
    "deformed": Setting(deform=0.5),
    "weight decay": Setting(weight_decay=1.0),
    "turned": Setting(turned=True),
    "no leak": SIXTY,
    "6 of 60 leaked": replace(SIXTY, leaked=6),
    "60 of 60 leaked": replace(SIXTY, leaked=60),
    "other drawings": replace(SIXTY, leaked=60, pictures="others"),
}


class Deformed(ml.ClassificationTasks):
    """The same episodes with every picture deformed, anew each time."""

    def batch(self, indices):
        drawn = super().batch(indices)
        rng = np.random.default_rng([self.seed, *indices])
        parts = []
        for part in (drawn.support, drawn.query):
            views = ml.tasks.deform(part.x.flatten(0, 1), rng, SETTINGS["deformed"].deform)
            parts.append(replace(part, x=views.view(part.x.shape)))
        return replace(drawn, support=parts[0], query=parts[1])


def drawings(pool: ml.Pool, classes: np.ndarray, first: int, end: int) -> ml.Pool:
    """These drawings of these classes, small."""
    rows = np.concatenate([pool.examples_of[c][first:end] for c in classes])
    labels = np.repeat(np.arange(len(classes)), end - first)
    names = [pool.names[c] for c in classes]
    return ml.Pool(pool.take(torch.from_numpy(rows)), labels, names).resize(16)


def joined(a: ml.Pool, b: ml.Pool) -> ml.Pool:
    """The classes of both."""
    labels = torch.cat([a.labels, b.labels + a.n_classes])
    return ml.Pool(torch.cat([a.images, b.images]), labels, a.names + b.names)


def shuffled(pool: ml.Pool, part: float, seed: int) -> ml.Pool:
    """The pool with this part of its labels shuffled among each other."""
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(pool))[: round(part * len(pool))]
    labels = pool.labels.clone()
    labels[rows] = labels[rng.permutation(rows)]
    return ml.Pool(pool.images, labels, pool.names)


def measured(setting: Setting, seed: int, known: ml.Pool) -> list[list[list[float]]]:
    """At each moment and for each of SETS: the accuracy in percent, and the negative log-likelihood."""
    order = np.random.default_rng(seed).permutation(known.n_classes)
    val, test, order = order[:JUDGED], order[JUDGED : 2 * JUDGED], order[2 * JUDGED :]
    own = order[: setting.n_classes - setting.leaked]
    train = drawings(known, own, 0, setting.n_examples) if len(own) else None
    if setting.leaked:
        which = DRAWINGS if setting.pictures == "tested" else (0, setting.n_examples)
        leak = drawings(known, test[: setting.leaked], *which)
        train = joined(train, leak) if train else leak
    train = shuffled(train, setting.shuffled, seed)
    # New drawings of the training classes; of no meaning where classes have leaked.
    others = drawings(known, order[: setting.n_classes], *DRAWINGS)
    pools = [train, others, *(drawings(known, classes, *DRAWINGS) for classes in (val, test))]
    n_query = [min(4, setting.n_examples - 1), 4, 4, 4]
    judges = [
        ml.ClassificationTasks(pool, n_query=n, seed=seed)
        for pool, n in zip(pools, n_query, strict=True)
    ]
    learner = ml.MetricLearner(
        ml.backbones.conv4(width=setting.width, seed=seed), ml.heads.Prototypical()
    )
    decay = {"optimiser": torch.optim.AdamW, "weight_decay": setting.weight_decay}
    update = ml.updates.Gradient(learner.parameters(), lr=3e-3, **decay)
    family = (Deformed if setting.deform else ml.ClassificationTasks)(
        train.with_rotations() if setting.turned else train, n_query=1, seed=seed
    )
    found = []
    for step in range(setting.steps + 1):
        if step == setting.steps or (setting.curve and step in MOMENTS):
            found.append([judged(learner, tasks) for tasks in judges])
        batch = family.batch(range(BATCH * step, BATCH * (step + 1)))
        update.step(partial(loss, learner, batch))
    return found


def loss(learner: ml.MetricLearner, batch: ml.Batch) -> torch.Tensor:
    """Of a step of training."""
    learner.train()
    scores = learner.predict(learner.fit(batch.support), batch.query.x)
    return ml.losses.default(scores, batch.query.y, batch.query.weight).mean()


def judged(learner: ml.MetricLearner, tasks: ml.ClassificationTasks) -> list[float]:
    """The accuracy in percent, and the negative log-likelihood."""
    embedded = tasks.with_embeddings(learner.embed_pool(tasks.pool).images)
    rule = learner.on_embeddings()
    accuracy = ml.evaluate(rule, embedded, EPISODES).mean
    metric = ml.metrics.negative_log_likelihood
    return [round(100 * accuracy, 1), round(ml.evaluate(rule, embedded, EPISODES, metric).mean, 2)]


def main() -> None:
    torch.set_num_threads(1)
    known = ml.load_pool("glyphs").exclude(groups=ml.OMNIGLOT_SCRIPTS)
    start, rows = process_time(), {}
    for name, setting in SETTINGS.items():
        values = [measured(setting, seed, known) for seed in SEEDS]
        accuracy, nll = np.moveaxis(np.array(values), -1, 0).tolist()  # [seeds, moments, sets]
        rows[name] = {"setting": asdict(setting), "accuracy": accuracy, "nll": nll}
        last = np.array(accuracy)[:, -1].mean(0).round(1)
        print(f"{process_time() - start:4.0f} s  {name:20}", *last, flush=True)
    about = {
        "command": "python scripts/measure_overfitting.py",
        "task": "5-way 1-shot; trained with 1 query a class, 8 episodes a step, Adam at 3e-3",
        "sets": SETS,
        "moments": MOMENTS,
        "seeds": len(SEEDS),
        "episodes": EPISODES,
        "torch": torch.__version__,
    }
    OUT.parent.mkdir(exist_ok=True)
    rows = ",\n".join(f"{json.dumps(name)}: {json.dumps(row)}" for name, row in rows.items())
    OUT.write_text(f'{{"about": {json.dumps(about)}, "runs": {{\n{rows}\n}}}}\n', "utf-8")
    print(OUT)


if __name__ == "__main__":
    main()
