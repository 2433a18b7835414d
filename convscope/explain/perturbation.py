"""A model, a layer, pictures and target classes in; what the logit loses when something is hidden out."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from convscope.explain.cam import weighted_sum
from convscope.explain.capture import EvalCopy, as_eval_copy, pictures_at_once
from convscope.explain.methods import of_input


def score_cam(model: nn.Module | EvalCopy, layer: str, images: Tensor, targets: Tensor) -> Tensor:
    """Score-CAM: a channel counts by the logit of the picture seen through that channel alone.

    Each channel is enlarged to the picture's size, scaled to [0, 1] (H_k), and laid over the picture as a mask; what it
    covers goes to the mean colour, a normalised 0:

        w = softmax over k of y(x ∘ H_k)        algorithm 1, whose baseline the softmax cancels
        map = Σ_k w_k A_k

    Channels that are the same everywhere make no mask and get no weight. No gradient is used, so none can vanish; but
    one forward pass a channel, and pictures that the network has never seen the like of.

    Args, returns: as `grad_cam`.

    Source: Wang et al., "Score-CAM: Score-Weighted Visual Explanations for Convolutional Neural Networks", CVPR
    Workshops 2020.
    """
    copy = as_eval_copy(model)
    activation, _ = copy.activation(layer, images)
    masks = F.interpolate(activation, size=images.shape[2:], mode="bilinear", align_corners=False)
    low, high = masks.amin(dim=(2, 3), keepdim=True), masks.amax(dim=(2, 3), keepdim=True)
    masks = (masks - low) / torch.where(high > low, high - low, 1.0)  # (N, K, H, W)
    scores = torch.stack(
        [
            _scores(copy, image * mask[:, None], target)
            for image, mask, target in zip(images, masks, targets, strict=True)
        ]
    )  # (N, K)
    scores = scores.masked_fill((high <= low)[:, :, 0, 0], -torch.inf)
    weights = torch.nan_to_num(scores.softmax(dim=1))  # a picture without any mask gets none
    return weighted_sum(weights[:, :, None, None], activation)


def ablation_cam(model: nn.Module | EvalCopy, layer: str, images: Tensor, targets: Tensor) -> Tensor:
    """Ablation-CAM: a channel counts by what the logit loses without it.

        w_k = y - y(A_k set to 0)
        map = Σ_k w_k A_k

    The paper divides w by y, one factor a picture, which for a negative logit would turn the map upside down; it is
    left out. No gradient is used. Channels that stand in for each other lose nothing one by one, and show nothing.

    Args, returns: as `grad_cam`.

    Source: Desai and Ramaswamy, "Ablation-CAM: Visual Explanations for Deep Convolutional Network via Gradient-free
    Localization", WACV 2020.
    """
    copy = as_eval_copy(model)
    activation, _ = copy.activation(layer, images)
    channels = activation.shape[1]
    logits = copy.logits(images).gather(1, targets.view(-1, 1))  # (N, 1)
    left = torch.empty(len(images), channels, dtype=logits.dtype, device=logits.device)
    at_once = pictures_at_once(images)
    for row, (image, target) in enumerate(zip(images, targets, strict=True)):
        for first in range(0, channels, at_once):
            without = torch.arange(first, min(first + at_once, channels), device=images.device)

            def ablate(output: Tensor, without: Tensor = without) -> Tensor:
                output = output.clone()
                output[torch.arange(len(without), device=output.device), without] = 0
                return output

            same = image.expand(len(without), *image.shape)
            left[row, without] = copy.logits(same, layer, ablate)[:, target]
    return weighted_sum((logits - left)[:, :, None, None], activation)


@of_input
def occlusion(model: nn.Module | EvalCopy, layer: str, images: Tensor, targets: Tensor) -> Tensor:
    """Occlusion: what the logit loses when a square is covered with the mean colour, at every place.

    The square is an eighth of the picture's shorter side, moved by half of its own; a pixel has the mean over the
    squares that cover it. It needs no gradient and says just what it did; what is only seen together, an eye of two, it
    misses.

    Args, returns: as `saliency`; signed.

    Source: Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014, section 4.2.
    """
    copy = as_eval_copy(model)
    height, width = images.shape[2:]
    side = max(1, round(min(height, width) / 8))
    corners = [(top, left) for top in _starts(height, side) for left in _starts(width, side)]
    masks = torch.stack([_square(height, width, top, left, side) for top, left in corners])
    masks = masks.to(images)  # (M, H, W), 1 under the square
    before = copy.logits(images).gather(1, targets.view(-1, 1))  # (N, 1)
    after = torch.stack(
        [_scores(copy, image * (1 - masks[:, None]), target) for image, target in zip(images, targets, strict=True)]
    )  # (N, M)
    return torch.einsum("nm,mhw->nhw", before - after, masks) / masks.sum(dim=0)


def _scores(copy: EvalCopy, pictures: Tensor, target: Tensor) -> Tensor:
    """The target's logit of each of many pictures (M, C, H, W), so many at once as memory should hold; (M,)."""
    parts = torch.split(pictures, pictures_at_once(pictures))
    return torch.cat([copy.logits(part)[:, target] for part in parts])


def _starts(length: int, side: int) -> list[int]:
    """Where squares begin so that they cover `length`, half of their side apart, the last one flush with the end."""
    return sorted({*range(0, length - side, max(1, side // 2)), length - side})


def _square(height: int, width: int, top: int, left: int, side: int) -> Tensor:
    mask = torch.zeros(height, width)
    mask[top : top + side, left : left + side] = 1
    return mask
