"""Pointing game and energy against plain loops and by hand; what a tie and an empty map get."""

import numpy as np
import pytest

from convscope.errors import UsageError
from convscope.explain.planted import chance, energy_inside, pointing_game


def setting(seed=0, count=40):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, 9, 13)).astype(np.float32), rng.random((count, 9, 13)) < 0.3


def test_against_loops_over_every_pixel():
    maps, masks = setting()
    for row, (hit, share, area) in enumerate(
        zip(pointing_game(maps, masks), energy_inside(maps, masks), chance(masks), strict=True)
    ):
        best, total, inside, covered = (-1e9, None), 0.0, 0.0, 0
        for y in range(9):
            for x in range(13):
                value = float(maps[row, y, x])
                best = max(best, (value, bool(masks[row, y, x])))
                total += max(0.0, value)
                inside += max(0.0, value) * bool(masks[row, y, x])
                covered += bool(masks[row, y, x])
        assert bool(hit) is best[1]
        assert share == pytest.approx(inside / total, rel=1e-12)
        assert area == pytest.approx(covered / 117)
    assert 0 < pointing_game(maps, masks).mean() < 1


def test_equally_hot_pixels_are_drawn_by_lot():
    """Half of each hottest patch lies in the mask, so half of the pictures are hits, whatever comes first in memory."""
    maps, masks = np.zeros((600, 8, 10)), np.zeros((600, 8, 10), dtype=bool)
    maps[:, 2:4, 3:7] = 2.5
    masks[:, :3] = True
    hits = pointing_game(maps, masks)
    assert 0.42 < hits.mean() < 0.58
    assert (hits == pointing_game(maps, masks)).all()
    assert (hits != pointing_game(maps, masks, seed=1)).any()
    np.testing.assert_allclose(energy_inside(maps, masks), 0.5)


def test_a_map_without_heat_points_nowhere():
    masks = np.ones((3, 5, 6), dtype=bool)
    maps = np.stack([np.zeros((5, 6)), np.full((5, 6), -1.0), np.full((5, 6), 0.5)])
    assert pointing_game(maps, masks).tolist() == [False, False, True]
    assert energy_inside(maps, masks).tolist() == [0, 0, 1]


def test_chance_is_what_noise_gets():
    rng = np.random.default_rng(3)
    _, masks = setting(3, 4000)
    noise = rng.random(masks.shape)
    assert pointing_game(noise, masks).mean() == pytest.approx(chance(masks).mean(), abs=0.025)
    assert energy_inside(noise, masks).mean() == pytest.approx(chance(masks).mean(), abs=0.005)


@pytest.mark.parametrize(
    ("maps", "masks"),
    [
        (np.zeros((2, 4, 4)), np.zeros((2, 8, 8), dtype=bool)),
        (np.zeros((2, 4, 4)), np.zeros((2, 4, 4))),
        (np.zeros((4, 4)), np.zeros((4, 4), dtype=bool)),
        (np.zeros((0, 4, 4)), np.zeros((0, 4, 4), dtype=bool)),
    ],
)
@pytest.mark.parametrize("game", [pointing_game, energy_inside])
def test_what_does_not_fit_is_refused(game, maps, masks):
    with pytest.raises(UsageError, match="of one shape") as refusal:
        game(maps, masks)
    assert str(maps.shape) in str(refusal.value)
    assert "heatmaps" in str(refusal.value)
