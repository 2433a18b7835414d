"""What the tests of the proof share: a way to a layer by name, and runs of untrained models of every kind."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from convscope.models import build_model
from convscope.numpy_nn import Layer
from convscope.proof.backward import leaves
from convscope.runs import Run

SHAPE = (3, 18, 21)


@pytest.fixture
def find() -> Callable[[Layer, str], Layer]:
    """The layer of a NumPy network by its PyTorch name."""
    return lambda network, name: next(layer for layer in leaves(network) if layer.name == name)


@pytest.fixture
def untrained(digits_run: Run) -> Callable[..., Run]:
    """A run of the named model on colour pictures `SHAPE`, 6 classes, its BatchNorms with statistics to speak of."""

    def make(name: str, **options: object) -> Run:
        torch.manual_seed(0)
        model = build_model(name, SHAPE, 6, **options).eval()
        for key, value in [*model.named_parameters(), *model.named_buffers()]:
            if value.ndim == 1 and value.is_floating_point():
                low = 0.5 if key.endswith(("var", "norm.weight")) else -0.2
                value.data.uniform_(low, low + 0.4)
        checkpoint = digits_run.checkpoint | {"mean": [0.4, 0.5, 0.6], "std": [0.2, 0.3, 0.25]}
        return Run(Path("nowhere"), checkpoint, model)

    return make


@pytest.fixture
def pictures() -> Callable[[int], tuple[np.ndarray, np.ndarray]]:
    """So many random pictures of `SHAPE` and their labels, seed 0."""

    def make(count: int) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(0)
        return rng.integers(0, 256, (count, *SHAPE)).astype(np.uint8), rng.integers(0, 6, count)

    return make
