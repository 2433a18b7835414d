"""Every layer of every model has a node, whose output follows from what the API says of it and its inputs."""

from collections import OrderedDict
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convscope.layers import Conv2D, Flatten, Residual
from convscope.models.base import layer_shapes
from convscope.models.cost import multiply_adds
from convscope.runs import Run, load_run
from convscope.service.trace.graph import Node
from convscope.service.trace.tracer import Tracer


def test_every_layer_has_a_node_in_order_of_execution(variant: Tracer) -> None:
    model, nodes = variant.run.model, variant.graph.nodes
    assert [(node.id, node.shape) for node in nodes[1:]] == layer_shapes(model, variant.run.input_shape)
    assert nodes[0].kind.name == "input"
    assert all(node.as_json()["known"] for node in nodes)
    assert sum(node.parameters for node in nodes) == variant.run.parameters
    assert {n.id: n.multiply_adds for n in nodes[1:]} == multiply_adds(model, variant.run.input_shape)
    seen: set[str] = set()
    for node in nodes:
        assert set(node.inputs) <= seen, node.id
        seen.add(node.id)


def test_every_output_follows_from_its_inputs(
    variant: Tracer, recompute: Callable[..., tuple[np.ndarray, np.ndarray]]
) -> None:
    outputs = variant.passed("shapes:5").outputs
    for node in variant.graph.nodes[1:]:
        described = node.as_json()
        tensors = {name: variant.tensor(node.id, name) for name in described["tensors"]}
        expected, bound = recompute(described, [outputs[name] for name in node.inputs], tensors)
        found = outputs[node.id]
        assert found.shape == tuple(described["shape"]) == expected.shape, node.id
        assert (abs(found - expected) <= bound).all(), (node.id, abs(found - expected).max())
        if node.kind.name not in ("flatten", "dropout", "maxpool", "globalmax"):
            assert found.std() > 0  # equal constants would prove nothing


def test_outputs_are_those_of_a_plain_forward_hook_bit_for_bit(variant: Tracer) -> None:
    model, seen = variant.run.model, {}
    handles = [
        module.register_forward_hook(lambda _, __, output, name=name: seen.update({name: output.detach().clone()}))
        for name, module in model.named_modules()
    ]
    with torch.no_grad():
        logits = model(variant.run.preprocess(variant.gallery.picture("shapes:5").pixels[None]))
    for handle in handles:
        handle.remove()
    passed = variant.passed("shapes:5")
    for node in variant.graph.nodes[1:]:
        assert np.array_equal(seen[node.layer][0].numpy(), passed.outputs[node.id]), node.id
    assert np.array_equal(logits[0].numpy(), passed.logits)
    assert np.allclose(
        variant.run.logits(variant.gallery.picture("shapes:5").pixels[None])[0], passed.logits, rtol=1e-4, atol=1e-5
    )


def test_a_residual_sum_takes_branch_then_shortcut(
    untrained: Callable[..., Run], tracer_of: Callable[[Run], Tracer]
) -> None:
    graph = tracer_of(untrained("tiny-resnet", base_channels=4)).graph
    assert graph.node("group1.0.sum").inputs == ("group1.0.sum.branch.norm2", "stem.relu")
    assert graph.node("group2.0.sum").inputs == ("group2.0.sum.branch.norm2", "group2.0.sum.shortcut.norm")
    assert graph.node("group2.0.sum.branch.conv1").inputs == graph.node("group2.0.sum.shortcut.conv").inputs
    groups = [graph.node(name).group for name in ("group2.0.sum.branch.conv1", "group2.0.sum", "stem.conv", "head")]
    assert groups == ["group2.0", "group2.0", "stem", ""]


def test_a_branch_without_a_sum_is_a_group(untrained: Callable[..., Run], tracer_of: Callable[[Run], Tracer]) -> None:
    graph = tracer_of(untrained("tiny-resnet", base_channels=4, skip=False)).graph
    assert graph.node("group1.0.branch.conv1").group == "group1.0.branch"


def test_the_shipped_network(tracer_of: Callable[[Run], Tracer]) -> None:
    graph = tracer_of(load_run("cifar10-94")).graph
    kinds = [node.kind.name for node in graph.nodes]
    assert len(graph.nodes) == 29
    assert (kinds.count("conv"), kinds.count("add"), kinds.count("batchnorm"), kinds.count("globalmax")) == (7, 2, 6, 1)
    assert all(node.as_json()["known"] for node in graph.nodes)


class Squash(nn.Module):
    """A layer of a type that nobody knows."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(x) * 2


class Own(nn.Module):
    """A network as its author might write it: functions, a shared layer, an in-place ReLU, a skip by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, (3, 2), stride=(2, 1), padding=(0, 2), dilation=(1, 3), bias=False)
        self.relu = nn.ReLU(inplace=True)
        self.shared = Conv2D(4, 4, (3, 2), padding="same")
        self.squash = Squash()
        self.head = nn.Linear(4, 6)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.first(x))
        y = self.shared(F.relu(self.shared(x)))
        y = self.squash(y) + x
        return self.head(y.mean((2, 3)))


@pytest.fixture
def own(wrap: Callable[[nn.Module], Run], tracer_of: Callable[[Run], Tracer]) -> Tracer:
    torch.manual_seed(3)
    return tracer_of(wrap(Own()))


@pytest.mark.filterwarnings("ignore:Using padding='same'")  # PyTorch's remark on what the odd column may cost
def test_data_flow_of_a_forward_that_nobody_knows(own: Tracer) -> None:
    def row(node: Node) -> tuple[str, str, tuple[str, ...]]:
        return node.id, node.kind.name, node.inputs

    assert [row(node) for node in own.graph.nodes] == [
        ("input", "input", ()),
        ("first", "conv", ("input",)),
        ("relu", "activation", ("first",)),
        ("shared", "conv", ("relu",)),
        ("relu()", "activation", ("shared",)),
        ("shared#2", "conv", ("relu()",)),
        ("squash", "unknown", ("shared#2",)),
        ("add()", "add", ("squash", "relu")),
        ("mean()", "unknown", ("add()",)),
        ("head", "linear", ("mean()",)),
    ]
    assert not own.graph.node("squash").as_json()["known"]
    assert own.graph.node("shared").kind.settings["padding"] == [1, 0]  # the odd column goes to the right


@pytest.mark.filterwarnings("ignore:Using padding='same'")
def test_outputs_of_a_forward_that_nobody_knows(
    own: Tracer, recompute: Callable[..., tuple[np.ndarray, np.ndarray]]
) -> None:
    outputs = own.passed("shapes:2").outputs
    assert outputs["first"].min() < 0  # as it was before the in-place ReLU
    for node in own.graph.nodes[1:]:
        if node.kind.name != "unknown":
            tensors = {name: own.tensor(node.id, name) for name in node.tensors or {}}
            expected, bound = recompute(node.as_json(), [outputs[name] for name in node.inputs], tensors)
            assert (abs(outputs[node.id] - expected) <= bound).all(), node.id


@pytest.mark.filterwarnings("ignore:Using padding='same'")
def test_gradients_of_a_forward_that_nobody_knows(own: Tracer) -> None:
    gradients = own.gradients("shapes:2", 4)
    assert set(gradients.outputs) == {node.id for node in own.graph.nodes}
    outputs, weight = own.passed("shapes:2").outputs, own.tensor("head", "weight")
    area = outputs["add()"][0].size
    assert np.allclose(gradients.outputs["add()"], weight[4][:, None, None] / area, rtol=1e-5)
    own_part = gradients.outputs["relu"]
    assert np.allclose(gradients.outputs["first"], own_part * (outputs["first"] > 0), rtol=1e-6)


def test_a_model_that_is_one_layer(wrap: Callable[[nn.Module], Run], tracer_of: Callable[[Run], Tracer]) -> None:
    class Head(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(6, 3 * 18 * 21))

        def forward(self, x: Tensor) -> Tensor:
            return x.flatten(1) @ self.weight.T

    tracer = tracer_of(wrap(Head()))
    assert [(node.id, node.kind.name, node.shape) for node in tracer.graph.nodes[1:]] == [("model", "unknown", (6,))]
    x, weight = tracer.passed("shapes:1").outputs["input"], tracer.tensor("model", "weight")
    assert np.allclose(tracer.passed("shapes:1").outputs["model"], weight @ x.ravel(), rtol=1e-4, atol=1e-4)


def test_a_layer_called_input_is_not_the_picture(
    wrap: Callable[[nn.Module], Run], tracer_of: Callable[[Run], Tracer]
) -> None:
    layers = {"input": nn.Tanh(), "flatten": nn.Flatten(), "head": nn.Linear(3 * 18 * 21, 6)}
    graph = tracer_of(wrap(nn.Sequential(OrderedDict(layers)))).graph
    assert [(node.id, node.inputs) for node in graph.nodes] == [
        ("input", ()), ("input#2", ("input",)), ("flatten", ("input#2",)), ("head", ("flatten",)),
    ]  # fmt: skip
    assert graph.explained(graph.node("input#2")) == "input"


def test_a_residual_sum_in_a_residual_sum(wrap: Callable[[nn.Module], Run], tracer_of: Callable[[Run], Tracer]) -> None:
    inner = Residual(nn.Sequential(Conv2D(3, 3, 3, padding=1)))
    outer = Residual(nn.Sequential(inner, nn.Tanh()), nn.Sequential(nn.Identity()))
    graph = tracer_of(wrap(nn.Sequential(outer, Flatten(), nn.Linear(3 * 18 * 21, 6)))).graph
    assert graph.node("0").inputs == ("0.branch.1", "input")
    assert graph.node("0.branch.0").inputs == ("0.branch.0.branch.0", "input")
    assert graph.node("0.branch.0.branch.0").group == ""
