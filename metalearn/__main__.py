"""The command line: python -m metalearn train | evaluate | data."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from . import (
    OMNIGLOT_SCRIPTS,
    ClassificationTasks,
    MetricLearner,
    Pool,
    Trainer,
    backbones,
    evaluate,
    heads,
    load_pool,
)
from .data import POOLS, cache
from .files import written_whole
from .updates import Gradient, cosine_to_zero

SPLIT = (0.64, 0.16, 0.20)
RUN_FILE = "run.json"
USER_ERRORS = (ValueError, OSError, ImportError, FloatingPointError)


def main(arguments: list[str] | None = None) -> int:
    """Run a command; what a user can get wrong ends in one sentence, not in a traceback."""
    options = _parser().parse_args(arguments)
    try:
        return options.run(options)
    except USER_ERRORS as error:
        print(f"metalearn: {error}", file=sys.stderr)
        return 1


def train(options: argparse.Namespace) -> int:
    """Train a learner and keep it in the folder `out`."""
    out = Path(options.out)
    if options.resume:
        options = argparse.Namespace(**{**vars(options), **_read_run(out), "resume": True})
    if options.steps < 1:
        raise ValueError(f"steps is {options.steps}; it needs to be at least 1")
    pool = _pool(options.pool)
    if options.without_omniglot_scripts:
        pool = pool.exclude(groups=OMNIGLOT_SCRIPTS)
    train_pool, validation_pool, _ = pool.split(SPLIT, seed=options.seed)
    tasks = ClassificationTasks(
        train_pool.with_rotations() if options.rotations else train_pool,
        n_way=options.n_way,
        n_shot=options.n_shot,
        n_query=options.n_query,
        seed=options.seed,
    )
    validation = ClassificationTasks(
        validation_pool, n_way=5, n_shot=1, n_query=5, seed=options.seed
    )
    learner = MetricLearner(
        backbones.create(options.backbone, **_backbone_options(options, pool)),
        heads.create(options.head),
    )
    trainer = Trainer(
        learner,
        tasks,
        validation,
        batch_size=options.batch_size,
        update=Gradient(learner.parameters(), lr=options.lr, schedule=cosine_to_zero),
        validate_every=options.validate_every,
        folder=out,
        precision=options.precision,
    )
    if not options.resume:
        trainer.refuse_to_overwrite()
        _write_run(out, options, pool)
    try:
        history = trainer.fit(options.steps, resume=options.resume)
    except KeyboardInterrupt:
        print(
            f"\nstopped after {trainer.history.steps} of {options.steps} steps; go on with\n"
            f"  python -m metalearn train --out {out} --resume",
            file=sys.stderr,
        )
        return 130
    print(
        f"{history.steps:,} steps in {history.seconds:.0f} s; best validation accuracy "
        f"{100 * history.best:.1f} % (5-way 1-shot) after step {history.best_step:,}\n"
        f"kept in {out}; measure it with\n"
        f"  python -m metalearn evaluate {out} --pool mnist"
    )
    return 0


def evaluate_run(options: argparse.Namespace) -> int:
    """Measure a trained learner on a pool that it was not trained on."""
    folder = Path(options.out)
    run = _read_run(folder)
    learner = MetricLearner.load(folder / "best.safetensors")
    pool = _pool(options.pool)
    what = options.pool
    if options.pool == run["pool"]:
        if run["without_omniglot_scripts"]:
            pool = pool.exclude(groups=OMNIGLOT_SCRIPTS)
        pool = pool.split(SPLIT, seed=run["seed"])[2]
        what += f", the {pool.n_classes:,} classes kept for testing"
    shape = tuple(run["shape"])
    if pool.shape[0] != shape[0]:
        raise ValueError(
            f"the pool {options.pool} has {pool.shape[0]} channels; {folder} was trained with {shape[0]}"
        )
    if pool.shape != shape:
        what += f", resized from {pool.shape[1]}x{pool.shape[2]} to {shape[1]}x{shape[2]}"
        pool = pool.resize(shape[1])
    tasks = ClassificationTasks(
        pool,
        n_way=options.n_way,
        n_shot=options.n_shot,
        n_query=options.n_query,
        seed=options.seed,
    )
    report = evaluate(learner, tasks, options.episodes)
    print(f"{what}: {options.n_way}-way {options.n_shot}-shot accuracy {report}")
    return 0


def data(options: argparse.Namespace) -> int:
    """List the pools: what each is, whether it is here, its size, its licence."""
    for name, source in POOLS.items():
        print(f"{name:10}{source.what}")
        state = "here" if source.is_here() else "not yet"
        print(f"{'':10}{state}; {source.size}; licence: {source.licence}")
    print(f"\ncache folder: {cache.folder()} (METALEARN_DATA names another)")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m metalearn", description="Metric-based meta-learning from the command line."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run, description: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(
            name,
            help=description,
            description=description,
            formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        )
        sub.set_defaults(run=run)
        return sub

    sub = command("train", train, "train a learner, with a progress bar, and keep it in a folder")
    sub.add_argument("--out", required=True, help="the folder to keep it in", metavar="FOLDER")
    sub.add_argument("--resume", action="store_true", help="go on with a training that was stopped")
    sub.add_argument("--pool", default="glyphs", help="a pool's name, or a path (see `evaluate`)")
    sub.add_argument(
        "--without-omniglot-scripts",
        action="store_true",
        help="leave out the scripts that also occur in Omniglot",
    )
    sub.add_argument("--backbone", default="conv4", help=", ".join(backbones.names()))
    sub.add_argument("--head", default="prototypical", help=", ".join(heads.names()))
    sub.add_argument("--steps", type=int, default=800, help="training steps")
    sub.add_argument("--batch-size", type=int, default=1, help="episodes in a step")
    _add_episode(sub, n_way=60, n_query=3)
    sub.add_argument(
        "--rotations",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="a class turned by 90, 180 or 270 degrees is a further class",
    )
    sub.add_argument("--lr", type=float, default=4e-3, help="learning rate at the start")
    sub.add_argument("--validate-every", type=int, default=100, help="steps between validations")
    sub.add_argument("--precision", default="auto", help="auto, bfloat16 or float32")

    sub = command("evaluate", evaluate_run, "measure a trained learner on a pool of new classes")
    sub.add_argument("out", help="the folder of the training", metavar="FOLDER")
    sub.add_argument(
        "--pool",
        default="glyphs",
        help=f"{', '.join(POOLS)}; or the path of a folder of pictures or of an .npz file",
    )
    _add_episode(sub, n_way=5, n_query=15)
    sub.add_argument("--episodes", type=int, default=1000, help="how many episodes")

    command("data", data, "list the pools: what each is, whether it is here, size and licence")
    return parser


def _add_episode(parser: argparse.ArgumentParser, n_way: int, n_query: int) -> None:
    parser.add_argument("--n-way", type=int, default=n_way, help="classes in an episode")
    parser.add_argument("--n-shot", type=int, default=1, help="support examples of each class")
    parser.add_argument("--n-query", type=int, default=n_query, help="query examples of each class")
    parser.add_argument("--seed", type=int, default=0, help="names the episodes and the split")


def _pool(name: str) -> Pool:
    """A pool by name, or the user's own by path."""
    path = Path(name)
    if name in POOLS or not path.exists():
        return load_pool(name)
    return Pool.from_npz(path) if path.is_file() else Pool.from_folder(path, size=84)


def _backbone_options(options: argparse.Namespace, pool: Pool) -> dict[str, Any]:
    if options.backbone == "identity":
        return {}
    return {"channels": pool.shape[0], "seed": options.seed}


def _write_run(out: Path, options: argparse.Namespace, pool: Pool) -> None:
    """Keep the options, so that the training can be resumed and its test classes found again."""
    kept = {name: value for name, value in vars(options).items() if name not in ("run", "out")}
    with written_whole(out / RUN_FILE) as temporary:
        temporary.write_text(json.dumps(kept | {"shape": pool.shape}, indent=1), "utf-8")


def _read_run(out: Path) -> dict[str, Any]:
    """The options of a training, and the shape of its pictures."""
    path = out / RUN_FILE
    if not path.is_file():
        raise ValueError(f"{out} holds no training: there is no {path}")
    try:
        return json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}") from error


if __name__ == "__main__":
    sys.exit(main())
