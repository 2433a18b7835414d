"""How cost grows: multiply-adds counted, and what is measured where."""

from benchmarks import numpy_growth


def test_multiply_adds_are_those_of_the_loops():
    taps = sum(1 for _ in range(6 * 6) for _out in range(5) for _in in range(5) for _tap in range(3 * 3))
    assert numpy_growth.multiply_adds(channels=5, size=6) == taps


def test_every_way_is_measured_and_the_loops_only_where_they_are_small():
    growth = numpy_growth.measure(sizes=(4, 32), channels=(4,), rounds=1)
    small, large = growth["size"]
    assert (small["channels"], small["size"]) == (64, 4)
    assert growth["channels"][0]["multiply_adds"] == numpy_growth.multiply_adds(4, 16)
    assert set(small["seconds"]) == {"naive", "im2col", "numpy_nn", "torch"}
    assert set(large["seconds"]) == {"im2col", "numpy_nn", "torch"}
    assert small["seconds"]["naive"] > 20 * small["seconds"]["numpy_nn"]


def test_a_large_matrix_product_runs_at_the_rate_of_a_machine():
    product = numpy_growth.matrix_product(rounds=1)
    assert set(product) == {"size", "numpy", "torch"}
    assert all(1e9 < product[library] < 1e14 for library in ("numpy", "torch"))
