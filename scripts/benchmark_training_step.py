"""Time a whole training step against the bare passes of the same images, interleaved on this machine.

usage: python scripts/benchmark_training_step.py [--rounds N] [--bfloat16]

A step is what `Trainer` does: draw 8 episodes (5-way 1-shot, 15 queries a class: 640 images), embed, fit,
score, backward, Adam. Bare passes only push the same 640 images through the same network and back, in
chunks of several sizes and both memory layouts. Printed: each median, and the step's ratio to the best.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch

import metalearn as ml

CHUNKS = (40, 80, 160, 320, 640)
LAYOUTS = {"contiguous": torch.contiguous_format, "channels last": torch.channels_last}


def bare(chunk: int, layout: torch.memory_format, images: torch.Tensor, autocast) -> Callable:
    """Forward and backward of all images, nothing else."""
    net = ml.backbones.conv4(seed=0).train().to(memory_format=layout)

    def run() -> None:
        net.zero_grad()
        with autocast():
            outputs = [net(part.float() / 255) for part in images.split(chunk)]
        torch.cat(outputs).float().square().mean().backward()

    return run


def step(tasks: ml.ClassificationTasks, precision: str) -> Callable:
    """One step of the trainer after another."""
    learner = ml.MetricLearner(ml.backbones.conv4(seed=0), ml.heads.Prototypical())
    trainer = ml.Trainer(learner, tasks, batch_size=8, precision=precision, progress=False)

    def run() -> None:
        trainer.history.loss.append(trainer._step(progress=0.0))

    return run


def main() -> None:
    """Time all variants in turn, round after round."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--bfloat16", action="store_true")
    options = parser.parse_args()
    precision = "bfloat16" if options.bfloat16 else "float32"

    def autocast() -> torch.autocast:
        return torch.autocast("cpu", torch.bfloat16, enabled=options.bfloat16)

    tasks = ml.ClassificationTasks(ml.load_pool("glyphs"), n_way=5, n_shot=1, n_query=15, seed=0)
    batch = tasks.batch(range(8))
    images = torch.cat([batch.support.x.flatten(0, 1), batch.query.x.flatten(0, 1)])
    variants = {
        f"bare, chunks of {chunk}, {name}": bare(chunk, layout, images, autocast)
        for chunk in CHUNKS
        for name, layout in LAYOUTS.items()
    }
    variants["training step"] = step(tasks, precision)
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(options.rounds + 1):
        for name, run in variants.items():
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)

    medians = {name: statistics.median(times[1:]) for name, times in seconds.items()}
    for name, median in medians.items():
        print(f"{name:40} {median:.3f} s")
    best = min((name for name in medians if name != "training step"), key=medians.get)
    ratios = [a / b for a, b in zip(seconds["training step"][1:], seconds[best][1:], strict=True)]
    print(
        f"{precision}, {torch.get_num_threads()} threads: step / best bare ({best}) = "
        f"{statistics.median(ratios):.2f} (from {min(ratios):.2f} to {max(ratios):.2f})"
    )


if __name__ == "__main__":
    main()
