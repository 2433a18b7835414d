"""The learning curves: lines, colours and the best epoch stand where the numbers say."""

import io
from collections.abc import Sequence

import numpy as np
import pytest
from PIL import Image

from convscope.runs.curves import curves

BLUE, VERMILLION = (0x00, 0x72, 0xB2), (0xC0, 0x4F, 0x00)
LEFT, RIGHT = 164, 1184  # pixels of the start of training and of the last epoch's end
LOSS, ACCURACY, RATE = slice(168, 520), slice(568, 880), slice(928, 1016)  # rows of the panels


def rows(epochs: int, validation: bool = True, seed: int = 0) -> list[dict[str, float | None]]:
    """Plausible rows of metrics.csv; training always a little ahead of validation."""
    rng = np.random.default_rng(seed)
    table: list[dict[str, float | None]] = []
    for epoch in range(1, epochs + 1):
        loss, accuracy = 2.3 / epoch + 0.05 * rng.random(), 1 - 0.8 / epoch
        table.append(
            {
                "epoch": epoch,
                "step": 10 * epoch,
                "train_loss": loss,
                "train_accuracy": accuracy,
                "val_loss": loss + 0.3 if validation else None,
                "val_accuracy": accuracy - 0.1 if validation else None,
                "lr": 0.1 / epoch,
                "seconds": 1.5,
                "images_per_second": 900.0,
            }
        )
    return table


def draw(table: list[dict[str, float | None]], rates: Sequence[float] = (0.1, 0.2, 0.1)) -> bytes:
    return curves(table, np.array(rates))


def page(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def where(picture: np.ndarray, color: tuple[int, int, int]) -> np.ndarray:
    return (picture == color).all(axis=-1)


def best_columns(picture: np.ndarray) -> np.ndarray:
    """The columns in which a long dark dotted line runs through the accuracy panel."""
    dark = (picture[ACCURACY, LEFT + 4 :].max(axis=-1) < 100).sum(axis=0)
    return np.flatnonzero(dark > 60) + LEFT + 4


def test_same_rows_same_bytes_without_date_or_version() -> None:
    first = draw(rows(7))
    assert first == draw(rows(7))
    assert first != draw(rows(7, seed=1))
    assert not {"Software", "Creation Time", "date"} & set(Image.open(io.BytesIO(first)).info)


@pytest.mark.parametrize("epochs", [1, 2, 12, 60])
@pytest.mark.parametrize("validation", [True, False])
def test_nothing_reaches_the_edge(epochs: int, validation: bool) -> None:
    picture = page(draw(rows(epochs, validation)))
    assert picture.shape == (1112, 1440, 3)
    for edge in (picture[:16], picture[-16:], picture[:, :16], picture[:, -16:]):
        assert (edge == 255).all()
    for panel in (LOSS, ACCURACY):
        assert where(picture[panel], BLUE).any()
        assert where(picture[panel], VERMILLION).any() == validation


@pytest.mark.parametrize("best", [2, 5, 8])
def test_the_best_epoch_is_marked_where_it_lies(best: int) -> None:
    table = rows(9)
    table[best - 1]["val_accuracy"] = 0.999
    columns = best_columns(page(draw(table)))
    assert columns.mean() == pytest.approx(LEFT + (RIGHT - LEFT) * best / 9, abs=2)


def test_of_equal_accuracies_the_lower_loss_is_best() -> None:
    table = rows(9)
    for epoch, loss in ((3, 0.9), (5, 0.2), (7, 0.4)):
        table[epoch - 1] |= {"val_accuracy": 0.95, "val_loss": loss}
    assert best_columns(page(draw(table))).mean() == pytest.approx(LEFT + (RIGHT - LEFT) * 5 / 9, abs=2)


def test_without_validation_no_epoch_is_marked() -> None:
    assert len(best_columns(page(draw(rows(9, validation=False))))) == 0


def test_lines_stand_at_the_height_of_their_values() -> None:
    table = rows(5)
    for index, row in enumerate(table):
        row |= {"train_accuracy": 0.2 + 0.2 * index, "val_accuracy": 0.1 + 0.2 * index, "lr": 0.1}
    picture = page(draw(table))[ACCURACY]
    heights = []
    for color in (BLUE, VERMILLION):
        at = [
            np.flatnonzero(where(picture[:, LEFT + 204 * i - 1 : LEFT + 204 * i + 2], color).any(1)) for i in (2, 3, 4)
        ]
        heights.append([rows.mean() for rows in at])
    train, validation = np.array(heights)
    steps = np.diff(train)
    assert steps[0] == pytest.approx(steps[1], abs=1.5)  # equal steps up, so downwards in pixels
    assert steps[0] < -50
    np.testing.assert_allclose(validation - train, -steps.mean() / 2, atol=1.5)  # half a step below


def test_a_wide_range_of_losses_is_drawn_on_a_logarithmic_scale() -> None:
    table = rows(5, validation=False)
    for index, row in enumerate(table):
        row["train_loss"] = 10.0 ** (1 - index)
    picture = page(draw(table))[LOSS]
    at = [np.flatnonzero(where(picture[:, LEFT + 204 * i - 1 : LEFT + 204 * i + 2], BLUE).any(1)) for i in (2, 3, 4)]
    steps = np.diff([rows.mean() for rows in at])
    assert steps[0] == pytest.approx(steps[1], abs=1.5)


def test_a_logarithmic_scale_is_named() -> None:
    """Everything but the label at the axis is the same for losses in nats and a hundred times those."""
    wide, narrow = rows(5, validation=False), rows(5, validation=False)
    for index, (row, other) in enumerate(zip(wide, narrow, strict=True)):
        row["train_loss"], other["train_loss"] = 10.0 ** (1 - index), 2.0 - 0.1 * index
    label = slice(60, 88)  # columns
    written = [(page(draw(table))[LOSS, label] < 200).any(axis=(1, 2)).sum() for table in (wide, narrow)]
    assert written[0] > 1.7 * written[1]  # "loss (nats, log scale)" and "loss (nats)"


def shade(rates: Sequence[float], epochs: int) -> np.ndarray:
    """How many pixels of each column the learning rate's strip covers, from start to end."""
    picture = page(draw(rows(epochs, validation=False), rates))[RATE]
    return (picture.sum(axis=-1) < 3 * 240).sum(axis=0)[LEFT : RIGHT + 1]


def test_the_learning_rate_is_drawn_step_by_step() -> None:
    """A warm-up within the first epoch and a drop within the last, on a linear strip."""
    covered = shade([*np.arange(1, 51) / 50, *np.ones(200), *np.full(50, 0.5)], epochs=3)
    width = RIGHT - LEFT
    full = covered[width // 2]
    for share in (0.25, 0.5, 0.75):
        assert covered[round(share * width / 6)] == pytest.approx(share * full, abs=4)
    assert covered[round(0.8 * width)] == pytest.approx(full, abs=1)
    assert covered[round(0.9 * width)] == pytest.approx(full / 2, abs=4)


def test_of_very_many_steps_the_peak_is_not_lost() -> None:
    rates = np.full(100_000, 0.5)
    rates[33_333] = 1.0
    covered = shade(rates, epochs=100)[4:-4]  # without the axis
    assert covered.argmax() == pytest.approx((RIGHT - LEFT) / 3 - 4, abs=2)
    assert covered.max() > 1.8 * np.median(covered)


def test_a_run_that_diverged_is_still_drawn() -> None:
    table = rows(6)
    for row in table[3:]:
        row |= {"train_loss": float("nan"), "val_loss": float("inf"), "val_accuracy": float("nan")}
    picture = page(draw(table))
    assert where(picture[LOSS, :840], BLUE).any()
    assert not where(picture[LOSS, 900:], BLUE).any()
    for row in table:
        row["train_loss"] = row["val_loss"] = float("nan")
    assert not where(page(draw(table))[LOSS], BLUE).any()


def test_no_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one epoch and one step, got 0 rows"):
        draw([])
    with pytest.raises(ValueError, match="got 2 rows and 0 rates"):
        draw(rows(2), [])
