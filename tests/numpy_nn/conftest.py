"""What the tests of the NumPy layers share: how close is close, and a layer held against its PyTorch twin."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from convscope.numpy_nn import Layer

TOLERANCE = {np.dtype(np.float64): 1e-10, np.dtype(np.float32): 1e-4}
Close = Callable[..., None]
Parity = Callable[..., None]


def _assert_close(mine: np.ndarray, theirs: "torch.Tensor | np.ndarray | None", what: str, floor: float = 0.1) -> None:
    """Same shape and dtype, and apart by no more than the dtype's tolerance times the largest reference value.

    Where that is below `floor`, the floor counts: a sum of many numbers of size 1 may cancel to next to nothing.
    """
    assert theirs is not None, f"PyTorch gave no {what}"
    reference = theirs.detach().numpy() if isinstance(theirs, torch.Tensor) else theirs
    assert mine.shape == reference.shape, what
    assert mine.dtype == reference.dtype, what
    assert np.array_equal(np.isnan(mine), np.isnan(reference)), what
    finite = np.isfinite(reference)
    assert np.array_equal(mine[~finite], reference[~finite], equal_nan=True), what
    allowed = TOLERANCE[mine.dtype] * np.abs(reference[finite]).max(initial=floor)
    apart = np.abs(mine[finite] - reference[finite]).max(initial=0.0)
    assert apart <= allowed, f"{what}: {apart:.3g} apart, allowed {allowed:.3g}"


def _parity(layer: Layer, twin: nn.Module, x: np.ndarray, rng: np.random.Generator, floor: float = 0.1) -> None:
    """Random parameters and a random upstream gradient into both; value and every gradient must agree."""
    twin = twin.to(torch.from_numpy(x).dtype).train(layer.training)
    twin.zero_grad()
    assert set(layer.params) == {name for name, _ in twin.named_parameters()}
    for name, array in layer.params.items():
        layer.params[name] = rng.standard_normal(array.shape)
    state = {name: torch.from_numpy(array) for name, array in layer.params.items()}
    twin.load_state_dict(state, strict=False)  # BatchNorm's buffers keep their start

    theirs = torch.tensor(x, requires_grad=True)
    output = twin(theirs)
    y = layer(x)
    _assert_close(y, output, "output", floor)
    dy = rng.standard_normal(y.shape).astype(x.dtype)
    output.backward(torch.from_numpy(dy))
    _assert_close(layer.backward(dy), theirs.grad, "gradient of the input", floor)
    for name, parameter in twin.named_parameters():
        _assert_close(layer.grads[name], parameter.grad, f"gradient of {name}", floor)


@pytest.fixture(scope="session")
def assert_close() -> Close:
    return _assert_close


@pytest.fixture(scope="session")
def parity() -> Parity:
    return _parity


@pytest.fixture(params=[np.float64, np.float32], ids=["float64", "float32"], scope="session")
def dtype(request: pytest.FixtureRequest) -> type[np.floating]:
    return request.param
