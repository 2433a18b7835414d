"""A model, pictures and target classes in; how the class depends on every pixel out."""

import torch
from torch import Tensor, nn

from convscope.explain.capture import EvalCopy, as_eval_copy, class_gradient, pictures_at_once
from convscope.explain.methods import of_input

STEPS, HALVINGS = 64, 6  # of integrated gradients
COMPLETE = 1e-3  # how far from complete they may be, as a share of the logits' difference
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

    "Completeness": the map sums to the logit less that of an evenly mean-coloured picture. The way is cut into `steps`
    equal parts, and the gradient in the middle of each stands for all of it. Where the map is then not complete to a
    thousandth, the parts that miss their own rise of the logit by more than a thousandth of their share, as at the
    kinks of ReLU, are halved, and so on, up to six times; so the map is complete to a thousandth where the difference
    is no accident itself. What the baseline cannot say (here: what has the mean colour) the method cannot either.

    Args, returns: as `saliency`; signed.

    Source: Sundararajan et al., "Axiomatic Attribution for Deep Networks", ICML 2017.
    """
    copy = as_eval_copy(model)
    most = HALVINGS if copy.refine else 0
    images = images.detach()
    maps = torch.zeros(len(images), *images.shape[2:], dtype=_precision(images), device=images.device)
    ends = torch.linspace(0, 1, steps + 1, dtype=maps.dtype, device=images.device)
    values = torch.stack([_logits(copy, images * float(t), targets) for t in ends], dim=1)  # (N, steps + 1)
    rise = values[:, -1] - values[:, 0]
    allowed = COMPLETE * rise.abs()
    rounding = 100 * torch.finfo(images.dtype).eps * values.abs().amax(dim=1)
    # what is left to do, a row each: picture, from where, to where, and the logit at either end
    row = torch.arange(len(images), device=images.device).repeat_interleave(steps)
    start, stop = ends[:-1].repeat(len(images)), ends[1:].repeat(len(images))
    low, high = values[:, :-1].flatten(), values[:, 1:].flatten()
    for halvings in range(most + 1):
        middle, missed = (start + stop) / 2, torch.zeros(len(row), dtype=torch.bool, device=images.device)
        at_middle = torch.empty_like(low)
        pending = torch.zeros_like(maps)  # what the parts found that may yet be halved
        for part in torch.split(torch.arange(len(row), device=images.device), pictures_at_once(images)):
            own, length = images[row[part]], stop[part] - start[part]
            x, logits = copy.forward_input(own * middle[part][:, None, None, None].to(own.dtype))
            gradient = class_gradient(x, logits, targets[row[part]])
            at_middle[part] = logits.detach().gather(1, targets[row[part]][:, None])[:, 0].to(low.dtype)
            found = (own * gradient).sum(dim=1).to(maps.dtype) * length[:, None, None]
            off = (found.sum(dim=(1, 2)) - (high[part] - low[part])).abs()
            missed[part] = (off > allowed[row[part]] * length + rounding[row[part]]) & (halvings < most)
            kept = ~missed[part]
            maps.index_add_(0, row[part][kept], found[kept])
            pending.index_add_(0, row[part][~kept], found[~kept])
        complete = ((maps + pending).sum(dim=(1, 2)) - rise).abs() <= allowed
        maps[complete] += pending[complete]
        missed &= ~complete[row]
        row, start, middle, stop, low, at_middle, high = (
            value[missed] for value in (row, start, middle, stop, low, at_middle, high)
        )
        row = torch.cat([row, row])
        start, stop = torch.cat([start, middle]), torch.cat([middle, stop])
        low, high = torch.cat([low, at_middle]), torch.cat([at_middle, high])
    return maps


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
    total = torch.zeros_like(pictures, dtype=_precision(pictures))
    for _ in range(copies):
        noise = torch.randn(pictures.shape[1:], generator=generator, dtype=torch.float32).to(pictures)
        total += input_gradient(copy, pictures + spread * noise, targets)
    return (total / copies).abs().amax(dim=1)


def _logits(copy: EvalCopy, images: Tensor, targets: Tensor) -> Tensor:
    """Each picture's target logit, (N,), in at least float32."""
    return copy.logits(images).gather(1, targets.view(-1, 1))[:, 0].to(_precision(images))


def _precision(tensor: Tensor) -> torch.dtype:
    return torch.promote_types(tensor.dtype, torch.float32)
