"""Pictures in, maps out that know nothing of any network: what an explanation must beat."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

Control = Callable[[Tensor], Tensor]  # images (N, C, H, W) -> maps (N, H, W), not negative


def random_map(images: Tensor, seed: int = 0) -> Tensor:
    """Even noise, another for each picture of a batch."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(len(images), *images.shape[2:], generator=generator).to(images.device)


def centred_gaussian(images: Tensor) -> Tensor:
    """A blob in the middle, where photographers put what they show: exp(-r²/2σ²), σ a quarter of each side."""
    height, width = images.shape[2:]
    down, right = ((torch.arange(side) + 0.5) / side - 0.5 for side in (height, width))
    blob = torch.exp(-(down[:, None] ** 2 + right**2) / (2 * 0.25**2))
    return blob.expand(len(images), height, width).to(images.device)


def edges(images: Tensor) -> Tensor:
    """How steep the picture is: the length of Sobel's gradient of the channels' mean, its border repeated."""
    grey = images.mean(dim=1, keepdim=True)  # (N, 1, H, W)
    sobel = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]], dtype=grey.dtype, device=grey.device)
    slopes = F.conv2d(F.pad(grey, (1, 1, 1, 1), mode="replicate"), torch.stack([sobel, sobel.T])[:, None])
    return slopes.square().sum(dim=1).sqrt()


CONTROLS: dict[str, Control] = {"random": random_map, "centred Gaussian": centred_gaussian, "edge detector": edges}
