"""A model, a layer, pictures and target classes in; a signed class activation map for each picture out, by gradients.

A method here is a function ``(model, layer, images, targets) -> maps`` with one line in the registry
`METHODS`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor, nn

from convscope.explain.capture import EvalCopy, as_eval_copy, class_gradient
from convscope.explain.methods import RefusalError

_SUMS: ContextVar[list[tuple[Tensor, Tensor]] | None] = ContextVar("sums", default=None)


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
    activation, gradient = _at(model, layer, images, targets)
    return weighted_sum(gradient.mean(dim=(2, 3), keepdim=True), activation)


def grad_cam_plus_plus(model: nn.Module | EvalCopy, layer: str, images: Tensor, targets: Tensor) -> Tensor:
    """Grad-CAM++: places whose rise would raise the class are counted by how many it has to share the credit with.

    With Y = exp(y) and y locally linear in A, as behind ReLU, the derivatives of Y are exp(y) times powers of
    g = ∂y/∂A, and equation 19 becomes

        α_k,ij = g² / (2 g² + g³ Σ_ab A_k,ab) = 1 / (2 + g Σ_ab A_k,ab)
        w_k = Σ_ij α_k,ij ReLU(g_k,ij)        equation 5, without its positive factor exp(y)
        map = Σ_k w_k A_k

    No small number is added to the denominator: where g > 0 it is at least 2 for features that are not negative. It
    finds several objects of a class where Grad-CAM favours the largest; all w are positive, so it cannot tell what
    argues against the class.

    Args, returns: as `grad_cam`.

    Raises:
        UsageError: negative features make a denominator zero or less, where α means nothing.

    Source: Chattopadhay et al., "Grad-CAM++: Improved Visual Explanations for Deep Convolutional Networks", WACV 2018.
    """
    activation, gradient = _at(model, layer, images, targets)
    share = 2 + gradient * activation.sum(dim=(2, 3), keepdim=True)  # (N, K, h, w)
    rising = gradient > 0
    if (share[rising] <= 0).any():
        raise RefusalError(
            f"grad-cam++ at layer {layer!r}: its features are so negative that equation 19 divides by zero or less; "
            "name a layer behind a ReLU",
            "needs features that are not so negative",
        )
    alpha = torch.where(rising, gradient / torch.where(rising, share, 1.0), 0.0)
    return weighted_sum(alpha.sum(dim=(2, 3), keepdim=True), activation)


def hires_cam(model: nn.Module | EvalCopy, layer: str, images: Tensor, targets: Tensor) -> Tensor:
    """HiResCAM: the gradient weighs each place by itself, Σ_k ∂y/∂A_k ∘ A_k.

    For a network whose only layers behind A are linear, flattened or pooled, the map sums to the logit without its
    bias, so it shows all that the class was computed from and nothing else. Grad-CAM, which averages the gradient,
    promises that only behind global average pooling, where both agree but for the factor h·w. Behind further
    convolutions it is as local as the gradient, and so noisier.

    Args, returns: as `grad_cam`.

    Source: Draelos and Carin, "Use HiResCAM instead of Grad-CAM for faithful explanations of convolutional neural
    networks", 2020.
    """
    activation, gradient = _at(model, layer, images, targets)
    return weighted_sum(gradient, activation)


def x_grad_cam(model: nn.Module | EvalCopy, layer: str, images: Tensor, targets: Tensor) -> Tensor:
    """XGrad-CAM: a channel's weight is its mean gradient, weighed by where the channel is active.

        w_k = Σ_ij (A_k,ij / Σ_ab A_k,ab) ∂y/∂A_k,ij
        map = Σ_k w_k A_k

    Its values sum to those of HiResCAM, channel by channel, so for ReLU networks nearly to the logit ("conservation").
    A channel that sums to zero gets no weight.

    Args, returns: as `grad_cam`.

    Source: Fu et al., "Axiom-based Grad-CAM: Towards Accurate Visualization and Explanation of CNNs", BMVC 2020.
    """
    activation, gradient = _at(model, layer, images, targets)
    total = activation.sum(dim=(2, 3), keepdim=True)  # (N, K, 1, 1)
    weighed = (activation * gradient).sum(dim=(2, 3), keepdim=True)
    return weighted_sum(torch.where(total == 0, 0.0, weighed / torch.where(total == 0, 1.0, total)), activation)


def layer_cam(model: nn.Module | EvalCopy, layer: str, images: Tensor, targets: Tensor) -> Tensor:
    """LayerCAM: each place is weighed by its own gradient where that is positive, Σ_k ReLU(∂y/∂A_k) ∘ A_k.

    Made for early layers, whose resolution is fine and where a weight for the whole channel means little. What argues
    against the class is left out by construction.

    Args, returns: as `grad_cam`.

    Source: Jiang et al., "LayerCAM: Exploring Hierarchical Class Activation Maps for Localization", IEEE TIP 2021.
    """
    activation, gradient = _at(model, layer, images, targets)
    return weighted_sum(gradient.clamp(min=0), activation)


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
        doubt = terms.abs_().sum(dim=1).mul_(error / (1 - error))
        total.masked_fill_(total.abs() <= doubt, 0.0)
    if (noted := _SUMS.get()) is not None:
        noted.append((weights.detach(), total))
    return total


@contextmanager
def sums_noted() -> Iterator[list[tuple[Tensor, Tensor]]]:
    """A list of (weights, sum) of every `weighted_sum` in this thread while the context lasts: how a map came about."""
    noted: list[tuple[Tensor, Tensor]] = []
    token = _SUMS.set(noted)
    try:
        yield noted
    finally:
        _SUMS.reset(token)


def _at(model: nn.Module | EvalCopy, layer: str, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """(A, ∂y/∂A), both (N, K, h, w), outside of any graph and in at least float32."""
    activation, logits = as_eval_copy(model).forward_at(layer, images)
    gradient = class_gradient(activation, logits, targets)
    dtype = _precision(activation)
    return activation.detach().to(dtype), gradient.to(dtype)


def _precision(tensor: Tensor) -> torch.dtype:
    """The tensor's own precision, but never less than float32: half precision cannot hold these sums."""
    return torch.promote_types(tensor.dtype, torch.float32)
