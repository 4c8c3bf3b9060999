"""The command line: python -m metalearn train | evaluate | export | data."""

import argparse
import inspect
import sys
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import torch
from torch import nn

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
    parallel,
    runs,
)
from ._naming import times
from .data import POOLS, cache
from .files import load_tensors
from .models.learner import evaluation_mode
from .updates import Gradient, cosine_to_zero

SPLIT = (0.64, 0.16, 0.20)
POOL_HELP = f"{', '.join(POOLS)}; or the path of a folder of pictures or of an .npz file"
USER_ERRORS = (ValueError, OSError, ImportError, FloatingPointError)


def main(arguments: list[str] | None = None) -> int:
    """Run a command; what a user can get wrong ends in one sentence, not in a traceback."""
    options = _parser().parse_args(arguments)
    with parallel.processes():
        try:
            with redirect_stdout(sys.stdout if parallel.rank() == 0 else StringIO()):
                return options.run(options)
        except USER_ERRORS as error:
            _say(f"metalearn: {error}")
            return 1
        except KeyboardInterrupt:
            _say("\nmetalearn: stopped")
            return 130


def train(options: argparse.Namespace) -> int:
    """Train a learner and keep it in the folder `out`."""
    out = Path(options.out)
    if options.resume:
        print(f"going on with the options that {out / runs.FILE} holds")
        options = argparse.Namespace(**{**vars(options), **runs.read(out), "resume": True})
    if options.steps < 1:
        raise ValueError(f"steps is {options.steps}; it needs to be at least 1")
    pool = _pool(options.pool, (options.channels, options.size, options.size))
    if options.without_omniglot_scripts:
        pool = pool.exclude(groups=OMNIGLOT_SCRIPTS)
    train_pool, validation_pool, _ = pool.split(SPLIT, seed=options.seed)
    if options.rotations:
        train_pool = train_pool.with_rotations()
    tasks = ClassificationTasks(
        train_pool,
        n_way=_ways(options, 60, train_pool),
        n_shot=options.n_shot,
        n_query=options.n_query,
        seed=options.seed,
    )
    validation = ClassificationTasks(
        validation_pool,
        n_way=max(2, min(5, validation_pool.n_classes)),
        n_shot=1,
        n_query=min(5, options.n_query),
        seed=options.seed,
    )
    backbone = backbones.create(options.backbone, **_backbone_options(options, pool))
    learner = MetricLearner(backbone, _head(options.head, backbone, pool))
    learner.to(parallel.device(options.device))
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
        trainer.checkpoint.refuse_to_overwrite()
        if parallel.rank() == 0:
            settled = {"pool": _canonical(options.pool), "shape": pool.shape, "n_way": tasks.n_way}
            runs.write(out, vars(options) | settled)
    try:
        history = trainer.fit(options.steps, resume=options.resume)
    except KeyboardInterrupt:
        kept = trainer.checkpoint.path.exists()
        advice = f"; go on with\n  python -m metalearn train --out {out} --resume" if kept else ""
        _say(f"\nstopped after {trainer.history.steps} of {options.steps} steps{advice}")
        return 130
    print(
        f"{history.steps:,} steps in {history.seconds:.0f} s; best validation accuracy "
        f"{100 * history.best:.1f} % ({validation.n_way}-way 1-shot) after step {history.best_step:,}\n"
        f"kept in {out}; measure it on the classes that were kept for testing with\n"
        f"  python -m metalearn evaluate {out}"
    )
    return 0


def evaluate_run(options: argparse.Namespace) -> int:
    """Measure a trained learner on classes that it was not trained on."""
    folder = Path(options.out)
    run = runs.read(folder)
    learner = MetricLearner.load(folder / "best.safetensors").to(parallel.device(options.device))
    name, shape = options.pool or run["pool"], tuple(run["shape"])
    pool = _pool(name, shape)
    what = name
    if _canonical(name) == run["pool"]:
        if run["without_omniglot_scripts"]:
            pool = pool.exclude(groups=OMNIGLOT_SCRIPTS)
        pool = pool.split(SPLIT, seed=run["seed"])[2]
        what += f", the {pool.n_classes:,} classes kept for testing"
    if len(pool.shape) != 3 or pool.shape[0] != shape[0]:
        raise ValueError(
            f"the pool {name} has examples of {pool.shape_in_words}; {folder} was trained with pictures "
            f"of {shape[0]} channels"
        )
    if pool.shape != shape:
        what += f", resized from {pool.shape_in_words} to {times(shape)}"
        pool = pool.resize(*shape[1:])
    left = min(map(len, pool.examples_of)) - options.n_shot
    tasks = ClassificationTasks(
        pool,
        n_way=_ways(options, 5, pool),
        n_shot=options.n_shot,
        n_query=max(1, min(15, left)) if options.n_query is None else options.n_query,
        seed=options.seed,
    )
    report = evaluate(learner, tasks, options.episodes)
    print(f"{what}: {tasks.n_way}-way {tasks.n_shot}-shot accuracy {report}")
    return 0


def export_model(options: argparse.Namespace) -> int:
    """Write a trained learner or a saved classifier as an ONNX file."""
    from . import FewShotClassifier, export

    source, out = Path(options.source), Path(options.out)
    if source.is_dir():
        model = MetricLearner.load(source / "best.safetensors")
        shape = tuple(runs.read(source)["shape"])
    elif "classifier" in load_tensors(source)[1]:
        model = FewShotClassifier.load(source)
        shape = model.example_shape_
    else:
        model, shape = MetricLearner.load(source), options.shape and tuple(options.shape)
    difference = export(model, out, shape)
    print(
        f"{out}: {out.stat().st_size / 1e6:.2f} MB, examples of {times(shape)}; onnxruntime's numbers "
        f"differ from torch's by {difference:.1e}"
    )
    return 0


def data(options: argparse.Namespace) -> int:
    """List the pools: what each is, whether it is here, its size, its licence."""
    for name, source in POOLS.items():
        print(f"{name:10}{source.what}")
        state = "here" if source.is_here() else "not yet"
        print(f"{'':10}{state}; {source.size}; licence: {source.licence}")
    print(f"\ncache folder: {cache.folder()} (METALEARN_DATA names another)")
    return 0


class _WithDefaults(argparse.ArgumentDefaultsHelpFormatter):
    """Help that names the default of each option that has one."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        return action.help if action.default is None else super()._get_help_string(action)


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
            formatter_class=_WithDefaults,
        )
        sub.set_defaults(run=run)
        return sub

    sub = command("train", train, "train a learner, with a progress bar, and keep it in a folder")
    sub.add_argument("--out", required=True, help="the folder to keep it in", metavar="FOLDER")
    sub.add_argument("--resume", action="store_true", help="go on with a training that was stopped")
    sub.add_argument("--pool", default="glyphs", help=POOL_HELP)
    sub.add_argument("--size", type=int, default=84, help="pixels a side, for a folder of pictures")
    sub.add_argument("--channels", type=int, default=3, help="3 or 1, for a folder of pictures")
    sub.add_argument(
        "--without-omniglot-scripts",
        action="store_true",
        help="leave out the scripts that also occur in Omniglot",
    )
    sub.add_argument("--backbone", default="conv4", help=", ".join(backbones.names()))
    sub.add_argument("--head", default="prototypical", help=", ".join(heads.names()))
    sub.add_argument("--steps", type=int, default=1000, help="training steps")
    sub.add_argument("--batch-size", type=int, default=1, help="episodes in a step")
    _add_episode(sub, n_way=60)
    sub.add_argument("--n-query", type=int, default=3, help="query examples of each class")
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
    sub.add_argument("--pool", help=f"{POOL_HELP} (default: the training's own, its test classes)")
    _add_episode(sub, n_way=5)
    sub.add_argument(
        "--n-query",
        type=int,
        help="query examples of each class (default: 15, or all that are left)",
    )
    sub.add_argument("--episodes", type=int, default=1000, help="how many episodes")

    sub = command("export", export_model, "write a learner or classifier as an ONNX file")
    sub.add_argument("source", help="the folder of a training, or a .safetensors file")
    sub.add_argument("out", help="the ONNX file to write")
    sub.add_argument(
        "--shape", type=int, nargs="+", help="of one example, for a learner in a file: 1 28 28"
    )

    command("data", data, "list the pools: what each is, whether it is here, size and licence")
    return parser


def _add_episode(parser: argparse.ArgumentParser, n_way: int) -> None:
    parser.add_argument(
        "--n-way", type=int, help=f"classes in an episode (default: {n_way}, or all that there are)"
    )
    parser.add_argument("--n-shot", type=int, default=1, help="support examples of each class")
    parser.add_argument("--seed", type=int, default=0, help="names the episodes and the split")
    parser.add_argument(
        "--device", default="auto", help="auto (a GPU if there is one), cpu or cuda"
    )


def _ways(options: argparse.Namespace, usual: int, pool: Pool) -> int:
    """The classes in an episode: as many as were asked for, else the usual number if there are so many."""
    return max(2, min(usual, pool.n_classes)) if options.n_way is None else options.n_way


def _say(sentence: str) -> None:
    """Why a command ends, once for all processes."""
    if parallel.may_speak():
        print(sentence, file=sys.stderr)


def _pool(name: str, shape: tuple[int, ...]) -> Pool:
    """A pool by name, or the user's own by path; a folder's pictures are read at this shape."""
    path = Path(name).expanduser()
    if name not in POOLS and not path.exists() and path.name != name:
        raise ValueError(f"there is no folder or file {path}")
    if name in POOLS or not path.exists():
        return load_pool(name)
    if path.is_file():
        return Pool.from_npz(path)
    return Pool.from_folder(path, size=shape[1], channels=shape[0])


def _canonical(name: str) -> str:
    """One name for one pool: a path in full, however it was spelt."""
    path = Path(name).expanduser()
    return name if name in POOLS or not path.exists() else str(path.resolve())


def _backbone_options(options: argparse.Namespace, pool: Pool) -> dict[str, Any]:
    own = {"identity": {}, "torchvision": {"seed": options.seed}}
    return own.get(options.backbone, {"channels": pool.shape[0], "seed": options.seed})


def _head(name: str, backbone: nn.Module, pool: Pool) -> heads.Head:
    """The head, told how many numbers the backbone gives if it needs to know."""
    if "n_features" not in inspect.signature(heads.HEADS[name]).parameters:
        return heads.create(name)
    one = pool.take(torch.tensor([0]))[None]
    with evaluation_mode(backbone), torch.inference_mode():
        z = MetricLearner(backbone, heads.Prototypical()).embed(one)
    return heads.create(name, n_features=z.shape[-1])


if __name__ == "__main__":
    sys.exit(main())
