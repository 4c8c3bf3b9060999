"""Several processes, started by torchrun as a user starts them, make the training that one makes."""

import json
import os
import subprocess
import sys
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import parallel_worker
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from parallel_worker import NORMS, everything, normalised, ragged, trained
from torch import nn

import metalearn as ml
from metalearn import parallel
from metalearn.__main__ import main
from metalearn.files import load_tensors
from metalearn.models.learner import IMAGES_IN_PASS, MetricLearner

TOLERANCE = 1e-4


def torchrun(k: int, *arguments: str) -> subprocess.CompletedProcess:
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={k}"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [*start, parallel_worker.__file__, *arguments],
        capture_output=True,
        text=True,
        timeout=280,
        env=environment,
    )


@pytest.fixture(scope="module")
def alone():
    """This process as the only one that torchrun has started, with one thread as there."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in zip(parallel.GIVEN, ("0", "1", "localhost", "0"), strict=True):
            patch.setenv(name, value)
        yield
    torch.set_num_threads(n_threads)


@pytest.fixture(scope="module")
def options(tmp_path_factory):
    """Of a short training from the command line."""
    path = tmp_path_factory.mktemp("pool") / "mine.npz"
    images = np.random.default_rng(0).integers(0, 255, (30 * 20, 16, 16), dtype=np.uint8)
    np.savez(path, images=images, labels=np.arange(600) // 20, names=[f"c{i}" for i in range(30)])
    sizes = {"steps": 20, "batch-size": 2, "n-way": 5, "n-query": 3, "validate-every": 4}
    given = {"pool": path, "precision": "float32", "device": "cpu", "lr": 2e-5} | sizes
    return [f"--{name}={value}" for name, value in given.items()]


@pytest.fixture(scope="module")
def whole(alone, options, tmp_path_factory):
    """The folder of that training, made by one process."""
    folder = str(tmp_path_factory.mktemp("whole") / "run")
    assert main(["train", "--out", folder, *options]) == 0
    return folder


@pytest.fixture(scope="module")
def of_one(alone, whole):
    with parallel.processes():
        return everything(whole)


@pytest.fixture(scope="module")
def results(whole, tmp_path_factory):
    @cache
    def results(k, what):
        path = tmp_path_factory.mktemp("results") / "results.pt"
        ran = torchrun(k, what, whole, str(path))
        assert ran.returncode == 0, ran.stderr
        return torch.load(path, weights_only=False)

    return results


@pytest.fixture
def of_two(results):
    return results(2, "everything")


@pytest.fixture(params=[2, 4])
def of_several(request, results):
    return request.param, results(request.param, {2: "everything", 4: "essentials"}[request.param])


def close(a, b, tolerance=TOLERANCE):
    torch.testing.assert_close(a, b, rtol=0, atol=tolerance)


def check_training(several, one):
    close(several["loss"], one["loss"])
    close(several["state"], one["state"])
    assert any("running_var" in name for name in one["state"])
    close(several["validation"], one["validation"], 1e-2)


def test_losses_weights_and_batch_statistics_are_those_of_one_process(of_one, of_several):
    check_training(of_several[1]["prototypical"], of_one["prototypical"])


def test_batch_norm_in_a_head_is_of_all_processes_too(of_one, of_two):
    check_training(of_two["relation"], of_one["relation"])


def test_the_episodes_do_need_several_passes_and_padding():
    batch = ragged(seed=0).batch(range(8))
    assert batch.query.weight.sum() > IMAGES_IN_PASS["cpu"]
    assert (batch.support.weight == 0).any()


def test_torchs_own_batch_norm_gives_nearly_the_same(of_one):
    """A training without torchrun is by nn.BatchNorm2d, whose sums on a CPU are less exact."""
    losses = trained(ml.heads.Prototypical())["loss"]
    close(losses[0], of_one["prototypical"]["loss"][0], 1e-2)


def test_reports_are_those_of_one_process(of_one, of_two):
    one, several = of_one["evaluation"], of_two["evaluation"]
    assert several["said"] == one["said"]
    assert "5-way 1-shot accuracy" in one["said"]
    for n, scores in one["scores"].items():
        np.testing.assert_array_equal(several["scores"][n], scores)


def test_random_search_compares_the_means_over_processes(of_one, of_two):
    one, several = of_one["search"], of_two["search"]
    assert several["chosen"] == one["chosen"]
    close(several["loss"], one["loss"])


@pytest.mark.parametrize("name", NORMS)
def test_batch_norm_is_of_all_images_even_if_a_process_has_none(of_one, of_several, name):
    make, shape = NORMS[name]
    torchs = normalised(make(), shape)  # without torchrun
    for found in (of_one["norms"][name], of_several[1]["norms"][name]):
        close(found, torchs, 2e-5)


def test_dropout_draws_something_else_in_each_process(of_one, of_several):
    k, results = of_several
    assert len({tuple(each.tolist()) for each in results["draws"]}) == k
    close(results["draws"][0], of_one["draws"][0], 0)


def test_episodes_that_cannot_be_shared_are_refused(of_one, of_several):
    k, results = of_several
    assert of_one["refused"] == ""
    assert (
        f"batch_size is 3; it needs to be a multiple of {k}, the number of processes"
        in (results["refused"])
    )


def last(folder: str) -> tuple[dict, dict]:
    return load_tensors(Path(folder, "last.safetensors"))


def test_a_killed_worker_ends_the_job_which_is_resumed_and_stopped_and_resumed(
    alone, options, whole, tmp_path
):
    folder = str(tmp_path / "run")
    killed = torchrun(2, "killed", folder, *options)
    assert killed.returncode != 0
    assert killed.stderr.count("metalearn: one of the 2 processes has ended") == 1
    assert "goes on from its last checkpoint with --resume" in killed.stderr
    assert len(last(folder)[1]["history"]["loss"]) == 8

    stopped = torchrun(2, "stopped", folder, "--resume", "--device=cpu")
    assert stopped.returncode != 0
    assert stopped.stderr.count("stopped after 14 of 20 steps; go on with") == 1
    assert stopped.stdout.count("going on with the options") == 1
    assert len(last(folder)[1]["history"]["loss"]) == 14

    assert main(["train", "--out", folder, "--resume", "--device=cpu"]) == 0
    found, expected = last(folder), last(whole)
    close(found[0], expected[0])
    close(found[1]["history"]["loss"], expected[1]["history"]["loss"])
    assert "ConnectionError" not in killed.stderr, "a sentence, not a traceback"


@given(st.lists(st.integers(0, 200), min_size=1, max_size=5))
def test_passes_of_all_processes_together_are_those_of_one(sizes):
    """Whatever each process has; all make the same number of passes, even with nothing in one."""
    numbers = torch.arange(float(sum(sizes)))[:, None]

    def passes(own, before):
        seen = []
        learner = MetricLearner(nn.Identity(), ml.heads.Prototypical())
        learner.backbone.register_forward_hook(lambda module, given, z: seen.append(z[:, 0]))
        with pytest.MonkeyPatch.context() as patch:
            where = "metalearn.models.learner.before_and_in_all"
            patch.setattr(where, lambda n: (before, len(numbers)))
            assert torch.equal(learner.embed(own[None])[0], own)
        return seen

    expected = passes(numbers, 0)
    before = [sum(sizes[:i]) for i in range(len(sizes))]
    each = [passes(numbers[b : b + n], b) for b, n in zip(before, sizes, strict=True)]
    assert {len(seen) for seen in each} == {len(expected)}
    for i, one in enumerate(expected):
        assert sorted(torch.cat([seen[i] for seen in each]).tolist()) == one.tolist()


@given(st.integers(0, 50), st.integers(1, 9))
def test_shares_are_the_whole_and_nearly_equal(n, k):
    parts = []
    for i in range(k):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(parallel, "rank", lambda i=i: i)
            patch.setattr(parallel, "n_processes", lambda: k)
            parts.append(parallel.share(range(n)))
    assert [item for part in parts for item in part] == list(range(n))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_convolutions_before_batch_norm_have_no_bias():
    """Its gradient would be rounding alone, which Adam makes a whole step of, another one for each K."""
    for module in (ml.backbones.conv4(), ml.backbones.resnet12(), ml.heads.Relation()):
        before = [a for a, b in pairwise(module.modules()) if isinstance(b, nn.BatchNorm2d)]
        assert before
        assert all(isinstance(layer, nn.Conv2d) and layer.bias is None for layer in before)


def test_a_device_that_is_not_there(tmp_path, whole, capsys):
    assert main(["evaluate", whole, "--device", "gpu"]) == 1
    assert "device is 'gpu'; it is 'auto', 'cpu' or 'cuda'" in capsys.readouterr().err
    assert "device" not in json.loads(Path(whole, "run.json").read_text("utf-8"))
    if not torch.cuda.is_available():
        assert main(["evaluate", whole, "--device", "cuda"]) == 1
        assert "device is 'cuda'; this machine has 0 GPUs" in capsys.readouterr().err
