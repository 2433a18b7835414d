"""The plain loop: each picture is varied as the recipe says, and the network learns."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.plain_loop import OneByOne, plain_loop, varied
from convscope.config import AugmentConfig
from convscope.data import ImageSet
from convscope.errors import UsageError
from convscope.preprocess import preprocess

MEAN, STD = (0.2, 0.5, 0.7), (0.1, 0.3, 0.4)


@pytest.fixture
def pictures() -> ImageSet:
    """40 random pictures of 6×9 in two classes, those of the second brighter; seed 0."""
    rng = np.random.default_rng(0)
    labels = np.arange(40) % 2
    images = rng.integers(0, 128, (40, 3, 6, 9)) + 127 * labels[:, None, None, None]
    return ImageSet(images.astype(np.uint8), labels.astype(np.int64), ("dark", "bright"))


def draws(picture: torch.Tensor, augment: AugmentConfig, times: int = 300) -> set[bytes]:
    torch.manual_seed(1)
    mean = torch.tensor(MEAN).view(3, 1, 1)
    return {varied(picture, augment, mean).contiguous().numpy().tobytes() for _ in range(times)}


def test_crops_are_all_windows_of_the_reflected_picture(pictures: ImageSet):
    picture = torch.tensor(pictures.images[3])
    padded = F.pad(picture[None].float(), (2, 2, 2, 2), mode="reflect")[0].byte()
    windows = {padded[:, y : y + 6, x : x + 9].contiguous().numpy().tobytes() for y in range(5) for x in range(5)}
    assert draws(picture, AugmentConfig(crop=2)) == windows


def test_a_flip_mirrors_left_and_right_half_the_time(pictures: ImageSet):
    picture = torch.tensor(pictures.images[3])
    both = {of.contiguous().numpy().tobytes() for of in (picture, picture.flip(-1))}
    assert draws(picture, AugmentConfig(flip=True)) == both
    assert len(draws(picture, AugmentConfig())) == 1


def test_a_square_has_the_mean_colour_is_clipped_and_leaves_the_original(pictures: ImageSet):
    picture = torch.full((3, 6, 9), 7, dtype=torch.uint8)
    colour = np.array([51, 128, 178], dtype=np.uint8)  # of MEAN
    covered = np.zeros((6, 9), dtype=int)
    for drawn in draws(picture, AugmentConfig(cutout=4), times=600):
        array = np.frombuffer(drawn, dtype=np.uint8).reshape(3, 6, 9)
        square = (array != 7).any(axis=0)
        assert (array[:, square] == colour[:, None]).all()
        rows, columns = square.any(axis=1).sum(), square.any(axis=0).sum()
        assert rows * columns == square.sum()
        assert 2 <= rows <= 4
        assert 2 <= columns <= 4
        covered += square
    assert (covered > 0).all()
    assert (picture == 7).all()


def test_pictures_come_out_as_training_normalises_them(pictures: ImageSet):
    dataset = OneByOne(pictures, AugmentConfig(), MEAN, STD)
    images = torch.stack([dataset[index][0] for index in range(len(dataset))])
    torch.testing.assert_close(images, preprocess(torch.tensor(pictures.images), MEAN, STD))
    assert [int(dataset[index][1]) for index in range(3)] == [0, 1, 0]


def test_what_it_does_not_know_is_refused_by_name(pictures: ImageSet):
    OneByOne(pictures, AugmentConfig(flip=True, crop=1, cutout=2), MEAN, STD)
    with pytest.raises(UsageError, match=r"^a plain loop knows flip, crop, cutout, not contrast: set data\.augment\."):
        OneByOne(pictures, AugmentConfig(contrast=0.2), MEAN, STD)


def test_a_network_learns_but_for_its_frozen_layer(pictures: ImageSet):
    torch.manual_seed(2)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 4 * 7, 2))
    model[0].requires_grad_(False)
    before = [parameter.clone() for parameter in model.parameters()]
    dataset = OneByOne(pictures, AugmentConfig(flip=True), MEAN, STD)
    loop = plain_loop(model, dataset, batch_size=16, label_smoothing=0.1, epochs=20, workers=0)
    assert [next(loop) for _ in range(30)] == [16] * 30  # two whole batches an epoch, without end
    loop.close()
    changed = [not torch.equal(old, new) for old, new in zip(before, model.parameters(), strict=True)]
    assert changed == [False] * 2 + [True] * 4
    logits = model.eval()(preprocess(torch.tensor(pictures.images), MEAN, STD))
    assert (logits.argmax(1) == torch.tensor(pictures.labels)).float().mean() > 0.9
