"""Real data sets for the tests: from the folder in CONVSCOPE_DATA, each read once; without it such tests skip."""

import os
from pathlib import Path

import pytest

from convscope.data import ImageSet, load


@pytest.fixture(scope="session")
def data_folder() -> Path:
    named = os.environ.get("CONVSCOPE_DATA")
    if not named:
        pytest.skip("needs the real CIFAR-10 and MNIST: point CONVSCOPE_DATA at the folder that has them")
    return Path(named)


@pytest.fixture(scope="session")
def cifar10(data_folder: Path) -> tuple[ImageSet, ImageSet]:
    return load("cifar10", data_folder)


@pytest.fixture(scope="session")
def mnist(data_folder: Path) -> tuple[ImageSet, ImageSet]:
    return load("mnist", data_folder)
