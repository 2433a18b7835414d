"""A model, a layer, pictures and target classes in; what the logit loses when something is hidden out."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from convscope.explain.cam import weighted_sum
from convscope.explain.capture import EvalCopy, as_eval_copy
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
    count, channels = activation.shape[:2]
    scores = []
    for part in copy.parts(count * channels, images):  # a channel of a picture each
        masks = F.interpolate(
            activation.flatten(0, 1)[part][:, None], size=images.shape[2:], mode="bilinear", align_corners=False
        )  # (M, 1, H, W)
        low, high = masks.amin(dim=(2, 3), keepdim=True), masks.amax(dim=(2, 3), keepdim=True)
        masks = (masks - low) / torch.where(high > low, high - low, 1.0)
        of = torch.arange(part.start, part.stop, device=images.device) // channels  # (M,), whose picture
        found = copy.logits(images[of] * masks).gather(1, targets[of, None])
        scores.append(found.masked_fill((high <= low)[:, :, 0, 0], -torch.inf))
    # a picture without any mask gets no weight
    weights = torch.nan_to_num(torch.cat(scores).view(count, channels).softmax(dim=1))
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
    activation, logits = copy.activation(layer, images)
    count, channels = activation.shape[:2]
    left = []
    for part in copy.parts(count * channels, images):  # a channel of a picture each
        row = torch.arange(part.start, part.stop, device=images.device)
        of, without = row // channels, row % channels

        def ablate(output: Tensor, without: Tensor = without) -> Tensor:
            output = output.clone()
            output[torch.arange(len(without), device=output.device), without] = 0
            return output

        left.append(copy.logits(images[of], layer, ablate).gather(1, targets[of, None]))
    lost = logits.gather(1, targets[:, None]) - torch.cat(left).view(count, channels)
    return weighted_sum(lost[:, :, None, None], activation)


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
    after = []
    for part in copy.parts(len(images) * len(corners), images):  # a square on a picture each
        row = range(part.start, part.stop)
        of = torch.tensor([number // len(corners) for number in row], device=images.device)
        covered = images.detach()[of]
        for picture, number in zip(covered, row, strict=True):
            top, left = corners[number % len(corners)]
            picture[:, top : top + side, left : left + side] = 0
        after.append(copy.logits(covered).gather(1, targets[of, None]))
    before = copy.logits(images).gather(1, targets[:, None])
    lost = before - torch.cat(after).view(len(images), len(corners))
    total, squares = lost.new_zeros(len(images), height, width), lost.new_zeros(height, width)
    for (top, left), loss in zip(corners, lost.T, strict=True):
        place = slice(top, top + side), slice(left, left + side)
        total[:, *place] += loss[:, None, None]
        squares[place] += 1
    return total / squares


def _starts(length: int, side: int) -> list[int]:
    """Where squares begin so that they cover `length`, half of their side apart, the last one flush with the end."""
    return sorted({*range(0, length - side, max(1, side // 2)), length - side})
