"""A model and the name of a layer in; out comes, for each place of that layer, the part of the picture that it sees."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from convscope.explain.capture import EvalCopy, pictures_at_once
from convscope.explain.layer_output import LayerOutput

Box = tuple[int, int, int, int]  # top, left, bottom, right in pixels; bottom and right are the first beyond it

NOWHERE = 2**30  # where a box begins as long as nothing was seen to matter
DRAWS = 3  # of each kind, of pictures for the network as it is


@dataclass(frozen=True, eq=False, repr=False)
class ReceptiveFields:
    """For every place of a layer, the smallest rectangle that holds the pixels which can change it.

    Attributes:
        layer: its name.
        boxes: int32, (K, h, w, 4): top, left, bottom, right for each channel and place; four zeros where nothing in
            the picture matters, as in a corner that only padding reaches.
        size: (H, W) of the picture, at whose borders the boxes end.
    """

    layer: str
    boxes: NDArray[np.int32]
    size: tuple[int, int]

    def __repr__(self) -> str:
        return f"ReceptiveFields({self.layer}: boxes {self.boxes.shape} in a picture {self.size})"

    def box(self, channel: int, y: int, x: int) -> Box:
        """That of one place: picture[:, top:bottom, left:right] is all that it sees."""
        top, left, bottom, right = (int(n) for n in self.boxes[channel, y, x])
        return top, left, bottom, right


def receptive_fields(
    model: nn.Module | EvalCopy, images: Tensor, layer: str | None = None, seed: int = 0
) -> ReceptiveFields:
    """Measure the receptive field of every place of a layer, at the borders too, whatever the modules compute.

    No formula of kernel sizes is trusted: rows and columns of a picture are changed one at a time, and the places whose
    value follows are noted. A changed row that a place answers to lies within its field, so the first and the last such
    row and column are its borders, for all places at once.

    What a small change does, a ReLU or a maximum may hide. So the first changes are huge, in a copy of the network
    whose weights have lost their signs: nothing cancels, what arrives is positive and the largest. NaN, which hardly
    any arithmetic stops, gives a bound from above. Where both agree the answer is certain. Else random changes of the
    network as it is, in float64, add what they find; what never mattered, such as what a mask in the kernel hides,
    is no part of the field.

    Args:
        model: any module that takes (N, C, H, W).
        images: float, (N, C, H, W), normalised; the first is the picture that is changed. The fields hold for all
            pictures of its size. Measured on the CPU.
        layer: a dotted module name, as in `explain`; also one whose output is (N, K), which has one place.
        seed: of the random changes.

    Returns:
        The fields. Work: 2 (H + W) pictures up to the layer where the bounds agree, about 10 times that where not.

    Raises:
        UsageError: as `LayerOutput`.

    Example:
        >>> fields = receptive_fields(nn.Sequential(nn.Conv2d(1, 2, 3), nn.MaxPool2d(2)), torch.zeros(1, 1, 8, 12), "1")
        >>> fields.box(0, 1, 2)
        (2, 4, 6, 8)
    """
    source = model.model if isinstance(model, EvalCopy) else model
    with torch.inference_mode(False), torch.no_grad():
        picture = images[:1].detach().cpu().clone()  # (1, C, H, W)
        dtype = torch.promote_types(picture.dtype, torch.float32)
        picture = picture.to(dtype)
        output = LayerOutput(_copy(source, dtype), picture, layer)
        bound = _unseen(output.shape)
        _widen(bound, output, picture, torch.full_like(picture, torch.nan))
        seen = _unseen(output.shape)
        for probe, base, other in _probes(source, picture, output.layer, seed):
            _widen(seen, probe, base, other)
            if torch.equal(seen, bound):
                break
    boxes = torch.where(seen[0] == NOWHERE, 0, seen)
    found: NDArray[np.int32] = boxes.permute(1, 2, 3, 0).contiguous().numpy()
    return ReceptiveFields(output.layer, found, (picture.shape[2], picture.shape[3]))


def _probes(source: nn.Module, picture: Tensor, layer: str, seed: int) -> Iterator[tuple[LayerOutput, Tensor, Tensor]]:
    """Layers of copies of the model to try in turn, each with a picture and another whose rows and columns go into it.

    First without signs, in the given precision, then all in float64 where the modules take it.
    """
    generator = torch.Generator().manual_seed(seed)

    def random(normal: bool) -> Tensor:
        draw = torch.randn if normal else torch.rand
        return draw(picture.shape, generator=generator, dtype=torch.float64)

    for dtype, signs in ((picture.dtype, (1,)), (torch.float64, (1, -1))):
        probe, base = _layer(source, picture.to(dtype), layer, absolute=True)
        for sign in signs:
            yield probe, base.abs(), (sign * _huge(base.dtype) * (0.5 + random(normal=False))).to(base.dtype)
    probe, base = _layer(source, picture.double(), layer, absolute=False)
    for _ in range(DRAWS):
        for size in (1.0, _huge(base.dtype)):
            start = base + random(normal=True).to(base.dtype)
            yield probe, start, (start + size * random(normal=True)).to(base.dtype)


def _layer(source: nn.Module, picture: Tensor, layer: str, absolute: bool) -> tuple[LayerOutput, Tensor]:
    """The layer of a copy in the picture's precision, or in float32 where its modules insist, and the picture so."""
    try:
        return LayerOutput(_copy(source, picture.dtype, absolute), picture, layer), picture
    except RuntimeError:  # a forward that names a precision of its own
        return LayerOutput(_copy(source, torch.float32, absolute), picture.float(), layer), picture.float()


def _copy(source: nn.Module, dtype: torch.dtype, absolute: bool = False) -> EvalCopy:
    """A copy of the model on the CPU in another precision, its weights without their signs if asked."""
    copy = EvalCopy(source)
    for module in copy.model.modules():
        for name, value in list(vars(module).items()):
            if isinstance(value, Tensor) and value.is_floating_point():  # a plain attribute, which `to` leaves alone
                vars(module)[name] = value.to("cpu", dtype)
    copy.model.to("cpu", dtype)
    if absolute:
        for weight in copy.model.parameters():
            weight.data = weight.data.abs()
    return copy


def _unseen(shape: tuple[int, int, int]) -> Tensor:
    """Boxes (4, K, h, w) that hold nothing yet."""
    beginning = torch.full((2, *shape), NOWHERE, dtype=torch.int32)
    return torch.cat([beginning, torch.zeros_like(beginning)])


def _widen(boxes: Tensor, output: LayerOutput, base: Tensor, other: Tensor) -> None:
    """Widen the boxes (4, K, h, w) to each row and each column of `other` which, put into `base`, changes a place.

    Where `other` is NaN, to those that make the place NaN. Otherwise what overflows is no evidence.
    """
    before = output(base)[0]  # (K, h, w)
    finite, poison = before.isfinite(), bool(other.isnan().all())
    eps = torch.finfo(before.dtype).eps
    # the rounding of a sum may depend on how many pictures go together
    noise = 256 * eps * float(before[finite].abs().max()) if finite.any() else 0.0
    for axis in (0, 1):
        length = base.shape[2 + axis]
        for lines in torch.split(torch.arange(length, dtype=torch.int32), pictures_at_once(base)):
            at = torch.arange(length) == lines[:, None]  # (n, length), in each row the line that is changed
            at = at[:, None, :, None] if axis == 0 else at[:, None, None, :]
            after = output(torch.where(at, other, base))  # (n, K, h, w)
            changed = after.isnan() if poison else after.isfinite() & ((after - before).abs() > noise)
            changed &= finite
            line = lines.view(-1, 1, 1, 1)
            boxes[axis] = torch.minimum(boxes[axis], torch.where(changed, line, NOWHERE).amin(dim=0))
            boxes[axis + 2] = torch.maximum(boxes[axis + 2], torch.where(changed, line + 1, 0).amax(dim=0))


def _huge(dtype: torch.dtype) -> float:
    """A number whose square is still far from overflow: 2.5e15 in float32, 1e123 in float64."""
    return float(torch.finfo(dtype).max ** 0.4)
