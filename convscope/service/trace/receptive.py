"""A graph and one place of a node in; the part of the picture that it sees out, from the sizes of the kernels."""

from collections.abc import Mapping
from typing import Any

from convscope.service.problems import Problem
from convscope.service.trace.flow import INPUT
from convscope.service.trace.graph import Graph, Node

Span = tuple[int, int]  # the first row or column, and the first beyond the last
Box = tuple[Span, Span]  # rows, columns

SAME = frozenset({"batchnorm", "activation", "dropout", "add"})
WINDOWS = frozenset({"conv", "maxpool", "avgpool"})


def receptive_box(graph: Graph, node: Node, y: int, x: int) -> Box | None:
    """Rows and columns of the picture that place (y, x) of any channel can depend on; None where it sees padding only.

    For a node of features (F,), x is the feature and y is 0. `explain.receptive_fields` measures the same, in as many
    passes as the picture has lines; a test holds that both agree, as long as no weight in a kernel is zero.

    Raises:
        Problem: 422 for a place outside the node, or a layer of an unknown kind on the way.
    """
    height, width = node.shape[1:] if len(node.shape) == 3 else (1, node.shape[0])
    if not (0 <= y < height and 0 <= x < width):
        raise Problem(422, "no_place", f"node {node.id!r} is {height}×{width}; place ({y}, {x}) is outside")
    needed: dict[str, Box] = {node.id: ((y, y + 1), (x, x + 1))}
    for one in reversed(graph.nodes):  # whatever takes an output stands behind it
        box = needed.get(one.id)
        if box is None or one.id == INPUT:
            continue
        for source in map(graph.node, one.inputs):
            if (more := _before(one, source, box)) is not None:
                known = needed.get(source.id)
                needed[source.id] = more if known is None else (_hull(known[0], more[0]), _hull(known[1], more[1]))
    return needed.get(INPUT)


def _before(node: Node, source: Node, box: Box) -> Box | None:
    """What of the output of `source` a box of the output of `node` is computed from."""
    kind, settings = node.kind.name, node.kind.settings
    if kind in SAME:
        return box
    rows, columns = source.shape[1:] if len(source.shape) == 3 else (1, source.shape[0])
    if kind in WINDOWS:
        spans = [
            _window(settings, axis, span, size)
            for axis, (span, size) in enumerate(zip(box, (rows, columns), strict=True))
        ]
        return None if spans[0] is None or spans[1] is None else (spans[0], spans[1])
    if kind in ("linear", "globalmax", "globalavg"):
        return (0, rows), (0, columns)
    if kind == "flatten" and box[1][1] - box[1][0] == 1:
        row, column = divmod(box[1][0] % (rows * columns), columns)
        return (row, row + 1), (column, column + 1)
    if kind == "flatten":
        return (0, rows), (0, columns)
    raise Problem(422, "unknown_layer", f"what {node.id!r} ({node.type}) sees is not known: a layer of another kind")


def _window(settings: Mapping[str, Any], axis: int, span: Span, size: int) -> Span | None:
    """The rows (or columns) that windows over a span of the output meet; None where all of them are padding."""
    kernel, stride, padding = (settings[key][axis] for key in ("kernel_size", "stride", "padding"))
    dilation = settings.get("dilation", (1, 1))[axis]
    met = {at * stride - padding + tap * dilation for at in range(*span) for tap in range(kernel)} & set(range(size))
    return (min(met), max(met) + 1) if met else None


def _hull(one: Span, other: Span) -> Span:
    return min(one[0], other[0]), max(one[1], other[1])
