"""A model and a batch in; each call of a layer or function as it happens out, with the calls whose outputs it took."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from convscope.explain.forward_pass import private, recording
from convscope.layers import Residual

INPUT = "input"
ALIASES = frozenset({"clone", "detach", "contiguous", "to", "float"})  # the same numbers under another name


@dataclass(frozen=True, eq=False)
class Call:
    """One call of a layer, or of a function by the `forward` of a module that holds others.

    Attributes:
        id: the layer's name, `name#2` for its second call; of a residual sum the module's name; of another function
            `module.function()`; "model" for a model that is itself one layer.
        layer: the dotted name of the module.
        index: 1 for the first call under this name.
        function: its name; None for a layer.
        inputs: the ids of the calls whose outputs went in, "input" for the picture.
        operands: these outputs themselves.
        output: what came out; it belongs to the pass, which may write over it later (an in-place ReLU).
    """

    id: str
    layer: str
    index: int
    function: str | None
    inputs: tuple[str, ...]
    operands: tuple[Tensor, ...]
    output: Tensor


# what takes the output's place from there on, or None
Visit = Callable[[Call], Tensor | None]


def follow(model: nn.Module, x: Tensor, visit: Visit, record: bool = False) -> Tensor:
    """What `model` gives for a copy of `x`; `visit` sees every call in order of execution.

    Which output a call took is told by the identity of tensors, so nothing is assumed of a `forward`. A layer is a
    module without children; what it does inside is its own, and `nn.Identity`, which does nothing, is none. Functions
    that a module with children calls itself, such as ``F.relu`` or ``+``, are calls as well.

    Args:
        model: takes hooks for the time of the pass, so it must be nobody else's.
        x: float, (N, C, H, W), normalised; where it requires grad, the graph leads back to it.
        record: whether autograd is on.
    """
    batch = x if x.requires_grad else private(x)
    watch = _Watch(model, batch, visit)
    handles = list(watch.hooks())
    try:
        with recording(x.device, record), watch:
            output: Tensor = model(batch)
    finally:
        for handle in handles:
            handle.remove()
    return output


class _Watch(TorchFunctionMode):
    """Sees the functions that are called outside of layers, and through hooks the layers."""

    def __init__(self, model: nn.Module, x: Tensor, visit: Visit) -> None:
        super().__init__()
        self._model, self._visit = model, visit
        self._sources = {id(x): INPUT}
        self._kept = [x]  # so that no other tensor can take one's place in memory
        self._open: list[tuple[str, nn.Module]] = [("", model)]  # the modules with children that we are in
        self._depth = 0  # of layers, and of our own work
        self._calls: Counter[str] = Counter([INPUT])  # a layer of that name is the second

    def hooks(self) -> Iterator[Any]:
        """Hooks on every module but those that compute a weight (parametrizations); to be removed after the pass."""
        for name, module in self._model.named_modules():
            if "parametrizations" in name.split("."):
                continue
            if all(child == "parametrizations" for child, _ in module.named_children()):
                yield module.register_forward_pre_hook(self._enter_layer)
                yield module.register_forward_hook(self._layer_hook(name), with_kwargs=True)
            elif module is not self._model:
                yield module.register_forward_pre_hook(lambda m, _, name=name: self._open.append((name, m)))
                yield module.register_forward_hook(lambda *_: self._leave())

    def _enter_layer(self, _module: nn.Module, _args: Any) -> None:
        self._depth += 1

    def _layer_hook(self, name: str) -> Callable[..., Any]:
        def hook(module: nn.Module, args: Any, kwargs: Any, output: Any) -> Any:
            self._depth -= 1
            if self._depth or not isinstance(output, Tensor) or type(module) is nn.Identity:
                return None
            return self._note(name or "model", name, None, self._known((*args, *kwargs.values())), output)

        return hook

    def _leave(self) -> None:
        self._open.pop()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if self._depth:
            return func(*args, **kwargs)
        given = self._known((*args, *kwargs.values()))
        versions = [tensor._version for tensor in given]
        output = func(*args, **kwargs)
        if not given:
            return output
        name = getattr(func, "__name__", "function").strip("_")
        if isinstance(output, Tensor):
            replaced = self._function(name, given, versions, output)
            return output if replaced is None else replaced
        for tensor in _tensors([output]):
            self._function(name, given, versions, tensor)
        return output

    def _function(self, name: str, given: list[Tensor], versions: list[int], output: Tensor) -> Tensor | None:
        """Note a function's output, unless it is what went in."""
        if not output.is_floating_point():
            return None
        if name in ALIASES:
            self._is_from(output, self._sources[id(given[0])])
            return None
        if any(
            output is tensor and tensor._version == version for tensor, version in zip(given, versions, strict=True)
        ):
            return None
        layer, module = self._open[-1]
        base = layer if type(module) is Residual else f"{layer}.{name}()".lstrip(".")
        return self._note(base, layer, name, given, output)

    def _note(self, base: str, layer: str, function: str | None, given: list[Tensor], output: Tensor) -> Tensor | None:
        self._calls[base] += 1
        index = self._calls[base]
        name = base if index == 1 else f"{base}#{index}"
        inputs = tuple(self._sources[id(tensor)] for tensor in given)
        self._depth += 1
        try:
            replaced = self._visit(Call(name, layer, index, function, inputs, tuple(given), output))
        finally:
            self._depth -= 1
        self._is_from(output if replaced is None else replaced, name)
        return replaced

    def _is_from(self, tensor: Tensor, source: str) -> None:
        self._sources[id(tensor)] = source
        self._kept.append(tensor)

    def _known(self, values: Iterable[Any]) -> list[Tensor]:
        return [tensor for tensor in _tensors(values) if id(tensor) in self._sources]


def _tensors(values: Iterable[Any]) -> Iterator[Tensor]:
    """The tensors among arguments, also inside lists and tuples."""
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from _tensors(value)
