"""A model and pictures in; out come the outputs of its layers, and gradients with respect to them.

All passes run on a private eval-mode clone (`clone.py`), so hooks, modes, buffers and gradients of the model
itself are never touched, whatever fails and however many threads explain the same model.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, NoReturn, cast

import torch
from torch import Tensor, nn

from convscope.errors import UsageError
from convscope.explain.clone import eval_clone
from convscope.explain.forward_pass import Listener, forward_pass, private
from convscope.explain.forward_pass import recording as recording
from convscope.explain.layer_call import LayerCall, choices, layer_call, refusal, size_text

AT_ONCE = 2**18  # pixels that go through a model together: 256 pictures of 32×32

# called with how much is done, and of how much
Progress = Callable[[int, int], None]


class EvalCopy:
    """A private copy of a model in eval mode, on which every explanation method makes its passes.

    Not to be shared between threads: each call of `explain` makes its own.

    Args:
        model: any module.
        progress: told by the methods that make many passes how far they are.
        refine: whether a method may make more passes where its first answer is not exact enough.
    """

    def __init__(self, model: nn.Module, progress: Progress | None = None, refine: bool = True) -> None:
        self.model = eval_clone(model)
        self.refine = refine
        self.progress = progress
        self.name = type(model).__name__
        self._last: tuple[str, Tensor, tuple[Tensor, Tensor]] | None = None

    def forward_at(self, layer: str, images: Tensor) -> tuple[Tensor, Tensor]:
        """Run the model, cut open at `layer`.

        The layer's output becomes a leaf of the autograd graph: what comes before it is not recorded, and a
        backward pass from the logits stops there. A second request for the same layer and images is answered
        with the same pass.

        Args:
            layer: a dotted module name; `name#2` is the second call of a module that runs repeatedly.
            images: float, (N, C, H, W), normalised.

        Returns:
            (activation, logits): (N, K, h, w), a leaf that requires grad; and (N, classes).

        Raises:
            UsageError: no such layer, it did not run or ran more than once, its output has no positions, or
                no gradient leads from the logits back to it; the message lists the layers that will do.
        """
        if self._last is not None and self._last[0] == layer and self._last[1] is images:
            return self._last[2]
        module, which = self._find(layer, images)
        leaves: list[Tensor] = []

        def cut(name: str, index: int, output: Any) -> Tensor | None:
            if index != (which or 1) or layer_call(name, index, output).problem:
                return None
            # set here as well: the model's own forward may run this layer under no_grad
            with torch.inference_mode(False), torch.enable_grad():
                leaves.append(private(output).requires_grad_())
                # a copy, because a leaf may not be changed in place, as ReLU(inplace=True) would
                return leaves[-1].clone()

        logits, counts = self._run(images, cut, {layer: module}, record=True)
        if not leaves or (which is None and counts[layer] > 1):
            self.refuse(layer, images)
        self._check_logits(logits, images)
        if not logits.requires_grad:
            self.refuse(layer, images, "no gradient leads from the logits back to it")
        if len(leaves[0]) != len(images):
            self.refuse(layer, images, f"it turns {len(images)} pictures into {len(leaves[0])}")
        self._last = (layer, images, (leaves[0], logits))
        return self._last[2]

    def forward_input(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Run the model, cut open before its first layer: (x, logits), x a copy of `images` that requires grad.

        Raises:
            UsageError: no gradient leads from the logits back to the pictures.
        """
        with recording(images.device):
            x = private(images).requires_grad_()
        logits, _ = self._run(images, _ignore, {}, record=True, x=x)
        self._check_logits(logits, images)
        if not logits.requires_grad:
            raise UsageError(f"{self.name} cannot be explained: no gradient leads from its logits back to the pictures")
        return x, logits

    def logits(
        self, images: Tensor, layer: str | None = None, change: Callable[[Tensor], Tensor] | None = None
    ) -> Tensor:
        """The logits (N, classes) alone, in no graph; with `change` of the output of `layer` in its place.

        Raises:
            UsageError: the layer cannot be looked into, as in `forward_at`.
        """
        module, which = (None, None) if layer is None else self._find(layer, images)
        changed = False

        def listener(name: str, index: int, output: Any) -> Tensor | None:
            nonlocal changed
            if change is None or index != (which or 1) or layer_call(name, index, output).problem:
                return None
            changed = True
            return change(output)

        modules = {} if layer is None or module is None else {layer: module}
        logits, counts = self._run(images, listener, modules, record=False)
        if layer is not None and (not changed or (which is None and counts[layer] > 1)):
            self.refuse(layer, images)
        self._check_logits(logits, images)
        return cast(Tensor, logits)

    def activation(self, layer: str, images: Tensor) -> tuple[Tensor, Tensor]:
        """As `forward_at`, (activation, logits), but neither is in a graph and no gradient need exist."""
        kept: list[Tensor] = []

        def keep(output: Tensor) -> Tensor:
            kept.append(output.clone())  # before a later layer changes it in place
            return output

        logits = self.logits(images, layer, keep)
        return kept[0], logits

    def calls(
        self, images: Tensor, keep: Callable[[Tensor], Any] | None = None, modules: set[str] | None = None
    ) -> list[LayerCall]:
        """Every call of every module below the root (or of `modules`), in the order in which they finished.

        `keep` is applied at once to each output (N, C, h, w), before a later layer can change it in place.
        """
        calls: list[LayerCall] = []

        def note(name: str, index: int, output: Any) -> None:
            call = layer_call(name, index, output)
            calls.append(replace(call, value=keep(output)) if keep and call.grid != (0, 0) else call)

        chosen = {name: m for name, m in self.model.named_modules() if modules is None or name in modules}
        _, counts = self._run(images, note, chosen, record=False)
        return [replace(call, of=counts[call.module]) for call in calls]

    def layers(self, images: Tensor) -> set[str]:
        """Names of the modules that contain no other, and of those whose output is their own all the same.

        A residual sum is one; a sequence, which passes on what its last layer gave, is not.
        """
        names = {
            name
            for name, module in self.model.named_modules()
            if all(child == "parametrizations" for child, _ in module.named_children())
        }
        outputs: list[Any] = []  # kept, so that no other tensor can take their place in memory

        def note(name: str, _index: int, output: Any) -> None:
            if not any(output is earlier for earlier in outputs):
                names.add(name)
            outputs.append(output)

        self._run(images[:1], note, dict(self.model.named_modules()), record=False)
        return names

    def default_layer(self, images: Tensor) -> str:
        """The layer that the model names as its `cam_layer`, else the last spatial one."""
        named = getattr(self.model, "cam_layer", None)
        return named if isinstance(named, str) else self.last_spatial_layer(images)

    def last_spatial_layer(self, images: Tensor, least: int = 4) -> str:
        """The layer that finishes last of those whose output is at least `least` by `least` here.

        Raises:
            UsageError: there is none; the message lists the smaller ones.
        """
        calls = self.calls(images[:1])
        large = [call.layer for call in calls if min(call.grid) >= least]
        if not large:
            raise UsageError(
                f"{self.name} has no layer with an output of at least {least}×{least} for an input of "
                f"{size_text(images.shape[1:])}; name a smaller one: {choices(calls)}"
            )
        return large[-1]

    def resolve(self, layer: str, images: Tensor) -> tuple[str, int | None]:
        """(module, which call or None) from `name` or `name#2`.

        A module registered under several names is known by its first.

        Raises:
            UsageError: there is no such module; the message lists the layers that will do.
        """
        module, which = self._find(layer, images)
        return next(name for name, found in self.model.named_modules() if found is module), which

    def _find(self, layer: str, images: Tensor) -> tuple[nn.Module, int | None]:
        """As `resolve`, but the module itself, for which the others need not be listed."""
        if layer and (module := self._module(layer)) is not None:
            return module, None
        name, _, number = layer.rpartition("#")
        if name and number.isdecimal() and int(number) > 0 and (module := self._module(name)) is not None:
            return module, int(number)
        raise UsageError(f"{self.name} has no layer {layer!r}; choose from {choices(self.calls(images[:1]))}")

    def _module(self, name: str) -> nn.Module | None:
        """The module of that dotted name, if there is one."""
        module: nn.Module | None = self.model
        for part in name.split("."):
            module = None if module is None else module._modules.get(part)
        return module

    def parts(self, count: int, images: Tensor) -> Iterator[slice]:
        """`range(count)`, cut so that pictures of the size of `images`, one for each number, fit in memory together.

        After each part `progress` is told.
        """
        at_once = pictures_at_once(images)
        for first in range(0, count, at_once):
            done = min(first + at_once, count)
            yield slice(first, done)
            if self.progress is not None:
                self.progress(done, count)

    def refuse(self, layer: str, images: Tensor, reason: str | None = None) -> NoReturn:
        """Raise the UsageError that says why the model cannot be looked into at `layer`, and where it can."""
        calls = self.calls(images[:1])
        reason = reason or refusal(*self.resolve(layer, images), calls)
        raise UsageError(f"layer {layer!r} cannot be used: {reason}; choose from {choices(calls)}")

    def _run(
        self,
        images: Tensor,
        listener: Listener,
        modules: Mapping[str, nn.Module],
        record: bool,
        x: Tensor | None = None,
    ) -> tuple[Any, Counter[str]]:
        """`forward_pass` on the copy, which goes by the model's name."""
        return forward_pass(self.model, self.name, images, listener, modules, record, x)

    def _check_logits(self, logits: object, images: Tensor) -> None:
        """The model must return one row of logits a picture."""
        if not isinstance(logits, Tensor):
            raise UsageError(f"{self.name} returned {type(logits).__name__}; expected logits (N, classes)")
        if logits.ndim != 2 or len(logits) != len(images):
            raise UsageError(
                f"{self.name} returned {tuple(logits.shape)} for {len(images)} pictures; "
                f"expected logits ({len(images)}, classes)"
            )


def as_eval_copy(model: nn.Module | EvalCopy) -> EvalCopy:
    """The copy itself, or a new one of `model`: every method takes either."""
    return model if isinstance(model, EvalCopy) else EvalCopy(model)


def class_gradient(activation: Tensor, logits: Tensor, targets: Tensor) -> Tensor:
    """The gradient of each picture's target logit with respect to `activation`, in its shape (N, K, h, w).

    `activation` and `logits` as `forward_at` gave them; `targets` int64, (N,). May be called again on the
    same pass.
    """
    with recording(activation.device):
        # summing mixes nothing: each logit depends on its own picture alone
        chosen = logits.gather(1, private(targets).view(-1, 1)).sum()
        (gradient,) = torch.autograd.grad(chosen, activation, retain_graph=True)
    return gradient


def pictures_at_once(images: Tensor) -> int:
    """How many pictures (N, C, H, W) of this size should go through a model together, for the memory's sake."""
    return max(1, AT_ONCE // (images.shape[2] * images.shape[3]))


def _ignore(_name: str, _index: int, _output: Any) -> None:
    """A listener that hears nothing."""
