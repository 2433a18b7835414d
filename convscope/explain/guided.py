"""A model, pictures and target classes in; guided backpropagation out, alone and together with Grad-CAM."""

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from convscope.explain.cam import grad_cam
from convscope.explain.capture import EvalCopy, as_eval_copy, class_gradient
from convscope.explain.methods import RefusalError, of_input

RELUS: frozenset[Callable[..., Any]] = frozenset({F.relu, F.relu_, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_})
CLAMPS: frozenset[Callable[..., Any]] = frozenset(
    {torch.clamp, torch.clamp_, torch.clamp_min, Tensor.clamp, Tensor.clamp_, Tensor.clamp_min}
)
OTHERS: dict[Callable[..., Any], str] = {
    function: name
    for name in ("gelu", "silu", "elu", "selu", "celu", "leaky_relu", "hardswish", "mish", "softplus", "relu6", "prelu")
    if callable(function := getattr(F, name, None))
} | {torch.tanh: "tanh", Tensor.tanh: "tanh", torch.sigmoid: "sigmoid", Tensor.sigmoid: "sigmoid"}


@of_input
def guided_backprop(model: nn.Module | EvalCopy, layer: str, images: Tensor, targets: Tensor) -> Tensor:
    """Guided backpropagation: the gradient, but ReLU passes back only what is positive on both its ways.

    At each ReLU with input z the gradient g becomes 1[z > 0] · max(g, 0). The map has, for each pixel, the channel of
    largest size with its sign. The pictures are sharp because edges survive; they say little of the class: the method
    hardly changes when the layers above are replaced by random ones (Adebayo et al., "Sanity Checks for Saliency Maps",
    2018). `nn.ReLU`, `F.relu`, `torch.relu`, `x.relu_()` and clamping at zero all count.

    Args, returns: as `saliency`; signed.

    Raises:
        UsageError: the model has no ReLU, or another activation for which the rule has no meaning; by name.

    Source: Springenberg et al., "Striving for Simplicity: The All Convolutional Net", 2014, section 3.4.
    """
    return _strongest(_guided_gradient(as_eval_copy(model), images, targets, "guided-backprop"))


def guided_grad_cam(model: nn.Module | EvalCopy, layer: str, images: Tensor, targets: Tensor) -> Tensor:
    """Guided Grad-CAM: guided backpropagation where Grad-CAM at `layer` sees the class, their product.

    Grad-CAM's positive part is enlarged as `Explanation.heatmaps` does it, bilinearly. What is sharp in the product
    comes from guided backpropagation, with all its weaknesses; what depends on the class comes from Grad-CAM.

    Args:
        model, layer, images, targets: as for `grad_cam`.

    Returns:
        (N, H, W), at the pictures' resolution; signed.

    Raises:
        UsageError: as `guided_backprop`, and as `grad_cam`.

    Source: Selvaraju et al., "Grad-CAM", ICCV 2017, section 3.2.
    """
    copy = as_eval_copy(model)
    coarse = grad_cam(copy, layer, images, targets).clamp(min=0)[:, None]
    fine = F.interpolate(coarse, size=images.shape[2:], mode="bilinear", align_corners=False, antialias=True)[:, 0]
    return _strongest(_guided_gradient(copy, images, targets, "guided-grad-cam")) * fine


def _guided_gradient(copy: EvalCopy, images: Tensor, targets: Tensor, method: str) -> Tensor:
    """What guided backpropagation gives for every channel of every pixel, (N, C, H, W)."""
    with _GuidedReLUs() as mode:
        x, logits = copy.forward_input(images)
    if mode.others or not mode.relus:
        others = ", ".join(sorted(mode.others))
        what = f"this model uses {others}" if others else "this model has none"
        raise RefusalError(
            f"{method} is defined for networks whose activations are ReLU, and {what}; use saliency",
            f"needs ReLU, not {others}" if others else "needs ReLU",
        )
    return class_gradient(x, logits, targets)


def _strongest(gradient: Tensor) -> Tensor:
    """Of each pixel the channel of largest size, with its sign: (N, C, H, W) -> (N, H, W)."""
    return gradient.gather(1, gradient.abs().argmax(dim=1, keepdim=True))[:, 0]


class _GuidedReLU(torch.autograd.Function):
    """max(z, 0), whose backward pass lets through what is positive on both ways."""

    @staticmethod
    def forward(ctx: Any, z: Tensor) -> Tensor:
        ctx.save_for_backward(z > 0)
        return z.clamp(min=0)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (positive,) = ctx.saved_tensors
        return cast(Tensor, gradients[0].clamp(min=0) * positive)


class _GuidedReLUs(TorchFunctionMode):
    """Puts `_GuidedReLU` in the place of every ReLU of this thread that runs inside it, and notes other activations."""

    def __init__(self) -> None:
        super().__init__()
        self.relus = 0
        self.others: set[str] = set()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in RELUS or (func in CLAMPS and _at_zero(*args[1:], **kwargs)):
            self.relus += 1
            return _GuidedReLU.apply(args[0] if args else kwargs["input"])  # type: ignore[no-untyped-call]
        if func in OTHERS:
            self.others.add(OTHERS[func])
        return func(*args, **kwargs)


def _at_zero(min: Any = None, max: Any = None, **_: Any) -> bool:
    """Whether arguments of clamp make it a ReLU."""
    return not isinstance(min, Tensor) and min == 0 and max is None
