"""Measure every metric head on the same episodes; the book's page "Which head when" shows the results.

    python scripts/measure_heads.py shared  [--omniglot FILE.npz]
    python scripts/measure_heads.py own     [--omniglot FILE.npz] [--device cuda] [--processes 14]

With `shared`, the shipped network embeds each pool once for all heads. Heads with parameters are trained on
embeddings of its training scripts, and options are chosen on validation scripts. Ten minutes on two cores.

With `own`, each head trains a network from scratch, end to end, all with the same seed, episodes and steps.
Hours on two cores, minutes on a GPU.

All are measured on the book's test scripts and on other pools. Omniglot is downloaded, unless a file of its
arrays is given, and left out where neither is to be had. Writes book/part3/results/{shared,own}.json.
"""

import argparse
import json
import multiprocessing
import platform
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from time import perf_counter

import torch

import metalearn as ml

RESULTS = Path(__file__).resolve().parents[1] / "book" / "part3" / "results"
NEW = ["Armenian", "Devanagari", "Georgian", "Greek", "Hebrew"]
EPISODES = 1000
N_QUERY = 10
SHOTS = (1, 5)
TRAINING = {"n_way": 20, "n_shot": (1, 5), "n_query": 5, "seed": 0}
JUDGED = {"n_way": 20, "n_shot": (1, 5), "n_query": 5, "seed": 0}
STEPS = {"shared": 400, "own": 1000}
REPETITIONS = 7

Scores = dict[str, ml.Report]
"""The reports of one learner, by "POOL, K-shot"."""


@dataclass
class Candidate:
    """A head, how it is called in the tables, and how it comes to its options.

    Attributes:
        title: its name in the tables.
        make: the head, from the options among which validation chooses.
        choices: these options; the first is what a network of its own is trained with.
        loss: what it is trained with.
        trained: whether it has parameters to train on a shared embedding.
        own: whether it also trains a network of its own. Not so: a mean that is known after training only,
            a solver that takes longer on a GPU than all other heads together, and what is told that the
            classes are equally frequent, which is for an evaluation to say.
    """

    title: str
    make: Callable[..., ml.heads.Head]
    choices: list[dict] = field(default_factory=lambda: [{}])
    loss: Callable = ml.losses.default
    trained: bool = False
    own: bool = True


def each(**values: list) -> list[dict]:
    """One option under each of its values."""
    ((name, choices),) = values.items()
    return [{name: value} for value in choices]


def candidates(mean: torch.Tensor) -> list[Candidate]:
    """All that is compared; `mean` is that of the training embeddings."""
    h, losses = ml.heads, ml.losses
    unit = partial(h.Prototypical, normalise=True, scale=10.0, learn_scale=True)
    return [
        Candidate("Prototypical", h.Prototypical),
        Candidate("Prototypical, normalised", unit),
        Candidate("Prototypical, centred, normalised", partial(unit, centre=mean), own=False),
        Candidate("Prototypical, support-centred, normalised", partial(unit, centre="support")),
        Candidate("Mahalanobis", h.Mahalanobis, each(regularisation=[1.0, 0.1, 0.3, 3.0])),
        Candidate("Siamese", h.Siamese, loss=losses.pair_logistic, trained=True),
        Candidate("Matching", h.Matching, each(scale=[10.0, 5.0, 20.0, 40.0])),
        Candidate(
            "Matching, full context",
            partial(h.Matching, context_steps=2, learn_scale=True),
            trained=True,
        ),
        Candidate("Feat", partial(h.Feat, scale=0.1, learn_scale=True), trained=True),
        Candidate("Relation", h.Relation, loss=losses.pair_squared_error, trained=True),
        Candidate("Ridge", h.Ridge, trained=True),
        Candidate(
            "SupportVector",
            partial(h.SupportVector, tolerance=1e-3),
            each(C=[0.1, 0.01, 1.0]),
            own=False,
        ),
        Candidate("CosineClassifier", h.CosineClassifier, each(steps=[20, 5, 50])),
        Candidate("SoftKMeans", h.SoftKMeans),
        Candidate("LabelPropagation", h.LabelPropagation, trained=True),
        Candidate("Sinkhorn", h.Sinkhorn),
        Candidate("Sinkhorn, balance=1", partial(h.Sinkhorn, balance=1.0), own=False),
        Candidate(
            "InformationMaximisation, balance=1", partial(h.InformationMaximisation, 1.0), own=False
        ),
    ]


def scripts() -> tuple[ml.Pool, ml.Pool]:
    """Glyphs to train on and to validate on; the shipped network knows the former."""
    known = ml.load_pool("glyphs").exclude(groups=ml.OMNIGLOT_SCRIPTS)
    return known.split((0.95, 0.05), seed=0)


def measured_pools(omniglot_file: Path | None) -> dict[str, tuple[ml.Pool, int]]:
    """The pools to measure on, and the ways of an episode on each."""
    pools = {
        "glyphs": (ml.load_pool("glyphs").select(groups=NEW), 20),
        "digits": (ml.load_pool("digits").resize(28), 5),
        "mnist": (ml.load_pool("mnist"), 5),
    }
    try:
        omniglot = ml.Pool.from_npz(omniglot_file) if omniglot_file else ml.load_pool("omniglot")
    except ConnectionError as error:
        print(f"Omniglot is left out: {error}")
        return pools
    return pools | {"omniglot": (omniglot.select(names=ml.published_split("omniglot", "test")), 20)}


def trained(
    learner: ml.MetricLearner,
    candidate: Candidate,
    known: ml.Pool,
    judged: ml.tasks.Tasks,
    steps: int,
) -> ml.MetricLearner:
    """The learner after its training, in evaluation mode."""
    tasks = ml.ClassificationTasks(known, **TRAINING)
    options = {"batch_size": 4, "validate_every": steps // 8, "progress": False}
    ml.Trainer(learner, tasks, judged, loss=candidate.loss, **options).fit(steps)
    return learner.eval()


def scores(learner: ml.MetricLearner, pools: dict[str, tuple[ml.Pool, int]]) -> Scores:
    """How it does on each pool."""
    found = {}
    for name, (pool, n_way) in pools.items():
        for n_shot in SHOTS:
            tasks = ml.ClassificationTasks(
                pool, n_way=n_way, n_shot=n_shot, n_query=N_QUERY, seed=0
            )
            found[f"{name}, {n_shot}-shot"] = ml.evaluate(learner, tasks, EPISODES)
    return found


def measure_shared(pools: dict[str, tuple[ml.Pool, int]]) -> dict[str, dict]:
    """All heads on the shipped network's embeddings."""
    network = ml.pretrained("conv4-glyphs")
    known, validation = (network.embed_pool(part) for part in scripts())
    judged = ml.ClassificationTasks(validation, **JUDGED)
    embedded = {name: (network.embed_pool(pool), n_way) for name, (pool, n_way) in pools.items()}
    learners = {}
    for candidate in candidates(mean=known.images.mean(0)):
        options = [
            ml.MetricLearner(ml.backbones.identity(), candidate.make(**options))
            for options in candidate.choices
        ]
        if candidate.trained:
            options = [trained(options[0], candidate, known, judged, STEPS["shared"])]
        best = max(options, key=lambda learner: ml.evaluate(learner, judged, 200).mean)
        learners[candidate.title] = best
        print(candidate.title, best.head.config, flush=True)
    return {
        title: {
            "parameters": sum(p.numel() for p in learner.head.parameters() if p.requires_grad),
            "milliseconds": milliseconds,
            "transductive": learner.head.transductive,
            "scores": scores(learner, embedded),
        }
        for (title, learner), milliseconds in zip(
            learners.items(), milliseconds_of(list(learners.values())), strict=True
        )
    }


def milliseconds_of(learners: list[ml.MetricLearner]) -> list[float]:
    """Fitting and scoring a 5-way 5-shot episode in a batch of 32: the least of interleaved repetitions."""
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(32, 25, 64, generator=generator)
    y = torch.arange(5).repeat_interleave(5).expand(32, -1)
    support = ml.Examples(x, y, torch.ones(32, 25))
    query = torch.rand(32, 75, 64, generator=generator)
    times: list[list[float]] = [[] for _ in learners]
    with torch.inference_mode():
        for _ in range(REPETITIONS):
            for learner, own in zip(learners, times, strict=True):
                start = perf_counter()
                learner.predict(learner.fit(support), query)
                own.append(1000 * (perf_counter() - start) / 32)
    return [min(own) for own in times]


def measure_own(
    pools: dict[str, tuple[ml.Pool, int]], device: str, processes: int
) -> dict[str, dict]:
    """All heads, each on a network that was trained with it."""
    titles = [c.title for c in candidates(torch.zeros(64)) if c.own]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context) as executor:
        rows = executor.map(partial(own_row, pools, device), titles)
        return dict(zip(titles, rows, strict=True))


def own_row(pools: dict[str, tuple[ml.Pool, int]], device: str, title: str) -> dict:
    """One head on a network of its own."""
    (candidate,) = (c for c in candidates(torch.zeros(64)) if c.title == title)
    known, validation = scripts()
    judged = ml.ClassificationTasks(validation, **JUDGED)
    head = candidate.make(**candidate.choices[0])
    learner = ml.MetricLearner(ml.backbones.conv4(seed=0), head).to(device)
    start = perf_counter()
    trained(learner, candidate, known, judged, STEPS["own"])
    print(f"{title}: trained in {perf_counter() - start:.0f} s", flush=True)
    return {"transductive": head.transductive, "scores": scores(learner, pools)}


def written(rows: dict[str, dict]) -> dict[str, dict]:
    """The rows as they are kept, with paired differences to the first."""
    first = next(iter(rows.values()))["scores"]
    kept = {}
    for title, row in rows.items():
        kept[title] = row | {"scores": {}}
        for where, report in row["scores"].items():
            difference = ml.compare(report, first[where])
            kept[title]["scores"][where] = [
                round(100 * value, 3)
                for value in (
                    report.mean,
                    report.half_width,
                    difference.mean,
                    difference.half_width,
                )
            ]
    return kept


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("what", choices=["shared", "own"])
    parser.add_argument("--omniglot", type=Path, help="its arrays, in the place of a download")
    parser.add_argument("--device", default="cpu", help="where networks of their own are trained")
    parser.add_argument("--processes", type=int, default=1, help="how many at a time")
    parser.add_argument("--out", type=Path, default=RESULTS, help="the folder to write to")
    options = parser.parse_args()
    pools = measured_pools(options.omniglot)
    if options.what == "shared":
        rows = measure_shared(pools)
    else:
        rows = measure_own(pools, options.device, options.processes)
    about = {
        "command": f"python scripts/measure_heads.py {options.what}",
        "ways": {name: n_way for name, (_, n_way) in pools.items()},
        "n_query": N_QUERY,
        "episodes": EPISODES,
        "steps": STEPS[options.what],
        "torch": torch.__version__,
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads, {options.device}",
        "scores": "accuracy, half of its 95 % interval, paired difference to the first head, half of its",
    }
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / f"{options.what}.json"
    path.write_text(json.dumps({"about": about, "heads": written(rows)}, indent=1) + "\n", "utf-8")
    print(path)


if __name__ == "__main__":
    main()
