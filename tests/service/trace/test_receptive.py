"""The receptive field from kernel sizes is the one that `receptive_fields` measures, at every place of every node."""

import numpy as np
import pytest
import torch
from torch import nn

from convscope.explain import receptive_fields
from convscope.models import build_model
from convscope.service.problems import Problem
from convscope.service.trace.graph import Graph, trace_graph
from convscope.service.trace.receptive import receptive_box

MODELS = {
    "lenet5": ("lenet5", (1, 13, 16), {}),
    "deep-cnn": ("deep-cnn", (1, 9, 12), {"initial_channels": 2, "hidden": 3}),
    "tiny-resnet": ("tiny-resnet", (1, 8, 11), {"base_channels": 2}),
    "fast": ("tiny-resnet", (1, 9, 12), {"base_channels": 2, "stem": "whitening", "stem_pool": 2, "groups": "pooled"}),
}


def check(graph: Graph, model: nn.Module, shape: tuple[int, int, int]) -> int:
    """Compare every place of every node; gives how many were compared."""
    places = 0
    for node in graph.nodes[1:]:
        measured = receptive_fields(model, torch.randn(1, *shape), node.layer).boxes  # (K, h, w, 4)
        flat = len(node.shape) == 1
        for c, y, x in np.ndindex(*measured.shape[:3]):
            expected = measured[:, y, x]
            if flat:  # features stand in the first axis
                box, expected = receptive_box(graph, node, 0, c), measured[c : c + 1, 0, 0]
            elif c:
                continue
            else:
                box = receptive_box(graph, node, y, x)
            seen = expected[expected.any(axis=1)]
            union = (*seen[:, :2].min(axis=0), *seen[:, 2:].max(axis=0)) if len(seen) else (0, 0, 0, 0)
            (top, bottom), (left, right) = box or ((0, 0), (0, 0))
            assert (top, left, bottom, right) == tuple(union), (node.id, y, x)
            places += 1
    return places


@pytest.mark.parametrize("case", MODELS)
def test_every_place_of_every_node(case: str) -> None:
    name, shape, options = MODELS[case]
    torch.manual_seed(0)
    model = build_model(name, shape, 3, **options).eval()
    for parameter in model.parameters():  # kernels near the identity hold zeros, through which nothing is seen
        parameter.data += 0.05 * torch.randn_like(parameter)
    assert check(trace_graph(model, shape), model, shape) > 200


def test_strides_dilation_and_padding_that_is_all_there_is() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 2, (2, 3), stride=(3, 1), padding=(2, 4), dilation=(1, 2)),
        nn.AvgPool2d(2, stride=1, padding=1),
        nn.MaxPool2d((2, 3), ceil_mode=True),
        nn.Flatten(),
        nn.Linear(30, 4),
    ).eval()
    graph = trace_graph(model, (1, 7, 9))
    assert receptive_box(graph, graph.node("0"), 0, 0) is None
    assert check(graph, model, (1, 7, 9)) > 50


def test_beyond_an_unknown_layer_nobody_knows() -> None:
    graph = trace_graph(nn.Sequential(nn.Conv2d(1, 1, 3), nn.Softplus(), nn.Conv2d(1, 1, 3)), (1, 8, 8))
    assert receptive_box(graph, graph.node("0"), 2, 1) == ((2, 5), (1, 4))
    with pytest.raises(Problem, match="Softplus"):
        receptive_box(graph, graph.node("2"), 0, 0)
