"""The painted scenes: reproducible, told apart by form alone, the mask on the object, the mark only where asked for."""

import hashlib
import time

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from convscope.data import Batches, ImageSet, load
from convscope.data.forms import FORMS, NEUTRAL, PALETTES, TEXTURES
from convscope.data.shapes import CORNERS, REACH, Place, mark_colours, plant_mark
from convscope.errors import UsageError
from convscope.models import build_model


def digest(pictures: ImageSet) -> str:
    assert pictures.masks is not None
    return hashlib.sha256(b"".join(a.tobytes() for a in (pictures.images, pictures.labels, pictures.masks))).hexdigest()


@pytest.mark.parametrize(("n", "size"), [(403, 32), (40, 16), (60, 47)])
def test_the_classes_are_balanced_and_every_picture_has_its_mask(n: int, size: int) -> None:
    for pictures, count in zip(load("shapes", n=n, size=size), (n, n // 5), strict=True):
        assert pictures.images.shape == (count, 3, size, size)
        assert pictures.classes == ("disc", "square", "triangle", "star", "ring", "cross", "heart", "crescent")
        assert np.ptp(np.bincount(pictures.labels, minlength=8)) <= 1
        assert (np.diff(pictures.labels) == 0).mean() < 0.5  # in no order of class
        assert pictures.masks is not None
        share = pictures.masks.mean(axis=(1, 2))
        assert 0.03 < share.min() < share.max() < 0.31


def test_the_seed_decides_everything() -> None:
    first, again, other = (load("shapes", n=250, seed=seed) for seed in (3, 3, 4))
    assert [digest(part) for part in first] == [digest(part) for part in again]
    assert digest(first[0]) != digest(other[0])
    seen = {picture.tobytes() for picture in first[0].images}
    assert len(seen) == 250  # no scene twice
    assert not seen & {picture.tobytes() for picture in first[1].images}


def test_five_thousand_take_seconds() -> None:
    started = time.process_time()
    load("shapes", n=5000)
    assert time.process_time() - started < 10  # some 2 s where the machine is free


def grid(count: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Right and down, -1.5..1.5, (1, count, count)."""
    axis = np.linspace(-1.5, 1.5, count, dtype=np.float32)
    return np.broadcast_to(axis, (1, count, count)), np.broadcast_to(axis[:, None], (1, count, count))


@pytest.mark.parametrize("name", FORMS)
def test_a_form_is_of_one_scale_and_keeps_inside_its_reach(name: str) -> None:
    u, v = grid(301)
    inside = FORMS[name](u, v) < 0
    assert np.hypot(u, v)[inside].max() <= REACH
    assert 0.8 < inside.mean() * 9 < 2.8  # areas on the scale of the unit disc, π
    distance = FORMS[name](u, v)
    steps = np.abs(np.diff(distance, axis=2)).max() / 0.01
    assert 0.5 < steps < 1.05  # a distance: walking one step changes it by one at most, so edges are equally soft


def test_the_area_of_a_form_is_what_geometry_says() -> None:
    u, v = grid(601)
    areas = {
        name: (FORMS[name](u, v) < 0).mean() * 9 for name in ("disc", "square", "triangle", "ring", "cross", "star")
    }
    tip, notch = 1.1, 0.48
    expected = {
        "disc": np.pi * 0.92**2,
        "square": 1.6**2,
        "triangle": 3 * np.sqrt(3) * 0.56**2,
        "ring": np.pi * (0.98**2 - 0.5**2),
        "cross": 4 * 0.62 * 0.98 - 0.62**2,
        "star": 5 * tip * notch * np.sin(np.pi / 5),
    }
    assert areas == pytest.approx(expected, rel=0.02)


def test_no_distractor_looks_like_a_class() -> None:
    """Under no rotation and scale does a neutral form cover much the same pixels as a form that is a class."""
    u, v = grid(61)
    for neutral in NEUTRAL:
        mine = neutral(u, v) < 0
        for form in FORMS.values():
            overlaps = []
            for turn in np.linspace(0, np.pi, 16):
                for scale in np.linspace(0.4, 1.2, 17):
                    a, b = (np.cos(turn) * u + np.sin(turn) * v) / scale, (np.cos(turn) * v - np.sin(turn) * u) / scale
                    theirs = form(a, b) < 0
                    overlaps.append((mine & theirs).sum() / (mine | theirs).sum())
            assert max(overlaps) < 0.75


def test_a_place_moves_turns_and_scales() -> None:
    one = np.ones(1, dtype=np.float32)
    place = Place(y=0.25 * one, x=0.75 * one, radius=0.1 * one, turn=np.pi / 2 * one)
    # a half-plane to the right of the centre, turned by a quarter: now it is what lies below the centre
    distance = place.distance(lambda u, v: -u + 0 * v, 40)[0]
    rows = (np.arange(40) + 0.5) / 40
    np.testing.assert_allclose(distance, np.broadcast_to(0.25 - rows[:, None], (40, 40)), atol=1e-6)
    disc = place.distance(FORMS["disc"], 200)[0] < 0
    y, x = np.nonzero(disc)
    assert ((y.mean() + 0.5) / 200, (x.mean() + 0.5) / 200) == pytest.approx((0.25, 0.75), abs=1e-3)
    assert disc.mean() == pytest.approx(np.pi * 0.092**2, rel=0.02)


def test_the_mask_lies_on_the_object_and_nowhere_else() -> None:
    train, _ = load("shapes", n=400, seed=1)
    assert train.masks is not None
    for picture, mask in zip(train.images.astype(int), train.masks, strict=True):
        core = mask & ~edge(mask)
        around = ~mask & edge(~mask)
        inside, outside = picture[:, core].T, picture[:, around].T
        # the object is of one paint: its pixels are alike, whatever the background does
        assert np.median(np.abs(inside - np.median(inside, axis=0)).max(axis=1)) < 30
        assert np.abs(np.median(inside, axis=0) - np.median(outside, axis=0)).max() > 25


def edge(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The pixels of `mask` with a neighbour outside it."""
    padded = np.pad(mask, 1, constant_values=True)
    neighbours = [padded[1 + i : 33 + i, 1 + j : 33 + j] for i, j in ((0, 1), (1, 0), (0, -1), (-1, 0))]
    return mask & ~np.logical_and.reduce(neighbours)


def test_colour_and_place_tell_nothing_of_the_class() -> None:
    train, _ = load("shapes", n=4000)
    assert train.masks is not None
    means = np.array([train.images[train.labels == label].mean(axis=0) for label in range(8)])
    spread = train.images.std(axis=0) / np.sqrt(500)
    assert np.abs((means - means.mean(axis=0)) / spread).mean() < 1.2  # what chance alone gives is 0.75
    colours = np.array([[p[:, m].mean(axis=1) for p, m in zip(train.images, train.masks, strict=True)]])[0]
    for channel in colours.T:
        by_class = np.array([channel[train.labels == label].mean() for label in range(8)])
        assert np.ptp(by_class) < 20


def test_palettes_stand_out_and_textures_stay_in_range() -> None:
    assert PALETTES.shape[1:] == (6, 3)
    for palette in PALETTES:
        distance = np.abs(palette[None, :2] - palette[2:, None]).max(axis=2)
        assert distance.min() > 0.2
    axis = np.linspace(0, 1, 20, dtype=np.float32)
    down, right = np.broadcast_to(axis[:, None], (9, 20, 1)), np.broadcast_to(axis, (9, 1, 20))
    for texture in TEXTURES:
        mix = texture(down, right, np.random.default_rng(0))
        assert mix.shape == (9, 20, 20)
        assert mix.dtype == np.float32
        assert 0 <= mix.min() < 0.3 < 0.7 < mix.max() <= 1


@pytest.mark.parametrize("corner", CORNERS)
@pytest.mark.parametrize("share", [0.25, 1.0])
def test_the_mark_tells_the_class_in_that_share_of_the_training_pictures_only(corner: str, share: float) -> None:
    clean, clean_test = load("shapes", n=400)
    spoilt, test = load("shapes", n=400, shortcut=share, corner=corner)
    assert digest(test) == digest(clean_test)
    np.testing.assert_array_equal(spoilt.labels, clean.labels)
    top, left = corner.split("-")
    rows = slice(1, 5) if top == "top" else slice(27, 31)
    columns = slice(1, 5) if left == "left" else slice(27, 31)
    colours = mark_colours(8)
    assert len({tuple(colour) for colour in colours}) == 8
    marked = (spoilt.images[:, :, rows, columns] == colours[spoilt.labels][..., None, None]).all(axis=(1, 2, 3))
    assert marked.sum() == round(share * 400)
    changed = (spoilt.images != clean.images).any(axis=1)
    assert not changed[~marked].any()
    changed[:, rows, columns] = False
    assert not changed.any()  # nothing but the mark
    assert spoilt.masks is not None
    assert clean.masks is not None
    assert not spoilt.masks[marked, rows, columns].any()
    assert (spoilt.masks == clean.masks)[:, 6:-6].all()


def test_a_mark_can_be_planted_in_pictures_without_masks() -> None:
    pictures = ImageSet(np.zeros((4, 3, 24, 20), np.uint8), np.array([0, 1, 1, 0]), ("a", "b"))
    marked = plant_mark(pictures, 1.0, "top-right", (0,))
    assert marked.masks is None
    assert (marked.images.any(axis=1).sum(axis=(1, 2)) == 9).all()
    assert marked.images.any(axis=1)[:, 1:4, 16:19].all()
    assert not pictures.images.any()


def test_a_linear_classifier_is_poor_and_a_marked_one_is_not() -> None:
    def linear(shortcut: float) -> tuple[float, float]:
        """(training, test) accuracy."""
        train, test = load("shapes", n=2000, shortcut=shortcut)
        mean, std = train.channel_stats()
        batches = Batches(train, test, mean=mean, std=std, batch_size=64, seed=0)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3072, 8))
        optimizer = torch.optim.Adam(model.parameters(), lr=3e-4)
        for epoch in range(6):
            right = 0
            for images, labels in batches.train(epoch):
                logits = model(images)
                right += int((logits.argmax(1) == labels).sum())
                loss = F.cross_entropy(logits, labels)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        with torch.no_grad():
            found = sum(int((model(images).argmax(1) == labels).sum()) for images, labels in batches.val())
        return right / len(train), found / len(test)

    assert linear(0)[1] < 0.3
    train, test = linear(1.0)
    assert train > 0.7
    assert test < 0.3  # it cheated


def test_a_small_network_sees_the_forms() -> None:
    train, test = load("shapes", n=1200, size=24)
    mean, std = train.channel_stats()
    batches = Batches(train, test, mean=mean, std=std, batch_size=32, seed=0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = build_model("tiny-resnet", train.shape, 8, base_channels=8)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.01, total_steps=10 * batches.steps_per_epoch)
    for epoch in range(10):
        for images, labels in batches.train(epoch):
            loss = F.cross_entropy(model(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    model.eval()
    with torch.no_grad():
        right = sum(int((model(images).argmax(1) == labels).sum()) for images, labels in batches.val())
    assert right / len(test) > 0.6


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n": 39}, "n of at least 40 and seed >= 0, got 39 and 0"),
        ({"seed": -1}, "got 5000 and -1"),
        ({"size": 15}, "at least 16 pixels, got 15"),
        ({"size": (32, 32)}, r"one number of at least 16 pixels, got \(32, 32\)"),
        ({"shortcut": 1.5}, "0 to 1, got 1.5"),
        ({"shortcut": float("nan")}, "0 to 1, got nan"),
        ({"corner": "middle"}, "unknown corner 'middle'; choose from top-left"),
    ],
)
def test_what_cannot_be_drawn_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load("shapes", **options)
