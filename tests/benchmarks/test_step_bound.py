"""The bound of a step: which convolutions a real step calls, what each owes, and how the figures are put together."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import product
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks import step_bound
from benchmarks.step_bound import Convolution, Stage
from benchmarks.timing import races
from convscope.config import load_config
from convscope.data.batches import Batches
from convscope.errors import UsageError
from convscope.training.job import Job, prepare

MakeJob = Callable[..., Job]


@pytest.fixture
def make_job() -> MakeJob:
    """The digits recipe ready to fit, small, with settings changed."""

    def make(*settings: str) -> Job:
        small = [] if "model.name=simple-cnn" in settings else ["model.base_channels=6"]
        return prepare(load_config("digits", [*small, "train.batch_size=50", "train.epochs=3", *settings]))

    return make


class Growing(Batches):
    """Pictures of 6×5 in the first two epochs, then whole ones."""

    def train(self, epoch: int, start: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        for images, labels in super().train(epoch, start):
            yield (images[:, :, :6, :5] if epoch < 2 else images), labels


def growing(job: Job) -> Job:
    options = {"mean": job.batches.mean, "std": job.batches.std, "batch_size": job.batches.batch_size, "seed": 0}
    return replace(job, batches=Growing(job.training, **options))


def test_the_convolutions_of_a_step_are_those_of_the_network(make_job: MakeJob):
    (stage,) = step_bound.stages(make_job())
    assert (stage.batch, stage.epoch) == ((50, 1, 8, 8), 0)
    both, plain = ("input", "weight"), ((1, 1), (1, 1), 1, 1)
    expected = {
        Convolution((50, 1, 8, 8), (6, 1, 3, 3), plain, False, ("weight",)): 1,  # pictures need no gradient
        Convolution((50, 6, 8, 8), (6, 6, 3, 3), plain, False, both): 4,
        Convolution((50, 6, 8, 8), (12, 6, 3, 3), ((2, 2), (1, 1), 1, 1), False, both): 1,
        Convolution((50, 12, 4, 4), (12, 12, 3, 3), plain, False, both): 3,
        Convolution((50, 6, 8, 8), (12, 6, 1, 1), ((2, 2), (0, 0), 1, 1), False, both): 1,
    }
    assert stage.convolutions == expected


def test_behind_a_frozen_layer_no_gradient_of_the_input_is_owed(make_job: MakeJob):
    job = make_job()
    job.state.model.get_submodule("stem.conv").requires_grad_(False)
    job.state.model.get_submodule("stem.norm").requires_grad_(False)
    first, second, third, *_ = step_bound.convolutions(job, next(job.batches.train(0))[0])
    assert [of.gradients for of in (first, second, third)] == [(), ("weight",), ("input", "weight")]


def test_a_bias_is_owed_its_gradient_too_and_hooks_are_gone(make_job: MakeJob):
    job = make_job("model.name=simple-cnn")
    images = next(job.batches.train(0))[0]
    found = step_bound.convolutions(job, images)
    assert all(of.bias and of.gradients[-1] == "bias" for of in found)
    assert len(found) >= 2
    assert not any(module._forward_hooks for module in job.state.model.modules())


def test_each_shape_of_batch_is_a_stage_once(make_job: MakeJob):
    job = growing(make_job())
    small, whole = step_bound.stages(job)
    assert (small.batch, small.epoch) == ((50, 1, 6, 5), 0)
    assert (whole.batch, whole.epoch) == ((50, 1, 8, 8), 2)
    assert {of.input[2:] for of in small.convolutions} == {(6, 5), (3, 3)}
    assert str(small) == "50 pictures of 6×5"
    assert step_bound.full_size([whole, small]) is step_bound.full_size([small, whole]) is whole


@pytest.mark.parametrize("gradients", [(), ("weight",), ("input", "weight", "bias")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_is_timed_gives_just_the_gradients_that_are_owed(dtype: torch.dtype, gradients: tuple[str, ...]):
    shapes = {"input": (3, 4, 7, 5), "weight": (6, 4, 3, 2), "bias": (6,)}
    convolution = Convolution(shapes["input"], shapes["weight"], ((2, 1), (1, 0), 1, 1), True, gradients)
    for layout in (torch.contiguous_format, torch.channels_last):
        found = convolution.lay_out(dtype, layout)()
        if not gradients:
            assert not found.requires_grad
            found, expected = (found,), [(3, 6, 4, 4)]
        else:
            expected = [shapes[name] for name in gradients]
        assert [tuple(of.shape) for of in found] == expected
        assert all(of.dtype == dtype and of.abs().sum() > 0 for of in found)
        pictures = found[0] if found[0].ndim == 4 else None
        assert pictures is None or pictures.is_contiguous(memory_format=layout)


def test_operations_are_those_of_the_passes():
    taps = sum(2 for _ in product(range(3), range(6), range(4 * 4), range(4 // 2), range(3 * 2)))
    settings = ((2, 1), (1, 0), 1, 2)  # two groups
    for gradients, passes in ((), 1), (("weight",), 2), (("weight", "bias"), 2), (("input", "weight"), 3):
        convolution = Convolution((3, 4, 7, 5), (6, 2, 3, 2), settings, False, gradients)
        assert convolution.operations() == passes * taps


def test_only_the_ways_that_the_recipe_may_use_compete():
    def names(*settings: str) -> list[str]:
        return list(step_bound.ways(load_config("digits", settings).train))

    assert names() == ["float32, channels first"]
    assert names("train.precision=bfloat16", "train.channels_last=true") == ["bfloat16, channels last"]
    assert len(names("train.precision=auto", "train.channels_last=auto")) == 4
    assert step_bound.ways(load_config("digits", ["train.precision=bfloat16"]).train) == {
        "bfloat16, channels first": (torch.bfloat16, torch.contiguous_format)
    }


def test_the_bound_adds_the_fastest_of_each_layer_as_often_as_it_comes(make_job: MakeJob):
    job = make_job()
    steps = job.batches.steps_per_epoch
    one = Convolution((2, 3, 4, 5), (6, 3, 3, 3), (1, 1, 1, 1), False, ("weight",))
    two = replace(one, gradients=("input", "weight"))
    stage = Stage((2, 3, 4, 5), 0, Counter({one: 1, two: 4}))
    seconds = {
        f"{stage}, convolution 0": {"a": 0.5, "b": 0.3},
        f"{stage}, convolution 1": {"a": 0.2, "b": 0.9},
        f"{stage}, step": {"step": 2.2},
        f"{stage}, batch": {"batch": 0.1},
        f"{stage}, first batch": {"first batch": 0.1 + 0.7 * steps},
    }
    (row,) = step_bound.results(job, [stage], seconds)
    assert row["bound"] == pytest.approx(0.3 + 4 * 0.2)
    assert row["over_bound"] == pytest.approx(2.0)
    assert row["making"] == pytest.approx(0.8)
    assert row["share"] == pytest.approx(0.8 / 3.0)
    assert [layer["count"] for layer in row["layers"]] == [1, 4]
    assert row["layers"][1]["operations"] == two.operations()
    seconds[f"{stage}, first batch"]["first batch"] = 0.05  # by chance
    assert step_bound.setting_up(job, stage, seconds) == 0


def test_real_steps_are_timed_and_leave_the_weights_alone(make_job: MakeJob):
    job = growing(make_job("train.precision=bfloat16"))
    before = {name: value.clone() for name, value in job.state.model.named_parameters()}
    found = step_bound.stages(job)
    small, whole = step_bound.results(job, found, races(step_bound.contests(job, found), rounds=1))
    assert all(torch.equal(value, before[name]) for name, value in job.state.model.named_parameters())
    for row in (small, whole):
        assert 0 < row["bound"] < 10 * row["step"]
        assert 0 < row["share"] < 1
    assert small["layers"][0]["operations"] * 64 == whole["layers"][0]["operations"] * 30


def test_the_timed_step_and_batches_are_of_their_own_epoch(make_job: MakeJob):
    job = growing(make_job())
    made = step_bound.contests(job, step_bound.stages(job))
    for size in ((6, 5), (8, 8)):
        name = f"50 pictures of {size[0]}×{size[1]}"
        first, later = (made[f"{name}, {of}"][of]() for of in ("first batch", "batch"))
        assert first()[0].shape[2:] == later()[0].shape[2:] == size
        assert torch.equal(first()[0], first()[0])
        assert not torch.equal(later()[0], later()[0])
        seen: list[Any] = []
        hook = job.state.model.register_forward_pre_hook(lambda _, inputs, seen=seen: seen.append(inputs[0].shape[2:]))
        made[f"{name}, step"]["step"]()()
        hook.remove()
        assert seen == [size]


def test_an_epoch_of_two_batches_is_too_short(make_job: MakeJob):
    job = make_job("train.batch_size=700")
    made = step_bound.contests(job, step_bound.stages(job))
    with pytest.raises(UsageError, match=r"^an epoch has 2 batches, this takes 3; lower train\.batch_size$"):
        made["700 pictures of 8×8, batch"]["batch"]()


def test_numbers_are_neither_zero_nor_all_alike():
    numbers = step_bound._numbers((3, 1000, 1000))
    assert numbers.shape == (3, 1000, 1000)
    assert F.relu(numbers).count_nonzero() > 1e6
    assert numbers[0, :100].unique().numel() > 9e4
