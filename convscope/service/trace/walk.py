"""A tracer and one picture in; the answers that the page asks for on a walk through it out, kept by their questions."""

import base64
import itertools
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Event
from typing import Any

from fastapi import Response
from pydantic import BaseModel, Field

from convscope.explain.methods import RefusalError, is_of_input
from convscope.registry import METHODS
from convscope.service.trace import reads
from convscope.service.trace.flow import INPUT
from convscope.service.trace.graph import Node
from convscope.service.trace.summary import model_row
from convscope.service.trace.tracer import Tracer

ROOM = 32 * 2**20  # bytes of answers; what is asked for by name comes first
SMALL = 2**16  # bytes of a tensor that any walk takes along

Question = tuple[str, Mapping[str, Any]]  # a resource below the model, and its parameters
ASK: dict[str, Callable[..., Response | dict[str, Any]]] = {
    "": reads.read_graph,
    "/picture": reads.read_picture,
    "/run": reads.read_run,
    "/output": reads.read_output,
    "/gradient": reads.read_gradient,
    "/tensor": reads.read_tensor,
    "/statistics": reads.read_statistics,
    "/receptive": reads.read_receptive,
    "/heatmap": reads.read_heatmap,
    "/heatmap.png": reads.read_overlay,
    "/dead": reads.read_dead,
}


class Route(BaseModel):
    """What a walk goes through.

    Attributes:
        img: the picture.
        nodes: those whose kernels, gradients and receptive fields go along; outputs go along of all nodes.
        down: the node from which one can go on down to the picture: kernels of all below it go along.
        target: the class of gradients and heatmaps; the predicted one by default.
        methods: of the heatmaps, at `cam_layer` and at each of `nodes` that can have one.
        mates: as for `output`.
        edits: as for `run`; the answers without them go along as well.
        place: what stands behind the # of the address where the walk begins.
    """

    img: str = Field(max_length=100)
    nodes: list[str] = Field(default=[], max_length=64)
    down: str = Field(default="", max_length=200)
    target: int | None = None
    methods: list[str] = Field(default=["grad-cam"], max_length=4)
    mates: str = Field(default="", max_length=4000)
    edits: str = Field(default="", max_length=8000)
    place: str = Field(default="", max_length=12_000)


@dataclass
class Walk:
    """Answers by question, as `kept_as` writes it."""

    answers: dict[str, dict[str, Any]] = field(default_factory=dict)
    size: int = 0

    def add(self, question: Question, answer: Response | dict[str, Any]) -> None:
        """Keep an answer, unless there is no room left."""
        if isinstance(answer, dict):
            text = json.dumps(answer, ensure_ascii=False, separators=(",", ":"))
            content, headers = text.encode(), {"content-type": "application/json"}
        else:
            content = bytes(answer.body)
            headers = {key: value for key, value in answer.headers.items() if key != "content-length"}
        if self.size + len(content) <= ROOM:
            self.size += len(content)
            self.answers[kept_as(*question)] = {"headers": headers, "body": base64.b64encode(content).decode()}


def kept_as(resource: str, parameters: Mapping[str, Any]) -> str:
    """``resource?a=1&b=2``: parameters sorted by name, none that is empty, nothing percent-encoded."""
    given = sorted((key, str(value)) for key, value in parameters.items() if value not in (None, ""))
    return resource + ("?" if given else "") + "&".join(f"{key}={value}" for key, value in given)


def collect(traced: Tracer, route: Route, given_up: Event | None = None) -> Walk:
    """Ask what the page will ask; what a model cannot have, as some heatmaps, is left out.

    Ends early, with what there is by then, once `given_up` is set.

    Raises:
        Problem: the picture, a node, the target, a mate or an edit is none.
    """
    path = [traced.graph.node(name) for name in route.nodes]
    target = traced.answer(route.img, traced.edits(route.edits))["index"] if route.target is None else route.target
    walk = Walk()
    walk.add(("/models", {}), {"models": [model_row(traced.served)]})
    for resource, parameters in _questions(traced, route, path, target):
        if given_up and given_up.is_set():
            break
        try:
            walk.add((resource, parameters), ASK[resource](traced, **parameters))
        except RefusalError:
            continue
    return walk


def _questions(traced: Tracer, route: Route, path: list[Node], target: int) -> Iterator[Question]:
    """What the page asks, the most wanted first."""
    yield "", {}
    yield from (("/picture", {"img": ref}) for ref in (route.img, *filter(None, route.mates.split(","))))
    for edits in dict.fromkeys((route.edits, "")):
        yield from _of_picture(traced, route, path, target, edits)
    below = _below(traced.graph.nodes, route.down)
    yield from (
        ("/tensor", {"node": node.id, "name": name}) for node, name in _tensors(traced.graph.nodes, path, below)
    )
    for node in path:
        if len(node.shape) == 3:
            places = itertools.product(range(node.shape[1]), range(node.shape[2]))
            yield from (("/receptive", {"node": node.id, "y": y, "x": x}) for y, x in places)
    yield from (("/dead", {"node": node.id}) for node in traced.graph.nodes)


def _of_picture(traced: Tracer, route: Route, path: list[Node], target: int, edits: str) -> Iterator[Question]:
    """What is asked about the picture, of the network as it is or edited."""
    asked = {"img": route.img, "edits": edits}
    yield "/run", asked
    for resource, more in (("/output", {}), ("/gradient", {"target": target})):
        yield from ((resource, asked | {"node": node.id} | more) for node in traced.graph.nodes)
    for node in path:
        if node.kind.name in ("conv", "linear"):
            yield "/gradient", asked | {"node": node.id, "target": target, "of": "weight"}
        if node.kind.name == "batchnorm":
            yield "/statistics", asked | {"node": node.id, "mates": route.mates}
            how = {"mode": "train", "mates": route.mates}
            yield from (("/output", asked | {"node": name} | how) for name in (node.id, *node.inputs))
    for method in route.methods:
        for layer in _layers(traced, method, path):
            for resource in ("/heatmap", "/heatmap.png"):
                yield resource, asked | {"method": method, "layer": layer, "target": target}


def _tensors(nodes: Sequence[Node], path: Sequence[Node], below: Sequence[Node]) -> Iterator[tuple[Node, str]]:
    """Those of the nodes named, small ones of all, and those of the nodes below, the nearest first."""
    small = [
        (node, name) for node in nodes for name, shape in (node.tensors or {}).items() if 4 * math.prod(shape) <= SMALL
    ]
    named, passed = ([(node, name) for node in some for name in node.tensors or {}] for some in (path, below))
    yield from dict.fromkeys((*named, *small, *passed))


def _below(nodes: Sequence[Node], start: str) -> Sequence[Node]:
    """What a node was computed from, the nearest first; `nodes` stand in the order in which they ran."""
    wanted, below = {start}, []
    for node in reversed(nodes):
        if node.id in wanted:
            wanted.update(node.inputs)
            below.append(node)
    return below


def _layers(traced: Tracer, method: str, path: Sequence[Node]) -> Sequence[str | None]:
    """Where a method looks: at the model's own layer and at those named; None where it looks at the pixels."""
    if is_of_input(METHODS.load(method)):
        return [None]
    own = getattr(traced.run.model, "cam_layer", None)
    named = [n.id for n in path if len(n.shape) == 3 and n.shape[1:] != (1, 1) and n.id != INPUT]
    return list(dict.fromkeys([*([own] if own else []), *named]))
