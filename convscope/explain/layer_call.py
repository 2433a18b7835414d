"""The output of a module call in; out comes its name, its shape, and whether a map can be drawn over it."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor


@dataclass(frozen=True, eq=False)
class LayerCall:
    """One call of one module in a forward pass.

    Attributes:
        module: the module's dotted name.
        index: 1 for the module's first call in the pass.
        shape: of the output; None where that is not a floating tensor.
        value: what `EvalCopy.calls` was asked to keep of the output.
        of: how many calls of the module the whole pass made.
    """

    module: str
    index: int
    shape: tuple[int, ...] | None
    value: Any = None
    of: int = 1

    @property
    def layer(self) -> str:
        """The name by which a user asks for this call: `name`, or `name#2` if the module runs repeatedly."""
        return self.module if self.of == 1 else f"{self.module}#{self.index}"

    @property
    def grid(self) -> tuple[int, int]:
        """(h, w) of an output (N, C, h, w); (0, 0) of any other."""
        return (self.shape[2], self.shape[3]) if self.shape and len(self.shape) == 4 else (0, 0)

    @property
    def problem(self) -> str | None:
        """Why no map can be drawn over this output; None if one can."""
        if self.shape is None:
            return "its output is not one floating tensor"
        if len(self.shape) != 4:
            return f"its output has the shape {self.shape}, a map needs (N, C, h, w)"
        if self.grid == (1, 1):
            return "its output is 1×1, and a map of one cell points nowhere"
        return None


def layer_call(module: str, index: int, output: object) -> LayerCall:
    """The call of `module` that gave `output`."""
    if isinstance(output, Tensor) and output.is_floating_point():
        return LayerCall(module, index, tuple(output.shape))
    return LayerCall(module, index, None)


def refusal(module: str, which: int | None, calls: list[LayerCall]) -> str | None:
    """Why this module (or this call of it) cannot be used, after a pass that made `calls`; None if it can."""
    own = [call for call in calls if call.module == module]
    if not own:
        return "it did not run in the forward pass"
    if which is None and len(own) > 1:
        return f"it runs {len(own)} times in one forward pass; say which: {', '.join(c.layer for c in own)}"
    if which is not None and which > len(own):
        return f"it runs only {len(own)} time{'s' * (len(own) > 1)} in one forward pass"
    return own[(which or 1) - 1].problem


def choices(calls: list[LayerCall], most: int = 24) -> str:
    """The layers a map can be drawn over, with their outputs' sizes; of many, the last `most`, and how to see all."""
    spatial = [f"{call.layer} ({size_text(call.grid)})" for call in calls if not call.problem]
    if not spatial:
        return "none: no module gives an output (N, C, h, w) of more than one position"
    earlier = f"{len(spatial) - most} earlier ones (`convscope look RUN layers` lists them), "
    return (earlier if len(spatial) > most else "") + ", ".join(spatial[-most:])


def size_text(shape: tuple[int, ...]) -> str:
    """(8, 12) -> 8×12."""
    return "×".join(str(length) for length in shape)
