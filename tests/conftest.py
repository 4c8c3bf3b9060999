"""What several test files share: real images and a browser, where the machine has them."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, sync_playwright

from metalearn import Pool


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder that METALEARN_TEST_DATA names; a test that asks for it is skipped without it."""
    folder = os.environ.get("METALEARN_TEST_DATA")
    if not folder:
        pytest.skip("needs real images: METALEARN_TEST_DATA names no folder")
    return Path(folder)


def arrays(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as file:
        return dict(file)


@pytest.fixture(scope="session")
def omniglot(real_data: Path) -> dict[str, np.ndarray]:
    """All 1,623 characters, 20 drawings of each: images, labels, names, drawer, background."""
    return arrays(real_data / "omniglot.npz")


@pytest.fixture(scope="session")
def omniglot_split(real_data: Path) -> dict[str, list[str]]:
    """The class names of the published split: train, val, trainval, test."""
    return json.loads((real_data / "omniglot_vinyals_split.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def mnist_real(real_data: Path) -> dict[str, np.ndarray]:
    """2,000 MNIST digits, 200 of each class: images, labels, names."""
    return arrays(real_data / "mnist_small.npz")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium; where there is none a test is skipped, but not where all tests have to run."""
    path = shutil.which("chromium")
    if path is None:
        missing = "needs Chromium: apt-get install chromium"
        pytest.fail(missing) if "CI" in os.environ else pytest.skip(missing)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path)
        yield browser
        browser.close()


@pytest.fixture
def cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder of the test's own."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("METALEARN_DATA", str(folder))
    return folder


@pytest.fixture
def pool() -> Pool:
    """12 classes in 4 groups, 20 examples each; the pixels of an example tell its class and number."""
    return numbered_pool(n_classes=12, n_examples=20, n_groups=4)


def numbered_pool(n_classes: int, n_examples: int, n_groups: int = 1, size: int = 16) -> Pool:
    """Noise, with its class in the first pixel and its number within the class in the second."""
    shape = (n_classes, n_examples, 1, size, size)
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    images[:, :, 0, 0, 0] = np.arange(n_classes)[:, None]
    images[:, :, 0, 0, 1] = np.arange(n_examples)
    labels = np.arange(n_classes).repeat(n_examples)
    names = [f"class {c}" for c in range(n_classes)]
    groups = [f"group {c % n_groups}" for c in range(n_classes)]
    return Pool(images.reshape(-1, 1, size, size), labels, names, groups)
