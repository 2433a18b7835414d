"""A run in; the model, the test pictures, the classes and the layer on which its explanations are judged out."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from convscope.data import ImageSet
from convscope.data.image_set import balanced_choice
from convscope.errors import UsageError
from convscope.evaluate import check_fit
from convscope.explain.capture import EvalCopy, pictures_at_once
from convscope.runs import Run
from convscope.runs.own_pictures import OwnPictures, own_pictures

LEAST = 16  # pictures: with fewer an interval says nothing
AT_ONCE = 64  # pictures of 32×32 that a plain forward pass takes together, which is fastest on a CPU


@dataclass(frozen=True, eq=False)
class Subject:
    """What is audited.

    Attributes:
        model: in eval mode; nothing here changes it.
        pictures: N of the test set, the first n of them as balanced over the classes as n allows, for every n.
        images: float32 (N, C, H, W), normalised, channels last in memory.
        targets: int64 (N,), the class that the model predicts for each, which every map is about.
        layer: where methods that look at a layer look; None where no layer has at least 4×4 places.
        no_layer: then why, in words.
    """

    model: nn.Module
    pictures: ImageSet
    images: Tensor
    targets: Tensor
    layer: str | None
    no_layer: str = ""

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of a picture."""
        return self.images.shape[2], self.images.shape[3]

    def classify(self, images: Tensor) -> Tensor:
        """(n, C, H, W) -> probabilities (n, classes), in no graph."""
        return probabilities(self.model, images)


def choose_subject(run: Run, count: int, data_dir: Path | None = None) -> tuple[Subject, OwnPictures]:
    """`count` pictures of the run's test set, or all if it has fewer; and all that its data set holds.

    Raises:
        UsageError: fewer than `LEAST`, or they do not fit the network.
        DataError: the data set is not at hand.
    """
    own = own_pictures(run, data_dir)
    check_fit(run, own.test)
    count = min(count, len(own.test))
    if count < LEAST:
        raise UsageError(f"an audit needs at least {LEAST} test pictures, got {count}")
    pictures = own.test.take(balanced_choice(own.test.labels, len(own.test.classes), count, seed=0))
    images = run.preprocess(pictures.images).contiguous(memory_format=torch.channels_last)
    return make_subject(run.model, pictures, images), own


def make_subject(model: nn.Module, pictures: ImageSet, images: Tensor) -> Subject:
    """The subject for any model and its normalised `images` (N, C, H, W) of `pictures`."""
    targets = probabilities(model, images).argmax(dim=1)
    layer, why = getattr(model, "cam_layer", None), ""
    if not isinstance(layer, str):
        try:
            layer = EvalCopy(model).last_spatial_layer(images[:1])
        except UsageError as error:
            layer, why = None, str(error)
    return Subject(model, pictures, images, targets.clone(), layer, why)


def probabilities(model: nn.Module, images: Tensor) -> Tensor:
    """The softmax of `model`'s logits for (N, C, H, W), batch by batch; (N, classes)."""
    at_once = max(1, AT_ONCE * pictures_at_once(images) // 256)
    with torch.no_grad():
        parts = [
            model(part.contiguous(memory_format=torch.channels_last)).softmax(dim=1)
            for part in torch.split(images, at_once)
        ]
    return torch.cat(parts)
