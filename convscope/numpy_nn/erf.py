"""The error function, which NumPy lacks: an array comes in, erf of each element goes out."""

import math

import numpy as np

from convscope.numpy_nn.shapes import Array

# Coefficients, highest power first, of the three minimax quotients in W. J. Cody 1969, "Rational Chebyshev
# approximations for the error function", Mathematics of Computation 23 (107), 631-637.
_NEAR = (
    (1.85777706184603153e-1, 3.16112374387056560, 1.13864154151050156e2, 3.77485237685302021e2,
     3.20937758913846947e3),
    (1.0, 2.36012909523441209e1, 2.44024637934444173e2, 1.28261652607737228e3, 2.84423683343917062e3),
)  # fmt: skip
_MIDDLE = (
    (2.15311535474403846e-8, 5.64188496988670089e-1, 8.88314979438837594, 6.61191906371416295e1,
     2.98635138197400131e2, 8.81952221241769090e2, 1.71204761263407058e3, 2.05107837782607147e3,
     1.23033935479799725e3),
    (1.0, 1.57449261107098347e1, 1.17693950891312499e2, 5.37181101862009858e2, 1.62138957456669019e3,
     3.29079923573345963e3, 4.36261909014324716e3, 3.43936767414372164e3, 1.23033935480374942e3),
)  # fmt: skip
_FAR = (
    (1.63153871373020978e-2, 3.05326634961232344e-1, 3.60344899949804439e-1, 1.25781726111229246e-1,
     1.60837851487422766e-2, 6.58749161529837803e-4),
    (1.0, 2.56852019228982242, 1.87295284992346725, 5.27905102951428412e-1, 6.05183413124413191e-2,
     2.33520497626869185e-3),
)  # fmt: skip


def erf(x: Array) -> Array:
    """erf(x) = 2/√π ∫₀ˣ exp(-t²) dt, to the rounding of x's dtype (in float64 within 2e-16 of the truth).

    Args:
        x: float32 or float64, any shape. NaN stays NaN, ±∞ gives ±1.

    Returns:
        A new array of the same shape and dtype.

    >>> print(erf(np.array([-1.0, 0.0, 0.5, 6.0])))
    [-0.84270079  0.          0.52049988  1.        ]
    """
    flat = np.ravel(x)
    size = np.abs(flat)
    result = np.sign(flat)  # from 6 on, erf is ±1 to the last bit of float64; and the sign of NaN is NaN

    near = size <= 0.46875  # erf(x) = x R(x²)
    t = flat[near]
    result[near] = t * _quotient(_NEAR, t * t)

    middle = (size > 0.46875) & (size <= 4)  # erfc(x) = exp(-x²) R(x)
    t = size[middle]
    result[middle] *= 1 - np.exp(-t * t) * _quotient(_MIDDLE, t)

    far = (size > 4) & (size < 6)  # erfc(x) = exp(-x²)/x · (1/√π - R(1/x²)/x²)
    t = size[far]
    inverse = 1 / (t * t)
    tail = 1 / math.sqrt(math.pi) - inverse * _quotient(_FAR, inverse)
    result[far] *= 1 - np.exp(-t * t) / t * tail
    return result.reshape(np.shape(x))


def _quotient(coefficients: tuple[tuple[float, ...], tuple[float, ...]], t: Array) -> Array:
    """The quotient of two polynomials in `t`, by Horner's rule; plain floats keep t's dtype."""
    above, below = np.zeros_like(t), np.zeros_like(t)
    for coefficient in coefficients[0]:
        above = above * t + coefficient
    for coefficient in coefficients[1]:
        below = below * t + coefficient
    return above / below
