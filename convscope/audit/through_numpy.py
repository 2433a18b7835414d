"""Maps computed again in NumPy, from the layers' own backward pass: nothing of PyTorch takes part in the other side.

The formulas are written as in the papers, not as in `convscope.explain`: Grad-CAM++ with its three powers of the
gradient, for example.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch.nn import functional as F

from convscope.audit.oracle import Exact, Measured, apart
from convscope.convert import Array
from convscope.errors import UsageError
from convscope.numpy_nn import Layer, ReLU, Residual, Sequential
from convscope.proof.walk import run_forward

Check = tuple[str, str, str, Callable[[Exact], Measured]]  # name, method, what it says, how it is measured
Formula = Callable[[Array, Array], Array]  # activation, gradient (N, K, h, w) -> maps (N, h, w)


def grad_cam(a: Array, g: Array) -> Array:
    """Equations 1 and 2 of Selvaraju et al. 2017."""
    maps: Array = np.einsum("nk,nkhw->nhw", g.mean(axis=(2, 3)), a)
    return maps


def grad_cam_plus_plus(a: Array, g: Array) -> Array:
    """Equations 5 and 19 of Chattopadhay et al. 2018, with the derivatives of exp(y) for y linear in A: g, g², g³."""
    total = a.sum(axis=(2, 3), keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        alpha = np.where(g > 0, g**2 / (2 * g**2 + total * g**3), 0.0)
    maps: Array = np.einsum("nk,nkhw->nhw", (alpha * np.maximum(g, 0)).sum(axis=(2, 3)), a)
    return maps


def hires_cam(a: Array, g: Array) -> Array:
    """Draelos and Carin 2020."""
    maps: Array = (a * g).sum(axis=1)
    return maps


def x_grad_cam(a: Array, g: Array) -> Array:
    """Fu et al. 2020; a channel that sums to zero has no weight."""
    total = a.sum(axis=(2, 3))
    weights = np.divide((a * g).sum(axis=(2, 3)), total, out=np.zeros_like(total), where=total != 0)
    maps: Array = np.einsum("nk,nkhw->nhw", weights, a)
    return maps


def layer_cam(a: Array, g: Array) -> Array:
    """Jiang et al. 2021."""
    maps: Array = (a * np.maximum(g, 0)).sum(axis=1)
    return maps


FORMULAS: dict[str, tuple[str, Formula]] = {
    "grad-cam": ("Grad-CAM through NumPy", grad_cam),
    "grad-cam++": ("Grad-CAM++ through NumPy", grad_cam_plus_plus),
    "hires-cam": ("HiResCAM through NumPy", hires_cam),
    "x-grad-cam": ("XGrad-CAM through NumPy", x_grad_cam),
    "layer-cam": ("LayerCAM through NumPy", layer_cam),
}


def cam_check(method: str) -> Check:
    """The map of a method at a layer against its formula on NumPy's activation and gradient."""
    name, formula = FORMULAS[method]

    def check(exact: Exact) -> Measured:
        found, there = exact.maps(method, *exact.few), exact.by_numpy
        return Measured(apart(found, formula(there.activation, there.gradient)), len(found))

    return name, method, "the formula of its paper, on the gradient of the NumPy layers' own backward pass", check


def saliency(exact: Exact) -> Measured:
    """The largest size over the channels."""
    found = exact.maps("saliency", *exact.few)
    return Measured(apart(found, np.abs(exact.by_numpy.of_input).max(axis=1)), len(found))


def input_x_gradient(exact: Exact) -> Measured:
    """The product, summed over the channels."""
    images, targets = exact.few
    found = exact.maps("input-x-gradient", images, targets)
    return Measured(apart(found, (images.numpy() * exact.by_numpy.of_input).sum(axis=1)), len(found))


def guided_backprop(exact: Exact) -> Measured:
    """The rule of Springenberg et al. 2014 at every ReLU of the NumPy network."""
    found = exact.maps("guided-backprop", *exact.few)
    return Measured(apart(found, strongest(guided_gradient(exact))), len(found))


def guided_grad_cam(exact: Exact) -> Measured:
    """That, times NumPy's Grad-CAM where it is positive."""
    found, there = exact.maps("guided-grad-cam", *exact.few), exact.by_numpy
    coarse = torch.from_numpy(np.maximum(grad_cam(there.activation, there.gradient), 0))[:, None]
    fine = F.interpolate(coarse, size=found.shape[1:], mode="bilinear", align_corners=False, antialias=True)[:, 0]
    return Measured(apart(found, strongest(guided_gradient(exact)) * fine.numpy()), len(found))


def eigen_cam(exact: Exact) -> Measured:
    """Its length is the largest singular value σ of NumPy's activation, and Aᵀ map has length σ²: no other map has."""
    found = exact.maps("eigen-cam", *exact.few).flatten(1).numpy()  # (N, h·w)
    places = exact.by_numpy.activation.reshape(*exact.by_numpy.activation.shape[:2], -1)  # (N, K, h·w)
    sigma = np.linalg.svd(places, compute_uv=False)[:, 0]
    again = np.linalg.norm(np.einsum("nkp,np->nk", places, found), axis=1)
    turned = np.maximum(0, -found.sum(axis=1))  # a map whose sum is negative has the wrong sign
    error = max(apart(np.linalg.norm(found, axis=1) + turned, sigma), apart(again, sigma**2))
    return Measured(error, len(found))


def guided_gradient(exact: Exact) -> Array:
    """What guided backpropagation gives for every channel of every pixel, (N, C, H, W), in NumPy alone."""
    if exact.network is None:
        raise UsageError(exact.no_network)
    images, targets = exact.few
    logits = run_forward(exact.network, images.numpy(), lambda *_: None, remember=True)
    return guided_backward(exact.network, np.eye(logits.shape[1])[targets.numpy()])


def guided_backward(layer: Layer, dy: Array) -> Array:
    """As `proof.walk.run_backward`, but a ReLU also stops what is negative on its way back."""
    if isinstance(layer, Sequential):
        for child in reversed(layer.layers):
            dy = guided_backward(child, dy)
        return dy
    if isinstance(layer, Residual):
        around = dy if layer.shortcut is None else guided_backward(layer.shortcut, dy)
        through: Array = guided_backward(layer.branch, dy) + around
        return through
    return layer.backward(np.maximum(dy, 0) if isinstance(layer, ReLU) else dy)


def strongest(gradient: Array) -> Array:
    """Of each pixel the channel of largest size, with its sign: (N, C, H, W) -> (N, H, W)."""
    best = np.abs(gradient).argmax(axis=1)[:, None]
    return np.asarray(np.take_along_axis(gradient, best, axis=1)[:, 0], np.float64)


GRADIENT = "the gradient of the NumPy layers' own backward pass"
CHECKS: tuple[Check, ...] = (
    *map(cam_check, FORMULAS),
    ("Eigen-CAM through NumPy", "eigen-cam", "the strongest sum of channels, by NumPy's singular values", eigen_cam),
    ("saliency through NumPy", "saliency", f"the size of {GRADIENT}", saliency),
    ("input × gradient through NumPy", "input-x-gradient", f"the picture times {GRADIENT}", input_x_gradient),
    (
        "guided backpropagation through NumPy",
        "guided-backprop",
        "that backward pass with its own rule at every ReLU",
        guided_backprop,
    ),
    (
        "Guided Grad-CAM through NumPy",
        "guided-grad-cam",
        "guided backpropagation times Grad-CAM, both in NumPy",
        guided_grad_cam,
    ),
)
