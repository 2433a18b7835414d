"""A model, pictures and target classes in; how the class depends on every pixel out."""

import torch
from torch import Tensor, nn

from convscope.explain.capture import EvalCopy, as_eval_copy, class_gradient
from convscope.explain.methods import of_input

STEPS = 64  # of integrated gradients
NOISY = 32  # copies that SmoothGrad averages over
NOISE = 0.15  # their standard deviation, as a share of the picture's range (Smilkov et al. 2017, section 3.2)


def input_gradient(model: nn.Module | EvalCopy, images: Tensor, targets: Tensor) -> Tensor:
    """∂y/∂x of each picture's target logit, (N, C, H, W), in the normalised numbers that the network sees."""
    x, logits = as_eval_copy(model).forward_input(images)
    return class_gradient(x, logits, targets)


@of_input
def saliency(model: nn.Module | EvalCopy, layer: str, images: Tensor, targets: Tensor) -> Tensor:
    """Saliency: how much the smallest change of a pixel changes the logit, max_c |∂y/∂x_c|.

    It tells what the logit is sensitive to, which is not what it is made of: a pixel that the network has long been
    sure of has no gradient left. It has no sign, and in deep networks much noise.

    Args:
        model: any module that returns logits (N, classes).
        layer: ignored; a method for the input.
        images: float, (N, C, H, W), normalised.
        targets: int64, (N,), the class to explain for each picture.

    Returns:
        (N, H, W), not negative.

    Source: Simonyan et al., "Deep Inside Convolutional Networks: Visualising Image Classification Models and Saliency
    Maps", 2013, section 3.1.
    """
    return input_gradient(model, images, targets).abs().amax(dim=1)


@of_input
def input_x_gradient(model: nn.Module | EvalCopy, layer: str, images: Tensor, targets: Tensor) -> Tensor:
    """Input times gradient: Σ_c x_c ∂y/∂x_c, the logit's first-order change as the pixel goes to the mean colour.

    A normalised 0 is the mean of the training pictures; what has that colour gets nothing, whatever it meant. For a
    linear model without bias the map sums to the logit.

    Args, returns: as `saliency`; signed.

    Source: Shrikumar et al., "Not Just a Black Box: Learning Important Features Through Propagating Activation
    Differences", 2016.
    """
    return (images.detach() * input_gradient(model, images, targets)).sum(dim=1)


@of_input
def integrated_gradients(
    model: nn.Module | EvalCopy, layer: str, images: Tensor, targets: Tensor, steps: int = STEPS
) -> Tensor:
    """Integrated gradients: the gradient, averaged on the straight way from the mean colour to the picture.

        map = Σ_c x_c ∫₀¹ ∂y/∂x_c (t x) dt        equation 1, baseline 0

    "Completeness": the map sums to the logit less that of an evenly mean-coloured picture. The integral is a sum over
    the midpoints of `steps` equal parts, and the sum of the map says how well that did. What the baseline cannot say
    (here: what has the mean colour) the method cannot either.

    Args, returns: as `saliency`; signed.

    Source: Sundararajan et al., "Axiomatic Attribution for Deep Networks", ICML 2017.
    """
    copy = as_eval_copy(model)
    total = torch.zeros_like(images, dtype=torch.promote_types(images.dtype, torch.float32))
    for step in range(steps):
        total += input_gradient(copy, images.detach() * ((step + 0.5) / steps), targets)
    return (images.detach() * total / steps).sum(dim=1)


@of_input
def smooth_grad(
    model: nn.Module | EvalCopy, layer: str, images: Tensor, targets: Tensor, copies: int = NOISY, seed: int = 0
) -> Tensor:
    """SmoothGrad: saliency of the gradient's mean over noisy copies of the picture, max_c |mean ∂y/∂x_c (x + ε)|.

    ε is normal with 0.15 times the picture's range as its standard deviation; its directions come from `seed`, the same
    for every picture, so that pictures do not depend on their neighbours. Smoother than `saliency`, and a statement
    about the neighbourhood of the picture, not about the picture.

    Args, returns: as `saliency`; not negative.

    Source: Smilkov et al., "SmoothGrad: removing noise by adding noise", 2017.
    """
    copy = as_eval_copy(model)
    generator = torch.Generator().manual_seed(seed)
    pictures = images.detach()
    spread = NOISE * (pictures.amax(dim=(1, 2, 3), keepdim=True) - pictures.amin(dim=(1, 2, 3), keepdim=True))
    total = torch.zeros_like(pictures, dtype=torch.promote_types(pictures.dtype, torch.float32))
    for _ in range(copies):
        noise = torch.randn(pictures.shape[1:], generator=generator, dtype=torch.float32).to(pictures)
        total += input_gradient(copy, pictures + spread * noise, targets)
    return (total / copies).abs().amax(dim=1)
