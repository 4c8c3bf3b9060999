"""A pool holds labelled examples of named classes, and says what does not fit."""

import numpy as np
import pytest
import torch
from PIL import Image

from metalearn import Pool

IMAGES = np.zeros((4, 1, 8, 8), np.uint8)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"images": IMAGES[:, 0]}, ValueError, r"shape \[4, 8, 8\].*\[N, C, H, W\]"),
        ({"images": IMAGES.astype(int)}, ValueError, "int64; a pool needs uint8 pixels or float"),
        ({"images": IMAGES.transpose(0, 2, 3, 1)}, ValueError, "the channels come last"),
        ({"images": IMAGES[:0], "labels": []}, ValueError, "there is no pixel in them"),
        ({"images": np.full((4, 3), np.inf)}, ValueError, "hold NaN or infinity"),
        ({"images": IMAGES + np.float32(255)}, ValueError, "float images reach 255"),
        ({"labels": ["a", "a", "b", "b"]}, ValueError, "labels are <U1; .*np.unique"),
        ({"images": np.full((4, 3), np.nan)}, ValueError, "4 of 4 images hold NaN.* number 0"),
        ({"images": np.zeros(4, np.float32)}, ValueError, r"shape \[4\].*\[N, D\]"),
        ({"labels": [0, 0, 1]}, ValueError, r"labels have shape \[3\] for 4 images"),
        ({"labels": [0, 0, 1, 2]}, ValueError, "label 2 has no name: there are 2 names"),
        ({"labels": [0, 0, 1, -1]}, ValueError, "label -1 has no name"),
        ({"labels": [0.0, 0.0, 1.0, 1.0]}, ValueError, "whole numbers"),
        ({"labels": [0, 0, 0, 0]}, ValueError, r"class 'kha' \(label 1\) has no examples"),
        ({"names": ["ka", "ka"]}, ValueError, "two classes have the name 'ka'"),
        ({"groups": ["one"]}, ValueError, "1 groups for 2 classes"),
        ({"images": [[1], [2], [3], [4]]}, ValueError, "images are torch.int64"),
    ],
)
def test_what_does_not_fit_is_named(change, error, message):
    arguments = {"images": IMAGES, "labels": [0, 0, 1, 1], "names": ["ka", "kha"]} | change
    with pytest.raises(error, match=message):
        Pool(**arguments)


def test_split_has_disjoint_classes_and_whole_groups(pool):
    parts = pool.split((0.5, 0.25, 0.25), seed=3)
    names = [set(part.names) for part in parts]
    assert set.union(*names) == set(pool.names)
    assert sum(map(len, names)) == pool.n_classes
    groups = [set(part.groups) for part in parts]
    assert sum(map(len, groups)) == len(set(pool.groups))
    assert [part.n_classes for part in parts] == [6, 3, 3]


def test_split_is_decided_by_its_seed(pool):
    one, again, other = (pool.split((0.5, 0.5), seed=seed)[0].names for seed in (0, 0, 1))
    assert one == again
    assert one != other


@pytest.mark.parametrize("fractions", [(0.5, 0.6), (1.0, 0.0), (0.5,), ()])
def test_split_refuses_fractions_that_are_no_parts_of_a_whole(pool, fractions):
    with pytest.raises(ValueError, match="positive and sum to 1"):
        pool.split(fractions, seed=0)


@pytest.mark.parametrize("seed", [None, -1, 0.5])
def test_split_refuses_a_seed_that_does_not_decide_it(pool, seed):
    with pytest.raises(ValueError, match=f"seed is {seed}; it needs to be a whole number"):
        pool.split((0.5, 0.5), seed=seed)


def test_features_and_embeddings_may_be_lists_or_arrays(pool):
    assert Pool([[1.0, 2.0], [3.0, 4.0]], [0, 1], "ab").shape == (2,)
    embedded = pool.with_embeddings(np.eye(len(pool)))
    assert embedded.take(torch.tensor([3])).argmax() == 3


def test_split_refuses_an_empty_part(pool):
    with pytest.raises(ValueError, match="4 groups are too few for 5 parts"):
        pool.split((0.2,) * 5, seed=0)


def test_select_and_exclude_keep_images_with_their_names(pool):
    chosen = pool.select(groups=["group 1", "group 3"]).exclude(names=["class 5"])
    assert chosen.names == ["class 1", "class 3", "class 7", "class 9", "class 11"]
    first_pixel = chosen.images[:, 0, 0, 0]
    assert [f"class {c}" for c in first_pixel] == [chosen.names[i] for i in chosen.labels]
    assert torch.equal(chosen.take(torch.tensor([20])), chosen.images[20:21])


def test_selection_of_a_selection_is_the_selection_of_both(pool):
    twice = pool.select(groups=["group 1"]).select(names=["class 5"])
    assert torch.equal(twice.images, pool.select(names=["class 5"]).images)


def test_select_leaves_out_classes_with_too_few_examples():
    small = Pool(IMAGES, [0, 0, 0, 1], ["ka", "kha"])
    assert small.select(min_examples=2).names == ["ka"]
    with pytest.raises(ValueError, match="no class is left"):
        small.select(min_examples=9)


def test_unknown_names_are_answered_with_the_closest_known(pool):
    with pytest.raises(ValueError, match="unknown class 'clas 3'; known, closest first: class 3"):
        pool.select(names=["clas 3"])
    with pytest.raises(ValueError, match="unknown group 'group 9'"):
        pool.exclude(groups=["group 9"])
    with pytest.raises(TypeError, match=r"given as a list: \['group 1'\]"):
        pool.select(groups="group 1")


def test_rotations_are_classes_of_their_own(pool):
    turned = pool.with_rotations()
    assert turned.n_classes == 4 * pool.n_classes
    assert turned.names[12] == "class 0, turned 90"
    quarter = turned.images[len(pool) : 2 * len(pool)]
    assert torch.equal(quarter, torch.rot90(pool.images, 1, (-2, -1)))
    assert turned.groups[12] == pool.groups[0]


def test_resize_keeps_the_mean_brightness(pool):
    bright = pool.with_images(torch.full((len(pool), 1, 16, 16), 200, dtype=torch.uint8))
    small = bright.resize(4)
    assert small.shape == (1, 4, 4)
    assert (small.images == 200).all()


def test_resize_to_other_sides_and_of_float_pixels(pool):
    assert pool.resize(8, 12).shape == (1, 8, 12)
    grey = pool.with_images(torch.full((len(pool), 1, 16, 16), 0.5))
    torch.testing.assert_close(grey.resize(4).images, torch.full((len(pool), 1, 4, 4), 0.5))
    with pytest.raises(ValueError, match="cannot become pictures"):
        pool.resize(0)
    with pytest.raises(ValueError, match="only square pictures can be turned"):
        pool.resize(8, 12).with_rotations()


def test_read_only_memory_map_is_taken_as_it_is(tmp_path):
    np.save(tmp_path / "images.npy", IMAGES)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    assert len(Pool(mapped, [0, 0, 1, 1], ["ka", "kha"])) == 4


def test_damaged_npz_is_named(tmp_path):
    path = tmp_path / "mine.npz"
    np.savez(path, images=IMAGES, labels=[0, 0, 1, 1], names=["ka", "kha"])
    for content in (b"", b"text", path.read_bytes()[:300]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"mine\.npz is damaged"):
            Pool.from_npz(path)


def test_npz_of_the_readers_own(tmp_path):
    path = tmp_path / "mine.npz"
    np.savez(path, images=IMAGES[:, 0], labels=[0, 0, 1, 1], names=["ka", "kha"])
    assert repr(Pool.from_npz(path)) == "Pool(4 examples of 2 classes, 1x8x8 uint8)"
    np.savez(path, images=IMAGES)
    with pytest.raises(ValueError, match="no array named labels and names"):
        Pool.from_npz(path)
    np.savez(path, images=IMAGES, labels=[0, 0, 1, 1], names=np.array(["ka", None], dtype=object))
    with pytest.raises(ValueError, match="allow_pickle"):
        Pool.from_npz(path)


def write_pictures(folder, classes, n=3, size=(12, 10)):
    for number, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for i in range(n):
            Image.new("RGB", size, (50 * number, 10 * i, 0)).save(folder / name / f"{i}.png")


def test_folder_of_the_readers_own_pictures(tmp_path, cache_folder):
    write_pictures(tmp_path / "mine", ["cat", "dog"])
    mine = Pool.from_folder(tmp_path / "mine", size=8)
    assert mine.names == ["cat", "dog"]
    assert mine.groups is None
    assert mine.shape == (3, 8, 8)
    assert mine.images[4, :, 0, 0].tolist() == [50, 10, 0]
    assert len(list(cache_folder.glob("folder-mine-*.u8"))) == 1


def test_folder_is_read_again_when_a_picture_changes(tmp_path, cache_folder):
    write_pictures(tmp_path / "mine", ["cat", "dog"])
    Pool.from_folder(tmp_path / "mine", size=8)
    Image.new("L", (30, 30), 255).save(tmp_path / "mine" / "cat" / "0.png")
    assert Pool.from_folder(tmp_path / "mine", size=8).images[0].min() == 255


def test_transparent_and_16_bit_pictures_are_read_as_they_look(tmp_path, cache_folder):
    folder = tmp_path / "mine" / "cat"
    folder.mkdir(parents=True)
    stroke = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    stroke.paste((0, 0, 0, 255), (0, 0, 4, 8))
    stroke.save(folder / "0.png")
    Image.fromarray(np.full((8, 8), 128 * 256, np.uint16)).save(folder / "1.png")
    mine = Pool.from_folder(tmp_path / "mine", size=8, channels=1)
    assert mine.images[0, 0, 0].tolist() == [0] * 4 + [255] * 4, "transparent is white"
    assert (mine.images[1] == 128).all()


def test_hidden_files_are_left_out_and_links_followed(tmp_path, cache_folder):
    write_pictures(tmp_path / "mine", ["cat", ".ipynb_checkpoints"])
    (tmp_path / "mine" / "cat" / "._0.png").write_bytes(b"not a picture")
    write_pictures(tmp_path / "elsewhere", ["dog"])
    (tmp_path / "mine" / "dog").symlink_to(tmp_path / "elsewhere" / "dog")
    assert Pool.from_folder(tmp_path / "mine", size=8).names == ["cat", "dog"]


def test_folder_of_folders_gives_groups(tmp_path, cache_folder):
    write_pictures(tmp_path / "mine", ["Latin/a", "Latin/b", "Greek/alpha"])
    mine = Pool.from_folder(tmp_path / "mine", size=8, channels=1)
    assert mine.names == ["Greek/alpha", "Latin/a", "Latin/b"]
    assert mine.groups == ["Greek", "Latin", "Latin"]


def test_folder_names_a_picture_that_cannot_be_read(tmp_path, cache_folder):
    write_pictures(tmp_path / "mine", ["cat"])
    (tmp_path / "mine" / "cat" / "9.png").write_bytes(b"not a picture")
    with pytest.raises(ValueError, match=r"9\.png cannot be read as a picture"):
        Pool.from_folder(tmp_path / "mine", size=8)
    assert list(cache_folder.iterdir()) == []


def test_folder_without_class_folders(tmp_path):
    with pytest.raises(ValueError, match="needs one folder a class"):
        Pool.from_folder(tmp_path, size=8)
    with pytest.raises(ValueError, match=r"size is 8\.5; it needs to be a whole number"):
        Pool.from_folder(tmp_path, size=8.5)
    with pytest.raises(ValueError, match="is not a folder"):
        Pool.from_folder(tmp_path / "nowhere", size=8)
