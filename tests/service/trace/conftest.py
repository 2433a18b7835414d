"""What the tests of the trace share: runs of untrained models of every kind, a server of them, and an oracle."""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch

from convscope.models import build_model
from convscope.runs import Run
from convscope.service.models import Models, Served
from convscope.service.settings import Settings
from convscope.service.trace.desk import Desk
from convscope.service.trace.tracer import Tracer
from tests.service.conftest import Here

SHAPE = (3, 18, 21)
CLASSES = ("a", "b", "é c", "d", "e", "f")
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "lenet5": ("lenet5", {}),
    "simple-cnn": ("simple-cnn", {"initial_channels": 5, "hidden": 7}),
    "deep-cnn": ("deep-cnn", {"initial_channels": 4, "hidden": 9}),
    "tiny-resnet": ("tiny-resnet", {"base_channels": 4}),
    "gelu, stem pool": ("tiny-resnet", {"base_channels": 4, "activation": "gelu", "stem_pool": 2, "head_pool": "max"}),
    "no skip": ("tiny-resnet", {"base_channels": 4, "skip": False}),
    "fast": ("tiny-resnet", {"base_channels": 4, "widen1": 2, "stem": "whitening", "stem_convs": 2, "stem_pool": 2}
             | {"groups": "pooled", "head_pool": "max", "activation": "gelu"}),
    "fast, no skip": ("tiny-resnet", {"base_channels": 4, "groups": "pooled", "skip": False}),
}  # fmt: skip


@pytest.fixture(scope="session")
def untrained(digits_run: Run) -> Callable[..., Run]:
    """A run of the named model on colour pictures `SHAPE`, 6 classes, its BatchNorms with statistics to speak of."""

    def make(name: str, **options: object) -> Run:
        torch.manual_seed(0)
        return run_of(digits_run, build_model(name, SHAPE, len(CLASSES), **options))

    return make


@pytest.fixture(scope="session")
def wrap(digits_run: Run) -> Callable[[torch.nn.Module], Run]:
    """A run of any module that takes pictures `SHAPE`."""
    return lambda model: run_of(digits_run, model)


def run_of(digits_run: Run, model: torch.nn.Module) -> Run:
    for key, value in [*model.named_parameters(), *model.named_buffers()]:
        if value.ndim == 1 and value.is_floating_point():
            low = 0.5 if re.search(r"var$|norm\d*\.weight$", key) else -0.2
            value.data.uniform_(low, low + 0.4)
    changed = {"mean": [0.4, 0.5, 0.6], "std": [0.2, 0.3, 0.25], "classes": list(CLASSES), "input_shape": list(SHAPE)}
    picture = {"size": SHAPE[1:], "mode": "RGB", "crop": "resize"}
    return Run(Path("nowhere"), digits_run.checkpoint | changed | {"picture": picture}, model.eval())


@pytest.fixture(scope="session")
def tracer_of() -> Callable[[Run], Tracer]:
    """A tracer of a run, of an application of its own."""
    return lambda run: Desk().tracer(Served("model", "0" * 64, run))


@pytest.fixture(scope="session", params=VARIANTS)
def variant(
    request: pytest.FixtureRequest, untrained: Callable[..., Run], tracer_of: Callable[[Run], Tracer]
) -> Tracer:
    """A tracer of each kind of model."""
    name, options = VARIANTS[request.param]
    return tracer_of(untrained(name, **options))


@pytest.fixture(scope="session")
def serve() -> Callable[..., AbstractContextManager[httpx.Client]]:
    """A client of a server that serves these runs, by name."""

    @contextmanager
    def running(**runs: Run) -> Iterator[httpx.Client]:
        models = Models([Served(name, f"{n:064x}", run) for n, (name, run) in enumerate(runs.items())])
        with Here(Settings(), models) as here:
            here.client.base_url = here.client.base_url.join("/v1/trace")
            yield here.client

    return running


@pytest.fixture(scope="module")
def client(
    serve: Callable[..., AbstractContextManager[httpx.Client]], digits_run: Run, untrained: Callable[..., Run]
) -> Iterator[httpx.Client]:
    """A client of a server with a trained network of digits and an untrained one of colour pictures."""
    with serve(digits=digits_run, colour=untrained("tiny-resnet", base_channels=4)) as client:
        yield client


@pytest.fixture(scope="session")
def raw() -> Callable[[httpx.Response], np.ndarray]:
    """The array that an answer carries."""

    def read(response: httpx.Response) -> np.ndarray:
        assert response.status_code == 200, response.text
        assert response.headers["content-type"] == "application/octet-stream"
        shape = [int(n) for n in response.headers["x-shape"].split(",")]
        return np.frombuffer(response.content, "<f4").reshape(shape)

    return read


@pytest.fixture(scope="session")
def recompute() -> Callable[..., tuple[np.ndarray, np.ndarray]]:
    """A node's output from the JSON that the API has of it, its inputs and its tensors, by plain NumPy in float64.

    Gives the value and the bound on what float32 may differ by: γ_n Σ|terms| for a sum of n terms (Higham 2002, §3.1).
    """
    return compute


U = 2.0**-24


def compute(
    node: Mapping[str, Any], inputs: Sequence[np.ndarray], tensors: Mapping[str, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    settings, kind = node["settings"], node["kind"]
    x, *others = [array.astype(np.float64) for array in inputs]
    weight, bias = (tensors[k].astype(np.float64) if k in tensors else None for k in ("weight", "bias"))
    offset = 0.0 if bias is None else bias
    match kind:
        case "conv":
            shift = offset if bias is None else offset[:, None, None]
            terms = weight[0].size + 1
            return conv(x, weight, settings, node["shape"]) + shift, gamma(terms) * (
                conv(abs(x), abs(weight), settings, node["shape"]) + abs(shift)
            )
        case "linear":
            return weight @ x + offset, gamma(x.size + 1) * (abs(weight) @ abs(x) + abs(offset))
        case "batchnorm":
            mean, var = (tensors[k].astype(np.float64)[:, None, None] for k in ("running_mean", "running_var"))
            scale = weight[:, None, None] / np.sqrt(var + settings["eps"])
            shift = bias[:, None, None]
            return (x - mean) * scale + shift, 8 * U * (abs(x * scale) + abs(mean * scale) + abs(shift))
        case "activation":
            from scipy.special import erf

            functions = {
                "relu": lambda z: np.maximum(z, 0),
                "tanh": np.tanh,
                "gelu": lambda z: z * (1 + erf(z / 2**0.5)) / 2,
            }
            return functions[settings["function"]](x), 8 * U * abs(x)
        case "maxpool":
            return pool(x, settings, node["shape"], -np.inf, lambda w: w.max()), np.zeros(node["shape"])
        case "avgpool":
            assert settings["count_include_pad"]
            assert not settings["ceil_mode"]
            size = int(np.prod(settings["kernel_size"]))
            bound = pool(abs(x), settings, node["shape"], 0.0, lambda w: gamma(size + 1) * w.sum() / size)
            return pool(x, settings, node["shape"], 0.0, lambda w: w.sum() / size), bound
        case "globalmax":
            return x.max(axis=(1, 2), keepdims=True), np.zeros(node["shape"])
        case "globalavg":
            n = x[0].size
            return x.mean(axis=(1, 2), keepdims=True), gamma(n + 1) * abs(x).mean(axis=(1, 2), keepdims=True)
        case "add":
            return x + others[0], U * abs(x + others[0])
        case "flatten":
            return x.reshape(node["shape"]), np.zeros(node["shape"])
        case "dropout":
            return x, np.zeros(node["shape"])
    raise AssertionError(f"no oracle for {json.dumps(node)}")


def gamma(n: int) -> float:
    return n * U / (1 - n * U)


def conv(x: np.ndarray, weight: np.ndarray, settings: Mapping[str, Any], shape: Sequence[int]) -> np.ndarray:
    """Every output one by one: a kernel times the patch that it meets."""
    (top, left), (down, right), (dy, dx) = settings["padding"], settings["stride"], settings["dilation"]
    out, groups = np.empty(shape), settings["groups"]
    _, channels, kh, kw = weight.shape
    padded = np.pad(x, ((0, 0), (top, top + dy * kh), (left, left + dx * kw)))
    for o, i, j in np.ndindex(*shape):
        first = o // (shape[0] // groups) * channels
        rows = slice(i * down, i * down + dy * kh, dy)
        patch = padded[first : first + channels, rows, j * right : j * right + dx * kw : dx]
        out[o, i, j] = (patch * weight[o]).sum()
    return out


def pool(
    x: np.ndarray, settings: Mapping[str, Any], shape: Sequence[int], fill: float, of: Callable[[np.ndarray], float]
) -> np.ndarray:
    (kh, kw), (down, right), (top, left) = (settings[k] for k in ("kernel_size", "stride", "padding"))
    padded = np.pad(x, ((0, 0), (top, top), (left, left)), constant_values=fill)
    out = np.empty(shape)
    for c, i, j in np.ndindex(*shape):
        out[c, i, j] = of(padded[c, i * down : i * down + kh, j * right : j * right + kw])
    return out
