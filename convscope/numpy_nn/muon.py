"""Muon: gradients of kernels come in as matrices; steps as long in every direction that these know go out."""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convscope.numpy_nn.optimizer import Optimizer
from convscope.numpy_nn.shapes import Array, number
from convscope.numpy_nn.workers import blas_alone

QUINTIC = (3.4445, -4.7750, 2.0315)  # of x ↦ ax + bx³ + cx⁵: steep at 0, then between 0.7 and 1.2 (Jordan et al. 2024)
ITERATIONS = 5


class Muon(Optimizer):
    """MomentUm Orthogonalized by Newton-Schulz (Jordan et al. 2024, "Muon: an optimizer for hidden layers").

    With g = ∇L(p), a kernel (O, C, KH, KW) seen as a matrix (O, C·KH·KW), learning rate η, momentum μ, weight decay λ:

        v ← μ v + g        p ← (1 - η λ) p - η √max(1, O / (C·KH·KW)) · orthogonalize(g + μ v)

    What has not four axes goes the way of SGD with Nesterov's momentum.

    Args:
        params: the parameters under their names, as `layer.params` is: live, changed in place by each step.
        lr: η; may be assigned anew before any step.
        momentum: μ, 0 to 1.
        weight_decay: λ, on the parameters named by `decayed`.
        decayed: names in `params`; None is all of them.
        bias_lr, head_lr: the learning rates of what has one axis and of what has two, as multiples of η; the decay's
            ηλ is the same for all.
        iterations: of Newton and Schulz; fewer are faster and less exact.
        fixed_norm: scale a kernel to the norm √O before each step.

    Attributes:
        state: v under the parameters' names.

    Raises:
        ValueError: an argument out of range, or a name that `params` has not.

    >>> kernel = {"k": np.zeros((2, 1, 1, 2))}
    >>> Muon(kernel, lr=1.0, momentum=0.0).step({"k": np.array([[[[300.0, 0.0]]], [[[0.0, 30.0]]]])})
    >>> print(kernel["k"].reshape(2, 2).round(1))  # two directions, a large gradient and a small one
    [[-0.7  0. ]
     [ 0.  -0.7]]
    """

    def __init__(
        self,
        params: Mapping[str, Array],
        lr: float,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        decayed: Collection[str] | None = None,
        bias_lr: float = 1.0,
        head_lr: float = 1.0,
        iterations: int = ITERATIONS,
        fixed_norm: bool = False,
    ) -> None:
        super().__init__(params, lr, weight_decay, decayed)
        self.momentum = number("Muon", "momentum", momentum, at_most=1)
        self.multiples = {1: number("Muon", "bias_lr", bias_lr), 2: number("Muon", "head_lr", head_lr)}
        self.iterations, self.fixed_norm = iterations, fixed_norm

    def _move(self, name: str, parameter: Array, gradient: Array) -> None:
        velocity = self.state.setdefault(name, np.zeros_like(gradient))
        velocity *= self.momentum
        velocity += gradient
        direction = gradient + self.momentum * velocity
        if parameter.ndim == 4:
            if self.fixed_norm:
                parameter *= len(parameter) ** 0.5 / np.linalg.norm(parameter)
            matrix = direction.reshape(len(direction), -1)  # (O, C·KH·KW)
            longest = max(1.0, matrix.shape[0] / matrix.shape[1]) ** 0.5
            with blas_alone():
                direction = (longest * orthogonalize(matrix, self.iterations)).reshape(parameter.shape)
        if name in self.decayed:
            parameter *= 1 - self.lr * self.weight_decay
        parameter -= self.lr * self.multiples.get(parameter.ndim, 1.0) * direction


def orthogonalize(matrix: NDArray[Any], iterations: int = ITERATIONS) -> NDArray[Any]:
    """Roughly UVᵀ where `matrix` = USVᵀ: each singular value that is not nearly 0 goes to 0.7 .. 1.2; (M, N) -> (M, N).

    By Newton-Schulz iteration, which needs products only: X ← aX + (bA + cA²) X with A = XXᵀ.
    """
    a, b, c = QUINTIC
    tall = matrix.shape[0] > matrix.shape[1]
    x: NDArray[Any] = matrix.T if tall else matrix  # the smaller of XXᵀ and XᵀX
    x = x / (np.linalg.norm(x) + 1e-7)  # no singular value is above 1
    for _ in range(iterations):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return x.T if tall else x
