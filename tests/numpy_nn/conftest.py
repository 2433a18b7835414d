"""What the tests of the NumPy layers share: how close is close; a layer, an optimiser held against PyTorch's."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from convscope.numpy_nn import Layer
from convscope.numpy_nn.optimizer import Optimizer

TOLERANCE = {np.dtype(np.float64): 1e-10, np.dtype(np.float32): 1e-4}
SHAPES = {"conv": (4, 3, 2, 5), "norm": (4,), "head": (3, 7)}  # of the parameters that optimisers move
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


def _follows(
    ours: Callable[..., Optimizer],
    theirs: type[torch.optim.Optimizer],
    dtype: type[np.floating],
    weight_decay: float,
    decayed: list[str] | None,
    rtol: float,
    **options: object,
) -> tuple[Optimizer, dict[str, np.ndarray]]:
    """Five steps of both from the same parameters with the same random gradients, under changing learning rates.

    `options` go to PyTorch's optimiser and `ours` takes (params, lr, weight_decay, decayed). Every parameter must agree
    after each step, in place and in its dtype; the gradients must be left alone. Returns ours and its parameters.
    """
    rng = np.random.default_rng(5)
    params = {name: rng.standard_normal(shape).astype(dtype) for name, shape in SHAPES.items()}
    arrays, twins = dict(params), {name: torch.tensor(value, requires_grad=True) for name, value in params.items()}
    mine = ours(params, 1.0, weight_decay, decayed)
    chosen = set(SHAPES if decayed is None else decayed)
    groups = [
        {"params": [twins[n] for n in SHAPES if n in chosen], "weight_decay": weight_decay},
        {"params": [twins[n] for n in SHAPES if n not in chosen], "weight_decay": 0.0},
    ]
    optimizer = theirs([g for g in groups if g["params"]], lr=1.0, **options)
    for lr in (0.3, 0.3, 0.05, 0.0, 0.7):
        grads = {name: rng.standard_normal(shape).astype(dtype) for name, shape in SHAPES.items()}
        kept = {name: value.copy() for name, value in grads.items()}
        mine.lr = lr
        for group in optimizer.param_groups:
            group["lr"] = lr
        for name, value in twins.items():
            value.grad = torch.from_numpy(grads[name].copy())
        mine.step(grads)
        optimizer.step()
        for name, value in twins.items():
            assert np.array_equal(grads[name], kept[name])
            np.testing.assert_allclose(params[name], value.detach().numpy(), rtol=rtol, atol=rtol)
            assert params[name].dtype == dtype
            assert params[name] is arrays[name]
    return mine, params


@pytest.fixture(scope="session")
def follows() -> Callable[..., tuple[Optimizer, dict[str, np.ndarray]]]:
    return _follows


@pytest.fixture(scope="session")
def assert_close() -> Close:
    return _assert_close


@pytest.fixture(scope="session")
def parity() -> Parity:
    return _parity


@pytest.fixture(params=[np.float64, np.float32], ids=["float64", "float32"], scope="session")
def dtype(request: pytest.FixtureRequest) -> type[np.floating]:
    return request.param
