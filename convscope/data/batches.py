"""Pictures in, normalised batches out, each from its place (epoch, step) alone; torch enters here."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from convscope.data.image_set import ImageSet
from convscope.errors import UsageError
from convscope.preprocess import preprocess


def derive_seed(*parts: int | str) -> int:
    """A seed in 0..2**64-1 for one purpose, from all of `parts` and their order.

    ``derive_seed("augment", seed, epoch, step)`` has nothing in common with that of the next step, or of
    another purpose at the same step. By SHA-256: `numpy.random.SeedSequence` takes (7,) and (7, 0) for one.
    """
    text = "/".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


@contextmanager
def seeded(seed: int, device: str | torch.device = "cpu") -> Iterator[None]:
    """PyTorch's global streams, of the CPU and of `device`, begin at `seed` inside and go on where they were after."""
    devices = [torch.device(device)] if torch.device(device).type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.default_generator.manual_seed(seed)
        for cuda in devices:
            with torch.cuda.device(cuda):
                torch.cuda.manual_seed(seed)
        yield


def mirrored(images: Tensor, chosen: Tensor) -> Tensor:
    """A copy of (N, C, H, W) in which the pictures of `chosen`, bool (N,), are mirrored left-right."""
    images = images.clone()
    images[chosen] = images[chosen].flip(-1)
    return images


class Batches:
    """The batches of a training run. Each derives from (seed, epoch, step) alone, whatever came before.

    Args:
        train: the pictures to learn from.
        val: those held out; None where there are none.
        mean, std: of the training pictures, one value a channel, in [0, 1]; see `preprocess`.
        batch_size: pictures a step. A last batch of one joins the one before: BatchNorm cannot normalise a
            layer of which it sees one value a channel.
        seed: of order and augmentation.
        augment: called as ``augment(images, generator)`` on uint8 training batches (N, C, H, W).
        mirror_in_turn: mirror one random half of the pictures in even epochs and the other half in odd ones: over two
            epochs both sides of each are seen, which chance often fails to show (Jordan 2024, section 3.6).
        sizes: (height, width) to which training batches are scaled, for each epoch, the last also for all after; ()
            leaves the pictures' own.
        device: where the batches go.

    Raises:
        UsageError: fewer than two training pictures, or a batch size below two.
    """

    def __init__(
        self,
        train: ImageSet,
        val: ImageSet | None = None,
        *,
        mean: Sequence[float],
        std: Sequence[float],
        batch_size: int,
        seed: int,
        augment: Callable[[Tensor, torch.Generator], Tensor] | None = None,
        mirror_in_turn: bool = False,
        sizes: Sequence[tuple[int, int]] = (),
        device: str | torch.device = "cpu",
    ) -> None:
        if len(train) < 2 or batch_size < 2:
            raise UsageError(f"training needs at least 2 pictures, and 2 in a batch; got {len(train)} and {batch_size}")
        self.mean, self.std = tuple(mean), tuple(std)
        self.batch_size, self.seed, self.augment, self.device = batch_size, seed, augment, device
        self.sizes = tuple(sizes)
        self._images, self._labels = _tensor(train.images).to(device), _tensor(train.labels).to(device)
        self._val = val
        self._mirrored = self._mirrored_first() if mirror_in_turn else None

    @property
    def steps_per_epoch(self) -> int:
        """How many batches `train` yields from its start."""
        whole, left = divmod(len(self._labels), self.batch_size)
        return whole + (left > 1)

    def train(self, epoch: int, start: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches of `epoch`, from step `start` on: shuffled, augmented, normalised.

        Yields:
            float32 (B, C, H, W) and int64 (B,), on the device.
        """
        steps = self.steps_per_epoch
        if not 0 <= start <= steps:
            raise ValueError(f"start must lie in 0..{steps}, the steps of an epoch, got {start}")
        order = self.order(epoch)
        for step in range(start, steps):
            end = len(order) if step == steps - 1 else (step + 1) * self.batch_size
            chosen = order[step * self.batch_size : end].to(self.device)
            images = self._images[chosen]
            if self._mirrored is not None:
                images = mirrored(images, self._mirrored[chosen] ^ bool(epoch % 2))
            if self.augment is not None:
                generator = torch.Generator().manual_seed(derive_seed("augment", self.seed, epoch, step))
                images = self.augment(images, generator)
            yield self._scaled(preprocess(images, self.mean, self.std), epoch), self._labels[chosen]

    def size(self, epoch: int) -> tuple[int, int] | None:
        """(height, width) to which the training batches of `epoch` are scaled; None where they are not."""
        return self.sizes[min(epoch, len(self.sizes) - 1)] if self.sizes else None

    def _scaled(self, images: Tensor, epoch: int) -> Tensor:
        size = self.size(epoch)
        if size is None or tuple(images.shape[2:]) == size:
            return images
        return F.interpolate(images, size, mode="bilinear", align_corners=False, antialias=True)

    def _mirrored_first(self) -> Tensor:
        """Which pictures are mirrored in even epochs, bool (N,)."""
        rng = np.random.default_rng(derive_seed("mirror", self.seed))
        return torch.from_numpy(rng.random(len(self._labels)) < 0.5).to(self.device)

    def order(self, epoch: int) -> Tensor:
        """The order in which `epoch` goes through the training pictures: their indices, int64 (N,)."""
        rng = np.random.default_rng(derive_seed("order", self.seed, epoch))
        return torch.from_numpy(rng.permutation(len(self._labels)))

    def val(self) -> Iterator[tuple[Tensor, Tensor]]:
        """The held-out pictures in their own order, only normalised; nothing where none are held out."""
        if self._val is None:
            return iter(())
        return evaluation_batches(
            self._val, mean=self.mean, std=self.std, batch_size=self.batch_size, device=self.device
        )


def evaluation_batches(
    pictures: ImageSet,
    *,
    mean: Sequence[float],
    std: Sequence[float],
    batch_size: int = 512,
    device: str | torch.device = "cpu",
) -> Iterator[tuple[Tensor, Tensor]]:
    """All pictures in their order, only normalised, as batches float32 (B, C, H, W) and int64 (B,)."""
    images, labels = _tensor(pictures.images), _tensor(pictures.labels)
    for first in range(0, len(pictures), batch_size):
        part = slice(first, first + batch_size)
        yield preprocess(images[part].to(device), mean, std), labels[part].to(device)


def _tensor(array: NDArray[np.uint8] | NDArray[np.int64]) -> Tensor:
    """The array as a tensor over the same memory; copied only where torch could not share it."""
    return torch.from_numpy(np.require(array, requirements=["C", "W"]))
