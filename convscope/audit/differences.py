"""Maps of gradient methods against differences of logits: no gradient takes part in the other side.

A map m of such a method says of the logit y how it changes: for any weights u of the places, Σ u m is the slope of y in
a direction that the method's formula names. The slope is (y(+s) - y(-s)) / 2s with s = `STEP`, in float64. It is off by
rounding, 2⁻⁵² |y| / s or about 1e-8, and by what a ReLU or max pooling that switches within the step adds; `ALLOWED`
of the largest slope leaves room for both, where a wrong formula is off by hundredths.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from convscope.audit.oracle import Exact, Measured, apart
from convscope.audit.through_numpy import Check
from convscope.errors import UsageError
from convscope.explain.gradients import NOISE, NOISY

STEP = 1e-7
ALLOWED = 1e-4
TRACE = 1e-3  # of noise, as a share of a standard deviation of the pictures
WAYS = 4  # directions tried for every picture
PIXELS = 6  # of saliency, for every picture; of SmoothGrad, whose price is 32 times as high, one

Slope = Callable[[Callable[[float], Tensor]], Tensor]


def slope(logit: Callable[[float], Tensor]) -> Tensor:
    """The derivative at 0 of each picture's logit (n,) along the way that `logit` goes."""
    return (logit(STEP) - logit(-STEP)) / (2 * STEP)


def uneven(exact: Exact) -> tuple[Tensor, Tensor]:
    """The first pictures with a trace of noise, and their classes.

    In a picture's even parts all places of a max pooling are exactly equal: there the logit has no slope, only one to
    each side, and a gradient is one of them.
    """
    images, targets = exact.few
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(0), dtype=images.dtype)
    return images + TRACE * noise, targets


def weights(shape: torch.Size, seed: int) -> Tensor:
    """Random u in [0, 1) for every place of the maps (n, h, w)."""
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def at_layer(exact: Exact, method: str, way: Callable[[Tensor, Tensor], Tensor]) -> Measured:
    """Σ u m against the slope of y as the layer's output A goes along `way`(A, u), (n, K, h, w)."""
    images, targets = exact.few
    if exact.layer is None:
        raise UsageError("no layer of at least 4×4")
    maps = exact.maps(method, images, targets)
    found, expected = [], []
    for seed in range(WAYS):
        u = weights(maps.shape, seed)
        found.append((u * maps).sum(dim=(1, 2)))
        expected.append(
            slope(lambda s, u=u: exact.logits(images, targets, exact.layer, lambda a: a + s * way(a, u)))  # type: ignore[misc]
        )
    return measured(torch.stack(found), torch.stack(expected))


def evenly(a: Tensor, u: Tensor) -> Tensor:
    """Grad-CAM: all places of a channel together, each channel by Σ u A_k / (h w)."""
    return (a * u[:, None]).mean(dim=(2, 3), keepdim=True).expand_as(a)


def in_place(a: Tensor, u: Tensor) -> Tensor:
    """HiResCAM: every place by its own u A."""
    return a * u[:, None]


def by_share(a: Tensor, u: Tensor) -> Tensor:
    """XGrad-CAM: every place by its share of its channel, each channel by Σ u A_k."""
    total = a.sum(dim=(2, 3), keepdim=True)
    share = torch.where(total == 0, 0.0, a / torch.where(total == 0, 1.0, total))
    return share * (a * u[:, None]).sum(dim=(2, 3), keepdim=True)


def input_x_gradient(exact: Exact) -> Measured:
    """Σ u m against the slope of y as every pixel x grows by u x."""
    images, targets = uneven(exact)
    maps = exact.maps("input-x-gradient", images, targets)
    found, expected = [], []
    for seed in range(WAYS):
        u = weights(maps.shape, seed)
        found.append((u * maps).sum(dim=(1, 2)))
        expected.append(slope(lambda s, u=u: exact.logits(images * (1 + s * u[:, None]), targets)))  # type: ignore[misc]
    return measured(torch.stack(found), torch.stack(expected))


def saliency(exact: Exact) -> Measured:
    """At some pixels of every picture: the steepest of the channels' slopes."""
    images, targets = uneven(exact)
    maps = exact.maps("saliency", images, targets)
    places = torch.randperm(maps[0].numel(), generator=torch.Generator().manual_seed(0))[:PIXELS].tolist()
    found, expected = [], []
    for row, column in (divmod(place, maps.shape[2]) for place in places):
        found.append(maps[:, row, column])
        slopes = [
            slope(lambda s, c=c, r=row, i=column: exact.logits(_raised(images, c, r, i, s), targets))  # type: ignore[misc]
            for c in range(images.shape[1])
        ]
        expected.append(torch.stack(slopes).abs().amax(dim=0))
    return measured(torch.stack(found), torch.stack(expected))


def smooth_grad(exact: Exact) -> Measured:
    """At the hottest pixel of two pictures: the steepest of the channels' slopes, averaged over the noisy copies."""
    images, targets = exact.images[:2], exact.targets[:2]
    maps = exact.maps("smooth-grad", images, targets)
    generator = torch.Generator().manual_seed(0)
    noise = torch.stack([torch.randn(images.shape[1:], generator=generator) for _ in range(NOISY)]).double()
    found, expected = [], []
    for image, target, found_map in zip(images, targets, maps, strict=True):
        row, column = divmod(int(found_map.argmax()), maps.shape[2])
        copies, same = image + NOISE * (image.max() - image.min()) * noise, target.expand(NOISY)
        slopes = [
            slope(lambda s, c=c, x=copies, t=same, r=row, i=column: exact.logits(_raised(x, c, r, i, s), t)).mean()  # type: ignore[misc]
            for c in range(len(image))
        ]
        found.append(found_map[row, column])
        expected.append(torch.stack(slopes).abs().max())
    return measured(torch.stack(found)[None], torch.stack(expected)[None])


def measured(found: Tensor, expected: Tensor) -> Measured:
    """(tries, n) sums of maps against as many slopes."""
    return Measured(apart(found, expected), found.shape[1], ALLOWED, "the largest slope", f"step {STEP:g}")


def _raised(images: Tensor, channel: int, row: int, column: int, by: float) -> Tensor:
    """Copies whose one pixel is `by` higher in one channel."""
    images = images.clone()
    images[:, channel, row, column] += by
    return images


SLOPE = "sums over its places are slopes of the logit, by differences"
CHECKS: tuple[Check, ...] = (
    ("Grad-CAM by differences", "grad-cam", SLOPE, lambda exact: at_layer(exact, "grad-cam", evenly)),
    ("HiResCAM by differences", "hires-cam", SLOPE, lambda exact: at_layer(exact, "hires-cam", in_place)),
    ("XGrad-CAM by differences", "x-grad-cam", SLOPE, lambda exact: at_layer(exact, "x-grad-cam", by_share)),
    ("saliency by differences", "saliency", "the steepest slope over the channels, pixel by pixel", saliency),
    ("input × gradient by differences", "input-x-gradient", SLOPE, input_x_gradient),
    ("SmoothGrad by differences", "smooth-grad", "the steepest mean slope over its noisy copies", smooth_grad),
)
