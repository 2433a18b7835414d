"""A run in; a row a layer out: name, type, output shape, parameters, multiply-adds."""

from collections.abc import Sequence
from dataclasses import dataclass

from convscope.models.base import layer_shapes
from convscope.models.cost import multiply_adds
from convscope.runs.run import Run


@dataclass(frozen=True)
class LayerRow:
    """One layer of the network: its name and type; for one picture the shape of its output and its multiply-adds."""

    name: str
    type: str
    output_shape: Sequence[int]
    parameters: int
    multiply_adds: int


def layer_rows(run: Run) -> list[LayerRow]:
    """The network's layers in the order in which they finish; a residual sum follows the branches that it adds."""
    spent = multiply_adds(run.model, run.input_shape)
    return [
        LayerRow(
            name, type(module).__name__, shape, sum(p.numel() for p in module.parameters(recurse=False)), spent[name]
        )
        for name, shape in layer_shapes(run.model, run.input_shape)
        for module in [run.model.get_submodule(name)]
    ]
