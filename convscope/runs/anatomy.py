"""A network goes in; out comes what its diagram shows: stages in the order of the data, groups, shortcuts."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from torch import nn

from convscope.layers import AveragePool2D, Conv2D, Flatten, MaxPool2D, Residual
from convscope.models.base import Shape, layer_shapes
from convscope.models.cost import multiply_adds

Kind = Literal["input", "convolution", "linear", "sum", "other"]
_WINDOWS = MaxPool2D | AveragePool2D | nn.MaxPool2d | nn.AvgPool2d


@dataclass(frozen=True)
class Stage:
    """One row of the diagram: a layer, and the small ones that treat its output without changing how much it is.

    Attributes:
        name: dotted, of the layer; of the picture that comes in, "input".
        label: what the layer is, such as "Conv 3×3 /2".
        kind: how it is drawn.
        output_shape: (C, H, W) or (F,), for one picture.
        parameters, multiply_adds: of the layer and its `followers` together.
        followers: labels of BatchNorm, activation, dropout, flattening, in order.
        shortcut: whether it lies on the shortcut of a residual sum.
    """

    name: str
    label: str
    kind: Kind
    output_shape: tuple[int, ...]
    parameters: int = 0
    multiply_adds: int = 0
    followers: tuple[str, ...] = ()
    shortcut: bool = False


@dataclass(frozen=True)
class Group:
    """A sequence inside the network: its dotted name, its class where that says something, its first and last stage."""

    name: str
    type: str
    first: int
    last: int

    def holds(self, other: "Group") -> bool:
        """Whether `other` lies inside."""
        return self is not other and self.first <= other.first and other.last <= self.last


@dataclass(frozen=True)
class Shortcut:
    """The output of stage `start`, as it is or through the stages `through`, is added at the stage `end`."""

    start: int
    end: int
    through: tuple[int, ...]


@dataclass(frozen=True)
class Anatomy:
    """What a diagram shows of a network, read from the module itself."""

    stages: Sequence[Stage]
    groups: Sequence[Group]
    shortcuts: Sequence[Shortcut]

    @property
    def parameters(self) -> int:
        """Of the whole network."""
        return sum(stage.parameters for stage in self.stages)

    @property
    def multiply_adds(self) -> int:
        """Of the whole network, for one picture."""
        return sum(stage.multiply_adds for stage in self.stages)


def anatomy(model: nn.Module, in_shape: Shape) -> Anatomy:
    """Take a network apart: any nesting of `nn.Sequential`, `layers.Residual` and layers, run on pictures (C, H, W).

    A module that is none of the first two is one layer, whatever is inside.
    """
    walk = _Walk(model, in_shape)
    walk.sequence(model, "")
    # a sequence of one sequence says nothing new: the outer one stays
    groups = [
        g
        for i, g in enumerate(walk.groups)
        if (g.first, g.last) not in {(h.first, h.last) for h in walk.groups[i + 1 :]}
    ]
    return Anatomy(walk.stages, sorted(groups, key=lambda g: (g.first, -g.last)), walk.shortcuts)


class _Walk:
    """Goes through a network in the order of the data and notes what it meets."""

    def __init__(self, model: nn.Module, in_shape: Shape) -> None:
        self.shapes, self.spent = dict(layer_shapes(model, in_shape)), multiply_adds(model, in_shape)
        self.stages = [Stage("input", "Picture", "input", tuple(in_shape))]
        self.groups: list[Group] = []  # inner ones before those that hold them
        self.shortcuts: list[Shortcut] = []
        self._open: list[tuple[str, int]] = [("", 0)]  # name and first stage of the groups that we are in
        self._inside: list[list[tuple[str, int]]] = [[]]  # the same at the time of each stage
        self._split = 1  # stages before this one take no followers: their output has gone two ways

    def sequence(self, module: nn.Module, name: str) -> None:
        """The layers of `module` one after the other."""
        for child_name, child in module.named_children():
            self.step(child, f"{name}.{child_name}" if name else child_name)

    def step(self, module: nn.Module, name: str, shortcut: bool = False) -> None:
        """One part of the network: a group, a residual sum, or a layer."""
        if isinstance(module, Residual):
            self.residual(module, name)
        elif isinstance(module, nn.Sequential):
            self._open.append((name, len(self.stages)))
            self.sequence(module, name)
            first = self._open.pop()[1]
            if len(self.stages) > first:
                kind = type(module).__name__
                self.groups.append(Group(name, "" if kind == "Sequential" else kind, first, len(self.stages) - 1))
        else:
            self.layer(module, name, shortcut)

    def residual(self, module: Residual, name: str) -> None:
        """The branch, then what lies on the shortcut, then their sum."""
        start = len(self.stages) - 1
        self._split = len(self.stages)
        self.part(module.branch, f"{name}.branch", shortcut=False)
        first = self._split = len(self.stages)
        if module.shortcut is not None:
            self.part(module.shortcut, f"{name}.shortcut", shortcut=True)
        self.shortcuts.append(Shortcut(start, len(self.stages), tuple(range(first, len(self.stages)))))
        self.add(Stage(name, "Sum", "sum", self.shapes[name]))

    def part(self, module: nn.Module, name: str, shortcut: bool) -> None:
        """A branch or a shortcut: its layers, without a group of their own."""
        if type(module) is not nn.Sequential:
            return self.step(module, name, shortcut)
        for child_name, child in module.named_children():
            self.step(child, f"{name}.{child_name}", shortcut)

    def layer(self, module: nn.Module, name: str, shortcut: bool) -> None:
        """A stage of its own, or a follower of the one before."""
        label, kind = _describe(module)
        inside = (key for key in self.spent if key == name or key.startswith(f"{name}."))
        stage = Stage(
            name,
            label,
            kind,
            self.shapes[name],
            sum(p.numel() for p in module.parameters()),
            sum(self.spent[key] for key in inside),
            shortcut=shortcut,
        )
        if not self._follows(stage):
            return self.add(stage)
        last = self.stages[-1]
        self.stages[-1] = replace(
            last, followers=(*last.followers, label), parameters=last.parameters + stage.parameters
        )

    def add(self, stage: Stage) -> None:
        self.stages.append(stage)
        self._inside.append(list(self._open))

    def _follows(self, stage: Stage) -> bool:
        """Whether a layer only treats the output of the stage before, which stands in the same group."""
        last, outer = self.stages[-1], self._inside[-1]
        if stage.kind != "other" or stage.multiply_adds or len(self.stages) <= self._split:
            return False
        if math.prod(stage.output_shape) != math.prod(last.output_shape) or self._open[-1] not in outer:
            return False
        # an inner group that began where this one did is, so far, the same group
        return all(first == self._open[-1][1] for _, first in outer[outer.index(self._open[-1]) :])


def _describe(module: nn.Module) -> tuple[str, Kind]:
    """What a layer is called in the diagram, and how it is drawn; one that we do not know goes by its class."""
    match module:
        case Conv2D() | nn.Conv2d():
            return f"Conv {_size(module.kernel_size)}{_stride(module.stride, 1)}", "convolution"
        case nn.Linear():
            return "Linear", "linear"
        case MaxPool2D() | nn.MaxPool2d():
            return f"Max pool {_window(module)}", "other"
        case AveragePool2D() | nn.AvgPool2d():
            return f"Avg pool {_window(module)}", "other"
        case nn.AdaptiveAvgPool2d(output_size=1 | (1, 1)):
            return "Global avg pool", "other"
        case nn.AdaptiveMaxPool2d(output_size=1 | (1, 1)):
            return "Global max pool", "other"
        case nn.BatchNorm2d():
            return "BatchNorm", "other"
        case nn.Dropout():
            return f"Dropout {module.p:g}", "other"
        case Flatten() | nn.Flatten():
            return "Flatten", "other"
    return type(module).__name__, "other"


def _window(module: _WINDOWS) -> str:
    """The window of a pooling, and its stride where that is not the window."""
    return _size(module.kernel_size) + _stride(module.stride, module.kernel_size)


def _size(value: int | Sequence[int]) -> str:
    return "×".join(map(str, _pair(value)))


def _stride(value: int | Sequence[int], usual: int | Sequence[int]) -> str:
    """A stride as "/2", nothing where it is the usual one."""
    height, width = _pair(value)
    return "" if (height, width) == _pair(usual) else f" /{height}" if height == width else f" /{height}×{width}"


def _pair(value: int | Sequence[int]) -> tuple[int, int]:
    height, width = (value, value) if isinstance(value, int) else value
    return height, width
