"""Ours beside the plain way: real loops on the digits, and rates of loops that take known times."""

import time
from collections.abc import Iterator

import pytest
import torch

from benchmarks import side_by_side, step_bound
from convscope.config import load_config
from convscope.data.augment import RandomCrop
from convscope.training.job import Job, prepare

# this machine may have one core, on which a DataLoader warns of two workers
pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")


@pytest.fixture
def job() -> Job:
    """The digits recipe ready to fit, small, cropped."""
    return prepare(load_config("digits", ["model.base_channels=4", "train.batch_size=256", "train.epochs=4"]))


def test_our_loop_goes_through_its_epoch_again_and_again(job: Job):
    steps = job.batches.steps_per_epoch
    sizes = [len(labels) for _, labels in job.batches.train(2)]
    loop = side_by_side.own_loop(job, 2)
    before = {name: value.clone() for name, value in job.state.model.named_parameters()}
    assert [next(loop) for _ in range(2 * steps + 1)] == [*sizes, *sizes, sizes[0]]
    assert (job.state.epoch, job.state.epoch_step, job.state.step) == (2, 1, 2 * steps + 1)
    assert not any(torch.equal(value, before[name]) for name, value in job.state.model.named_parameters())


def test_rates_are_medians_of_blocks_without_their_first_step():
    closed: list[str] = []

    def loop(name: str, seconds: list[float], pictures: int) -> Iterator[int]:
        try:
            for of in seconds:
                time.sleep(of)
                yield pictures
        finally:
            closed.append(name)

    blocks = [0.3, 0.02, 0.02, 0.3, 0.1, 0.1, 0.3, 0.05, 0.05]  # of three steps, the first of which does not count
    loops = {"a": loop("a", blocks, 10), "b": loop("b", [0.0, 0.05, 0.05] * 3, 10)}
    rates = side_by_side._take_turns(loops, {"b": 0.15}, steps=2, rounds=3)
    assert rates["a"] == pytest.approx(10 / 0.05, rel=0.3)
    assert rates["b"] == pytest.approx(10 / 0.2, rel=0.3)
    assert set(closed) == {"a", "b"}


def test_ours_is_compared_with_the_faster_plain_loop(job: Job):
    stage = step_bound.full_size(step_bound.stages(job))
    result = side_by_side.loops(job, stage, extra=0.0, steps=1, rounds=2)
    ours, *theirs = result["images_per_second"].values()
    assert list(result["images_per_second"]) == ["convscope", "plain loop, 0 workers", "plain loop, 2 workers"]
    assert result["ratio"] == pytest.approx(ours / max(theirs))
    burdened = side_by_side.loops(job, stage, extra=10.0, steps=1, rounds=1)
    assert burdened["images_per_second"]["convscope"] == pytest.approx(256 / 10, rel=0.1)


def test_augmentation_is_a_picture_each_and_times_that_of_whole_batches(job: Job):
    result = side_by_side.augmentation(job, step_bound.full_size(step_bound.stages(job)), rounds=3)
    each, ratio = result["microseconds"], result["ratio"]
    for kind in ("ready", "transforms"):
        whole, one = each[f"{kind}, whole batches"], each[f"{kind}, one picture at a time"]
        assert ratio[f"{kind}, whole batches"] == 1
        assert ratio[f"{kind}, one picture at a time"] == pytest.approx(one / whole)
        assert one > whole
    assert each["transforms, ours on batches of one"] > each["transforms, whole batches"]
    assert all(0.01 < microseconds < 1e4 for microseconds in each.values())


def test_whole_batches_are_of_a_whole_epoch():
    job = prepare(load_config("digits", ["model.base_channels=4", "train.batch_size=16"]))
    each = side_by_side.augmentation(job, step_bound.full_size(step_bound.stages(job)), rounds=2)["microseconds"]
    started = time.perf_counter()
    count = sum(len(labels) for _, labels in job.batches.train(0))
    alone = 1e6 * (time.perf_counter() - started) / count
    assert alone / 8 < each["ready, whole batches"] < 8 * alone  # by batches it would be 80 times as much


def test_transforms_are_those_of_the_recipe(job: Job):
    assert job.batches.augment is not None
    (crop,) = job.batches.augment.transforms
    assert isinstance(crop, RandomCrop)
    plain = prepare(load_config("digits", ["model.base_channels=4", "data.augment=null"]))
    stage = step_bound.full_size(step_bound.stages(plain))
    assert all(name.startswith("ready") for name in side_by_side.augmentation(plain, stage, rounds=1)["ratio"])
