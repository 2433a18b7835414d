"""The learning curves of a run: the rows of metrics.csv and the learning rate of each step in, PNG bytes out."""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, MaxNLocator
from numpy.typing import NDArray

from convscope.runs.canvas import BLUE, HEADER, INK, SCALE, SOFT, VERMILLION, Canvas
from convscope.runs.captions import percent

Series = NDArray[np.float64]  # (epochs,), nan where there is no value

LINE = 14  # points between two lines of text
MOST_STEPS = 4000  # drawn of the learning rate, some eight to a point of the page


def curves(rows: Sequence[Mapping[str, float | None]], rates: Series) -> bytes:
    """Loss, accuracy and learning rate over the epochs, train and validation, the best epoch marked.

    A value stands at the end of the epoch that it sums up, so the axis begins at 0, where the first step is.

    Args:
        rows: one mapping an epoch with the columns of metrics.csv: losses in nats, accuracies as fractions.
            The `val_` columns may be None throughout (no validation split); then no epoch is marked.
        rates: the learning rate of every optimiser step of these epochs, (steps,).

    Raises:
        ValueError: no rows, or no steps.
    """
    if not rows or not len(rates):
        raise ValueError(f"curves need at least one epoch and one step, got {len(rows)} rows and {len(rates)} rates")
    epochs = _column(rows, "epoch")
    validation = 100 * _column(rows, "val_accuracy")
    subtitle, best = "There is no validation split: these are the training pictures only.", None
    if np.isfinite(validation).any():
        # of equal accuracies the one with the lower loss, and then the earlier one: as training chooses
        index = int(np.lexsort((_column(rows, "val_loss"), -validation))[0])
        best = float(epochs[index])
        subtitle = f"Validation accuracy was best in epoch {best:g}: {_percent(validation[index])}."
    with Canvas(720, 556) as canvas:
        canvas.header("How the network learned", subtitle)
        loss, accuracy, rate = (
            canvas.axes(82, HEADER + top, 510, height) for top, height in ((16, 176), (216, 156), (396, 44))
        )
        _draw_pair(loss, epochs, _column(rows, "train_loss"), _column(rows, "val_loss"), "{:.3g}".format)
        _draw_pair(accuracy, epochs, 100 * _column(rows, "train_accuracy"), validation, _percent, highest=100)
        _draw_rate(rate, float(epochs[-1]), rates)
        scale = ", log scale" if loss.get_yscale() == "log" else ""
        for panel, label in ((loss, f"loss (nats{scale})"), (accuracy, "accuracy (%)"), (rate, "learning rate")):
            panel.set_ylabel(label)
            panel.yaxis.set_label_coords(-0.088, 0.5)
            _draw_epochs(panel, epochs, best)
            panel.tick_params(labelbottom=panel is rate)
        rate.set_xlabel("epoch")
        if best is not None:
            loss.text(best, 1.03, "best epoch", transform=loss.get_xaxis_transform(), ha="center", fontsize=9.5)
        return canvas.png()


def _column(rows: Sequence[Mapping[str, float | None]], key: str) -> Series:
    """One column of the rows, None as nan."""
    values = (row[key] for row in rows)
    return np.array([math.nan if value is None else value for value in values], np.float64)


def _percent(points: float) -> str:
    """97.9 as 97.9 %."""
    return percent(points / 100) if math.isfinite(points) else "–"


def _draw_pair(
    panel: Axes,
    epochs: Series,
    train: Series,
    validation: Series,
    write: Callable[[float], str],
    highest: float = math.inf,
) -> None:
    """Both curves on a scale that fits them, each named at its end with its last value."""
    _set_scale(panel, np.concatenate([train, validation]), highest)
    ends = []
    for name, color, series in (("train", BLUE, train), ("validation", VERMILLION, validation)):
        there = np.isfinite(series)
        if not there.any():
            continue
        marker = "o" if there.sum() <= 12 else ""
        panel.plot(epochs, series, color=color, marker=marker, markersize=4, clip_on=False, zorder=3)
        end, last = float(epochs[there][-1]), series[there][-1]
        height = (panel.transData.transform((end, last))[1] - panel.bbox.y0) / SCALE
        ends.append((height, end, f"{name}  {write(last)}", color))
    ends.sort()
    heights = _apart([height for height, *_ in ends])
    for height, (_, end, text, color) in zip(heights, ends, strict=True):
        place = ("data", "axes fraction")
        panel.annotate(text, (end, 0), (10, height), place, "offset points", color=color, va="center")


def _set_scale(panel: Axes, values: Series, highest: float) -> None:
    """Limits with some air, never past `highest`; an open-ended scale past a factor of 30 is logarithmic."""
    values = values[np.isfinite(values)]
    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
    if math.isinf(highest) and 0 < 30 * low < high:
        panel.set_yscale("log")
        panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 1000 * low else (1,)))
        panel.yaxis.set_major_formatter("{x:g}")
        panel.minorticks_off()
        panel.set_ylim(low / 1.3, high * 1.3)
        return
    air = max(0.08 * (high - low), 0.02 * high, 1e-6)
    panel.set_ylim(max(0.0, low - air), min(highest, high + air))
    panel.yaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10]))


def _apart(heights: list[float]) -> list[float]:
    """Ascending heights of up to two lines of text, moved apart where they would overlap, not below zero."""
    if len(heights) < 2 or heights[1] - heights[0] >= LINE:
        return heights
    lower = max(0.0, sum(heights) / 2 - LINE / 2)
    return [lower, lower + LINE]


def _draw_rate(panel: Axes, epochs: float, rates: Series) -> None:
    """The learning rate of each step, at the step's end, as a filled strip from zero to the highest."""
    shown = np.unique(np.linspace(0, len(rates) - 1, MOST_STEPS).round().astype(int))
    shown = np.union1d(shown, [np.nanargmax(rates)])  # the peak of a warm-up may last for one step
    at = (shown + 1) * epochs / len(rates)
    panel.fill_between(at, rates[shown], color=SOFT, alpha=0.18, linewidth=0)
    panel.plot(at, rates[shown], color=SOFT, linewidth=1.2, marker="o" if len(rates) == 1 else "", markersize=4)
    top = float(rates[shown].max()) or 1.0
    panel.set(ylim=(0, top * 1.08), yticks=[0, top], yticklabels=["0", f"{top:.3g}"])


def _draw_epochs(panel: Axes, epochs: Series, best: float | None) -> None:
    """The shared axis: whole epochs from the start of training, one of them perhaps marked."""
    panel.set_xlim(0, float(epochs.max()))
    panel.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=12))
    if best is not None:
        panel.axvline(best, color=INK, linewidth=0.9, linestyle=(0, (2, 3)), zorder=1, clip_on=False)
