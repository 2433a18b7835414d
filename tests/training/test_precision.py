"""In which numbers a step computes: each way against what it should give, and the choice against what was timed."""

import json
import time
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from convscope import train
from convscope.config import TrainConfig
from convscope.data import Batches, ImageSet
from convscope.training import Arithmetic, Epoch, TrainState, fit
from convscope.training.choose import choose
from convscope.training.precision import Precision
from convscope.training.torch_engine import TorchEngine


def make_batches() -> Batches:
    rng = np.random.default_rng(0)
    pictures = ImageSet(rng.integers(0, 256, (24, 3, 9, 7)).astype(np.uint8), rng.integers(0, 4, 24), tuple("abcd"))
    return Batches(pictures, pictures.subset(8, 0), mean=(0.5,) * 3, std=(0.3,) * 3, batch_size=12, seed=0)


def make_model() -> nn.Module:
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, stride=2), nn.Flatten()
    return nn.Sequential(*layers, nn.Linear(8 * 3 * 2, 4))


def trained(arithmetic: Arithmetic, epochs: int = 2, lr: float = 0.05) -> tuple[TrainState, list[Epoch]]:
    config = TrainConfig(epochs=epochs, batch_size=12, lr=lr)
    state = TrainState(make_model(), config, (3, 9, 7), 4, arithmetic)
    return state, [record for record in fit(state, make_batches()) if isinstance(record, Epoch)]


def weights(state: TrainState) -> torch.Tensor:
    return torch.cat([p.detach().double().flatten() for p in state.model.parameters()])


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize(
    ("precision", "least", "most"), [("float32", 1e-9, 1e-5), ("bfloat16", 1e-4, 0.1), ("float16", 1e-5, 0.03)]
)
def test_every_precision_learns_the_same_to_its_own_rounding(
    precision: Precision, least: float, most: float, channels_last: bool
) -> None:
    exact, exact_rows = trained(Arithmetic("float64"))
    state, rows = trained(Arithmetic(precision, channels_last))
    moved = (weights(exact) - torch.cat([p.detach().double().flatten() for p in make_model().parameters()])).norm()
    off = float((weights(state) - weights(exact)).norm() / moved)
    assert least < off < most  # a precision that was ignored would be too good
    assert rows[-1].train_loss == pytest.approx(exact_rows[-1].train_loss, rel=max(most, 1e-5))
    assert {p.dtype for p in state.model.parameters()} == {torch.float32}  # what is kept stays whole
    remembered = [value for of_one in state.engine.optimizer.state.values() for value in of_one.values()]
    assert {value.dtype for value in remembered} == {torch.float32}


def test_float64_is_all_through_and_the_same_in_both_layouts() -> None:
    first, last = trained(Arithmetic("float64"))[0], trained(Arithmetic("float64", channels_last=True))[0]
    assert {p.dtype for p in first.model.parameters()} == {torch.float64}
    assert (weights(first) - weights(last)).abs().max() < 1e-12


def test_channels_last_reaches_kernels_and_pictures() -> None:
    seen: list[bool] = []
    model = make_model()
    model[0].register_forward_pre_hook(
        lambda _, args: seen.append(args[0].is_contiguous(memory_format=torch.channels_last))
    )
    state = TrainState(model, TrainConfig(), (3, 9, 7), 4, Arithmetic(channels_last=True))
    images, labels = next(make_batches().train(0))
    state.engine.step(images, labels, 0.1, 0)
    assert seen == [True]
    assert state.model[3].weight.is_contiguous(memory_format=torch.channels_last)


def test_validation_is_in_the_precision_of_the_weights() -> None:
    """What validation says is what the saved network gives, which is float32."""
    state, rows = trained(Arithmetic("bfloat16", channels_last=True))
    (images, labels), *_ = make_batches().val()
    with torch.no_grad():
        loss = F.cross_entropy(state.model.eval()(images), labels)
    assert rows[-1].val_loss == pytest.approx(loss.item(), rel=1e-6)


def test_float16_scales_the_loss_so_that_small_gradients_survive() -> None:
    def gradient(arithmetic: Arithmetic) -> torch.Tensor:
        model = make_model()
        with torch.no_grad():
            model[-1].weight.mul_(1e-3)  # float16 holds these weights well, but not what flows back through both:
            model[3].weight.mul_(1e-2)  # its smallest number is 6e-8
        state = TrainState(model, TrainConfig(momentum=0, weight_decay=0), (3, 9, 7), 4, arithmetic)
        images, labels = next(make_batches().train(0))
        state.engine.step(images, labels, 1.0, 0)
        return model[0].weight.grad.double()

    exact, found = gradient(Arithmetic("float32")), gradient(Arithmetic("float16"))
    assert 0 < exact.norm() < 1e-5
    assert (found - exact).norm() / exact.norm() < 0.05


def test_going_on_takes_the_loss_scale_along() -> None:
    state, _ = trained(Arithmetic("float16"), epochs=1)
    state.engine.scaler.update(123.0)
    again = TrainState(make_model(), state.config, (3, 9, 7), 4, Arithmetic("float16"))
    again.load_state_dict(state.state_dict())
    assert again.engine.scaler.get_scale() == 123.0


class Slow(nn.Module):
    """The identity, slow unless all of `wanted` hold; where only the threads do, it takes a third of that."""

    def __init__(self, **wanted: Any) -> None:
        super().__init__()
        self.wanted = wanted
        self.calls = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        now = {
            "half": torch.is_autocast_enabled("cpu"),
            "channels_last": x.is_contiguous(memory_format=torch.channels_last),
            "threads": torch.get_num_threads(),
        }
        missed = {name for name, value in self.wanted.items() if now[name] != value}
        if missed:
            time.sleep(0.09 if "threads" in missed or "threads" not in self.wanted else 0.03)
        return x


def chosen(slow: Slow, **asked: Any) -> tuple[Arithmetic, dict[str, dict[str, float]]]:
    """What `choose` makes of a model with `slow` in it; it must leave everything as it was."""
    model = nn.Sequential(slow, nn.Flatten(), nn.Linear(3 * 9 * 7, 4))  # so small that only `slow` takes time
    threads, random = torch.get_num_threads(), torch.get_rng_state()
    kept = [p.detach().clone() for p in model.parameters()]
    found = choose(TrainConfig(**asked), "cpu", model, lambda: next(make_batches().train(0)))
    assert slow.calls == 0  # copies were trained
    assert all(torch.equal(a, b) for a, b in zip(kept, model.parameters(), strict=True))
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), random)
    return found


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("channels_last", [False, True])
def test_auto_chooses_the_precision_and_layout_that_were_fastest(half: bool, channels_last: bool) -> None:
    way, seconds = chosen(
        Slow(half=half, channels_last=channels_last), precision="auto", channels_last="auto", threads=1
    )
    assert way == Arithmetic("bfloat16" if half else "float32", channels_last, 1)
    assert {what: len(measured) for what, measured in seconds.items()} == {"precision and layout": 4}


@pytest.mark.parametrize("count", [1, 2, 3])
def test_auto_chooses_the_threads_that_were_fastest(count: int) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        way, seconds = chosen(Slow(threads=count), threads="auto")
    finally:
        torch.set_num_threads(before)
    assert way == Arithmetic(threads=count)
    assert list(seconds) == ["threads"]
    assert [name.rpartition(", ")[2] for name in seconds["threads"]] == ["3 threads", "2 threads", "1 threads"]


def test_precision_and_layout_are_compared_on_the_threads_that_were_chosen() -> None:
    """As on a busy machine: on all threads nothing but their number shows, on one bfloat16 is three times as fast."""
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        way, seconds = chosen(Slow(threads=1, half=True), threads="auto", precision="auto")
    finally:
        torch.set_num_threads(before)
    assert way == Arithmetic("bfloat16", False, 1)
    assert {name.partition(", c")[0] for name in seconds["threads"]} == {"float32"}
    assert {name.rpartition(", ")[2] for name in seconds["precision and layout"]} == {"1 threads"}
    fastest = min(seconds["precision and layout"], key=seconds["precision and layout"].__getitem__)
    assert fastest.startswith("bfloat16")


@pytest.mark.parametrize(("kernels", "candidates"), [(15, 2), (16, 4)])
def test_narrow_convolutions_stay_channels_first(kernels: int, candidates: int) -> None:
    """With fewer kernels, PyTorch's channels-last backward pass corrupts memory: see `choose._narrow`."""
    model = nn.Sequential(nn.Conv2d(3, kernels, 3), nn.Flatten(), nn.LazyLinear(4))
    batch = next(make_batches().train(0))
    model(batch[0])
    config = TrainConfig(precision="auto", channels_last="auto", threads=1)
    way, seconds = choose(config, "cpu", model, lambda: batch)
    assert len(seconds["precision and layout"]) == candidates
    assert candidates == 4 or not way.channels_last


def test_of_a_large_batch_a_part_is_timed_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy moment must not decide, as it did when one step of 2,000 pictures was all that the time allowed."""
    sizes = []
    step = TorchEngine.step

    def counted(engine: TorchEngine, images: torch.Tensor, labels: torch.Tensor, **rest: Any) -> Any:
        sizes.append((len(images), len(labels)))
        return step(engine, images, labels, **rest)

    monkeypatch.setattr(TorchEngine, "step", counted)
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 4))
    batch = torch.randn(1000, 3, 2, 2), torch.arange(1000) % 4
    choose(TrainConfig(precision="auto", threads=1), "cpu", model, lambda: batch)
    assert sizes == 2 * 6 * [(256, 256)]


def test_nothing_is_measured_where_nothing_is_open() -> None:
    config = TrainConfig(precision="bfloat16", channels_last=True, threads=2)

    def never() -> tuple[torch.Tensor, torch.Tensor]:
        raise AssertionError("no batch is needed")

    assert choose(config, "cpu", make_model(), never) == (Arithmetic("bfloat16", True, 2), {})


def test_the_choice_and_its_timings_are_on_record(tmp_path: Path) -> None:
    open_ = {"train__precision": "auto", "train__channels_last": "auto", "train__threads": "auto"}
    small = {"train__epochs": 1, "model__base_channels": 16, "data__subset": 100}
    run = train("digits", out=tmp_path / "run", **open_, **small)
    environment = json.loads((run.path / "environment.json").read_text())
    arithmetic = Arithmetic(**environment["arithmetic"])
    assert arithmetic.precision in get_args(Precision)
    assert environment["threads"] == arithmetic.threads
    assert {f"{p}, channels {c}" for p in ("float32", "bfloat16") for c in ("first", "last")} == {
        name.rpartition(",")[0] for name in environment["step_seconds"]["precision and layout"]
    }
    measured = {name: value for group in environment["step_seconds"].values() for name, value in group.items()}
    assert str(arithmetic) in measured
    assert all(seconds > 0 for seconds in measured.values())
