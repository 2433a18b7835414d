"""A model and pictures in; out come the outputs of its layers, and gradients with respect to them.

All passes run on a private eval-mode clone (`clone.py`), so hooks, modes, buffers and gradients of the model
itself are never touched, whatever fails and however many threads explain the same model.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NoReturn, cast

import torch
from torch import Tensor, nn

from convscope.errors import UsageError
from convscope.explain.clone import eval_clone
from convscope.explain.layer_call import LayerCall, choices, layer_call, refusal, size_text
from convscope.explain.random_streams import draws_undone

AT_ONCE = 2**18  # pixels that go through a model together: 256 pictures of 32×32

# (module name, which call of it, its output) -> None, or what takes the output's place
Listener = Callable[[str, int, Any], Any]


class EvalCopy:
    """A private copy of a model in eval mode, on which every explanation method makes its passes.

    Not to be shared between threads: each call of `explain` makes its own.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = eval_clone(model)
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
        module, which = self.resolve(layer, images)
        leaves: list[Tensor] = []

        def cut(name: str, index: int, output: Any) -> Tensor | None:
            if index != (which or 1) or layer_call(name, index, output).problem:
                return None
            # set here as well: the model's own forward may run this layer under no_grad
            with torch.inference_mode(False), torch.enable_grad():
                leaves.append(_private(output).requires_grad_())
                # a copy, because a leaf may not be changed in place, as ReLU(inplace=True) would
                return leaves[-1].clone()

        logits, counts = self._run(images, cut, {module}, record=True)
        if not leaves or (which is None and counts[module] > 1):
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
            x = _private(images).requires_grad_()
        logits, _ = self._run(images, _ignore, set(), record=True, x=x)
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
        module, which = (None, None) if layer is None else self.resolve(layer, images)
        changed = False

        def listener(name: str, index: int, output: Any) -> Tensor | None:
            nonlocal changed
            if change is None or index != (which or 1) or layer_call(name, index, output).problem:
                return None
            changed = True
            return change(output)

        logits, counts = self._run(images, listener, set() if module is None else {module}, record=False)
        if layer is not None and module is not None and (not changed or (which is None and counts[module] > 1)):
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

        _, counts = self._run(images, note, modules, record=False)
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

        self._run(images[:1], note, None, record=False)
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
        by_name = dict(self.model.named_modules(remove_duplicate=False))
        first_name = {module: name for name, module in self.model.named_modules()}
        if layer and layer in by_name:
            return first_name[by_name[layer]], None
        name, _, number = layer.rpartition("#")
        if name and name in by_name and number.isdecimal() and int(number) > 0:
            return first_name[by_name[name]], int(number)
        raise UsageError(f"{self.name} has no layer {layer!r}; choose from {choices(self.calls(images[:1]))}")

    def refuse(self, layer: str, images: Tensor, reason: str | None = None) -> NoReturn:
        """Raise the UsageError that says why the model cannot be looked into at `layer`, and where it can."""
        calls = self.calls(images[:1])
        reason = reason or refusal(*self.resolve(layer, images), calls)
        raise UsageError(f"layer {layer!r} cannot be used: {reason}; choose from {choices(calls)}")

    def _run(
        self, images: Tensor, listener: Listener, modules: set[str] | None, record: bool, x: Tensor | None = None
    ) -> tuple[Any, Counter[str]]:
        """One forward pass with `listener` on the named modules; the model's output and the calls of each.

        `x` takes the place of `images` where the graph should lead back to it.
        """
        counts: Counter[str] = Counter()

        def hook_for(name: str) -> Callable[[nn.Module, Any, Any], Any]:
            def hook(_module: nn.Module, _inputs: Any, output: Any) -> Any:
                counts[name] += 1
                return listener(name, counts[name], output)

            return hook

        handles = [
            module.register_forward_hook(hook_for(name))
            for name, module in self.model.named_modules()
            # a parametrization (weight norm) computes a weight: what it returns is no picture's feature map
            if name and "parametrizations" not in name.split(".") and (modules is None or name in modules)
        ]
        try:
            with recording(images.device, record):
                return self.model(_private(images) if x is None else x.clone()), counts
        except RuntimeError as error:
            kinds = {p.dtype: None for p in self.model.parameters() if p.is_floating_point()}  # in order
            if not kinds or images.dtype in kinds:
                raise
            raise UsageError(
                f"images are {images.dtype} but the parameters of {self.name} are {' and '.join(map(str, kinds))}; "
                f"pass images.to({next(iter(kinds))}) (torch says: {str(error).splitlines()[0]})"
            ) from error
        finally:
            for handle in handles:
                handle.remove()

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
        chosen = logits.gather(1, _private(targets).view(-1, 1)).sum()
        (gradient,) = torch.autograd.grad(chosen, activation, retain_graph=True)
    return gradient


def pictures_at_once(images: Tensor) -> int:
    """How many pictures (N, C, H, W) of this size should go through a model together, for the memory's sake."""
    return max(1, AT_ONCE // (images.shape[2] * images.shape[3]))


@contextmanager
def recording(device: torch.device, record: bool = True) -> Iterator[None]:
    """Autograd on (or off), whatever mode the caller is in; the random streams are left as found."""
    with torch.inference_mode(False), torch.set_grad_enabled(record), draws_undone(device):
        yield


def _ignore(_name: str, _index: int, _output: Any) -> None:
    """A listener that hears nothing."""


def _private(tensor: Tensor) -> Tensor:
    """A copy that is in no graph and may be changed in place; outside inference mode a normal tensor."""
    return tensor.detach().clone()
