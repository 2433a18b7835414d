"""Arrays as text: alignment, signs at half height, whole numbers without decimals."""

import numpy as np

from convscope.numpy_nn.blocks import beside, numbers


def test_beside():
    x, y, z = np.arange(6.0).reshape(1, 1, 3, 2), np.array([[-10, 2]]), np.eye(3)
    assert beside(("x", x), "=", ("long name", y), "+", ("b", z)).splitlines() == [
        "  x (1, 1, 3, 2)       long name (1, 2)       b (3, 3)",
        "  0 1                  -10   2                1 0 0",
        "  2 3              =                      +   0 1 0",
        "  4 5                                         0 0 1",
    ]


def test_numbers():
    assert numbers(np.array([[1.0, -2.0], [-0.0, 10.0]])) == ["1", "-2", "0", "10"]
    assert numbers(np.array([1.0, -0.004, 0.126])) == ["1.00", "0.00", "0.13"]
