"""Tables of the training benchmark: a result with known numbers in, cells out."""

from typing import Any

import pytest

from benchmarks import training_tables


@pytest.fixture
def result() -> dict[str, Any]:
    """One stage of three layers, as it comes back from its file: lists, not tuples."""
    first = {
        "input": [500, 3, 24, 20],
        "weight": [64, 3, 2, 2],
        "settings": [1, 0, 1, 1],
        "gradients": [],
        "operations": 4_000_000,
        "count": 1,
        "seconds": {"float32, channels first": 0.002, "bfloat16, channels last": 0.001},
    }
    second = first | {"gradients": ["weight"], "settings": [[2, 2], [1, 1], 1, 1], "count": 3}
    third = first | {"gradients": ["input", "weight", "bias"], "settings": [[1, 1], "same", 1, 1]}
    stage = {"stage": "500 pictures of 24×20", "batch": [500, 3, 24, 20], "bound": 0.3, "step": 0.36}
    stage |= {"making": 0.04, "over_bound": 1.2, "share": 0.1, "layers": [first, second, third]}
    return {
        "sizes": {"matrix": 2048, "batch": 500, "channels": 64, "kernels": 256, "size": 16},
        "gigaflops": {
            "matrix product": {"float32": 151.4, "bfloat16": 480.0},
            "convolution forward": {"float32": 140.0, "bfloat16": 1400.6},
        },
        "stages": [stage],
        "loops": {"images_per_second": {"convscope": 1000.4, "plain loop, 0 workers": 250.1}, "ratio": 4.0},
        "augmentation": {
            "microseconds": {"ready, whole batches": 0.5, "ready, one picture at a time": 20.0},
            "ratio": {"ready, whole batches": 1.0, "ready, one picture at a time": 40.0},
        },
        "environment": {
            "recipe": "cifar10-94",
            "overrides": ["train.threads=1"],
            "arithmetic": "bfloat16, channels last, 2 threads",
            "processor": "Abacus",
            "cores": 2,
            "platform": "Linux",
            "python": "3.11.7",
            "threads": 2,
            "packages": {"torch": "2.13"},
            "variables": {"MALLOC_ARENA_MAX": "1"},
        },
    }


def test_rates(result: dict[str, Any]):
    _, product, convolution = training_tables.rates(result)
    assert product == ["matrix product, 2048³", "480", "151"]
    assert convolution == ["convolution forward, 64 → 256, 16², 3×3, 500 pictures", "1,401", "140"]


def test_a_step_stands_beside_its_bound_and_its_batch(result: dict[str, Any]):
    _, row = training_tables.steps(result)
    assert row == ["500 pictures of 24×20", "300.0", "360.0", "1.20", "40.0", "10.0 %", "1,250"]


def test_layers_say_what_they_owe_and_how_fast_their_fastest_way_is(result: dict[str, Any]):
    header, first, second, third = training_tables.layers(result)
    assert header[2:4] == ["float32, channels first (ms)", "bfloat16, channels last (ms)"]
    assert first == ["500: 3 → 64, 24×20, 2×2, forward only", "1", "2.00", "1.00", "4"]
    assert second[:2] == ["500: 3 → 64, 24×20, 2×2, stride 2, gradients of weight", "3"]
    assert third[0] == "500: 3 → 64, 24×20, 2×2, gradients of input and weight"


def test_loops_and_augmentation_are_times_the_other(result: dict[str, Any]):
    assert training_tables.loops(result)[1:] == [
        ["convscope", "1,000", "1.00"],
        ["plain loop, 0 workers", "250", "4.00"],
    ]
    assert training_tables.augmentation(result)[2] == ["ready, one picture at a time", "20.00", "40.0"]


def test_the_environment_names_recipe_changes_arithmetic_and_variables(result: dict[str, Any]):
    assert training_tables.describe(result["environment"]) == (
        "cifar10-94 train.threads=1 on Abacus, 2 cores, Linux; Python 3.11.7, PyTorch 2.13, 2 threads; "
        "steps in bfloat16, channels last, 2 threads. Environment: MALLOC_ARENA_MAX=1."
    )


def test_every_table_is_of_one_width(result: dict[str, Any]):
    for table in training_tables.TABLES.values():
        rows = table(result)
        assert {len(row) for row in rows} == {len(rows[0])}
