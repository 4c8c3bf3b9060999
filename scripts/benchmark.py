"""Time sampling, training and evaluation beside a bare loop and beside easyfsl; the book shows the table.

    python -m pip install -r requirements-benchmark.txt    # optional: easyfsl, to compare with
    python scripts/benchmark.py

A bare loop does the least from which the result can come: it only gathers pictures, only runs the network
forward and back, or only embeds the pool, in the memory layout and passes that are fastest here. Times
depend on the machine, so ratios are given. In a repetition all run once, in rotated order, and a ratio is
of two times of one repetition.

Everyone has the same pool, sizes of episodes, Conv4, optimiser and loss. easyfsl is given what costs it
least, a list of ready tensors; only in "sampling, floats" do all start from bytes and end with floats. Its
Conv4 has PyTorch's usual memory layout; metalearn's comes with channels last.
"""

import argparse
import json
import platform
import random
import re
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from itertools import product
from pathlib import Path
from statistics import median
from timeit import repeat, timeit
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Sampler

import metalearn as ml
from metalearn.evaluation import EPISODES_IN_BATCH
from metalearn.precision import computes_bfloat16

try:
    from easyfsl.methods import PrototypicalNetworks
    from easyfsl.samplers import TaskSampler
    from easyfsl.utils import evaluate as easyfsl_evaluate

    MISSING = ""
except ImportError as error:
    MISSING = (
        f"easyfsl is not installed ({error}), so the ratios are to the bare loops only;\n"
        "python -m pip install -r requirements-benchmark.txt adds it."
    )

RESULTS = Path(__file__).resolve().parents[1] / "metalearn" / "results" / "benchmark.json"
N_WAY, N_SHOT, N_QUERY = 5, 1, 15
IN_EPISODE = N_WAY * (N_SHOT + N_QUERY)
USUAL, CHANNELS_LAST = torch.contiguous_format, torch.channels_last
PACKAGES = ["metalearn-book", "torch"] + ["easyfsl"] * (not MISSING)
PRECISIONS = ["float32"] + ["bfloat16"] * computes_bfloat16(torch.device("cpu"))

exhaust = partial(deque, maxlen=0)
Run = Callable[[], object]
Contests = dict[str, dict[str, Run]]
"""What is timed: by what is done, then by who does it, and after a comma in which form."""


@dataclass(frozen=True)
class Sizes:
    """How much one run does; of `images_in_pass` a bare loop takes the fastest."""

    classes: int = 200
    width: int = 64
    batches_sampled: int = 10
    steps: int = 4
    episodes_evaluated: int = 600
    images_in_pass: tuple[int, ...] = (20, 40, 80, 160)


QUICK = Sizes(5, width=4, batches_sampled=1, steps=1, episodes_evaluated=4, images_in_pass=(80,))


def own_contests(pool: ml.Pool, sizes: Sizes) -> Contests:
    tasks = ml.ClassificationTasks(pool, N_WAY, N_SHOT, N_QUERY, seed=0)
    floats = as_floats(pool.images)
    rows = torch.randint(len(pool), (sizes.batches_sampled, EPISODES_IN_BATCH * IN_EPISODE))

    def sampled() -> Iterator[Tensor]:
        for i in range(sizes.batches_sampled):
            batch = tasks.batch(range(i * EPISODES_IN_BATCH, (i + 1) * EPISODES_IN_BATCH))
            yield from (batch.support.x.flatten(0, 1), batch.query.x.flatten(0, 1))

    def gathered() -> Iterator[Tensor]:
        return (pool.images.index_select(0, some) for some in rows)

    def train(learner: ml.MetricLearner, precision: str) -> None:
        ml.Trainer(learner, tasks, precision=precision, progress=False).fit(sizes.steps)

    def only_pass(network: nn.Module, precision: str, images: int) -> None:
        for part in floats[: sizes.steps * IN_EPISODE].split(images):
            network.zero_grad()
            with autocast(precision):
                z = network(part)
            z.float().square().mean().backward()

    def evaluate(learner: ml.MetricLearner, precision: str) -> None:
        with autocast(precision):
            ml.evaluate(learner, tasks, sizes.episodes_evaluated)

    def only_embed(network: nn.Module, precision: str, images: int) -> None:
        with autocast(precision), torch.inference_mode():
            exhaust(network(part) for part in floats.split(images))

    def fastest(run: Callable[[nn.Module, str, int], None], precision: str, train: bool) -> Run:
        choices = [
            partial(run, conv4(sizes, layout).train(train), precision, images)
            for layout, images in product([USUAL, CHANNELS_LAST], sizes.images_in_pass)
        ]
        return min(choices, key=lambda choice: min(repeat(choice, number=1, repeat=3)))

    contests: Contests = {
        "sampling": {
            "metalearn, bytes": lambda: exhaust(sampled()),
            "metalearn, floats": lambda: exhaust(map(in_passes, sampled())),
            "bare, bytes": lambda: exhaust(gathered()),
            "bare, floats": lambda: exhaust(map(in_passes, gathered())),
        },
        "training": {},
        "evaluation": {},
    }
    for precision in PRECISIONS:
        learner = ml.MetricLearner(conv4(sizes, CHANNELS_LAST), ml.heads.Prototypical())
        contests["training"] |= {
            f"metalearn, {precision}": partial(train, learner, precision),
            f"bare, {precision}": fastest(only_pass, precision, train=True),
        }
        contests["evaluation"] |= {
            f"metalearn, {precision}": partial(evaluate, learner, precision),
            f"bare, {precision}": fastest(only_embed, precision, train=False),
        }
    return contests


def conv4(sizes: Sizes, layout: torch.memory_format) -> nn.Module:
    return ml.backbones.conv4(width=sizes.width, seed=0).to(memory_format=layout)


def as_floats(pictures: Tensor) -> Tensor:
    return pictures.float() / 255


def in_passes(pictures: Tensor) -> None:
    """Make floats of as many pictures at a time as a network is given."""
    exhaust(map(as_floats, pictures.split(IN_EPISODE)))


def autocast(precision: str) -> torch.autocast:
    return torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16")


class Pictures(list):
    """A dataset for easyfsl that costs next to nothing: a list of pictures and labels."""

    def get_labels(self) -> list[int]:
        return [label for _, label in self]


class Bytes(Pictures):
    """Pictures that are kept as bytes and become floats when they are read."""

    def __getitem__(self, position: int) -> tuple[Tensor, int]:
        picture, label = super().__getitem__(position)
        return as_floats(picture), label


def easyfsl_contests(pool: ml.Pool, sizes: Sizes) -> tuple[Contests, str]:
    """Its part, and what had to be done for it."""
    labels = pool.labels.tolist()
    as_bytes = list(zip(pool.images, labels, strict=True))
    ready = Pictures(zip(as_floats(pool.images), labels, strict=True))
    sampled = sizes.batches_sampled * EPISODES_IN_BATCH
    training, evaluation = loader(ready, sizes.steps), loader(ready, sizes.episodes_evaluated)
    _, note = sampler_of(TaskSampler, ready, episodes=1)

    def network(layout: torch.memory_format) -> nn.Module:
        return PrototypicalNetworks(conv4(sizes, layout))

    def train(network: nn.Module) -> None:
        optimiser = torch.optim.Adam(network.train().parameters(), lr=1e-3)
        for support, support_y, query, query_y, _ in training:
            optimiser.zero_grad()
            network.process_support_set(support, support_y)
            nn.functional.cross_entropy(network(query), query_y).backward()
            optimiser.step()

    evaluate = partial(easyfsl_evaluate, device="cpu", use_tqdm=False)
    contests: Contests = {
        "sampling": {
            "easyfsl, bytes": partial(exhaust, loader(Pictures(as_bytes), sampled)),
            "easyfsl, floats": partial(exhaust, loader(Bytes(as_bytes), sampled)),
        },
        "training": {
            "easyfsl": partial(train, network(USUAL)),
            "easyfsl (channels last)": partial(train, network(CHANNELS_LAST)),
        },
        "evaluation": {"easyfsl": partial(evaluate, network(USUAL), evaluation)},
    }
    return contests, note


def loader(dataset: Pictures, episodes: int) -> DataLoader:
    sampler, _ = sampler_of(TaskSampler, dataset, episodes)
    return DataLoader(dataset, batch_sampler=sampler, collate_fn=sampler.episodic_collate_fn)


def sampler_of(kind: type[Sampler], dataset: Pictures, episodes: int) -> tuple[Sampler, str]:
    """The sampler, and what had to be done for it in words: nothing where it works as published."""
    arguments = (dataset, N_WAY, N_SHOT, N_QUERY, episodes)
    try:
        return kind(*arguments), ""
    except TypeError as error:
        with patch.object(Sampler, "__init__", lambda self, data_source=None: None):
            return kind(*arguments), (
                f"easyfsl's {kind.__name__} raises on torch {torch.__version__} ({error}), as torch's\n"
                "Sampler takes no argument any more; here it is passed over, and nothing else is changed."
            )


def timed(runs: dict[str, Run], repetitions: int) -> dict[str, list[float]]:
    """The seconds of each in every repetition, after one that warms up."""
    names = list(runs)
    times: dict[str, list[float]] = {name: [] for name in names}
    for repetition in range(repetitions + 1):
        first = repetition % len(names)
        for name in names[first:] + names[:first]:
            times[name].append(timeit(runs[name], number=1))
    return {name: own[1:] for name, own in times.items()}


def ratios(times: dict[str, list[float]]) -> dict[str, dict[str, list[float]]]:
    """How many times as fast each is as easyfsl and as the bare loop: median, lowest, highest."""
    found: dict[str, dict[str, list[float]]] = {}
    for name, own in times.items():
        found[name] = {}
        form = name.partition(", ")[2]
        for kind in ("easyfsl", "bare"):
            others = [other for other in times if other.partition(", ")[0] == kind]
            same = [other for other in others if other.partition(", ")[2] == form]
            for reference in (same or others)[:1]:
                values = [a / b for a, b in zip(times[reference], own, strict=True)]
                three = median(values), min(values), max(values)
                found[name][kind] = [round(value, 4) for value in three]
    return found


def table(found: dict[str, dict[str, dict[str, list[float]]]]) -> str:
    lines = []
    for what, rows in found.items():
        columns = next(iter(rows.values()))
        lines += ["", f"{what:26}" + "".join(f"{f'times {column}':>28}" for column in columns)]
        for name, row in rows.items():
            cells = ("{:.2f} ({:.2f} to {:.2f})".format(*three) for three in row.values())
            lines.append(f"  {name:24}" + "".join(f"{cell:>28}" for cell in cells))
    return "\n".join(lines)


def processor() -> str:
    file = Path("/proc/cpuinfo")
    names = re.findall(r"model name\s*: (.+)", file.read_text("utf-8")) if file.exists() else []
    return next(iter(names), platform.processor() or platform.machine())


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repetitions", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="tiny, to see that it runs")
    parser.add_argument("--out", type=Path, default=RESULTS, help="the file to write")
    options = parser.parse_args(arguments)
    if options.quick and options.out == RESULTS:
        parser.error("--quick needs an --out of its own")
    torch.set_num_threads(options.threads)
    random.seed(0)  # easyfsl draws from it
    sizes = QUICK if options.quick else Sizes()
    pool = ml.load_pool("glyphs")
    pool = pool.select(names=pool.names[: sizes.classes])
    pool = pool.with_images(pool.images)  # without the pictures of other classes
    contests, note = own_contests(pool, sizes), MISSING
    if not MISSING:
        theirs, note = easyfsl_contests(pool, sizes)
        contests = {what: runs | theirs[what] for what, runs in contests.items()}
    about = {
        "command": f"python scripts/benchmark.py --repetitions {options.repetitions}",
        "repetitions": options.repetitions,
        "threads": torch.get_num_threads(),
        "processor": processor(),
        "versions": {name: version(name) for name in PACKAGES},
        "episodes": f"{N_WAY}-way {N_SHOT}-shot, {N_QUERY} queries a class",
        "sizes": asdict(sizes),
        "note": note,
        "ratios": "how many times as fast as the column's: median, lowest, highest",
    }
    versions = ", ".join(f"{name} {number}" for name, number in about["versions"].items())
    print(f"{note}\n{about['processor']}, {about['threads']} thread(s), {versions}", flush=True)
    found = {what: ratios(timed(runs, options.repetitions)) for what, runs in contests.items()}
    print(table(found))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps({"about": about, "found": found}, indent=1) + "\n", "utf-8")
    print(f"\n{options.out}")


if __name__ == "__main__":
    main()
