"""The text of a request in, changes of single weights out; they are made in a private copy of a model."""

import math
import re

import torch
from torch import nn

from convscope.explain.clone import eval_clone
from convscope.service.problems import Problem
from convscope.service.trace.graph import Graph

MOST = 64
FORM = "node:name:flatindex:value"
LARGEST = torch.finfo(torch.float32).max

# (layer, tensor, flat index) -> the new value, sorted, so that equal changes are equal
Edits = tuple[tuple[tuple[str, str, int], float], ...]


def parse_edits(text: str, graph: Graph) -> Edits:
    """Changes from ``node:name:flatindex:value``, comma-separated; of two to the same cell the last one counts.

    Raises:
        Problem: 422 for too many, one of another form, an index that is none or a value that is not finite; 404 for a
            node or a tensor that is not there.
    """
    parts = text.split(",") if text else []
    if len(parts) > MOST:
        raise Problem(422, "too_many_edits", f"got {len(parts)} edits; at most {MOST} at once, reset some")
    changes = dict(_parse(part, graph) for part in parts)
    return tuple(sorted(changes.items()))


def edited(model: nn.Module, edits: Edits) -> nn.Module:
    """A private copy of `model` in eval mode with the changes made; what it shares with the original stays as it is."""
    clone = eval_clone(model)
    copied: dict[tuple[str, str], torch.Tensor] = {}
    for (layer, name, index), value in edits:
        if (layer, name) not in copied:
            tensor = getattr(clone.get_submodule(layer), name)
            tensor.data = tensor.data.clone(memory_format=torch.contiguous_format)
            copied[layer, name] = tensor.data.view(-1)
        copied[layer, name][index] = value
    return clone


def _parse(part: str, graph: Graph) -> tuple[tuple[str, str, int], float]:
    """One change; nodes that are calls of one layer share its weights."""
    fields = part.rsplit(":", 3)
    if len(fields) != 4:
        raise Problem(422, "bad_edit", f"got edit {part!r:.100}; expected {FORM}")
    node, name, index_text, value_text = fields
    shape = graph.tensor(node, name)
    count = math.prod(shape)
    if not re.fullmatch(r"[0-9]{1,12}", index_text) or int(index_text) >= count:
        raise Problem(
            422, "bad_edit", f"got index {index_text!r:.30} of {node} {name}; expected a whole number below {count}"
        )
    try:
        value = float(value_text)
    except ValueError:
        value = math.nan
    if not abs(value) <= LARGEST:
        raise Problem(422, "bad_edit", f"got value {value_text!r:.30} for {node} {name}; expected a finite float32")
    return (graph.node(node).layer, name, int(index_text)), value
