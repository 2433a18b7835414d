"""Augmentation: reproducible, each picture on its own, and each variation exactly what it says it is."""

import numpy as np
import pytest
import torch
from torch import Tensor

from convscope.config import AugmentConfig
from convscope.data import ColorJitter, Compose, Cutout, RandomCrop, RandomFlip, build_augment
from convscope.errors import UsageError

TRANSFORMS = [
    RandomFlip(),
    RandomCrop(3),
    ColorJitter(0.4, 0.3, 0.5),
    Cutout(4, (0.1, 0.5, 0.9)),
    Compose(RandomCrop(2), RandomFlip(), ColorJitter(0.2), Cutout(3)),
]


def pictures(n: int = 6, channels: int = 3, height: int = 9, width: int = 12, seed: int = 0) -> Tensor:
    """uint8 (n, channels, height, width)."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (n, channels, height, width), generator=generator, dtype=torch.uint8)


def seeded(seed: int = 7) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("transform", TRANSFORMS, ids=repr)
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float64])
@pytest.mark.parametrize("channels", [1, 3])
def test_reproducible_from_the_generator_and_from_nothing_else(
    transform: Compose, dtype: torch.dtype, channels: int
) -> None:
    if channels == 1 and isinstance(transform, Cutout):
        transform = Cutout(4, 0.3)
    x = pictures(channels=channels)
    x = x if dtype == torch.uint8 else x.to(dtype) / 255
    before, state = x.clone(), torch.get_rng_state()
    first, again, other = transform(x, seeded()), transform(x, seeded()), transform(x, seeded(8))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.shape == x.shape
    assert first.dtype == dtype
    assert torch.equal(x, before)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("transform", TRANSFORMS, ids=repr)
def test_each_picture_is_varied_without_regard_to_the_others(transform: Compose) -> None:
    x = pictures()
    y = x.clone()
    y[::2] = 255 - y[::2]
    assert torch.equal(transform(x, seeded())[1::2], transform(y, seeded())[1::2])


@pytest.mark.parametrize("transform", TRANSFORMS[2:3], ids=repr)
def test_float_pictures_vary_as_bytes_do(transform: ColorJitter) -> None:
    x = pictures()
    difference = transform(x, seeded()).double() - 255 * transform(x.double() / 255, seeded())
    assert difference.abs().max() <= 0.5 + 1e-4  # rounding to bytes


@pytest.mark.parametrize(("p", "low", "high"), [(0.0, 0, 0), (0.5, 440, 560), (0.2, 150, 250), (1.0, 1000, 1000)])
def test_flip_mirrors_a_share_of_the_pictures_and_leaves_the_rest(p: float, low: int, high: int) -> None:
    x = pictures(1000, 1, 3, 5)
    y = RandomFlip(p)(x, seeded())
    mirrored = (y == x.flip(3)).flatten(1).all(1)
    untouched = (y == x).flatten(1).all(1)
    assert torch.equal(mirrored, ~untouched)
    assert low <= int(mirrored.sum()) <= high


@pytest.mark.parametrize(("padding", "height", "width"), [(1, 4, 3), (2, 5, 7), (4, 9, 6), (0, 4, 4)])
def test_each_crop_is_a_window_of_the_reflected_picture(padding: int, height: int, width: int) -> None:
    x = pictures(400, 2, height, width)
    y = RandomCrop(padding)(x, seeded()).numpy()
    padded = np.pad(x.numpy(), ((0, 0), (0, 0), (padding, padding), (padding, padding)), mode="reflect")
    places = {}
    for index in range(len(x)):
        windows = np.lib.stride_tricks.sliding_window_view(padded[index], (height, width), axis=(1, 2))
        hits = np.argwhere((windows == y[index][:, None, None]).all(axis=(0, 3, 4)))
        assert len(hits) >= 1
        places[tuple(hits[0].tolist())] = places.get(tuple(hits[0].tolist()), 0) + 1
    expected = (2 * padding + 1) ** 2
    assert len(places) >= min(expected, 75)  # every place, or of very many most
    assert max(places.values()) < 4 * 400 / expected + 1


def test_a_crop_cannot_reflect_more_than_there_is() -> None:
    with pytest.raises(ValueError, match=r"padding 5 .* \(6, 3, 9, 5\) .* at most 4"):
        RandomCrop(5)(pictures(width=5), seeded())
    with pytest.raises(ValueError, match="at least 0, got -1"):
        RandomCrop(-1)


LUMA = np.array([0.299, 0.587, 0.114]).reshape(3, 1, 1)


def factors(transform: ColorJitter, expected: object, n: int = 500) -> np.ndarray:
    """For each of n pictures the factor that, put into `expected(picture, factor)`, gives what came; float64."""
    assert callable(expected)
    x = 0.35 + 0.3 * torch.rand(n, 3, 4, 5, generator=seeded(1), dtype=torch.float64)  # far from clipping
    y = transform(x, seeded()).numpy()
    found = []
    for before, after in zip(x.numpy(), y, strict=True):
        zero, one = expected(before, 0.0), expected(before, 1.0)
        factor = ((after - zero) * (one - zero)).sum() / ((one - zero) ** 2).sum()
        np.testing.assert_allclose(after, expected(before, factor), atol=1e-6)
        found.append(factor)
    return np.array(found)


def brightness(x: np.ndarray, factor: float) -> np.ndarray:
    return factor * x


def contrast(x: np.ndarray, factor: float) -> np.ndarray:
    return factor * x + (1 - factor) * (LUMA * x).sum(axis=0).mean()


def saturation(x: np.ndarray, factor: float) -> np.ndarray:
    return factor * x + (1 - factor) * (LUMA * x).sum(axis=0)


@pytest.mark.parametrize(
    ("transform", "expected"),
    [
        (ColorJitter(brightness=0.4), brightness),
        (ColorJitter(contrast=0.4), contrast),
        (ColorJitter(saturation=0.4), saturation),
    ],
)
def test_colour_factors_are_spread_over_the_whole_range_one_for_each_picture(
    transform: ColorJitter, expected: object
) -> None:
    found = factors(transform, expected)
    assert 0.6 <= found.min() < 0.61
    assert 1.39 < found.max() <= 1.4
    assert abs(found.mean() - 1) < 0.03
    assert len(np.unique(found.round(9))) == len(found)


def test_colours_are_clipped_after_each_step() -> None:
    x = pictures(50)
    y = ColorJitter(1.0, 1.0, 1.0)(x, seeded())
    assert y.min() == 0
    assert y.max() == 255
    bright = ColorJitter(brightness=1.0)(torch.full((200, 1, 2, 2), 0.9), seeded())
    assert bright.max() == 1.0


def test_saturation_leaves_grey_pictures_alone() -> None:
    grey = pictures(channels=1)
    assert torch.equal(ColorJitter(saturation=1.0)(grey, seeded()), grey)
    assert torch.equal(ColorJitter(saturation=1.0)(grey.expand(-1, 3, -1, -1), seeded()), grey.expand(-1, 3, -1, -1))


def test_switching_one_colour_off_leaves_the_draws_of_the_others() -> None:
    x = pictures().double() / 255 * 0.2 + 0.4
    both, one = ColorJitter(0.3, 0.0, 0.4)(x, seeded()), ColorJitter(0.3, 0.0, 0.0)(x, seeded())
    grey = (torch.from_numpy(LUMA) * one).sum(1, keepdim=True)
    ratio = (both - grey) / (one - grey)
    assert (ratio.amax((1, 2, 3)) - ratio.amin((1, 2, 3))).max() < 1e-6


@pytest.mark.parametrize("size", [1, 4, 5])
def test_cutout_covers_one_square_clipped_at_the_borders(size: int) -> None:
    height, width, fill = 9, 12, (0.2, 0.4, 1.0)
    x = pictures(600, 3, height, width) // 2  # 0..127; the fill is 51, 102, 255
    y = Cutout(size, fill)(x, seeded())
    covered = (y == torch.tensor([51, 102, 255]).view(1, 3, 1, 1)).all(1)  # (N, H, W)
    assert torch.equal(torch.where(covered[:, None], 0, y), torch.where(covered[:, None], 0, x))
    clipped = {"top": 0, "bottom": 0, "left": 0, "right": 0}
    for mask in covered:
        rows, columns = mask.any(1).nonzero().flatten(), mask.any(0).nonzero().flatten()
        top, bottom, left, right = (int(v) for v in (rows[0], rows[-1], columns[0], columns[-1]))
        assert mask.sum() == (bottom - top + 1) * (right - left + 1)  # a full rectangle
        assert bottom - top + 1 <= size
        assert right - left + 1 <= size
        clipped["top"] += bottom - top + 1 < size and top == 0
        clipped["bottom"] += bottom - top + 1 < size and bottom == height - 1
        clipped["left"] += right - left + 1 < size and left == 0
        clipped["right"] += right - left + 1 < size and right == width - 1
        assert bottom - top + 1 == size or top == 0 or bottom == height - 1
        assert right - left + 1 == size or left == 0 or right == width - 1
    # the centre lies anywhere, so half the square may hang over on either side; of an even one, a pixel more before
    expected = {"top": size // 2, "bottom": (size - 1) // 2, "left": size // 2, "right": (size - 1) // 2}
    for side, places in expected.items():
        share = places / (height if side in ("top", "bottom") else width)
        assert abs(clipped[side] / 600 - share) < 0.06, side
    assert covered.any(0).all()  # every pixel is covered in some picture


def test_cutout_is_mid_grey_unless_told_and_knows_the_channels() -> None:
    x = torch.zeros(3, 1, 4, 4, dtype=torch.uint8)
    assert set(Cutout(2)(x, seeded()).unique().tolist()) == {0, 128}
    assert Cutout(2, 0.25)(x.float(), seeded()).max() == 0.25
    with pytest.raises(ValueError, match=r"fill has 3 channels, images \(3, 1, 4, 4\)"):
        Cutout(2, (0.1, 0.2, 0.3))(x, seeded())


@pytest.mark.parametrize(
    "make",
    [
        lambda: RandomFlip(1.5),
        lambda: ColorJitter(brightness=-0.1),
        lambda: ColorJitter(0, 0, 2),
        lambda: Cutout(0),
        lambda: Cutout(3, (0.5, 1.5, 0.5)),
        lambda: Compose(RandomFlip(), 3),
        lambda: ColorJitter(0.1)(pictures(channels=2), seeded()),
    ],
)
def test_settings_out_of_range_are_refused(make: object) -> None:
    assert callable(make)
    with pytest.raises(ValueError, match=r"^(RandomFlip|ColorJitter|Cutout|Compose): "):
        make()


def test_transforms_follow_one_another_on_one_stream() -> None:
    x, crop, flip = pictures(), RandomCrop(3), RandomFlip()
    generator = seeded()
    assert torch.equal(Compose(crop, flip)(x, seeded()), flip(crop(x, generator), generator))


def test_any_callable_on_a_batch_can_be_plugged_in() -> None:
    x = pictures()

    def with_generator(images: Tensor, generator: torch.Generator) -> Tensor:
        return images.roll(int(torch.randint(1, 9, (), generator=generator)), dims=3)

    def with_option(images: Tensor, amount: int = 2) -> Tensor:
        return images.roll(amount, dims=2)

    assert torch.equal(Compose(lambda images: 255 - images)(x, seeded()), 255 - x)
    assert torch.equal(Compose(with_option)(x, seeded()), x.roll(2, dims=2))
    assert torch.equal(Compose(torch.nn.Identity())(x, seeded()), x)
    assert torch.equal(Compose(torch.bitwise_not)(x, seeded()), ~x)  # without a signature
    assert torch.equal(Compose(with_generator)(x, seeded()), with_generator(x, seeded()))


def test_what_a_callable_draws_from_the_global_stream_is_reproducible_and_leaves_no_trace() -> None:
    x = pictures().float()
    noise = Compose(lambda images: images + torch.randn_like(images))
    state = torch.get_rng_state()
    first = noise(x, seeded())
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(5)
    assert torch.equal(first, noise(x, seeded()))
    assert not torch.equal(first, noise(x, seeded(8)))


@pytest.mark.parametrize(
    ("transform", "message"),
    [
        (lambda images: images.numpy(), "returned ndarray, expected a Tensor"),
        (lambda images: images[:3], r"returned torch.uint8 \(3, 3, 9, 12\) for torch.uint8 \(6, 3, 9, 12\)"),
        (lambda images: images[:, :1], r"returned torch.uint8 \(6, 1, 9, 12\)"),
        (lambda images: images.float(), "returned torch.float32 .* must keep"),
        (lambda images: images[0], r"returned torch.uint8 \(3, 9, 12\)"),
    ],
)
def test_what_a_callable_returns_is_checked(transform: object, message: str) -> None:
    assert callable(transform)
    with pytest.raises(ValueError, match=f"<lambda> {message}"):
        Compose(RandomFlip(), transform)(pictures(), seeded())


def test_the_configuration_says_what_is_done() -> None:
    assert build_augment(AugmentConfig(), (16, 16), 0.5) is None
    config = AugmentConfig(flip=True, crop=4, brightness=0.2, saturation=0.1, cutout=8)
    assert repr(build_augment(config, (16, 16), (0.25, 0.5, 0.75))) == (
        "Compose(RandomCrop(padding=4), RandomFlip(p=0.5), "
        "ColorJitter(brightness=0.2, contrast=0, saturation=0.1), Cutout(size=8, fill=(0.25, 0.5, 0.75)))"
    )
    extra = build_augment(AugmentConfig(), (16, 16), 0.5, torch.nn.Identity())
    assert repr(extra) == "Compose(Identity())"


@pytest.mark.parametrize("setting", ["crop", "cutout"])
def test_too_much_for_small_pictures_is_a_usage_error(setting: str) -> None:
    config = AugmentConfig.model_validate({setting: 9})
    with pytest.raises(UsageError, match=rf"data.augment.{setting}=9 is too much for 8×30 pictures: at most [78]"):
        build_augment(config, (8, 30))
