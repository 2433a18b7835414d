"""A model and the name of a layer in; out comes a function from pictures to that layer's output, which stops there."""

from contextlib import suppress
from typing import Any

from torch import Tensor, nn

from convscope.errors import UsageError
from convscope.explain.capture import EvalCopy, as_eval_copy, recording


class LayerOutput:
    """What a layer gives, in a private eval-mode copy of a model. A pass ends at the layer: an early one costs little.

    Not to be shared between threads.

    Args:
        model: any module that takes (N, C, H, W).
        images: float, (N, C, H, W), normalised: some that the model takes.
        layer: a dotted module name, `name#2` for the second call of a module that runs repeatedly; None as in
            `explain`. Its output is (N, K, h, w), or (N, K) for K units without a place.

    Attributes:
        layer: the layer's name.
        shape: (K, h, w) of its output for a picture of this size; (K, 1, 1) for units without a place.
        has_places: whether its output is (N, K, h, w).

    Raises:
        UsageError: no such layer, it did not run or ran more than once, or its output is of another kind.
    """

    def __init__(self, model: nn.Module | EvalCopy, images: Tensor, layer: str | None = None) -> None:
        self.copy = as_eval_copy(model)
        self.layer = self.copy.default_layer(images) if layer is None else layer
        module, which = self.copy.resolve(self.layer, images)
        calls = self.copy.calls(images[:1], modules={module})
        if not calls or (len(calls) > 1 if which is None else which > len(calls)):
            self.copy.refuse(self.layer, images)
        shape = calls[(which or 1) - 1].shape
        if shape is None or len(shape) not in (2, 4):
            given = "its output is not one floating tensor" if shape is None else f"its output has the shape {shape}"
            self.copy.refuse(self.layer, images, f"{given}, expected (N, K, h, w) or (N, K)")
        self.has_places = len(shape) == 4
        height, width = shape[2:] if self.has_places else (1, 1)
        self.shape: tuple[int, int, int] = (shape[1], height, width)
        self._module, self._call = self.copy.model.get_submodule(module), which or 1

    def __call__(self, images: Tensor) -> Tensor:
        """The layer's output for pictures (N, C, H, W), in no graph: (N, K, h, w).

        Raises:
            UsageError: it has another number of pictures, or of channels, than went in.
        """
        outputs: list[Tensor] = []
        calls = 0

        def stop(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
            nonlocal calls
            calls += 1
            if calls == self._call:
                outputs.append(output.detach())
                raise _ReachedError

        handle = self._module.register_forward_hook(stop)
        try:
            with recording(images.device, record=False), suppress(_ReachedError):
                self.copy.model(images.detach().clone())  # a copy, because a layer may work in place
        finally:
            handle.remove()
        if not outputs or len(outputs[0]) != len(images) or outputs[0].shape[1] != self.shape[0]:
            found = tuple(outputs[0].shape) if outputs else "nothing"
            raise UsageError(
                f"layer {self.layer!r} gave {found} for {len(images)} pictures; expected as many, "
                f"with {self.shape[0]} channels"
            )
        return outputs[0] if self.has_places else outputs[0][:, :, None, None]


class _ReachedError(BaseException):
    """Ends a pass at the layer; no Exception, which a model's own forward might catch."""
