"""Batches: all pictures once an epoch, each batch from (seed, epoch, step) alone, only training pictures varied."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from convscope.data import Batches, Compose, Cutout, ImageSet, RandomCrop, RandomFlip, derive_seed, evaluation_batches
from convscope.errors import UsageError

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.26, 0.35)


def make(n: int, seed: int = 0) -> ImageSet:
    """Pictures whose label is their place, so that a batch tells which pictures it holds."""
    images = np.random.default_rng(seed).integers(0, 256, (n, 3, 6, 8), dtype=np.uint8)
    return ImageSet(images, np.arange(n), tuple(map(str, range(n))))


def batches(
    n: int = 23, batch_size: int = 5, seed: int = 3, augment: object = None, val: ImageSet | None = None
) -> Batches:
    assert augment is None or callable(augment)
    return Batches(make(n), val, mean=MEAN, std=STD, batch_size=batch_size, seed=seed, augment=augment)


def normalised(pictures: ImageSet, places: Tensor) -> np.ndarray:
    mean, std = (np.array(values).reshape(1, 3, 1, 1) for values in (MEAN, STD))
    return (pictures.images[places.numpy()] / 255 - mean) / std


@pytest.mark.parametrize(
    ("n", "batch_size", "sizes"),
    [
        (23, 5, [5, 5, 5, 5, 3]),
        (20, 5, [5, 5, 5, 5]),
        (21, 5, [5, 5, 5, 6]),  # BatchNorm cannot normalise a single value
        (22, 5, [5, 5, 5, 5, 2]),
        (3, 5, [3]),
        (6, 5, [6]),
        (3, 2, [3]),
        (2, 2, [2]),
    ],
)
def test_an_epoch_shows_every_picture_once_and_never_one_alone(n: int, batch_size: int, sizes: list[int]) -> None:
    found = batches(n, batch_size)
    shown = list(found.train(0))
    assert [len(labels) for _, labels in shown] == sizes
    assert found.steps_per_epoch == len(sizes)
    assert sorted(torch.cat([labels for _, labels in shown]).tolist()) == list(range(n))
    for images, labels in shown:
        assert images.dtype == torch.float32
        assert labels.dtype == torch.int64
        np.testing.assert_allclose(images, normalised(make(n), labels), atol=1e-5)


def test_the_order_derives_from_seed_and_epoch() -> None:
    def order(seed: int, epoch: int) -> list[int]:
        return torch.cat([labels for _, labels in batches(40, 8, seed).train(epoch)]).tolist()

    assert order(3, 0) == order(3, 0)
    orders = [order(3, 0), order(3, 1), order(4, 0), list(range(40))]
    assert len({tuple(o) for o in orders}) == 4


AUGMENT = Compose(RandomCrop(2), RandomFlip(), Cutout(3), lambda images: images ^ torch.randint_like(images, 2))


@pytest.mark.parametrize("n", [23, 21])
def test_starting_late_gives_the_very_batches_that_would_have_come(n: int) -> None:
    whole = list(batches(n, augment=AUGMENT).train(4))
    torch.manual_seed(99)
    for start in range(len(whole) + 1):
        tail = list(batches(n, augment=AUGMENT).train(4, start))
        assert len(tail) == len(whole) - start
        for (images, labels), (expected, expected_labels) in zip(tail, whole[start:], strict=True):
            assert torch.equal(images, expected)
            assert torch.equal(labels, expected_labels)


@pytest.mark.parametrize("start", [-1, 6])
def test_a_start_outside_the_epoch_is_refused(start: int) -> None:
    with pytest.raises(ValueError, match=rf"0\.\.5, the steps of an epoch, got {start}"):
        next(batches().train(0, start))


def test_augmentation_differs_from_step_to_step_and_epoch_to_epoch() -> None:
    seen: list[list[float]] = []

    def spy(images: Tensor, generator: torch.Generator) -> Tensor:
        assert images.dtype == torch.uint8
        seen.append(torch.rand(3, generator=generator).tolist())
        return images

    for seed in (3, 4):
        found = batches(seed=seed, augment=spy)
        for epoch in (0, 1):
            list(found.train(epoch))
    assert len(seen) == 20
    assert len({tuple(draws) for draws in seen}) == 20


def test_only_training_pictures_are_augmented_and_the_set_itself_never() -> None:
    val = make(7, seed=1)
    found = batches(augment=lambda images, generator: images.zero_(), val=val)
    black = -np.array(MEAN) / np.array(STD)
    for images, _ in found.train(0):
        np.testing.assert_allclose(images, np.broadcast_to(black.reshape(1, 3, 1, 1), images.shape), atol=1e-6)
    shown = list(found.val())
    assert torch.cat([labels for _, labels in shown]).tolist() == list(range(7))
    for images, labels in shown:
        np.testing.assert_allclose(images, normalised(val, labels), atol=1e-5)
    assert list(batches().val()) == []


def test_the_pictures_stay_as_they_were() -> None:
    pictures = make(10)
    before = pictures.images.copy()
    found = Batches(
        pictures, mean=MEAN, std=STD, batch_size=4, seed=0, augment=lambda images, generator: images.fill_(9)
    )
    list(found.train(0))
    np.testing.assert_array_equal(pictures.images, before)


def test_the_global_streams_are_not_touched() -> None:
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()  # noqa: NPY002
    list(batches(augment=AUGMENT).train(0))
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert np.array_equal(np.random.get_state()[1], numpy_state[1])  # noqa: NPY002


def test_pictures_that_torch_cannot_share_are_copied() -> None:
    pictures = make(9)
    pictures.images.setflags(write=False)
    for images, labels in evaluation_batches(pictures, mean=MEAN, std=STD):  # torch would warn: an error here
        np.testing.assert_allclose(images, normalised(make(9), labels), atol=1e-5)
    mirrored = ImageSet(pictures.images[:, :, :, ::-1], pictures.labels[::-1], pictures.classes)
    for images, labels in evaluation_batches(mirrored, mean=MEAN, std=STD, batch_size=4):
        np.testing.assert_allclose(images, normalised(make(9), 8 - labels)[..., ::-1], atol=1e-5)


def test_evaluation_keeps_order_and_a_last_single_picture() -> None:
    shown = list(evaluation_batches(make(9), mean=MEAN, std=STD, batch_size=4))
    assert [labels.tolist() for _, labels in shown] == [[0, 1, 2, 3], [4, 5, 6, 7], [8]]
    assert list(evaluation_batches(make(9).take(np.arange(0)), mean=MEAN, std=STD)) == []


def test_statistics_are_those_given_whatever_is_held_out() -> None:
    pictures = make(30)
    train, val = pictures.split(10, seed=0)
    mean, std = train.channel_stats()
    found = Batches(train, val, mean=mean, std=std, batch_size=20, seed=0)
    (images, _), (held, _) = next(iter(found.train(0))), next(iter(found.val()))
    np.testing.assert_allclose(images.mean((0, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(images.std((0, 2, 3), correction=0), 1, atol=1e-5)
    assert held.mean((0, 2, 3)).abs().max() > 1e-3


@pytest.mark.parametrize(("n", "batch_size"), [(1, 4), (0, 4), (8, 1)])
def test_too_little_to_normalise_is_refused(n: int, batch_size: int) -> None:
    with pytest.raises(UsageError, match=rf"at least 2 pictures, and 2 in a batch; got {n} and {batch_size}"):
        Batches(make(n), mean=MEAN, std=STD, batch_size=batch_size, seed=0)


def test_seeds_of_different_purposes_have_nothing_in_common() -> None:
    parts = [(7,), (7, 0), (0, 7), (7, 0, 0), ("order", 7, 0), ("augment", 7, 0), (70,), (1, 23), (12, 3)]
    seeds = [derive_seed(*p) for p in parts]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**64 for seed in seeds)
    assert derive_seed(7, np.int64(3)) == derive_seed(7, 3)
    torch.Generator().manual_seed(max(seeds))


def test_mirroring_in_turn_shows_both_sides_of_every_picture() -> None:
    pictures = make(40)
    found = Batches(pictures, mean=MEAN, std=STD, batch_size=7, seed=3, mirror_in_turn=True)
    seen: dict[int, list[bool]] = {}
    for epoch in (0, 1, 2, 5):
        for images, labels in found.train(epoch):
            plain, mirrored = normalised(pictures, labels), normalised(pictures, labels)[..., ::-1]
            for image, label, one, other in zip(images.numpy(), labels.tolist(), plain, mirrored, strict=True):
                turned = bool(np.allclose(image, other, atol=1e-5))
                assert turned or np.allclose(image, one, atol=1e-5)
                seen.setdefault(label, []).append(turned)
    assert all(turns == [turns[0], not turns[0], turns[0], not turns[0]] for turns in seen.values())
    assert 10 < sum(turns[0] for turns in seen.values()) < 30
    other = Batches(pictures, mean=MEAN, std=STD, batch_size=7, seed=4, mirror_in_turn=True)
    assert not torch.equal(next(found.train(0))[0].sort().values, next(other.train(0))[0].sort().values)


def test_pictures_grow_from_epoch_to_epoch() -> None:
    sizes = [(3, 4), (3, 4), (6, 8)]
    found = Batches(make(9), make(4, seed=1), mean=MEAN, std=STD, batch_size=5, seed=3, sizes=sizes)
    for epoch, size in enumerate(sizes):
        for images, labels in found.train(epoch):
            assert tuple(images.shape[2:]) == size
            full = torch.from_numpy(normalised(make(9), labels)).float()
            if size == (3, 4):  # each value is of a neighbourhood of its own, and their mean that of the picture
                middle = F.avg_pool2d(full, 2)
                assert torch.corrcoef(torch.stack([images.flatten(), middle.flatten()]))[0, 1] > 0.9
            else:
                torch.testing.assert_close(images, full, atol=1e-5, rtol=0)
    assert all(tuple(images.shape[2:]) == (6, 8) for images, _ in found.val())


def test_a_smaller_picture_is_made_of_every_pixel() -> None:
    """Without antialiasing, scaling down skips pixels: fine stripes would come out all black or all white."""
    stripes = np.zeros((4, 3, 24, 24), np.uint8)
    stripes[..., ::3] = 255  # a third of the columns
    pictures = ImageSet(stripes, np.arange(4), tuple("abcd"))
    found = Batches(pictures, mean=(0,) * 3, std=(1,) * 3, batch_size=4, seed=0, sizes=[(8, 8)])
    images, _ = next(found.train(0))
    assert images[..., 1:-1].min() > 0.2
    assert images[..., 1:-1].max() < 0.45
