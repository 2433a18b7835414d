"""Training as a tutorial has it: pictures and a network in, the pictures of each step out.

float32, memory as it comes, one picture transformed at a time in a Dataset, a DataLoader, SGD with momentum, a cosine.
"""

from collections.abc import Generator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from convscope.config import AugmentConfig
from convscope.data import ImageSet
from convscope.errors import UsageError

KNOWN = ("flip", "crop", "cutout")


class OneByOne(Dataset[tuple[Tensor, Tensor]]):
    """Pictures that `varied` varies and that are normalised, one at a time.

    Args:
        pictures: uint8 (N, C, H, W) and their labels.
        augment: how they are varied.
        mean, std: one value a channel, in [0, 1].

    Raises:
        UsageError: `augment` asks for what is not in `KNOWN`.
    """

    def __init__(
        self, pictures: ImageSet, augment: AugmentConfig, mean: tuple[float, ...], std: tuple[float, ...]
    ) -> None:
        if others := [name for name, value in augment if value and name not in KNOWN]:
            raise UsageError(
                f"a plain loop knows {', '.join(KNOWN)}, not {', '.join(others)}: set data.augment.{others[0]}=0"
            )
        self.images, self.labels = torch.tensor(pictures.images), torch.tensor(pictures.labels)
        self.augment = augment
        self.mean, self.std = (torch.tensor(values).view(-1, 1, 1) for values in (mean, std))

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        picture = varied(self.images[index], self.augment, self.mean)
        return (picture.float() / 255 - self.mean) / self.std, self.labels[index]


def varied(picture: Tensor, augment: AugmentConfig, mean: Tensor) -> Tensor:
    """A picture, uint8 (C, H, W), perhaps mirrored, cut out of its reflected borders, a square of it set to `mean`.

    Args:
        mean: (C, 1, 1), in [0, 1].
    """
    if augment.flip and torch.rand(()) < 0.5:
        picture = picture.flip(-1)
    height, width = picture.shape[1:]
    if augment.crop:
        padded = F.pad(picture[None], (augment.crop,) * 4, mode="reflect")[0]
        top, left = torch.randint(2 * augment.crop + 1, (2,)).tolist()
        picture = padded[:, top : top + height, left : left + width]
    if augment.cutout:
        picture = picture.clone()
        centre = int(torch.randint(height, ())), int(torch.randint(width, ()))
        top, left = (place - augment.cutout // 2 for place in centre)
        square = picture[:, max(top, 0) : top + augment.cutout, max(left, 0) : left + augment.cutout]
        square.copy_((255 * mean).round())
    return picture


def plain_loop(
    model: nn.Module, pictures: Dataset[Any], batch_size: int, label_smoothing: float, epochs: int, workers: int
) -> Generator[int, None, None]:
    """Train `model` in place, epoch after epoch without end; yields the pictures of each step."""
    loader = DataLoader(pictures, batch_size, shuffle=True, num_workers=workers, drop_last=True)
    criterion = nn.CrossEntropyLoss(label_smoothing=label_smoothing)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=epochs)
    running_loss, correct = 0.0, 0
    model.train()
    while True:
        for images, labels in loader:
            optimizer.zero_grad()
            logits = model(images)
            loss = criterion(logits, labels)
            loss.backward()
            optimizer.step()
            running_loss += loss.item()  # a tutorial shows both, and so does `fit`
            correct += int((logits.argmax(1) == labels).sum())
            yield len(labels)
        schedule.step()
