"""A model, a layer, pictures and target classes in; class activation maps out that need no gradient."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from convscope.explain.cam import weighted_sum
from convscope.explain.capture import EvalCopy, as_eval_copy
from convscope.explain.methods import RefusalError


def cam(model: nn.Module | EvalCopy, layer: str, images: Tensor, targets: Tensor) -> Tensor:
    """CAM, the first class activation map: Σ_k W_ck A_k with W the weights of the linear head.

    Exact where it exists: the map's mean is the logit without its bias. It exists only where `layer` goes through
    global average pooling into one linear layer, which is checked on the numbers, so that modules and functions count
    alike and dropout, idle in eval mode, is no obstacle.

    Args:
        model, layer, images, targets: as for `grad_cam`, of which this is h·w times, up to rounding.

    Returns:
        (N, h, w), in the activations' precision and at least float32.

    Raises:
        UsageError: the model is not of that kind at `layer`; the message says where it is otherwise.

    Source: Zhou et al., "Learning Deep Features for Discriminative Localization", CVPR 2016.
    """
    copy = as_eval_copy(model)
    with _LinearCalls() as calls:
        activation, logits = copy.activation(layer, images)
    if not calls.seen or not torch.equal(calls.seen[-1][2], logits):
        raise _refusal(copy, layer, "its logits do not come straight from a linear layer")
    pooled, weight, _ = calls.seen[-1]
    means = activation.mean(dim=(2, 3))  # (N, K)
    if pooled.shape != means.shape or not torch.allclose(pooled, means, rtol=1e-4, atol=1e-5 * _scale(means)):
        raise _refusal(copy, layer, "that linear layer does not get the means over this layer's places")
    return weighted_sum(weight[targets][:, :, None, None], activation)


def eigen_cam(model: nn.Module | EvalCopy, layer: str, images: Tensor, targets: Tensor) -> Tensor:
    """Eigen-CAM: what the layer's channels have most in common, class or not.

    With A seen as a matrix (h·w, K), places by channels, the map is A v₁, v₁ its first right singular vector: of all
    sums of channels with weights of length one the strongest. The sign, which the decomposition leaves open, is the one
    with which the map's sum is not negative. The target plays no part: the map shows what the layer sees, and cannot
    tell one class from another.

    Args, returns: as `grad_cam`.

    Source: Muhammad and Yeasin, "Eigen-CAM: Class Activation Map using Principal Components", IJCNN 2020.
    """
    activation, _ = as_eval_copy(model).activation(layer, images)
    activation = activation.to(torch.promote_types(activation.dtype, torch.float32))  # (N, K, h, w)
    count, _, height, width = activation.shape
    places = activation.flatten(2).mT  # (N, h·w, K)
    first = torch.linalg.svd(places, full_matrices=False).Vh[:, 0]  # (N, K)
    maps = (places @ first[:, :, None]).view(count, height, width)
    return torch.where(maps.sum(dim=(1, 2), keepdim=True) < 0, -maps, maps)


class _LinearCalls(TorchFunctionMode):
    """Sees every linear layer of this thread that runs inside it, module or function: (input, weight, output)."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[Tensor, Tensor, Tensor]] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = func(*args, **(kwargs or {}))
        if func is F.linear:
            given = dict(zip(("input", "weight", "bias"), args, strict=False)) | (kwargs or {})
            self.seen.append((given["input"], given["weight"], output))
        return output


def _refusal(copy: EvalCopy, layer: str, reason: str) -> RefusalError:
    return RefusalError(
        f"cam at layer {layer!r} of {copy.name}: classic CAM needs global average pooling of that layer, then one "
        f"linear layer, and {reason}; use grad-cam",
        "needs average pooling and one linear layer behind",
    )


def _scale(x: Tensor) -> float:
    """How large the numbers are."""
    return float(x.abs().max())
