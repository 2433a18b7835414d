"""A batch of training pictures and a random generator in, the same pictures varied out, all at once.

Each transform is called as ``transform(images, generator)``, with images (N, C, H, W), uint8 or float in
[0, 1], and keeps shape and dtype. All its randomness comes from the generator, drawn where the generator
lives and then moved, so that a GPU sees the same variations as a CPU.
"""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from convscope.config import AugmentConfig
from convscope.data.batches import mirrored, seeded
from convscope.errors import UsageError

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601: how bright red, green and blue appear

Transform = Callable[..., Tensor]


class RandomFlip:
    """Mirrors each picture left-right with probability `p`."""

    def __init__(self, p: float = 0.5) -> None:
        if not 0 <= p <= 1:
            raise ValueError(f"RandomFlip: p must lie in [0, 1], got {p}")
        self.p = p

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        return mirrored(images, _uniform(images, 0, 1, generator).flatten() < self.p)

    def __repr__(self) -> str:
        return f"RandomFlip(p={self.p:g})"


class RandomCrop:
    """Pads each picture by `padding` reflected pixels a side, then cuts its own size out at a random place.

    All (2 padding + 1)² places are equally likely. Reflected as in 3 2 [1 2 3 …]: the edge is not repeated.
    """

    def __init__(self, padding: int) -> None:
        if padding < 0:
            raise ValueError(f"RandomCrop: padding must be at least 0, got {padding}")
        self.padding = padding

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        height, width = images.shape[2:]
        if self.padding >= min(height, width):
            raise ValueError(
                f"RandomCrop: padding {self.padding} is too large for images {tuple(images.shape)} "
                f"(N, C, H, W); reflection gives at most {min(height, width) - 1}"
            )
        rows = self._places(images, height, generator)[:, :, None]  # (N, H, 1)
        columns = self._places(images, width, generator)[:, None, :]  # (N, 1, W)
        pixels = (rows * width + columns).view(len(images), 1, -1).expand(-1, images.shape[1], -1)  # (N, C, HW)
        return images.flatten(2).gather(2, pixels).view_as(images)  # in one go: twenty times faster than axis by axis

    def _places(self, images: Tensor, size: int, generator: torch.Generator) -> Tensor:
        """Which row (or column) of the picture each row of its crop shows, (N, size); nothing is padded."""
        shift = torch.randint(
            -self.padding, self.padding + 1, (len(images), 1), generator=generator, device=generator.device
        ).to(images.device)
        place = (torch.arange(size, device=images.device) + shift).abs()  # reflected at the first row
        return (size - 1) - ((size - 1) - place).abs()  # and at the last

    def __repr__(self) -> str:
        return f"RandomCrop(padding={self.padding})"


class ColorJitter:
    """Varies brightness, contrast and saturation, in this order, by factors of its own for each picture.

    A factor is drawn evenly from [1 - v, 1 + v]. As torchvision defines them: brightness multiplies; contrast
    blends with the picture's mean luma (factor 0: an even grey); saturation blends each pixel with its luma
    (factor 0: a grey picture), which leaves pictures of one channel as they are. Clipped after each.
    """

    def __init__(self, brightness: float = 0.0, contrast: float = 0.0, saturation: float = 0.0) -> None:
        amounts = {"brightness": brightness, "contrast": contrast, "saturation": saturation}
        for name, amount in amounts.items():
            if not 0 <= amount <= 1:
                raise ValueError(f"ColorJitter: {name} must lie in [0, 1], got {amount}")
        self.amounts = amounts

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        if images.shape[1] not in (1, 3):
            raise ValueError(f"ColorJitter: expected 1 or 3 channels, got {tuple(images.shape)} (N, C, H, W)")
        top = 1.0 if images.is_floating_point() else 255.0
        x = images if images.is_floating_point() else images.float()
        brightness, contrast, saturation = (
            _uniform(images, 1 - amount, 1 + amount, generator).to(x.dtype) for amount in self.amounts.values()
        )  # (N, 1, 1, 1) each; all three are drawn, so that switching one off leaves the others' draws alone
        if self.amounts["brightness"]:
            x = (x * brightness).clamp(0, top)
        if self.amounts["contrast"]:
            mean = _luma(x).mean(dim=(2, 3), keepdim=True)  # (N, 1, 1, 1)
            x = (mean + contrast * (x - mean)).clamp(0, top)
        if self.amounts["saturation"]:
            grey = _luma(x)  # (N, 1, H, W)
            x = (grey + saturation * (x - grey)).clamp(0, top)
        return x if images.is_floating_point() else x.round().to(images.dtype)

    def __repr__(self) -> str:
        return f"ColorJitter({', '.join(f'{name}={amount:g}' for name, amount in self.amounts.items())})"


class Cutout:
    """Covers one square of `size` pixels a side, its centre anywhere in the picture, clipped at the borders.

    DeVries and Taylor, "Improved Regularization of Convolutional Neural Networks with Cutout", 2017.

    Args:
        fill: the colour of the square, in [0, 1], one value or one for each channel; mid grey by default.
            With the training mean the square is 0 after normalisation, as in the paper.
    """

    def __init__(self, size: int, fill: float | Sequence[float] = 0.5) -> None:
        self.size = size
        self.fill = (fill,) if isinstance(fill, int | float) else tuple(fill)
        if size < 1 or not self.fill or not all(0 <= value <= 1 for value in self.fill):
            raise ValueError(f"Cutout: expected size >= 1 and fill in [0, 1], got {size} and {fill}")

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        if len(self.fill) not in (1, images.shape[1]):
            raise ValueError(
                f"Cutout: fill has {len(self.fill)} channels, images {tuple(images.shape)} (N, C, H, W) "
                f"have {images.shape[1]}"
            )
        rows = self._covered(images, images.shape[2], generator)[:, None, :, None]  # (N, 1, H, 1)
        columns = self._covered(images, images.shape[3], generator)[:, None, None, :]  # (N, 1, 1, W)
        fill = torch.tensor(self.fill, device=images.device).view(1, -1, 1, 1)
        fill = fill if images.is_floating_point() else (255 * fill).round()
        return torch.where(rows & columns, fill.to(images.dtype), images)

    def _covered(self, images: Tensor, length: int, generator: torch.Generator) -> Tensor:
        """Which rows (or columns) the square covers, bool (N, length)."""
        centre = torch.randint(length, (len(images), 1), generator=generator, device=generator.device)
        first = centre.to(images.device) - self.size // 2
        place = torch.arange(length, device=images.device)
        return (first <= place) & (place < first + self.size)

    def __repr__(self) -> str:
        return f"Cutout(size={self.size}, fill=({', '.join(f'{value:.3g}' for value in self.fill)}))"


class Compose:
    """Transforms one after the other, ours or any callable on a batch.

    One that insists on two positional arguments gets ``(images, generator)``. Any other, as torchvision's v2
    transforms, an `nn.Module` or a lambda, gets ``(images)``; what it draws from torch's global stream is
    reproducible too, because that stream is seeded for it, and afterwards goes on where it was. What comes
    back must be a tensor with the same N, C and dtype.
    """

    def __init__(self, *transforms: Transform) -> None:
        for transform in transforms:
            if not callable(transform):
                raise ValueError(f"Compose: expected callables on a batch, got {type(transform).__name__}")
        self.transforms = transforms
        self._takes_generator = tuple(_required_arguments(transform) == 2 for transform in transforms)

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        for transform, takes_generator in zip(self.transforms, self._takes_generator, strict=True):
            if takes_generator:
                result = transform(images, generator)
            else:
                seed = int(torch.randint(2**62, (), generator=generator, device=generator.device))
                with seeded(seed, images.device):
                    result = transform(images)
            _check_result(transform, images, result)
            images = result
        return images

    def __repr__(self) -> str:
        return f"Compose({', '.join(map(_name, self.transforms))})"


def build_augment(
    config: AugmentConfig,
    size: tuple[int, int],
    mean: float | Sequence[float] = 0.5,
    extra: Transform | None = None,
) -> Compose | None:
    """What the configuration says, as one transform; None if that is nothing. Mirroring in turn is not part of it.

    In this order: crop, flip, colour, cutout, so that neither mirrored borders nor colours touch the square.

    Args:
        size: (height, width) of the pictures.
        mean: the training mean in [0, 1], the colour of the cutout square.
        extra: any callable on a batch, after all others.

    Raises:
        UsageError: pictures too small for the crop's padding or the cutout's square.
    """
    for name, value, most in (("crop", config.crop, min(size) - 1), ("cutout", config.cutout, min(size))):
        if value > most:
            raise UsageError(
                f"data.augment.{name}={value} is too much for {size[0]}×{size[1]} pictures: at most {most}"
            )
    transforms: list[Transform] = []
    if config.crop:
        transforms.append(RandomCrop(config.crop))
    if config.flip is True:  # mirroring in turn is up to `Batches`: it depends on picture and epoch
        transforms.append(RandomFlip())
    if config.brightness or config.contrast or config.saturation:
        transforms.append(ColorJitter(config.brightness, config.contrast, config.saturation))
    if config.cutout:
        transforms.append(Cutout(config.cutout, mean))
    if extra is not None:
        transforms.append(extra)
    return Compose(*transforms) if transforms else None


def _uniform(images: Tensor, low: float, high: float, generator: torch.Generator) -> Tensor:
    """One number in [low, high) for each picture, float32 (N, 1, 1, 1), on the device of the pictures."""
    drawn = torch.rand(len(images), 1, 1, 1, generator=generator, device=generator.device)
    return (low + (high - low) * drawn).to(images.device)


def _luma(x: Tensor) -> Tensor:
    """How bright each pixel appears, (N, C, H, W) -> (N, 1, H, W)."""
    if x.shape[1] == 1:
        return x
    return (x * torch.tensor(LUMA, dtype=x.dtype, device=x.device).view(1, 3, 1, 1)).sum(dim=1, keepdim=True)


def _required_arguments(transform: Transform) -> int:
    """How many positional arguments a callable insists on; 1 where it does not tell."""
    try:
        parameters = inspect.signature(transform).parameters.values()
    except ValueError:  # some functions written in C have no signature
        return 1
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(p.kind in positional and p.default is inspect.Parameter.empty for p in parameters)


def _check_result(transform: Transform, images: Tensor, result: Any) -> None:
    """A plugged-in callable is the user's own: what it did wrong is said here, not three layers on."""
    if not isinstance(result, Tensor):
        raise ValueError(f"{_name(transform)} returned {type(result).__name__}, expected a Tensor (N, C, H, W)")
    if result.ndim != 4 or result.shape[:2] != images.shape[:2] or result.dtype != images.dtype:
        raise ValueError(
            f"{_name(transform)} returned {result.dtype} {tuple(result.shape)} for {images.dtype} "
            f"{tuple(images.shape)}; it must keep (N, C) and the dtype"
        )


def _name(transform: Transform) -> str:
    """A function's name, anything else as it shows itself."""
    return str(getattr(transform, "__name__", repr(transform)))
