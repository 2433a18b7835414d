"""Tables of the benchmark: a result with known numbers in, cells out."""

from typing import Any

import pytest

from benchmarks import numpy_tables


@pytest.fixture
def result() -> dict[str, Any]:
    """Two convolutions, twice as slow as PyTorch and half; one layer, one peer, one size and channel each."""
    pair = {"forward": 0.004, "torch forward": 0.002, "backward": 0.003, "torch backward": 0.004}
    other = {"forward": 0.001, "torch forward": 0.002, "backward": 0.006, "torch backward": 0.002}
    return {
        "convolution": [
            {"case": (3, 64, 32, 3, 1), "seconds": pair},
            {"case": (64, 128, 16, 1, 2), "seconds": other},
        ],
        "layers": {"ReLU": pair},
        "loops": {"ours": 0.0005, "half-naive": 0.05, "naive": 1.5},
        "tricks": {"Winograd": {"with": 0.01, "without": 0.019}},
        "peers": [
            {
                "case": (64, 64, 32),
                "seconds": {"slow": {"forward": 0.24, "train": 0.5}, "ours": {"forward": 0.02, "train": 0.1}},
            }
        ],
        "environment": {
            "processor": "Abacus",
            "cores": 2,
            "platform": "Linux",
            "python": "3.11.7",
            "threads": 1,
            "batch": 64,
            "packages": {"torch": "2.13", "numpy": "2.4"},
            "blas": [{"internal_api": "openblas", "version": "0.3", "architecture": "Haswell"}],
            "variables": {},
            "peers": {"slow": "1.2"},
        },
    }


def test_ratios_are_ours_over_pytorchs(result: dict[str, Any]):
    header, first, second, mean, largest = numpy_tables.convolutions(result)
    assert header[0] == "convolution"
    assert first == ["3 → 64, 32², 3×3", "4.00", "2.00", "2.00", "3.00", "4.00", "0.75"]
    assert second == ["64 → 128, 16², 1×1, stride 2", "1.00", "2.00", "0.50", "6.00", "2.00", "3.00"]
    assert mean == ["geometric mean", "", "", "1.00", "", "", "1.50"]
    assert largest == ["largest", "", "", "2.00", "", "", "3.00"]
    assert numpy_tables.layers(result)[1][0] == "ReLU"


def test_peers_are_times_ours_the_fastest_first(result: dict[str, Any]):
    _, ours, slow = numpy_tables.peers(result)
    assert ours == ["64 → 64, 32², 3×3", "numpy_nn", "20.0", "1.0", "100.0", "1.0"]
    assert slow == ["64 → 64, 32², 3×3", "slow 1.2", "240.0", "12.0", "500.0", "5.0"]


def test_loops_are_times_ours(result: dict[str, Any]):
    assert [row[1:] for row in numpy_tables.loops(result)[1:]] == [["0.50", "1"], ["50", "100"], ["1,500", "3,000"]]


def test_the_machine_is_described_with_the_variables_that_steer_it(result: dict[str, Any]):
    machine = (
        "Abacus, 2 cores, Linux; Python 3.11.7, PyTorch 2.13, NumPy 2.4 with openblas 0.3 (Haswell). "
        "Batches of 64, float32, 1 thread. Environment: "
    )
    environment = result["environment"]
    assert numpy_tables.describe(environment) == machine + "no variable of theirs set."
    environment["variables"] = {"OMP_NUM_THREADS": "1", "OPENBLAS_CORETYPE": "Haswell"}
    assert numpy_tables.describe(environment) == machine + "OMP_NUM_THREADS=1 OPENBLAS_CORETYPE=Haswell."


def test_every_table_is_of_one_width_in_a_terminal(result: dict[str, Any]):
    for table in numpy_tables.TABLES.values():
        rows = table(result)
        assert {len(row) for row in rows} == {len(rows[0])}
    assert numpy_tables.plain_text([["a", "bb"], ["ccc", "d"]]) == "a    bb\nccc   d"
