"""Convolutions to compare: ours against PyTorch's, layouts there and back, and a wrong peer found out."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from benchmarks import numpy_peers
from benchmarks.numpy_peers import Convolution


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def test_ours_is_pytorchs_convolution_and_its_gradients():
    weight, bias, x, dy = numbers(5, 3, 3, 3), numbers(5, seed=1), numbers(2, 3, 6, 4), numbers(2, 5, 6, 4, seed=2)
    tensors = [torch.from_numpy(array).requires_grad_() for array in (x, weight, bias)]
    y = F.conv2d(*tensors, padding=1)
    wanted = (y, *torch.autograd.grad(y, tensors, torch.from_numpy(dy)))
    for ours, theirs in zip(numpy_peers.ours(weight, bias).train(x, dy), wanted, strict=True):
        np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=0, atol=1e-5)


def test_a_layout_there_and_back():
    x = numbers(2, 3, 4, 5)
    last = Convolution(np.copy, lambda x, dy: (x, x, x, x), channels_last=True)
    assert last.arrange(x).shape == (2, 4, 5, 3)
    assert last.arrange(x).flags.c_contiguous
    np.testing.assert_array_equal(last.restore(last.arrange(x)), x)
    first = Convolution(np.copy, lambda x, dy: (x, x, x, x))
    assert first.arrange(x) is x


@pytest.mark.parametrize("wrong", range(5))
def test_a_peer_with_other_numbers_is_found_out_by_name(wrong: int):
    """Its output in forward or in training, or one of its three gradients, off by a thousandth at one place."""
    weight, bias, x, dy = numbers(4, 3, 3, 3), numbers(4, seed=1), numbers(2, 3, 5, 5), numbers(2, 4, 5, 5, seed=2)
    ours = numpy_peers.ours(weight, bias)

    def off(array: np.ndarray) -> np.ndarray:
        array = array.copy()
        array.flat[-1] += 1e-3 * abs(array).max()
        return array

    def forward(x: np.ndarray) -> np.ndarray:
        return off(ours.forward(x)) if wrong == 0 else ours.forward(x)

    def train(x: np.ndarray, dy: np.ndarray) -> tuple[np.ndarray, ...]:
        return tuple(off(found) if wrong == number else found for number, found in enumerate(ours.train(x, dy), 1))

    numpy_peers.check({"ours": ours, "same": numpy_peers.ours(weight, bias)}, x, dy)
    with pytest.raises(AssertionError, match="odd"):
        numpy_peers.check({"ours": ours, "odd": Convolution(forward, train)}, x, dy)


def test_peers_are_installed_or_named_and_those_installed_agree(capsys: pytest.CaptureFixture[str]):
    found = numpy_peers.installed()
    left_out = {line.split()[0] for line in capsys.readouterr().out.splitlines()}
    assert {*found} | left_out == {*numpy_peers.PEERS}
    assert not {*found} & left_out
    seconds = numpy_peers.compare((3, 5, 6), list(found), batch=2, rounds=1)
    assert list(seconds) == ["ours", *found]
    assert all(0 < taken[way] < 10 for taken in seconds.values() for way in ("forward", "train"))
