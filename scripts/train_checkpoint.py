"""Train the learner that ships with the package, and measure it on drawings by people.

usage: python scripts/train_checkpoint.py [--steps N] [--out FILE] [--omniglot FILE.npz]

It is trained on the glyphs of scripts that do not occur in Omniglot; no drawing by a person is used in
training or validation. Omniglot is downloaded, unless a file of its arrays is given (images, labels,
names; 28x28, ink bright).
"""

import argparse
import os
from pathlib import Path

import metalearn as ml
from metalearn.files import save_tensors

SHIPPED = Path(ml.__file__).parent / "checkpoints" / "conv4-glyphs.safetensors"
RECIPE = {"n_way": 60, "n_shot": 1, "n_query": 3, "lr": 4e-3, "seed": 0}


def train(steps: int) -> tuple[ml.MetricLearner, ml.History]:
    """Prototypes over Conv4, on classes turned four ways; validated on the scripts that are left."""
    known = ml.load_pool("glyphs").exclude(groups=ml.OMNIGLOT_SCRIPTS)
    train, val = known.split((0.95, 0.05), seed=RECIPE["seed"])
    episode = {key: RECIPE[key] for key in ("n_way", "n_shot", "n_query", "seed")}
    tasks = ml.ClassificationTasks(train.with_rotations(), **episode)
    validation = ml.ClassificationTasks(val, n_way=20, n_shot=1, n_query=5, seed=RECIPE["seed"])
    learner = ml.MetricLearner(ml.backbones.conv4(seed=RECIPE["seed"]), ml.heads.Prototypical())
    update = ml.updates.Gradient(
        learner.parameters(), lr=RECIPE["lr"], schedule=ml.updates.cosine_to_zero
    )
    trainer = ml.Trainer(learner, tasks, validation, update=update, validate_every=steps // 10)
    return learner, trainer.fit(steps)


def measure(learner: ml.MetricLearner, omniglot: ml.Pool) -> dict[str, tuple[float, float]]:
    """Accuracy and half of its 95 % interval on real drawings, 1,000 episodes each."""
    test = omniglot.select(names=ml.published_split("omniglot", "test"))
    measured = {}
    for name, pool, n_way, n_shot in (
        ("Omniglot test, 5-way 1-shot", test, 5, 1),
        ("Omniglot test, 5-way 5-shot", test, 5, 5),
        ("Omniglot test, 20-way 1-shot", test, 20, 1),
        ("Omniglot test, 20-way 5-shot", test, 20, 5),
        ("MNIST (5,000 digits), 5-way 1-shot", ml.load_pool("mnist"), 5, 1),
    ):
        report = ml.evaluate(learner, ml.ClassificationTasks(pool, n_way, n_shot, 15, seed=0))
        print(f"{name}: {report}", flush=True)
        measured[name] = (report.mean, report.half_width)
    return measured


def main() -> None:
    """Train, measure, and write the learner with its card."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=7000)
    parser.add_argument("--out", type=Path, default=SHIPPED)
    parser.add_argument("--omniglot", type=Path)
    options = parser.parse_args()

    learner, history = train(options.steps)
    print(f"{history.steps:,} steps in {history.seconds:.0f} s, best after {history.best_step:,}")
    omniglot = ml.Pool.from_npz(options.omniglot) if options.omniglot else ml.load_pool("omniglot")
    training = {"steps": history.steps, "seconds": round(history.seconds), **RECIPE}
    card = {
        "training": training | {"cores": os.cpu_count()},
        "measured": measure(learner, omniglot),
    }
    save_tensors(options.out, learner.state_dict(), {"learner": learner.config, "card": card})
    print(f"{options.out}: {options.out.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
