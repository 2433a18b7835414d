"""Rates of the machine: operations are those of the loops, rates are operations over seconds."""

import itertools

import pytest
import torch

from benchmarks import machine_rates
from benchmarks.machine_rates import Sizes
from benchmarks.timing import races

SMALL = Sizes(matrix=6, batch=2, channels=3, kernels=5, size=4)


def test_operations_are_those_of_the_loops():
    product = sum(2 for _ in itertools.product(range(6), repeat=3))
    convolution = sum(2 for _ in itertools.product(range(2), range(5), range(4 * 4), range(3), range(3 * 3)))
    expected = {"matrix product": product, "convolution forward": convolution, "convolution backward": 2 * convolution}
    assert SMALL.operations() == expected


def test_rates_are_operations_over_seconds_by_precision():
    seconds = {f"{name}, float32": {"float32": 2.0} for name in SMALL.operations()}
    seconds |= {f"{name}, bfloat16": {"bfloat16": 0.5} for name in SMALL.operations()}
    rates = machine_rates.gigaflops(SMALL, seconds)
    for name, count in SMALL.operations().items():
        assert rates[name] == {"float32": pytest.approx(count / 2e9), "bfloat16": pytest.approx(count / 0.5e9)}


def test_every_contest_computes_in_its_own_precision_with_channels_last():
    contests = machine_rates.contests(SMALL)
    assert len(contests) == 6
    for name, ways in contests.items():
        ((precision, lay_out),) = ways.items()
        assert name.endswith(precision)
        outputs = lay_out()()
        tensors = outputs if isinstance(outputs, tuple) else (outputs,)
        assert all(tensor.dtype == getattr(torch, precision) for tensor in tensors)
        if name.startswith("convolution"):
            shapes = [(2, 5, 4, 4)] if "forward" in name else [(2, 3, 4, 4), (5, 3, 3, 3)]
            assert [tuple(tensor.shape) for tensor in tensors] == shapes
            assert all(tensor.is_contiguous(memory_format=torch.channels_last) for tensor in tensors)


def test_a_real_product_runs_at_the_rate_of_a_machine():
    sizes = Sizes(matrix=256, batch=2)
    rates = machine_rates.gigaflops(sizes, races(machine_rates.contests(sizes), rounds=1))
    assert all(0.05 < rate < 1e5 for of in rates.values() for rate in of.values())
