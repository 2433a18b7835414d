"""Layers beside PyTorch's: wrong numbers are found out, and what is timed runs on arrays that no call has seen."""

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks import bench_numpy_nn as bench
from convscope import numpy_nn


@pytest.mark.parametrize("name", bench.LAYERS)
def test_every_layer_agrees_with_pytorchs(name: str):
    ours, theirs = bench.LAYERS[name]
    bench.check(ours(), theirs(), (3, 64, 6, 8), np.random.default_rng(0))


@pytest.mark.parametrize("wrong", ["y", "dx", "dweight", "dbias"])
def test_a_layer_with_other_numbers_is_found_out_by_name(wrong: str):
    class Odd(numpy_nn.BatchNorm2D):
        def __call__(self, x: np.ndarray) -> np.ndarray:
            return off(super().__call__(x), "y")

        def backward(self, dy: np.ndarray) -> np.ndarray:
            dx = super().backward(dy)
            self.grads = {name: off(value, f"d{name}") for name, value in self.grads.items()}
            return off(dx, "dx")

    def off(array: np.ndarray, name: str) -> np.ndarray:
        array = array.copy()
        array.flat[-1] += 1e-3 * abs(array).max() * (name == wrong)
        return array

    with pytest.raises(AssertionError, match=f"(?m)^{wrong}$"):
        bench.check(Odd(5), nn.BatchNorm2d(5), (4, 5, 6, 3), np.random.default_rng(1))


def test_what_is_timed_is_new_in_every_round():
    """All that ours gets, and PyTorch's: no array twice, where one draws in advance the graph to go back through."""
    seen: list[np.ndarray] = []

    class Noting(numpy_nn.ReLU):
        def __call__(self, x: np.ndarray) -> np.ndarray:
            seen.append(x)
            return super().__call__(x)

        def backward(self, dy: np.ndarray) -> np.ndarray:
            seen.append(dy)
            return super().backward(dy)

    module, theirs = nn.ReLU(), []
    module.register_forward_hook(lambda _, inputs, __: theirs.append(inputs[0].detach().numpy()))
    make = bench.sides(Noting(), module, (2, 3, 4, 5), np.random.default_rng(2))
    for _ in range(3):
        before = len(seen)
        calls = make(0)
        assert len(seen) == before
        for call in calls.values():
            call()
    for arrays, count in ((seen, 6), (theirs, 6)):
        assert len({array.tobytes() for array in arrays}) == len(arrays) == count
    (gradient,) = calls["torch backward"]()
    assert torch.equal(gradient, torch.from_numpy(seen[-1] * (theirs[-2] > 0)))
