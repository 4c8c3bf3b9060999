"""What the processes do that test_parallel starts by torchrun, and what it does itself to compare."""

import os
import signal
import sys
import time
import warnings
from contextlib import redirect_stdout
from io import StringIO

import torch
from torch import nn

import metalearn as ml
from metalearn import parallel
from metalearn.__main__ import main
from metalearn.joint import joint_step
from metalearn.models.learner import MetricLearner


def ragged(seed: int, part: int = 0) -> ml.ClassificationTasks:
    """Episodes of different sizes; eight of them fill more than one pass."""
    pool = ml.load_pool("glyphs").select(groups=["Greek", "Hebrew"])
    pool = pool.split((0.6, 0.4), seed=0)[part].resize(16)
    return ml.ClassificationTasks(pool, n_way=(3, 4), n_shot=(1, 9), n_query=6, seed=seed)


def trained(head: ml.heads.Head, **options) -> dict:
    """20 steps in float32: losses, what validation found, and the learner's weights and statistics."""
    learner = MetricLearner(ml.backbones.conv4(width=8, seed=0), head)
    trainer = ml.Trainer(
        learner,
        ragged(seed=0),
        ragged(seed=1, part=1),
        batch_size=8,
        update=ml.updates.Gradient(
            learner.parameters(), lr=1e-2, optimiser=torch.optim.SGD, clip=1.0
        ),
        validate_every=20,
        validation_episodes=70,
        precision="float32",
        progress=False,
        **options,
    )
    history = trainer.fit(20)
    return {"loss": history.loss, "validation": history.validation, "state": learner.state_dict()}


def searched() -> dict:
    """Random search, which compares values and makes no gradient."""
    from sklearn.neighbors import KNeighborsClassifier

    model = KNeighborsClassifier(n_neighbors=1)
    update = ml.updates.RandomSearch(model, {"n_neighbors": [1, 2, 3], "p": [1, 2, 3]}, seed=0)
    tasks = ml.ClassificationTasks(ml.load_pool("digits"), n_way=4, n_shot=3, n_query=(1, 5))
    options = {"batch_size": 4, "update": update, "progress": False}
    history = ml.Trainer(ml.Estimator(model), tasks, **options).fit(6)
    return {"loss": history.loss, "chosen": update.settings}


def evaluated(folder: str) -> dict:
    """Scores with the pool embedded once and without, and what the command line says."""
    learner = MetricLearner.load(f"{folder}/best.safetensors")
    scores = {n: ml.evaluate(learner, ragged(seed=2), n).scores for n in (3, 140)}
    said = StringIO()
    with redirect_stdout(said):
        assert main(["evaluate", folder, "--episodes", "70", "--device", "cpu"]) == 0
    return {"scores": scores, "said": said.getvalue()}


def normalised(norm: nn.Module, shape: tuple[int, ...]) -> dict:
    """Batch normalisation of 13 examples, of which process 0 has none if there are several."""
    torch.manual_seed(0)
    x, slope = torch.randn(13, *shape) * 3 + 1, torch.randn(13, *shape)
    k, i = parallel.n_processes(), parallel.rank()
    own = slice(13) if k == 1 else slice(13 * i * i // k**2, 13 * (i + 1) ** 2 // k**2)
    own = slice(0, 0) if k > 1 and i == 0 else slice(0, own.stop) if i == 1 else own
    x = x[own].requires_grad_()
    with joint_step(norm, 0):
        y = norm(x)
        y.backward(slope[own])
    gradients = [p.grad.clone() for p in norm.parameters()]
    parts = parallel.gathered([torch.cat([y.detach(), x.grad]), y.detach(), x.grad, gradients])
    summed = [sum(each) for each in zip(*parts[3::4], strict=True)]
    return {"y": torch.cat(parts[1::4]), "dx": torch.cat(parts[2::4]), "of parameters": summed} | {
        "state": norm.state_dict()
    }


NORMS = {
    "pictures": (lambda: nn.BatchNorm2d(4), (4, 3, 5)),
    "numbers": (lambda: nn.BatchNorm1d(6, momentum=None), (6,)),
    "fixed": (lambda: nn.BatchNorm2d(4, affine=False, track_running_stats=False), (4, 2, 2)),
}


def essentials(folder: str) -> dict:
    """What must not depend on the number of processes, and what is of each process."""
    try:
        ml.Trainer(MetricLearner(nn.Linear(2, 2), ml.heads.Ridge()), ragged(0), batch_size=3)
        refused = ""
    except ValueError as error:
        refused = str(error)
    with joint_step(nn.Identity(), step=5):
        draws = parallel.gathered([torch.rand(2)])
    return {
        "prototypical": trained(ml.heads.Prototypical()),
        "norms": {name: normalised(make(), shape) for name, (make, shape) in NORMS.items()},
        "refused": refused,
        "draws": draws,
    }


def everything(folder: str) -> dict:
    """And what further must not."""
    return essentials(folder) | {
        "relation": trained(ml.heads.Relation(n_features=8, width=8)),
        "search": searched(),
        "evaluation": evaluated(folder),
    }


def worker(what: str, folder: str, *arguments: str) -> None:
    """What torchrun starts."""
    warnings.simplefilter("error")
    if what in ("essentials", "everything"):
        with parallel.processes():
            results = globals()[what](folder)
            if parallel.rank() == 0:
                torch.save(results, arguments[0])
        return
    step = ml.Trainer._step

    def disturbed(trainer: ml.Trainer, progress: float) -> float:
        if what == "killed" and (parallel.rank(), trainer.history.steps) == (1, 10):
            os.kill(os.getpid(), signal.SIGKILL)
        if what == "stopped" and (parallel.rank(), trainer.history.steps) == (0, 13):
            handler = signal.getsignal(signal.SIGINT)
            os.kill(os.getppid(), signal.SIGINT)  # Ctrl-C for torchrun, which passes it on
            while signal.getsignal(signal.SIGINT) is handler:
                time.sleep(0.01)
        return step(trainer, progress)

    ml.Trainer._step = disturbed
    sys.exit(main(["train", "--out", folder, *arguments]))


if __name__ == "__main__":
    worker(*sys.argv[1:])
