"""The result of bench_service.py in, one chart out: throughput, latency and memory against clients, as PNG bytes."""

from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator

from benchmarks.numpy_chart import LINE, spread
from benchmarks.numpy_tables import threads
from benchmarks.service_tables import AT, IN_LOOP, OFFLINE, OURS
from convscope.runs.canvas import BLUE, HEADER, INK, MARGIN, SCALE, SOFT, VERMILLION, Canvas

Ends = dict[str, tuple[float, str]]  # a line's name: how high it ends, and its colour

PLAIN_NAME = "plain endpoint"
PERCENTILES = {"p50": "solid", "p95": (0, (5, 2)), "p99": (0, (1, 1.6))}
TOP, TALL, WIDE, APART = HEADER + 40, 210, 170, 296  # of the panels, in points


def chart(result: dict[str, Any]) -> bytes:
    """Side by side: pictures a second, milliseconds until an answer, and memory, each against clients at once."""
    environment, ways = result["environment"], result["ways"]
    with Canvas(MARGIN + 3 * APART + 12, TOP + TALL + 92) as canvas:
        how = f"{environment['run']}, one picture a request, loopback, {environment['cores']} cores shared with the "
        canvas.header("What the service gives to more and more clients", f"{how}clients, {threads(environment)}")
        titles = "Pictures a second", "Milliseconds until the answer", "Memory of the server, MiB at most"
        panels = []
        for column, title in enumerate(titles):
            left = MARGIN + 40 + column * APART
            panels.append(canvas.axes(left, TOP, WIDE, TALL))
            canvas.text(left, TOP - 14, title, size=10.5)
        rate, wait, memory = panels
        loop = ways[OFFLINE][str(AT)]["pictures_per_second"]
        for panel in panels:
            _against_clients(panel, list(map(int, ways[OURS])))
        lines: dict[Axes, Ends] = {rate: {OFFLINE: (loop, SOFT), "half of it": (loop / 2, SOFT)}, memory: {}}
        for height, _ in lines[rate].values():
            rate.axhline(height, color=SOFT, linewidth=0.9, linestyle=(0, (2, 3)))
        for way, name, color in ((OURS, OURS, BLUE), (IN_LOOP, PLAIN_NAME, VERMILLION)):
            at = list(map(int, ways[way]))
            for panel, what in ((rate, "pictures_per_second"), (memory, "mebibytes")):
                heights = [of[what] for of in ways[way].values()]
                panel.plot(at, heights, color=color, marker="o", markersize=3.5, clip_on=False, zorder=3)
                lines[panel][name] = heights[-1], color
        _draw_latencies(wait, ways)
        for panel, ends in lines.items():
            panel.set_ylim(0)
            _name(panel, ends)
        note = f"Medians of {result['rounds']} rounds of {result['seconds']:g} s in which the contestants took turns."
        canvas.text(MARGIN, canvas.height - 17, note, size=9.5, color=SOFT)
        return canvas.png()


def _against_clients(panel: Axes, counts: list[int]) -> None:
    panel.set_xscale("log", base=2)
    panel.set_xlim(counts[0], counts[-1])
    panel.set_xticks(counts, [str(count) for count in counts])
    panel.xaxis.set_minor_locator(NullLocator())
    panel.set_xlabel("clients at once")


def _draw_latencies(panel: Axes, ways: dict[str, Any]) -> None:
    """Ours at three percentiles, the plain endpoint's median."""
    panel.set_yscale("log")
    panel.yaxis.set_major_formatter("{x:g}")
    panel.yaxis.set_minor_locator(NullLocator())
    lines = [(OURS, percentile, BLUE, style) for percentile, style in PERCENTILES.items()]
    for way, percentile, color, style in [*lines, (IN_LOOP, "p50", VERMILLION, "solid")]:
        at, heights = list(map(int, ways[way])), [of["milliseconds"][percentile] for of in ways[way].values()]
        panel.plot(at, heights, color=color, linestyle=style, clip_on=False, zorder=3)
    panel.legend(
        [f"{OURS}, {percentile}" for percentile in PERCENTILES] + [f"{PLAIN_NAME}, p50"],
        loc="upper left",
        frameon=False,
        fontsize=9,
        labelcolor=INK,
        handlelength=2.4,
    )


def _name(panel: Axes, ends: Ends) -> None:
    """Each line's name to the right of its end, kept apart from the others."""
    panel.set_ylim(panel.get_ylim())  # settled: places on the page follow from it
    heights = [(panel.transData.transform((1, height))[1] - panel.bbox.y0) / SCALE for height, _ in ends.values()]
    for (name, (_, color)), height in zip(ends.items(), spread(heights, LINE), strict=True):
        panel.annotate(name, (1, 0), (8, height), "axes fraction", "offset points", color=color, va="center")
