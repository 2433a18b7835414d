"""Tables and chart of the benchmark of the service: a result with known numbers in, cells and pixels out."""

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageColor

from benchmarks import service_chart, service_tables
from benchmarks.service_tables import IN_LOOP, IN_THREAD, OFFLINE, OURS
from convscope.runs.canvas import BLUE, SCALE, VERMILLION


def numbers(rate: float) -> dict[str, Any]:
    waits = {"p50": 1e3 / rate, "p95": 2e3 / rate, "p99": 4e3 / rate}
    return {"pictures_per_second": rate, "milliseconds": waits, "mebibytes": 300.4, "failed": 0, "wrong": 1}


@pytest.fixture
def result() -> dict[str, Any]:
    ways = {
        OURS: {"1": numbers(100.0), "32": numbers(400.0)},
        IN_LOOP: {"1": numbers(90.0), "32": numbers(100.0)},
        IN_THREAD: {"32": numbers(200.0)},
        OFFLINE: {"32": {"pictures_per_second": 640.0}},
    }
    environment = {"run": "a-run", "cores": 2, "threads": 2}
    result = {"environment": environment, "rounds": 3, "seconds": 4.0, "ways": ways}
    return result | {"ratio": service_tables.ratios(result)}


def test_ratios_are_over_the_loop_and_over_the_faster_endpoint(result: dict[str, Any]):
    assert result["ratio"] == {OFFLINE: 0.625, "plain endpoint": 2.0}


def test_a_row_a_contestant(result: dict[str, Any]):
    _, *rows = service_tables.contest(result)
    assert rows == [
        [OURS, "400", "2.5", "5.0", "10.0", ""],
        [IN_LOOP, "100", "10.0", "20.0", "40.0", ""],
        [IN_THREAD, "200", "5.0", "10.0", "20.0", "2.00 (1.5)"],
        [OFFLINE, "640", "", "", "", "0.62 (0.5)"],
    ]


def test_a_row_a_number_of_clients(result: dict[str, Any]):
    header, first, last = service_tables.clients(result)
    assert first == ["1", "100", "10.0", "20.0", "40.0", "300", "1", "90", "11.1", "44.4", "300"]
    assert (last[0], len(header)) == ("32", len(last))


def test_more_pictures_a_second_are_drawn_higher(result: dict[str, Any]):
    pixels = np.asarray(Image.open(io.BytesIO(service_chart.chart(result))).convert("RGB"), np.int16)
    panel = pixels[SCALE * service_chart.TOP : SCALE * (service_chart.TOP + service_chart.TALL)]
    panel = panel[:, : SCALE * (service_chart.WIDE + 60)]
    ours, plain = (np.nonzero((abs(panel - ImageColor.getrgb(of)) < 8).all(-1))[0].mean() for of in (BLUE, VERMILLION))
    assert ours < plain - 40
