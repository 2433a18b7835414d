"""The search for a mark on synthetic heat: found wherever it is planted, silent for what only resembles it."""

import json

import numpy as np
import pytest

from convscope.errors import UsageError
from convscope.explain.shortcut import (
    CLASS_THRESHOLD,
    FEW,
    REACH,
    THRESHOLD,
    beyond_distance,
    distances,
    find_shortcut,
    search,
)

CLASSES = ("a", "b", "c", "d", "e")
HEIGHT, WIDTH = 32, 40


class Heat:
    """Noisy heat over random objects of radius 5 to 9: most of it on the object, a glow round it, grain everywhere."""

    def __init__(self, seed=0, count=300, fixed=False):
        self.rng = rng = np.random.default_rng(seed)
        self.labels = np.arange(count) % len(CLASSES)
        radius = rng.uniform(5, 9, count)
        y, x = rng.uniform(radius, HEIGHT - radius), rng.uniform(radius, WIDTH - radius)
        if fixed:
            y, x, radius = np.full(count, 10.0), np.full(count, 12.0), np.full(count, 6.0)
        away = np.hypot(np.arange(HEIGHT)[:, None] - y[:, None, None], np.arange(WIDTH) - x[:, None, None])
        self.masks = away < radius[:, None, None]
        glow = np.exp(-np.maximum(0, away - radius[:, None, None]) / 1.5)
        self.own = glow * rng.uniform(0.6, 1, away.shape) + 0.1 * rng.random(away.shape)

    def blob(self, y, x, size=2.0):
        """Heat round a place, (H, W), 1 at its peak."""
        away = np.hypot(np.arange(HEIGHT)[:, None] - y, np.arange(WIDTH) - x)
        return np.exp(-((away / size) ** 2))

    def look(self, y, x, share=0.95, rows=None):
        """In that share of the pictures (of `rows`) heat is at the place instead of on the object."""
        chosen = self.rng.random(len(self.labels)) < share
        if rows is not None:
            chosen &= rows
        self.own[chosen] *= 0.1
        self.own[chosen] += self.blob(y, x)
        return self

    def search(self):
        return search(self.own, self.masks, self.labels, CLASSES)

    def find(self):
        return find_shortcut(self.own, self.masks, self.labels, CLASSES)


@pytest.mark.parametrize(
    ("y", "x", "where"),
    [
        (3, 3, "top-left corner"),
        (3, 36, "top-right corner"),
        (28, 4, "bottom-left corner"),
        (29, 36, "bottom-right corner"),
        (2, 20, "middle of the top edge"),
        (16, 3, "middle of the left edge"),
        (15, 37, "middle of the right edge"),
        (29, 19, "middle of the bottom edge"),
        (14, 22, "middle of the picture"),
    ],
)
def test_a_fixed_place_is_found_wherever_it_is(y, x, where):
    for seed in range(3):
        found = Heat(seed).look(y, x).find()
        assert found.place.where == where
        assert found.classes == ()
        top, left, height, width = found.place.box
        assert top <= y < top + height
        assert left <= x < left + width
        assert found.sentence.startswith(f"The network looks at the {where}, outside the object, in ")
        assert found.sentence.count(".") == 1
        assert found.place.surplus.shape == (HEIGHT, WIDTH)
        assert (height, width) == (8, 8)


def test_the_share_in_the_sentence_is_that_of_the_hottest_pixels():
    heat = Heat(4).look(3, 36, share=0.8)
    found = heat.find()
    top, left, height, width = found.place.box
    inside = 0
    for own, mask in zip(heat.own, heat.masks, strict=True):
        row, column = np.unravel_index(own.argmax(), own.shape)
        inside += top <= row < top + height and left <= column < left + width and not mask[row, column]
    assert found.place.looked == inside / 300
    assert 0.7 < found.place.looked < 0.85
    assert f" in {100 * found.place.looked:.0f}\N{NO-BREAK SPACE}% of its training pictures: " in found.sentence


def test_honest_heat_raises_no_alarm_and_is_far_from_one():
    strengths = [Heat(seed).search() for seed in range(12)]
    assert all(found.shortcut is None for found in strengths)
    assert max(found.overall.strength for found in strengths) < THRESHOLD / 3
    assert max(place.strength for found in strengths for place in found.by_class.values()) < CLASS_THRESHOLD / 2


def test_heat_that_wanders_is_no_mark():
    """As concentrated and as far from the object as a mark's, but in another place in each picture."""
    for seed in range(5):
        heat = Heat(seed)
        for row in range(len(heat.own)):
            heat.own[row] = 0.1 * heat.own[row] + heat.blob(heat.rng.uniform(2, 30), heat.rng.uniform(2, 38))
        assert heat.find() is None


def test_warm_borders_are_no_mark():
    """Padding may heat the outermost pixels, here to six times the grain of the middle, corners to twice that."""
    for seed in range(5):
        heat = Heat(seed)
        border = np.ones((HEIGHT, WIDTH))
        border[2:-2, 2:-2] = 0
        corners = border * np.outer(np.abs(np.arange(HEIGHT) - 15.5) > 12, np.abs(np.arange(WIDTH) - 19.5) > 16)
        heat.own += 0.3 * border + 0.3 * corners
        assert heat.find() is None


def test_objects_always_in_one_place_raise_no_alarm():
    for seed in range(3):
        heat = Heat(seed, fixed=True)
        assert heat.find() is None
        assert heat.look(3, 36).find().place.where == "top-right corner"


def test_what_shines_through_a_hollow_object_is_no_mark():
    """Objects always in one place, one in six of them hollow and hot within: the hollow is open too seldom to judge."""
    heat = Heat(12, fixed=True)
    hollow = np.arange(len(heat.own)) % 6 == 0
    inside = np.hypot(np.arange(HEIGHT)[:, None] - 10, np.arange(WIDTH) - 12) < 4
    heat.masks[np.ix_(hollow, *map(np.arange, inside.shape))] &= ~inside
    heat.own[hollow] = 0.2 * heat.own[hollow] + 2 * inside
    assert heat.find() is None


def test_a_mark_in_the_pictures_of_one_class_is_found_and_the_class_named():
    heat = Heat(6)
    found = heat.look(28, 4, rows=heat.labels == 2).find()
    assert found.classes == ("c",)
    assert found.place.where == "bottom-left corner"
    assert "of its training pictures of c:" in found.sentence
    assert found.place.pictures == 60
    assert heat.search().overall.strength < found.place.strength / 3
    both = Heat(7)
    found = both.look(3, 3, rows=np.isin(both.labels, (1, 4))).find()
    assert found.classes in ((), ("b", "e"))


def test_distance_is_counted_in_rings():
    masks = np.zeros((2, HEIGHT, WIDTH), dtype=bool)
    masks[0, 10:13, 4:9] = True
    rings = distances(masks)
    for y, x in ((11, 5), (9, 3), (13, 9), (20, 6), (11, 14), (0, 39)):
        king = max(max(10 - y, y - 12, 0), max(4 - x, x - 8, 0))
        assert rings[0, y, x] == min(king, REACH)
    assert (rings[1] == REACH).all()
    large = distances(np.repeat(np.repeat(masks, 3, axis=1), 3, axis=2))
    np.testing.assert_array_equal(large[:, 1::3, 1::3], rings)  # the same on pictures three times as large


def test_what_distance_explains_is_taken_off():
    heat = Heat(8, 200)
    rings = distances(heat.masks)
    for ring in range(1, REACH + 1):
        assert beyond_distance(heat.own, rings)[rings == ring].mean() == pytest.approx(0, abs=1e-12)
    assert (beyond_distance(heat.own, rings)[heat.masks] == 0).all()
    of_distance = np.exp(-rings / 2.0)  # nothing but distance: what is left are the pictures' different totals
    left = np.abs(beyond_distance(of_distance, rings)[rings > 0]).mean()
    assert left < 0.25 * (of_distance / of_distance.sum(axis=(1, 2), keepdims=True))[rings > 0].mean()


def test_the_unit_of_heat_and_what_is_negative_do_not_matter():
    heat = Heat(9).look(3, 36)
    scale = heat.rng.uniform(0.01, 100, (300, 1, 1))
    first = heat.search().overall
    heat.own = scale * heat.own
    again = heat.search().overall
    assert again.strength == pytest.approx(first.strength, rel=1e-9)
    assert again.box == first.box
    cold = heat.own < 0.2 * scale
    heat.own[cold] = 0
    zeroed = heat.search().overall.strength
    heat.own[cold] = -3 * scale.max()
    assert heat.search().overall.strength == pytest.approx(zeroed, rel=1e-12)


def test_the_result_is_plain():
    values = json.loads(json.dumps(Heat(10).look(2, 20).find().as_dict()))
    assert values["where"] == "middle of the top edge"
    assert values["sentence"].endswith("it has probably learned a mark there instead of the object.")
    assert set(values["box"]) == {"top", "left", "height", "width"}
    assert values["pictures"] == 300


def test_few_pictures_are_no_evidence():
    heat = Heat(11, 5 * FEW - 1).look(3, 36)
    assert list(heat.search().by_class) == list(CLASSES[:4])  # the last class has a picture too few
    with pytest.raises(UsageError, match="expected 32 pictures or more and a label for each, got 31 and 31"):
        Heat(11, FEW - 1).search()


def test_wrong_requests_are_refused():
    heat = Heat(11, 40)
    with pytest.raises(UsageError, match="of one shape"):
        search(heat.own[:, :-1], heat.masks, heat.labels, CLASSES)
    with pytest.raises(UsageError, match="got 40 and 39"):
        search(heat.own, heat.masks, heat.labels[:-1], CLASSES)
