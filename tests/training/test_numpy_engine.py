"""The NumPy engine against PyTorch's: the same recipe, the same pictures, two implementations, one curve."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from convscope import train
from convscope.config import load_config
from convscope.errors import StoppedError, UsageError
from convscope.numpy_nn.workers import blas_threads
from convscope.train import prepare, resume
from convscope.training import Step, fit
from convscope.verify import verify

FAST = (
    *(
        "train.fixed_norm=true",
        "train.bias_lr=3",
        "train.head_lr=0.1",
        "train.ns_steps=3",
        "data.augment.flip=alternating",
    ),
    *("model.stem=whitening", "model.groups=pooled", "model.head_pool=max", "train.warmup=0"),
)


def losses(recipe: str, engine: str, steps: int, *sets: str) -> np.ndarray:
    """The mean loss of each of the first `steps` steps, in float64."""
    always = ["train.precision=float64", f"train.engine={engine}", "data.val_fraction=0"]
    job = prepare(load_config(recipe, [*always, *sets]))
    curve: list[float] = []
    sums = [0.0]
    for record in fit(job.state, job.batches):
        if isinstance(record, Step):
            if job.state.epoch_step == 1:
                sums = [0.0]
            sums.append(job.state.loss_sum)
            curve.append((sums[-1] - sums[-2]) / record.images)
            if len(curve) == steps:
                break
    return np.array(curve)


@pytest.mark.parametrize(
    ("recipe", "sets"),
    [
        ("digits", ()),
        pytest.param("digits", ("train.optimizer=adam", "train.lr=0.01"), marks=pytest.mark.slow),
        ("digits", ("train.optimizer=adamw", "train.lr=0.01", "train.weight_decay=0.1", "model.name=simple-cnn")),
        ("digits", ("train.optimizer=muon", "train.lr=0.05")),
        ("digits", ("train.optimizer=muon", "train.lr=0.2", "train.bias_decay=true", *FAST)),
        ("digits", ("train.sizes=[4, 6, 8]", "train.epochs=3")),
        ("digits", ("train.momentum=0", "model.name=deep-cnn", "model.dropout=0")),
        ("synthetic", ("data.size=20", "model.name=lenet5", "train.optimizer=adam", "train.lr=0.003")),
    ],
    ids=["sgd", "adam", "adamw", "muon", "fast", "sizes", "plain-sgd-deep-cnn", "lenet5"],
)
def test_both_engines_follow_one_curve(recipe: str, sets: tuple[str, ...]) -> None:
    steps = 50
    ours, theirs = (losses(recipe, engine, steps, *sets) for engine in ("numpy", "torch"))
    assert len(ours) == len(theirs) == steps
    np.testing.assert_allclose(ours, theirs, rtol=1e-8)
    assert theirs[-5:].mean() < 0.95 * theirs[:5].mean()  # it learns meanwhile


def test_a_whole_run_through_numpy(tmp_path: Path) -> None:
    """Evaluated by PyTorch, from the checkpoint, as every run."""
    small = {"train__epochs": 5, "model__base_channels": 8}
    numpy = train("digits", out=tmp_path / "numpy", train__engine="numpy", **small)
    torch_ = train("digits", out=tmp_path / "torch", **small)
    for ours, theirs in zip(numpy.metrics, torch_.metrics, strict=True):
        assert ours["train_loss"] == pytest.approx(theirs["train_loss"], rel=0.05)
    assert numpy.results["test_accuracy"] == pytest.approx(torch_.results["test_accuracy"], abs=0.05)
    assert numpy.results["test_accuracy"] > 0.6
    assert verify(tmp_path / "numpy").ok  # validation by NumPy, recomputed by PyTorch


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_it_goes_on_bit_for_bit(optimizer: str, tmp_path: Path) -> None:
    small: dict[str, Any] = {"train__epochs": 2, "model__base_channels": 4, "data__subset": 100}
    small |= {"train__engine": "numpy", "train__optimizer": optimizer, "train__lr": 0.01, "model__name": "tiny-resnet"}
    whole = train("digits", out=tmp_path / "whole", **small)
    import signal

    calls = []

    def stop(images: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        if len(calls) == 3:
            signal.raise_signal(signal.SIGTERM)
        return images

    with pytest.raises(StoppedError):
        train("digits", out=tmp_path / "broken", augment=stop, **small)
    run = resume(tmp_path / "broken")
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, run.model.state_dict()[name]), name


def test_dropout_is_drawn_anew_in_each_step_and_the_same_each_time() -> None:
    sets = ("model.name=deep-cnn", "model.dropout=0.5", "train.lr=1e-9", "train.warmup=0", "data.subset=64")
    first, again = (losses("digits", "numpy", 4, *sets) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert len({round(loss, 9) for loss in first}) == 4
    other = losses("digits", "numpy", 4, *sets, "model.dropout=0")
    assert not np.allclose(first, other, rtol=1e-3)


@pytest.mark.parametrize(("key", "value"), [("precision", "bfloat16"), ("channels_last", True), ("device", "cuda")])
def test_what_numpy_cannot_do_is_refused(key: str, value: object) -> None:
    with pytest.raises(UsageError, match=f"engine=numpy .*{key}={value}"):
        load_config("digits", ["train.engine=numpy", f"train.{key}={value}"])


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_are_those_of_the_configuration(threads: int) -> None:
    job = prepare(load_config("digits", ["train.engine=numpy", f"train.threads={threads}"]))
    before = blas_threads()
    with job.state.arithmetic.on_threads():
        assert blas_threads() == threads
    assert blas_threads() == before
