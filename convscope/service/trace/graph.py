"""A network and the shape of one picture in; out comes its graph: every call of a layer, and what flows into it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import nn

from convscope.explain.clone import eval_clone
from convscope.layers import Residual
from convscope.models.base import Shape
from convscope.models.cost import call_multiply_adds
from convscope.service.problems import Problem
from convscope.service.trace.flow import INPUT, Call, follow
from convscope.service.trace.kinds import UNKNOWN, Kind, function_kind, layer_kind


@dataclass(frozen=True, eq=False)
class Node:
    """One call of a layer or function, as the page shows it.

    Attributes:
        id, layer, call, function, inputs: as of `flow.Call`.
        type: the class of the layer, or the name of the function.
        kind: what it computes.
        shape: of its output for one picture, (C, H, W) or (F,).
        parameters: of the layer.
        multiply_adds: of this call.
        group: the dotted name of the block that it stands in, "" for the network itself.
        tensors: the shapes of the layer's own parameters and buffers.
    """

    id: str
    layer: str
    call: int
    function: str | None
    inputs: tuple[str, ...]
    type: str
    kind: Kind
    shape: tuple[int, ...]
    parameters: int = 0
    multiply_adds: int = 0
    group: str = ""
    tensors: Mapping[str, tuple[int, ...]] | None = None

    def as_json(self) -> dict[str, Any]:
        """As the API has it."""
        return {
            "id": self.id,
            "layer": self.layer,
            "call": self.call,
            "type": self.type,
            "kind": self.kind.name,
            "inputs": list(self.inputs),
            "shape": list(self.shape),
            "parameters": self.parameters,
            "multiply_adds": self.multiply_adds,
            "group": self.group,
            "settings": dict(self.kind.settings),
            "tensors": {name: list(shape) for name, shape in (self.tensors or {}).items()},
            "known": self.kind is not UNKNOWN,
        }


@dataclass(frozen=True, eq=False)
class Graph:
    """The nodes of a network in order of execution, the picture first."""

    nodes: Sequence[Node]

    @cached_property
    def _by_id(self) -> dict[str, Node]:
        return {node.id: node for node in self.nodes}

    def node(self, name: str) -> Node:
        """The node of that id; a 404 that lists some where there is none."""
        found = self._by_id.get(name)
        if found is None:
            some = ", ".join([node.id for node in self.nodes][:8])
            raise Problem(404, "unknown_node", f"unknown node {name!r:.100}; the model has {some}, …")
        return found

    def tensor(self, node: str, name: str) -> tuple[int, ...]:
        """The shape of a parameter or buffer of a node; a 404 that lists what it has where there is none."""
        tensors = self.node(node).tensors or {}
        if name not in tensors:
            choices = f"it has {', '.join(tensors)}" if tensors else "it has none"
            raise Problem(404, "unknown_tensor", f"node {node!r} has no tensor {name!r:.100}; {choices}")
        return tensors[name]

    def explained(self, node: Node) -> str:
        """The name by which `explain` knows a node's output; a 422 where that is of no module."""
        if node.function is not None and node.type != Residual.__name__:
            raise Problem(422, "no_layer", f"node {node.id!r} is a function's output, not a layer's; choose a layer")
        alike = [other for other in self.nodes[1:] if (other.layer, other.function) == (node.layer, node.function)]
        return f"{node.layer}#{alike.index(node) + 1}" if len(alike) > 1 else node.layer


def trace_graph(model: nn.Module, in_shape: Shape) -> Graph:
    """Read the graph from one real pass of a private copy.

    Layers of a type that `convert` knows have a kind; others are unknown, but there with their inputs and outputs.
    A function that a module with children calls itself is a node as well.
    """
    copy = eval_clone(model)
    nodes = [Node(INPUT, INPUT, 1, None, (), "Picture", Kind("input"), tuple(in_shape))]
    first = next(model.parameters(), torch.empty(0))
    modules = dict(copy.named_modules())

    def note(call: Call) -> None:
        module = modules[call.layer]
        node = _layer_node(call, module) if call.function is None else _function_node(call, module)
        nodes.append(replace(node, group=_group(call, modules)))

    follow(copy, torch.zeros(1, *in_shape, dtype=first.dtype, device=first.device), note)
    return Graph(nodes)


def _layer_node(call: Call, module: nn.Module) -> Node:
    own = {**dict(module.named_parameters(recurse=False)), **dict(module.named_buffers(recurse=False))}
    return Node(
        call.id,
        call.layer,
        call.index,
        None,
        call.inputs,
        type(module).__name__,
        layer_kind(module, call.layer),
        tuple(call.output.shape[1:]),
        sum(parameter.numel() for parameter in module.parameters()),
        call_multiply_adds(module, tuple(call.output.shape[1:])),
        tensors={name: tuple(value.shape) for name, value in own.items() if value.is_floating_point()},
    )


def _function_node(call: Call, module: nn.Module) -> Node:
    shapes = [tuple(operand.shape) for operand in call.operands]
    return Node(
        call.id,
        call.layer,
        call.index,
        call.function,
        call.inputs,
        type(module).__name__ if call.id.split("#")[0] == call.layer else str(call.function),
        function_kind(str(call.function), module, shapes, tuple(call.output.shape)),
        tuple(call.output.shape[1:]),
    )


def _group(call: Call, modules: Mapping[str, nn.Module]) -> str:
    """The block around a call: the module that holds the layer, outside of residual sums."""
    inside = call.function is not None and call.id.split("#")[0] != call.layer  # a function stands in its module
    name = call.layer if inside else call.layer.rpartition(".")[0]
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        if isinstance(modules.get(".".join(parts[:end])), Residual):
            name = ".".join(parts[: end - 1])
    return name
