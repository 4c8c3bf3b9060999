"""Train prototypical networks on Omniglot, as the paper does but shorter; chapter 20 shows the results.

    python scripts/reproduce.py  [--omniglot FILE.npz] [--steps 400] [--device cuda]

All networks see equally many pictures, in episodes of 60, 20 or 5 ways, with or without turned characters
as further classes. They and the shipped network, which saw no Omniglot, are measured on the 423 test
characters, on the same episodes. Then one is measured by the batch statistics of its queries, as if
`.eval()` had been forgotten. Omniglot is downloaded, unless a file of its arrays is given.
A quarter of an hour on one core. Writes metalearn/results/papers.json, anew after each network.

Snell and others (2017), https://arxiv.org/abs/1703.05175; the split is that of Vinyals and others (2016),
https://arxiv.org/abs/1606.04080.
"""

import argparse
import copy
import json
import math
import os
import shlex
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from benchmark import processor

import metalearn as ml
from metalearn.precision import computes_bfloat16

RESULT = Path(__file__).resolve().parents[1] / "metalearn" / "results" / "papers.json"
PICTURES = 360  # in a training step
N_QUERY = 5
LEARNING_RATE = 4e-3
SETTINGS = [(n_way, n_shot) for n_way in (5, 20) for n_shot in (1, 5)]
TEST_QUERIES = 15
EPISODES_OF_STATISTICS = 100

Scores = dict[str, np.ndarray]
"""The accuracies of all episodes, by "N-way K-shot" or "N-way K-shot, turned"."""


@dataclass(frozen=True)
class Training:
    """What may differ between two trainings.

    Attributes:
        n_way: classes in an episode; a step has as many episodes as make PICTURES pictures.
        turned: whether a character turned by 90, 180 and 270 degrees is a further class.
        seed: of the weights and of the episodes.
    """

    n_way: int
    turned: bool = True
    seed: int = 0

    @property
    def batch_size(self) -> int:
        return PICTURES // (self.n_way * (1 + N_QUERY))


TRAININGS = {
    "60-way": Training(60),
    "20-way": Training(20),
    "5-way": Training(5),
    "60-way, upright": Training(60, turned=False),
    "60-way, again": Training(60, seed=1),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--omniglot", type=Path, help="its arrays, in the place of a download")
    parser.add_argument("--steps", type=int, default=400, help="of each training")
    parser.add_argument("--episodes", type=int, default=1000, help="of each measurement")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--out", type=Path, default=RESULT, help="the file to write")
    options = parser.parse_args()
    omniglot = ml.Pool.from_npz(options.omniglot) if options.omniglot else ml.load_pool("omniglot")
    parts = {
        part: omniglot.select(names=ml.published_split("omniglot", part))
        for part in ("train", "val", "test")
    }
    arguments = {"--steps": options.steps, "--episodes": options.episodes}
    changed = [
        f"{key} {value}" for key, value in arguments.items() if value != parser.get_default(key[2:])
    ]
    found = {
        "about": {
            "command": shlex.join(["python", "scripts/reproduce.py", *" ".join(changed).split()]),
            "classes": {part: pool.n_classes for part, pool in parts.items()},
            "steps": options.steps,
            "episodes": options.episodes,
            "test_queries": TEST_QUERIES,
            "episodes_of_statistics": EPISODES_OF_STATISTICS,
            "training": {
                "pictures": PICTURES,
                "n_shot": 1,
                "n_query": N_QUERY,
                "lr": LEARNING_RATE,
            },
            "processor": processor() if options.device == "cpu" else torch.cuda.get_device_name(),
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "bfloat16": computes_bfloat16(torch.device(options.device)),
            "python": sys.version.split()[0],
            "torch": torch.__version__,
            "scores": "accuracy, half of its 95 % interval, paired difference to 60-way, half of its",
        },
        "networks": {},
    }
    scores: dict[str, Scores] = {}
    for name, training in TRAININGS.items():
        began = perf_counter()
        learner, history = trained(training, parts["train"], parts["val"], options)
        about = asdict(training) | {
            "batch_size": training.batch_size,
            "seconds": round(history.seconds),
            "best_step": history.best_step,
            "validation": round(history.best, 4),
        }
        scores[name] = measured(learner, parts["test"], options.episodes)
        if name == "60-way":
            found["statistics"] = of_statistics(learner, parts["test"])
            shipped = ml.pretrained("conv4-glyphs").to(options.device)
            scores["shipped"] = measured(shipped, parts["test"], options.episodes)
            found["networks"]["shipped"] = {"scores": written(scores["shipped"], scores[name])}
        found["networks"][name] = about | {"scores": written(scores[name], scores["60-way"])}
        options.out.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
        print(f"{name}: {perf_counter() - began:.0f} s, {found['networks'][name]}", flush=True)
    print(options.out)


def trained(
    training: Training, train: ml.Pool, val: ml.Pool, options: argparse.Namespace
) -> tuple[ml.MetricLearner, ml.History]:
    """Prototypes over a Conv4 of width 64 after its training, and how that went."""
    pool = train.with_rotations() if training.turned else train
    tasks = ml.ClassificationTasks(pool, training.n_way, 1, N_QUERY, seed=training.seed)
    judged = ml.ClassificationTasks(val, n_way=20, n_shot=1, n_query=5, seed=0)
    learner = ml.MetricLearner(ml.backbones.conv4(seed=training.seed), ml.heads.Prototypical())
    learner.to(options.device)
    falling = ml.updates.cosine_to_zero
    trainer = ml.Trainer(
        learner,
        tasks,
        judged,
        batch_size=training.batch_size,
        update=ml.updates.Gradient(learner.parameters(), lr=LEARNING_RATE, schedule=falling),
        validate_every=math.ceil(options.steps / 4),
        progress=False,
    )
    history = trainer.fit(options.steps)
    return learner.eval(), history


def measured(learner: ml.MetricLearner, test: ml.Pool, episodes: int) -> Scores:
    """Its accuracies, on the test characters and with their rotations as further classes."""
    device = learner.device
    with torch.autocast(device.type, torch.bfloat16, enabled=computes_bfloat16(device)):
        turned = learner.embed_pool(test.with_rotations())
    pools = {"": turned.select(names=test.names), ", turned": turned}
    rule = learner.on_embeddings()
    return {
        f"{n_way}-way {n_shot}-shot{suffix}": ml.evaluate(
            rule, ml.ClassificationTasks(pool, n_way, n_shot, TEST_QUERIES, seed=0), episodes
        ).scores
        for suffix, pool in pools.items()
        for n_way, n_shot in SETTINGS
    }


def of_statistics(learner: ml.MetricLearner, test: ml.Pool) -> dict[str, dict[str, list[float]]]:
    """The same episodes in evaluation mode, and by the batch statistics of the pictures at hand.

    Queries come together in random order, or one class after the other.
    """
    in_training = copy.deepcopy(
        learner
    ).train()  # a copy: training mode changes what a network keeps
    found = {}
    for n_way in (5, 20):
        tasks = ml.ClassificationTasks(test, n_way, 1, TEST_QUERIES, seed=0)
        scores = {"evaluation mode": [], "together": [], "class by class": []}
        for i in range(EPISODES_OF_STATISTICS):
            episode = tasks.batch([i]).to(learner.device)
            y = episode.query.y
            order = y[0].argsort(stable=True)
            x = episode.query.x
            by_class = x[:, order].split(TEST_QUERIES, dim=1)
            right = {
                "evaluation mode": answers(learner, episode, [x]) == y,
                "together": answers(in_training, episode, [x]) == y,
                "class by class": answers(in_training, episode, by_class) == y[:, order],
            }
            for name, each in right.items():
                scores[name].append(each.double().mean().item())
        arrays = {name: np.array(each) for name, each in scores.items()}
        honest = dict.fromkeys(arrays, arrays["evaluation mode"])
        found[f"{n_way}-way 1-shot"] = written(arrays, honest)
    return found


@torch.inference_mode()
def answers(learner: ml.MetricLearner, episode: ml.tasks.Batch, parts: list) -> torch.Tensor:
    """Its answers to the queries, which it meets in these parts."""
    fitted = learner.fit(episode.support)
    return torch.cat([learner.predict(fitted, x).argmax(-1) for x in parts], dim=1)


def written(scores: Scores, reference: Scores) -> dict[str, list[float]]:
    """Means and half-widths in percent, and those of the paired differences to a reference."""
    return {
        name: [*in_percent(own), *in_percent(own - reference[name])] for name, own in scores.items()
    }


def in_percent(values: np.ndarray) -> list[float]:
    half_width = 1.96 * values.std(ddof=1) / math.sqrt(len(values))
    return [round(100 * float(value), 3) for value in (values.mean(), half_width)]


if __name__ == "__main__":
    main()
