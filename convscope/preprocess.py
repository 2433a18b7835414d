"""uint8 pictures -> normalised float tensor: the one function that training, prediction and serving share."""

from collections.abc import Sequence

import torch
from torch import Tensor


def preprocess(images: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Scale bytes to [0, 1], subtract the training mean and divide by the training standard deviation.

    Args:
        images: uint8, (N, C, H, W).
        mean: one value a channel, on the scale [0, 1].
        std: likewise; a channel that was constant in training (0) is only centred.

    Returns:
        float32, (N, C, H, W), on the same device.

    Raises:
        ValueError: not uint8, not four axes, or another number of channels than `mean` and `std` have.
    """
    if images.dtype != torch.uint8 or images.ndim != 4:
        raise ValueError(f"expected uint8 (N, C, H, W), got {images.dtype} {tuple(images.shape)}")
    if not images.shape[1] == len(mean) == len(std):
        raise ValueError(
            f"got {images.shape[1]} channels (input {tuple(images.shape)}), "
            f"the normalisation has {len(mean)} means and {len(std)} standard deviations"
        )
    # x/255 is scaled and shifted in one multiply and one add: (x - 255 m) / (255 s)
    scale = torch.tensor([1 / (255 * (s or 1)) for s in std], device=images.device).view(1, -1, 1, 1)
    shift = torch.tensor([-m / (s or 1) for m, s in zip(mean, std, strict=True)], device=images.device)
    return images.float() * scale + shift.view(1, -1, 1, 1)
