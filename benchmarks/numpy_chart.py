"""The result of bench_numpy_nn.py in, one chart out: how the cost of a convolution grows, as PNG bytes."""

from typing import Any

from matplotlib.axes import Axes

from benchmarks.numpy_tables import threads
from convscope.runs.canvas import BLUE, HEADER, INK, MARGIN, SCALE, SOFT, VERMILLION, Canvas

WAYS = {  # as the result has it: as the chart names it, colour, line
    "naive": ("Python loops", SOFT, (0, (1, 1.6))),
    "im2col": ("im2col", INK, (0, (5, 2))),
    "torch": ("PyTorch", VERMILLION, "solid"),
    "numpy_nn": ("numpy_nn", BLUE, "solid"),
}
PRODUCTS = {"numpy": "NumPy", "torch": "PyTorch"}
Line = tuple[list[int], list[float]]  # where, and how high

LINE = 13  # points between two lines of text
TOP, TALL, LOW, WIDE, APART = HEADER + 40, 220, 150, 206, 388  # of the panels, in points


def chart(result: dict[str, Any]) -> bytes:
    """Above, the time a picture; below, what part of the machine's fastest matrix product that is.

    On the left against the size of the picture, on the right against the number of channels.
    """
    growth, product = result["growth"], result["matrix_product"]
    rates = {name: product[library] for library, name in PRODUCTS.items()}  # multiply-adds a second
    best = max(rates.values())
    with Canvas(MARGIN + 2 * APART + 8, TOP + TALL + LOW + 148) as canvas:
        how = f"3×3, padding 1, float32, {threads(result['environment'])}, a batch of {growth['batch']}"
        how += "; the Python loops take one picture."
        canvas.header("What a convolution costs as it grows", how)
        for column, of in enumerate(("size", "channels")):
            rows, left = growth[of], MARGIN + 46 + column * APART
            time, share = canvas.axes(left, TOP, WIDE, TALL), canvas.axes(left, TOP + TALL + 58, WIDE, LOW)
            first = rows[0]
            fixed = f"{first['channels']} channels" if of == "size" else f"{first['size']}×{first['size']} pixels"
            canvas.text(left, TOP - 14, f"Milliseconds a picture, {fixed}", size=10.5)
            canvas.text(left, TOP + TALL + 44, "% of the faster matmul", size=10.5)
            _draw_times(time, rows, of)
            _draw_shares(share, rows, of, rates)
            share.set_xlabel("height and width, pixels" if of == "size" else "channels, in and out")
        side, loops = product["size"], max(_shares(growth["size"], "naive", "size", best)[1])
        speeds = ", ".join(f"{name} {2e-9 * rate:,.0f}" for name, rate in rates.items())
        notes = (
            f"Matmul: two float32 matrices of {side}×{side} in the same run, in GFLOP/s: {speeds}.",
            f"Twice the size, or twice the channels, is four times the work. Python loops reach {loops:.1g} %.",
        )
        for line, text in enumerate(notes):
            canvas.text(MARGIN, canvas.height - 32 + 15 * line, text, size=9.5, color=SOFT)
        return canvas.png()


def series(rows: list[dict[str, Any]], way: str, of: str) -> tuple[list[int], list[float], list[float]]:
    """Where `way` was measured, its seconds a picture there, and its multiply-adds a second."""
    there = [row for row in rows if way in row["seconds"]]
    seconds = [row["seconds"][way] for row in there]
    speeds = [row["multiply_adds"] / taken for row, taken in zip(there, seconds, strict=True)]
    return [row[of] for row in there], seconds, speeds


def spread(heights: list[float], gap: float) -> list[float]:
    """Heights in the order given, moved up by as little as makes them `gap` apart, none below zero."""
    placed, lowest = list(heights), 0.0
    for index in sorted(range(len(heights)), key=heights.__getitem__):
        placed[index] = max(heights[index], lowest)
        lowest = placed[index] + gap
    return placed


def _draw_times(panel: Axes, rows: list[dict[str, Any]], of: str) -> None:
    panel.set_yscale("log")
    panel.yaxis.set_major_formatter("{x:g}")
    lines = {}
    for way in WAYS:
        at, seconds, _ = series(rows, way, of)
        lines[way] = at, [1e3 * taken for taken in seconds]
    _draw(panel, [row[of] for row in rows], lines, dict.fromkeys(WAYS, ""))


def _draw_shares(panel: Axes, rows: list[dict[str, Any]], of: str, rates: dict[str, float]) -> None:
    best, ticks = max(rates.values()), [row[of] for row in rows]
    lines = {way: _shares(rows, way, of, best) for way in WAYS if way != "naive"}
    lines |= {f"{name} matmul": (ticks, [100 * rate / best] * len(ticks)) for name, rate in rates.items()}
    panel.set_ylim(0, max(max(shares) for _, shares in lines.values()))
    _draw(panel, ticks, lines, {way: f"  {shares[-1]:.0f} %" for way, (_, shares) in lines.items()})


def _shares(rows: list[dict[str, Any]], way: str, of: str, best: float) -> Line:
    """Where `way` was measured, and its speed there in % of the best."""
    at, _, speeds = series(rows, way, of)
    return at, [100 * speed / best for speed in speeds]


def _draw(panel: Axes, ticks: list[int], lines: dict[str, Line], values: dict[str, str]) -> None:
    """Every line with its name and a value at its end; the names at the right edge are kept apart."""
    panel.set_xscale("log", base=2)
    panel.set_xlim(ticks[0], ticks[-1])
    panel.set_xticks(ticks, [str(tick) for tick in ticks])
    panel.minorticks_off()
    for way, (at, heights) in lines.items():
        if way in WAYS:
            _, color, style = WAYS[way]
            panel.plot(at, heights, color=color, linestyle=style, marker="o", markersize=3.5, clip_on=False, zorder=3)
        else:
            panel.plot(at, heights, color=SOFT, linewidth=0.9, linestyle=(0, (2, 3)), clip_on=False, zorder=2)
    panel.set_ylim(panel.get_ylim())  # settled: places on the page follow from it
    ends = {
        way: (panel.transData.transform((at[-1], heights[-1]))[1] - panel.bbox.y0) / SCALE
        for way, (at, heights) in lines.items()
    }
    right = [way for way, (at, _) in lines.items() if at[-1] == ticks[-1]]
    apart = dict(zip(right, spread([ends[way] for way in right], LINE), strict=True))
    for way, (at, _) in lines.items():
        name, color, _ = WAYS.get(way, (way, SOFT, None))
        offset, place = (8, apart.get(way, ends[way])), ("data", "axes fraction")
        panel.annotate(name + values[way], (at[-1], 0), offset, place, "offset points", color=color, va="center")
