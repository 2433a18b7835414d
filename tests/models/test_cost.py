"""Multiply-adds by hand, and as PyTorch's own counter has them."""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from convscope.models import build_model
from convscope.models.cost import multiply_adds


def test_lenet5_by_hand() -> None:
    counts = multiply_adds(build_model("lenet5", (1, 28, 28), 10), (1, 28, 28))
    assert {name: count for name, count in counts.items() if count} == {
        "conv1": 6 * 28 * 28 * 25,
        "conv2": 16 * 10 * 10 * 6 * 25,
        "linear1": 400 * 120,
        "linear2": 120 * 84,
        "linear3": 84 * 10,
    }
    assert sum(counts.values()) == 416_520
    assert [counts[name] for name in ("tanh1", "pool1", "flatten")] == [0, 0, 0]


def test_tiny_resnet_by_hand() -> None:
    model = build_model("tiny-resnet", (3, 33, 47), 7, base_channels=6)
    whole, half = 33 * 47, 17 * 24
    counts = multiply_adds(model, (3, 33, 47))
    assert [count for count in counts.values() if count] == [
        6 * whole * 3 * 9,
        *[6 * whole * 6 * 9] * 4,
        12 * half * 6 * 9,
        12 * half * 12 * 9,
        12 * half * 6,  # the 1×1 projection
        *[12 * half * 12 * 9] * 2,
        7 * 12,
    ]


@pytest.mark.parametrize("name", ["lenet5", "simple-cnn", "deep-cnn", "tiny-resnet"])
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 33, 47)], ids=str)
def test_every_model_costs_what_pytorch_counts(name: str, shape: tuple[int, int, int]) -> None:
    model = build_model(name, shape, 10).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.zeros(1, *shape))
    assert sum(multiply_adds(model, shape).values()) == counter.get_total_flops() / 2  # it counts product and sum


def test_groups_strides_and_a_linear_layer_on_rows() -> None:
    model = nn.Sequential(nn.Conv2d(6, 9, (3, 5), stride=(2, 1), dilation=(1, 2), groups=3), nn.Linear(7, 4))
    counts = multiply_adds(model, (6, 11, 15))
    assert counts == {"0": 9 * 5 * 7 * 2 * 15, "1": 9 * 5 * 4 * 7}


def test_a_layer_that_runs_twice_costs_twice() -> None:
    layer = nn.Linear(5, 5)

    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = layer

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.layer(self.layer(x).relu())

    assert multiply_adds(Twice(), (1, 1, 5))["layer"] == 50
