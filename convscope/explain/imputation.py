"""Pictures and a mask of missing pixels in; the pictures with these filled in from around them out."""

import torch
from torch import Tensor
from torch.nn import functional as F

# how much a neighbour counts, directly beside and across a corner (Rong et al. 2022, section 4.2)
WEIGHTS = ((1 / 12, 1 / 6, 1 / 12), (1 / 6, 0.0, 1 / 6), (1 / 12, 1 / 6, 1 / 12))
NOISE = 0.01  # standard deviation, so that what was filled in does not give itself away by being smooth
ITERATIONS = 200


def impute(images: Tensor, missing: Tensor, seed: int = 0, tolerance: float = 1e-3) -> Tensor:
    """Noisy linear imputation: each missing pixel is the weighted mean of its neighbours, missing ones included.

    That is one linear equation a missing pixel, Σ_q w_pq (x_p - x_q) = 0 over its neighbours q inside the picture,
    symmetric and positive definite, so conjugate gradients solve it, all pictures at once. What is all missing becomes
    the mean colour, a normalised 0.

    Args:
        images: float, (N, C, H, W).
        missing: bool, (N, H, W).
        seed: of the noise.
        tolerance: how small the largest residual must become.

    Returns:
        (N, C, H, W), untouched where nothing is missing.

    Source: Rong et al., "A Consistent and Efficient Evaluation Strategy for Attribution Methods", ICML 2022.
    """
    hole = missing[:, None].to(images.dtype)  # (N, 1, H, W)
    kernel = torch.tensor(WEIGHTS, dtype=images.dtype, device=images.device).expand(images.shape[1], 1, 3, 3)
    inside = F.conv2d(torch.ones_like(images[:1]), kernel, padding=1, groups=images.shape[1])  # Σ_q w_pq

    def from_neighbours(x: Tensor) -> Tensor:
        return F.conv2d(x, kernel, padding=1, groups=x.shape[1])

    def operator(x: Tensor) -> Tensor:
        return hole * (inside * x - from_neighbours(x))

    whole = missing.all(dim=(1, 2))[:, None, None, None]  # nothing to fill in from: the equations leave it open
    known = images * (1 - hole)
    x = torch.zeros_like(images)
    residual = hole * from_neighbours(known)
    direction, size = residual, _squares(residual)
    for _ in range(ITERATIONS):
        if residual.abs().max() <= tolerance:
            break
        ahead = operator(direction)
        length = size / (direction * ahead).sum(dim=(1, 2, 3), keepdim=True).clamp(min=torch.finfo(x.dtype).tiny)
        x = x + length * direction
        residual = residual - length * ahead
        size, before = _squares(residual), size
        direction = residual + size / before.clamp(min=torch.finfo(x.dtype).tiny) * direction
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(seed)).to(images)
    return known + hole * (torch.where(whole, 0.0, x) + NOISE * noise)


def _squares(x: Tensor) -> Tensor:
    """The sum of squares of each picture, (N, 1, 1, 1)."""
    return x.square().sum(dim=(1, 2, 3), keepdim=True)
