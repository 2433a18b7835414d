"""Muon: gradients of kernels come in as matrices; steps as long in every direction that these know go out."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

QUINTIC = (3.4445, -4.7750, 2.0315)  # of x ↦ ax + bx³ + cx⁵: steep at 0, then between 0.7 and 1.2 (Jordan et al. 2024)
ITERATIONS = 5


class Muon(torch.optim.Optimizer):
    """MomentUm Orthogonalized by Newton-Schulz (Jordan et al. 2024, "Muon: an optimizer for hidden layers").

    The gradient of a kernel (O, C, KH, KW) is a matrix (O, C·KH·KW), whose few large singular values would have all the
    say in a step. Muon replaces its momentum by the nearest matrix with orthonormal rows or columns, which is the
    steepest step in the spectral norm (Bernstein & Newhouse 2024, "Old optimizer, new norm"). How far it goes, `lr`
    alone decides, not the size of the gradient:

        v ← μ v + g,    p ← (1 - η λ) p - η √max(1, O / (C·KH·KW)) · orthogonalize(g + μ v)

    What has fewer than four axes (biases, BatchNorm, the last layer) goes the way of SGD with Nesterov's momentum.

    Args:
        params: parameters, or groups of them; a group's ``weight_decay`` is λ, decoupled (Loshchilov & Hutter 2019).
        lr: η.
        momentum: μ.
        bias_lr, head_lr: the learning rates of what has one axis and of what has two, as multiples of η; the decay's
            ηλ is the same for all.
        iterations: of Newton and Schulz; fewer are faster and less exact.
        fixed_norm: before each step a kernel is scaled to the norm √O, so that η alone says how far it turns. Behind
            BatchNorm the scale of a kernel means nothing (Jordan 2024, airbench94_muon).
        dtype: in which numbers the iteration computes, if not in the parameter's own; bfloat16 is exact enough.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float,
        momentum: float = 0.9,
        bias_lr: float = 1.0,
        head_lr: float = 1.0,
        iterations: int = ITERATIONS,
        fixed_norm: bool = False,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": 0.0})
        self.multiples = {1: bias_lr, 2: head_lr}
        self.iterations, self.fixed_norm, self.dtype = iterations, fixed_norm, dtype

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One step down, from the gradients that `backward` left; it takes no `closure`."""
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    self._move(p, p.grad, group)

    def _move(self, p: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        state = self.state[p]
        if not state:
            state["momentum_buffer"] = torch.zeros_like(p)
        velocity = state["momentum_buffer"].mul_(group["momentum"]).add_(gradient)
        direction = gradient.add(velocity, alpha=group["momentum"])
        if p.ndim == 4:
            if self.fixed_norm:
                p.mul_(len(p) ** 0.5 / p.norm())
            matrix = direction.flatten(1)  # (O, C·KH·KW)
            rows, columns = matrix.shape
            matrix = orthogonalize(matrix.to(self.dtype or p.dtype), self.iterations).to(p.dtype)
            direction = max(1, rows / columns) ** 0.5 * matrix.view_as(p)
        p.mul_(1 - group["lr"] * group["weight_decay"])
        p.sub_(direction, alpha=group["lr"] * self.multiples.get(p.ndim, 1.0))


def orthogonalize(matrix: Tensor, iterations: int = ITERATIONS) -> Tensor:
    """Roughly UVᵀ where `matrix` = USVᵀ: each singular value that is not nearly 0 goes to 0.7 .. 1.2; (M, N) -> (M, N).

    By Newton-Schulz iteration, which needs products only: X ← aX + (bA + cA²) X with A = XXᵀ.
    """
    a, b, c = QUINTIC
    tall = matrix.shape[0] > matrix.shape[1]
    x: Tensor = matrix.mT if tall else matrix  # the smaller of XXᵀ and XᵀX
    x = x / (x.norm() + 1e-7)  # no singular value is above 1
    for _ in range(iterations):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    return x.mT if tall else x
