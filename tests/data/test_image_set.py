"""ImageSet: balanced draws, proportional splits, exact statistics."""

import numpy as np
import pytest

from convscope.data import ImageSet
from convscope.errors import UsageError


def make(n: int = 40, classes: int = 3, channels: int = 3, seed: int = 0) -> ImageSet:
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (n, channels, 5, 7), dtype=np.uint8)
    labels = rng.integers(0, classes, n)
    masks = rng.random((n, 5, 7)) < 0.5
    return ImageSet(images, labels, tuple("abcdef"[:classes]), masks)


def test_statistics_are_those_of_the_pixels_in_float64() -> None:
    pictures = make(n=2300)  # more than one chunk
    scaled = pictures.images.astype(np.float64) / 255
    mean, std = pictures.channel_stats()
    np.testing.assert_allclose(mean, scaled.mean(axis=(0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(std, scaled.std(axis=(0, 2, 3)), rtol=1e-12)


def test_a_constant_channel_has_no_deviation() -> None:
    images = np.full((3, 1, 4, 4), 51, dtype=np.uint8)
    assert ImageSet(images, np.zeros(3, dtype=np.int64), ("a",)).channel_stats() == ((0.2,), (0.0,))


@pytest.mark.parametrize("n", [3, 10, 30])
def test_a_subset_is_balanced_and_keeps_order_and_masks(n: int) -> None:
    pictures = make(n=60)
    subset = pictures.subset(n, seed=4)
    counts = np.bincount(subset.labels, minlength=3)
    assert counts.sum() == n
    assert counts.max() - counts.min() <= 1
    places = [int(np.flatnonzero((pictures.images == image).all(axis=(1, 2, 3)))[0]) for image in subset.images]
    assert places == sorted(set(places))
    assert pictures.masks is not None
    np.testing.assert_array_equal(subset.masks, pictures.masks[places])
    np.testing.assert_array_equal(subset.labels, pictures.labels[places])


def test_a_subset_depends_on_its_seed_alone() -> None:
    pictures = make()
    assert np.array_equal(pictures.subset(9, 1).images, pictures.subset(9, 1).images)
    assert not np.array_equal(pictures.subset(9, 1).images, pictures.subset(9, 2).images)


def test_where_a_class_is_too_small_the_others_make_up_for_it() -> None:
    labels = np.array([0] * 2 + [1] * 20 + [2] * 20)
    pictures = ImageSet(np.zeros((42, 1, 2, 2), dtype=np.uint8), labels, ("a", "b", "c"))
    assert np.bincount(pictures.subset(22, 0).labels).tolist() == [2, 10, 10]


def test_a_split_shares_no_picture_and_loses_none() -> None:
    pictures = make(n=50)
    rest, held = pictures.split(12, seed=3)
    assert (len(rest), len(held)) == (38, 12)
    everything = np.concatenate([rest.images, held.images])
    assert len(np.unique(everything, axis=0)) == 50


def of_counts(*counts: int) -> ImageSet:
    labels = np.random.default_rng(5).permutation(np.repeat(np.arange(len(counts)), counts))
    images = np.arange(4 * len(labels), dtype=np.int64).astype(np.uint8).reshape(-1, 1, 2, 2)
    return ImageSet(images, labels, tuple("abcdef"[: len(counts)]))


def split_counts(pictures: ImageSet, n: int, seed: int) -> tuple[list[int], list[int]]:
    rest, held = (np.bincount(part.labels, minlength=len(pictures.classes)) for part in pictures.split(n, seed))
    return rest.tolist(), held.tolist()


def test_a_split_holds_out_each_class_by_its_share() -> None:
    assert split_counts(of_counts(70, 20, 10), 20, seed=0) == ([56, 16, 8], [14, 4, 2])
    assert split_counts(of_counts(25, 25, 25, 25), 20, seed=0) == ([20] * 4, [5] * 4)
    assert split_counts(of_counts(62, 28, 10), 10, seed=0)[1] == [6, 3, 1]  # shares 6.2, 2.8, 1.0


def test_a_balanced_split_holds_out_as_many_of_each_class() -> None:
    pictures = of_counts(70, 20, 10)
    rest, held = pictures.split(15, seed=3, balanced=True)
    assert np.bincount(held.labels).tolist() == [5, 5, 5]
    assert np.bincount(rest.labels).tolist() == [65, 15, 5]
    assert np.array_equal(held.images, pictures.subset(15, seed=3).images)


def test_a_tie_between_shares_is_broken_by_the_seed() -> None:
    """Of 95 and 5, ten are 9.5 and 0.5: either may have the tenth."""
    found = {tuple(split_counts(of_counts(95, 5), 10, seed)[1]) for seed in range(20)}
    assert found == {(10, 0), (9, 1)}
    assert split_counts(of_counts(95, 5), 10, 3) == split_counts(of_counts(95, 5), 10, 3)


@pytest.mark.parametrize("n", [1, 7, 50, 90, 96])
def test_no_class_vanishes_from_the_rest(n: int) -> None:
    for seed in range(10):
        rest, held = split_counts(of_counts(91, 5, 2, 2), n, seed)
        assert sum(held) == n
        assert min(rest) >= 1


def test_the_last_of_a_class_is_held_out_only_where_there_is_no_other_way() -> None:
    assert split_counts(of_counts(96, 1, 1), 94, seed=0) == ([2, 1, 1], [94, 0, 0])
    for n in (96, 97, 98):
        rest, held = split_counts(of_counts(96, 1, 1), n, seed=0)
        assert (sum(rest), sum(held), min(rest)) == (98 - n, n, 0)


def test_a_split_depends_on_its_seed_alone() -> None:
    pictures = of_counts(30, 20)
    assert np.array_equal(pictures.split(9, 1)[1].images, pictures.split(9, 1)[1].images)
    assert not np.array_equal(pictures.split(9, 1)[1].images, pictures.split(9, 2)[1].images)


@pytest.mark.parametrize("n", [0, 41])
def test_more_than_there_is_cannot_be_drawn(n: int) -> None:
    with pytest.raises(UsageError, match=rf"cannot take {n} pictures from a set of 40"):
        make().subset(n, seed=0)
    with pytest.raises(UsageError, match=rf"cannot take {n} pictures from a set of 40"):
        make().split(n, seed=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": np.zeros((2, 3, 4), dtype=np.uint8)}, r"uint8 \(N, C, H, W\), got uint8 \(2, 3, 4\)"),
        ({"images": np.zeros((2, 3, 4, 4), dtype=np.float32)}, "got float32"),
        ({"images": np.zeros((2, 2, 4, 4), dtype=np.uint8)}, "1 or 3 channels"),
        ({"labels": np.zeros(3, dtype=np.int64)}, r"int64 \(2,\), got int64 \(3,\)"),
        ({"labels": np.zeros(2, dtype=np.int32)}, "got int32"),
        ({"labels": np.array([0, 2])}, r"0\.\.1, got 0\.\.2"),
        ({"labels": np.array([-1, 1])}, r"got -1\.\.1"),
        ({"masks": np.zeros((2, 4, 5), dtype=np.bool_)}, r"masks must be bool \(2, 4, 4\)"),
    ],
)
def test_what_does_not_fit_together_is_refused(change: dict[str, np.ndarray], message: str) -> None:
    good = {"images": np.zeros((2, 3, 4, 4), dtype=np.uint8), "labels": np.array([0, 1]), "masks": None}
    with pytest.raises(ValueError, match=message):
        ImageSet(**{"classes": ("a", "b"), **good, **change})
