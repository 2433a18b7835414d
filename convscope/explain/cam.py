"""A model, a layer, pictures and target classes in; a signed class activation map for each picture out.

A method here is a function ``(model, layer, images, targets) -> maps`` with one line in the registry
`METHODS`.
"""

import torch
from torch import Tensor, nn

from convscope.explain.capture import EvalCopy, as_eval_copy, class_gradient


def grad_cam(model: nn.Module | EvalCopy, layer: str, images: Tensor, targets: Tensor) -> Tensor:
    """Grad-CAM, before its final ReLU: which places of the layer argue for the class (+) or against it (-).

    With A (K, h, w) the layer's activations for a picture and y its logit of the target class:

        w_k = 1/(h w) Σ_ij ∂y/∂A_k,ij        equation 1
        map = Σ_k w_k A_k                     equation 2, whose ReLU `Explanation.heatmaps` applies

    For a network that ends in global average pooling and a linear layer this is the classic CAM divided by
    h·w. It tells where, as coarsely as the layer sees; averaging the gradient over places means that it can
    light up places that the class does not depend on once several layers follow.

    Args:
        model: any module that returns logits (N, classes).
        layer: the dotted name of a module with an output (N, K, h, w).
        images: float, (N, C, H, W), normalised.
        targets: int64, (N,), the class to explain for each picture.

    Returns:
        (N, h, w), in the activations' precision and at least float32.

    Source: Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based
    Localization", ICCV 2017.
    """
    activation, logits = as_eval_copy(model).forward_at(layer, images)  # (N, K, h, w), (N, classes)
    gradient = class_gradient(activation, logits, targets)  # (N, K, h, w)
    weights = gradient.mean(dim=(2, 3), keepdim=True, dtype=_precision(gradient))  # (N, K, 1, 1)
    return weighted_sum(weights, activation)


def weighted_sum(weights: Tensor, activation: Tensor) -> Tensor:
    """Σ_k w_k A_k for weights that broadcast to (N, K, h, w); (N, h, w).

    A sum of K products is known to within γ_K Σ|w_k A_k|, where γ_K = K u / (1 - K u) and u is the unit
    round-off (Higham, "Accuracy and Stability of Numerical Algorithms", 2002, section 3.1). A smaller sum is
    exactly zero here: its sign is an accident of rounding, and a heatmap scaled to its own maximum would turn
    it into full heat.
    """
    dtype = _precision(activation)
    with torch.no_grad():
        terms = weights.to(dtype) * activation.detach().to(dtype)  # (N, K, h, w)
        total = terms.sum(dim=1)
        error = terms.shape[1] * torch.finfo(dtype).eps / 2
        doubt = error / (1 - error) * terms.abs().sum(dim=1)
        return torch.where(total.abs() <= doubt, 0.0, total)


def _precision(tensor: Tensor) -> torch.dtype:
    """The tensor's own precision, but never less than float32: half precision cannot hold these sums."""
    return torch.promote_types(tensor.dtype, torch.float32)
