"""Tables of the benchmark of explanations: a result with known numbers in, cells out."""

from typing import Any

import pytest

from benchmarks import explain_tables


@pytest.fixture
def result() -> dict[str, Any]:
    """One row with a peer that is faster than ours and one that is not, as it comes back from its file."""
    return {
        "environment": {
            "processor": "Abacus",
            "cores": 2,
            "platform": "Linux",
            "python": "3.11.7",
            "threads": 1,
            "packages": {"torch": "2.13"},
            "peers": {"captum": "0.9", "torchcam": "0.5"},
        },
        "grad_cam": [
            {
                "network": "TinyResNet",
                "pictures": 64,
                "seconds": {"convscope": 0.0123, "by hand": 0.0100, "captum": 0.0150, "torchcam": 0.0120},
                "ratio": {"by hand": 1.23, "captum": 0.82, "torchcam": 1.025},
                "difference": {"captum": 1.25e-7, "torchcam": 0.0},
            }
        ],
        "memory": {"score-cam": {"1": 10.4, "16": 20.0}},
    }


def test_milliseconds_ratios_and_differences(result: dict[str, Any]):
    header, row = explain_tables.grad_cam(result)
    assert row == [
        "TinyResNet, 64 pictures",
        "12.30",
        "10.00",
        "15.00",
        "12.00",
        "1.23 (1.1)",
        "1.02",
        "1.2e-07",
        "0.0e+00",
    ]
    assert header[1:5] == ["convscope (ms)", "by hand (ms)", "captum (ms)", "torchcam (ms)"]


def test_without_packages_there_is_only_the_one_by_hand(result: dict[str, Any]):
    result["environment"]["peers"] = {}
    result["grad_cam"][0]["pictures"] = 1
    header, row = explain_tables.grad_cam(result)
    assert row == ["TinyResNet, 1 picture", "12.30", "10.00", "1.23 (1.3)"]
    assert len(header) == 4
    assert "Beside no other package" in explain_tables.describe(result["environment"])


def test_memory(result: dict[str, Any]):
    assert explain_tables.memory(result) == [
        ["memory beyond one pass (MiB)", "1 picture", "16 pictures"],
        ["`score-cam`", "10", "20"],
    ]


def test_the_environment_names_packages_and_threads(result: dict[str, Any]):
    assert explain_tables.describe(result["environment"]) == (
        "Abacus, 2 cores, Linux; Python 3.11.7, PyTorch 2.13, 1 thread. Beside captum 0.9, torchcam 0.5; pictures of "
        "32×32, float32."
    )
