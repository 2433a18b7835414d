"""A model and many pictures in; for the channels of a layer, the pictures and places that excite them most, out."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from convscope.errors import ConvscopeError, UsageError
from convscope.explain.layer_output import LayerOutput
from convscope.explain.receptive_field import Box, receptive_fields


@dataclass(frozen=True)
class Patch:
    """What excites a channel: a place of the layer in one picture, and the part of the picture that it sees.

    Attributes:
        picture: its number, counted from 0 over all batches.
        value: of the channel there, as the layer gave it.
        place: (y, x) in the layer's grid.
        box: (top, left, bottom, right) in pixels, bottom and right exclusive: the receptive field of the place.
    """

    picture: int
    value: float
    place: tuple[int, int]
    box: Box


@dataclass(frozen=True)
class ChannelPatches:
    """The strongest patch of each of the pictures that excite a channel most, strongest first; none of a dead one."""

    channel: int
    patches: tuple[Patch, ...]

    @property
    def dead(self) -> bool:
        """Whether the channel was never above 0."""
        return not self.patches


@dataclass(frozen=True)
class TopPatches:
    """What excites the channels of one layer.

    Attributes:
        layer: its name.
        shape: (K, h, w) of its output.
        has_places: whether it has a grid; a linear layer has not, and each of its units sees all.
        size: (H, W) of the pictures.
        pictures: how many were looked at.
        channels: those asked for, or chosen.
        dead: the numbers of all channels of the layer that were not above 0 anywhere in any picture.
    """

    layer: str
    shape: tuple[int, int, int]
    has_places: bool
    size: tuple[int, int]
    pictures: int
    channels: tuple[ChannelPatches, ...]
    dead: tuple[int, ...]

    @property
    def sees_all(self) -> bool:
        """Whether every patch shown is its whole picture."""
        boxes = {patch.box for channel in self.channels for patch in channel.patches}
        return boxes == {(0, 0, *self.size)}


def top_patches(
    model: nn.Module,
    batches: Iterable[Tensor],
    layer: str | None = None,
    channels: Sequence[int] | None = None,
    count: int = 6,
    most: int = 12,
) -> TopPatches:
    """Find what excites the channels of a layer most: of each picture the place where the channel is largest.

    Only the best are kept, so memory does not grow with the number of pictures. A patch is the receptive field of its
    place, measured (`receptive_fields`). A large value says that the channel answers to the picture, not to what in
    the patch; what the patches of a channel have in common is for the eye to find, and may be chance where
    there are few.

    Args:
        model: any module that takes (N, C, H, W); in eval mode for this, and left as found.
        batches: float, (N, C, H, W), normalised; all pictures of one size.
        layer: a dotted module name, as in `explain`; also one whose output is (N, K).
        channels: their numbers; None takes the `most` whose `count` strongest pictures stand out most from all
            pictures, in standard deviations of the channel's largest values, the most outstanding first.
        count: pictures for each channel; fewer where fewer are above 0.

    Raises:
        UsageError: no such layer or channel, or no pictures.
        ConvscopeError: the layer's values are not finite.
    """
    output: LayerOutput | None = None
    for images in batches:
        if output is None:
            output = LayerOutput(model, images, layer)
            example, best = images[:1], _Best(output.shape[0], count)
            wanted = None if channels is None else _checked(channels, output)
        best.add(output(images), output.layer)
    if output is None:
        raise UsageError("no pictures to look at; give at least one batch (N, C, H, W)")
    if wanted is None:
        wanted = best.outstanding(most)
    fields = receptive_fields(model, example, output.layer)
    found = []
    for channel in wanted:
        places = [(value, picture, divmod(at, output.shape[2])) for value, picture, at in best.of(channel)]
        patches = [Patch(picture, value, (y, x), fields.box(channel, y, x)) for value, picture, (y, x) in places]
        found.append(ChannelPatches(channel, tuple(patches)))
    size = (example.shape[2], example.shape[3])
    return TopPatches(output.layer, output.shape, output.has_places, size, best.seen, tuple(found), best.dead)


def _checked(channels: Sequence[int], output: LayerOutput) -> list[int]:
    """The channels asked for, if the layer has them."""
    for channel in channels:
        if not 0 <= channel < output.shape[0]:
            raise UsageError(
                f"no channel {channel} in layer {output.layer!r}: it has {output.shape[0]}, 0 to {output.shape[0] - 1}"
            )
    return list(channels)


class _Best:
    """The largest values of each of K channels so far, where they were, and how the others are spread."""

    def __init__(self, channels: int, count: int) -> None:
        self.count, self.seen = count, 0
        self.values = torch.empty(0, channels)
        self.pictures, self.places = (torch.empty(0, channels, dtype=torch.int64) for _ in range(2))
        self.total, self.squares = (torch.zeros(channels, dtype=torch.float64) for _ in range(2))

    def add(self, maps: Tensor, layer: str) -> None:
        """Take in the layer's output for the next pictures, (N, K, h, w)."""
        values, places = maps.flatten(2).max(dim=2)  # (N, K) each; NaN is the largest
        values, places = values.cpu().float(), places.cpu()
        if not values.isfinite().all():
            number = self.seen + int((~values.isfinite()).any(dim=1).nonzero()[0])
            raise ConvscopeError(f"layer {layer!r} is not finite for picture {number}; look for NaN in the weights")
        pictures = torch.arange(self.seen, self.seen + len(values))[:, None].expand_as(values)
        # stable, and the earlier ones first: of equal values the first picture's wins
        merged = torch.cat([self.values, values])
        order = merged.sort(dim=0, descending=True, stable=True).indices[: self.count]
        self.values = merged.gather(0, order)
        self.pictures = torch.cat([self.pictures, pictures]).gather(0, order)
        self.places = torch.cat([self.places, places]).gather(0, order)
        self.total += values.double().sum(dim=0)
        self.squares += values.double().square().sum(dim=0)
        self.seen += len(values)

    def of(self, channel: int) -> list[tuple[float, int, int]]:
        """(value, picture, place) of the strongest pictures of a channel that are above 0."""
        columns = (column[:, channel].tolist() for column in (self.values, self.pictures, self.places))
        return [(value, picture, at) for value, picture, at in zip(*columns, strict=True) if value > 0]

    @property
    def dead(self) -> tuple[int, ...]:
        """Channels that were never above 0."""
        return tuple(torch.nonzero(self.values[0] <= 0)[:, 0].tolist())

    def outstanding(self, most: int) -> list[int]:
        """The living channels whose best stand out most from the rest; where there are no more, all in order."""
        mean = self.total / self.seen
        spread = (self.squares / self.seen - mean.square()).clamp(min=0).sqrt()
        lead = (self.values.double().mean(dim=0) - mean) / torch.where(spread > 0, spread, 1.0)
        alive = [channel for channel in range(len(mean)) if self.values[0, channel] > 0]
        return (
            alive if len(alive) <= most else sorted(alive, key=lambda channel: (-float(lead[channel]), channel))[:most]
        )
