"""The command line, as its user meets it."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from metalearn.__main__ import main

SMALL = ["--n-way", "5", "--n-query", "3", "--validate-every", "4"]


@pytest.fixture
def mine(tmp_path):
    """A pool of the user's own, as a file: noise, so that it is quick."""
    path = tmp_path / "mine.npz"
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (30 * 20, 16, 16), dtype=np.uint8)
    np.savez(path, images=images, labels=np.arange(600) // 20, names=[f"c{i}" for i in range(30)])
    return str(path)


def said(capsys):
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    return captured


def test_train_then_evaluate_on_classes_kept_apart_and_on_another_pool(mine, tmp_path, capsys):
    out = str(tmp_path / "run")
    assert main(["train", "--out", out, "--pool", mine, "--steps", "8", *SMALL]) == 0
    captured = said(capsys)
    assert "best validation accuracy" in captured.out
    assert "8/8" in captured.err, "a progress bar"
    other_spelling = os.path.join(os.path.dirname(mine), ".", os.path.basename(mine))
    assert main(["evaluate", out, "--pool", other_spelling, "--episodes", "20"]) == 0
    assert main(["evaluate", out, "--episodes", "20"]) == 0
    one, other = said(capsys).out.splitlines()
    assert one.split("the 6 classes")[1] == other.split("the 6 classes")[1]
    assert main(["evaluate", out, "--pool", mine, "--episodes", "20"]) == 0
    assert re.search(
        r"the 6 classes kept for testing: 5-way 1-shot accuracy \d+\.\d % ±", said(capsys).out
    )
    assert main(["evaluate", out, "--pool", "digits", "--episodes", "20"]) == 0
    assert "digits, resized from 1x8x8 to 1x16x16: 5-way" in said(capsys).out


@pytest.mark.parametrize("backbone", ["resnet12", "torchvision"])
def test_any_backbone_by_name_is_trained_and_evaluated(mine, tmp_path, capsys, backbone):
    out = str(tmp_path / "run")
    options = ["--n-way", "2", "--n-query", "1", "--backbone", backbone, "--steps", "1"]
    assert main(["train", "--out", out, "--pool", mine, *options]) == 0
    assert main(["evaluate", out, "--episodes", "2"]) == 0
    assert "5-way 1-shot accuracy" in said(capsys).out


def test_stopped_training_is_saved_and_resumed(mine, tmp_path, capsys):
    """Ctrl-C saves, and says how to go on; going on ends where an uninterrupted training does."""
    run = [sys.executable, "-m", "metalearn", "train", "--pool", mine, "--steps", "80", *SMALL]
    whole, stopped = str(tmp_path / "whole"), str(tmp_path / "stopped")
    process = subprocess.Popen([*run, "--out", stopped], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not os.path.exists(f"{stopped}/last.safetensors") and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert f"go on with\n  python -m metalearn train --out {stopped} --resume" in err
    subprocess.run([*run, "--out", whole], check=True, capture_output=True)
    assert main(["train", "--out", stopped, "--resume"]) == 0
    best = [Path(folder, "best.safetensors").read_bytes() for folder in (whole, stopped)]
    assert best[0] == best[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--pool", "no/where"], "there is no folder or file no/where"),
        (["--pool", "glyps"], "unknown pool 'glyps'; known, closest first: glyphs"),
        (
            ["--head", "protoypical"],
            "unknown head 'protoypical'; known, closest first: prototypical",
        ),
        (["--backbone", "conv5"], "unknown backbone 'conv5'; known, closest first: conv4"),
        (["--n-way", "1"], "n_way is 1"),
        (["--n-way", "500"], "500-way needs 500"),
        (["--n-shot", "18"], "18-shot with 3 queries needs 21"),
        (["--precision", "half"], "precision is 'half'"),
        (["--steps", "0"], "steps is 0"),
        (["--backbone", "identity"], "nothing here can be trained"),
        (["--resume"], "holds no training"),
    ],
)
def test_what_a_user_can_get_wrong_ends_in_a_sentence(mine, tmp_path, capsys, arguments, message):
    out = tmp_path / "run"
    given = ["train", "--out", str(out), "--pool", mine, "--steps", "4", *SMALL, *arguments]
    assert main(given) == 1
    captured = said(capsys)
    assert captured.err.startswith("metalearn: ") or "\nmetalearn: " in captured.err
    assert message in captured.err
    assert not list(out.glob("*")), "nothing is half written"


def test_folder_of_pictures_trains_and_is_measured(tmp_path, cache_folder, capsys):
    rng = np.random.default_rng(0)
    for c in range(12):
        folder = tmp_path / "mine" / f"class {c}"
        folder.mkdir(parents=True)
        for i in range(16):
            Image.fromarray(rng.integers(0, 255, (20, 20), dtype=np.uint8)).save(
                folder / f"{i}.png"
            )
    pictures, out = str(tmp_path / "mine"), str(tmp_path / "run")
    options = ["--size", "16", "--channels", "1", "--steps", "2"]
    assert main(["train", "--out", out, "--pool", pictures, *options]) == 0
    assert "(2-way 1-shot)" in said(capsys).out, "as many ways as there are classes"
    assert main(["evaluate", out, "--episodes", "5"]) == 0
    assert "the 2 classes kept for testing: 2-way 1-shot" in said(capsys).out
    assert main(["evaluate", out, "--n-shot", "4", "--episodes", "5"]) == 0, "12 queries are left"


def test_folder_that_cannot_be_written(mine, tmp_path, capsys):
    assert main(["train", "--out", f"{mine}/run", "--pool", mine, "--steps", "4", *SMALL]) == 1
    assert "cannot write to the folder" in said(capsys).err


def test_a_training_is_not_overwritten(mine, tmp_path, capsys):
    given = ["train", "--out", str(tmp_path / "run"), "--pool", mine, "--steps", "4", *SMALL]
    assert main(given) == 0
    before = (tmp_path / "run" / "run.json").read_bytes()
    assert main([*given, "--lr", "1"]) == 1
    assert "already holds a training" in said(capsys).err
    assert (tmp_path / "run" / "run.json").read_bytes() == before


def test_evaluating_what_is_no_training(tmp_path, capsys):
    assert main(["evaluate", str(tmp_path)]) == 1
    assert "holds no training: there is no" in said(capsys).err
    for content in ("{", "[]", '{"pool": 3}'):
        (tmp_path / "run.json").write_text(content)
        assert main(["evaluate", str(tmp_path)]) == 1
        assert "run.json is damaged" in said(capsys).err


def test_evaluating_a_damaged_learner(mine, tmp_path, capsys):
    out = tmp_path / "run"
    assert main(["train", "--out", str(out), "--pool", mine, "--steps", "4", *SMALL]) == 0
    whole = (out / "best.safetensors").read_bytes()
    (out / "best.safetensors").write_bytes(whole[:300])
    assert main(["evaluate", str(out), "--pool", "digits"]) == 1
    assert "damaged or cut short" in said(capsys).err


def test_data_lists_every_pool_with_state_size_and_licence(cache_folder, capsys):
    assert main(["data"]) == 0
    listing = said(capsys).out
    for name in ("glyphs", "digits", "mnist", "omniglot", "cifarfs"):
        assert re.search(rf"(?m)^{name} .*\n +(here|not yet); .*; licence: ", listing)
    assert str(cache_folder) in listing


@pytest.mark.parametrize("command", ["train", "evaluate"])
def test_help_shows_defaults(command, capsys):
    with pytest.raises(SystemExit):
        main([command, "--help"])
    assert "(default: 1)" in said(capsys).out


def test_import_stays_light():
    program = (
        "import sys, json, metalearn;"
        "print(json.dumps([m for m in ('matplotlib', 'sklearn', 'torchvision') if m in sys.modules]))"
    )
    printed = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=True
    ).stdout
    assert json.loads(printed) == []
