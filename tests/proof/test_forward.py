"""The replay in chunks: memory, the pictures' numbers, ties, and what rounding may explain."""

import copy
import tracemalloc

import numpy as np
import pytest
import torch
from torch import nn

from convscope.convert import to_numpy
from convscope.data import load
from convscope.numpy_nn import Conv2D, GlobalAveragePool2D, ReLU, Sequential
from convscope.proof.forward import bytes_a_picture, replay
from convscope.proof.rounding import CEILING, SAFETY, UNIT, forward_rounding, own_rounding
from convscope.runs import Run


def test_chunks_change_nothing_but_the_memory(untrained, pictures) -> None:
    images, _ = pictures(90)
    run = untrained("tiny-resnet")
    network = to_numpy(run.model)
    one = bytes_a_picture(network, run.preprocess(images[:1]).numpy())
    whole = replay(run, run.model, network, images, memory=100 * one)
    peaks = []
    for count in (30, 90):
        tracemalloc.start()
        parts = replay(run, run.model, network, images[:count], memory=8 * one)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert max(peaks) < 10 * one
    with pytest.raises(RuntimeError, match="no forward to go back through"):  # nothing was kept for a backward pass
        network.layers[-1].backward(np.zeros((8, 6), np.float32))
    assert peaks[1] < 1.05 * peaks[0]
    assert [layer.name for layer in parts.layers] == [layer.name for layer in whole.layers]
    for part, all_ in zip(parts.layers, whole.layers, strict=True):
        assert part.scale == pytest.approx(all_.scale, rel=1e-5)  # the largest of all chunks, not of the last
        assert part.ok
        assert all_.ok


def tied_run(run: Run, images: np.ndarray, margin: float):  # type: ignore[no-untyped-def]
    """Class 4 made the twin of class 3, `margin` below it; in NumPy as much above. Pictures of class 3 come last."""
    model = copy.deepcopy(run.model)
    with torch.no_grad():
        model.head.weight[4] = model.head.weight[3]
        model.head.bias[4] = model.head.bias[3] - margin
    run = Run(run.path, run.checkpoint, model)
    network = to_numpy(model)
    network.layers[-1].params["bias"][4] += np.float32(2 * margin)
    predicted = run.logits(images).argmax(axis=1)
    return run, network, images[np.argsort(predicted == 3, kind="stable")], int((predicted == 3).sum())


@pytest.mark.parametrize(("roundings", "tie"), [(1.0, True), (3.0, False)])
def test_predictions_that_differ_by_rounding_are_ties_others_are_not(
    digits_run: Run, roundings: float, tie: bool
) -> None:
    images = load("digits")[1].images[:100]
    head = replay(digits_run, digits_run.model, to_numpy(digits_run.model), images).layers[-1]
    margin = roundings * head.allowed / SAFETY
    run, network, images, count = tied_run(digits_run, images, margin)
    one = bytes_a_picture(network, run.preprocess(images[:1]).numpy())
    found = replay(run, run.model, network, images, memory=7 * one)  # many chunks, so that the numbers must add up
    assert all(layer.ok for layer in found.layers)
    assert [dispute.index for dispute in found.disputes] == list(range(len(images) - count, len(images)))
    assert count > 3
    for dispute in found.disputes:
        assert (dispute.numpy_class, dispute.torch_class) == (4, 3)
        assert dispute.margin == pytest.approx(margin, rel=0.3)
        assert dispute.ok is tie


def test_own_rounding_counts_the_terms_of_each_sum() -> None:
    torch.manual_seed(1)
    network = to_numpy(nn.Sequential(nn.Conv2d(4, 6, (3, 2), groups=2), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten()))
    found = own_rounding(network, np.ones((2, 4, 9, 7), np.float32))
    expected = {"0": 2 * 3 * 2, "1": 1, "2": 7 * 6 / (3 * 3), "3": 1}  # the last row of windows does not fit
    assert found == {name: UNIT * (int(terms) + 4) ** 0.5 for name, terms in expected.items()}


class Amplifier(nn.Sequential):
    """A BatchNorm that takes `offset` off values of size 1 around it."""

    def __init__(self, offset: float) -> None:
        super().__init__(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten())
        nn.init.constant_(self[0].bias, offset)
        nn.init.constant_(self[1].running_mean, offset)


@pytest.mark.parametrize(("offset", "capped"), [(1e3, False), (1e5, True)])
def test_what_a_network_amplifies_is_measured_up_to_the_ceiling(
    digits_run: Run, pictures, offset: float, capped: bool
) -> None:
    torch.manual_seed(2)
    model = Amplifier(offset).eval()
    checkpoint = digits_run.checkpoint | {"mean": [0.4, 0.5, 0.6], "std": [0.2, 0.3, 0.25]}
    run = Run(digits_run.path, checkpoint, model)
    network = to_numpy(model)
    images, _ = pictures(20)
    rounding = forward_rounding(model, network, run.preprocess(images[:8]))
    assert rounding["1"] > 0.1 * offset * UNIT
    assert (SAFETY * rounding["1"] > CEILING) is capped
    norm = replay(run, model, network, images).layers[1]
    if capped:
        assert norm.allowed == pytest.approx(CEILING * norm.scale)
        assert not norm.ok  # said to be over tolerance, not waved through
    else:
        assert norm.ok
        assert norm.allowed == pytest.approx(SAFETY * rounding["1"] * norm.scale)
        network.layers[1].params["bias"] += np.float32(1e-3 * norm.scale)
        assert not replay(run, model, network, images).layers[1].ok


def test_the_measure_sees_the_columns_of_a_convolution() -> None:
    x = np.ones((1, 4, 9, 7), np.float32)
    small = bytes_a_picture(Sequential(ReLU(), GlobalAveragePool2D()), x)
    large = bytes_a_picture(Sequential(Conv2D(4, 1, 3, padding=1, groups=1), GlobalAveragePool2D()), x)
    assert large > 2 * 4 * 9 * x.nbytes // 4 > small
