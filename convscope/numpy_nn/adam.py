"""Adam: parameters and their gradients come in; the parameters, changed in place, are one adapted step further down."""

from collections.abc import Collection, Mapping

import numpy as np

from convscope.numpy_nn.optimizer import Optimizer
from convscope.numpy_nn.shapes import Array, number


class Adam(Optimizer):
    """Adam (Kingma & Ba 2015, algorithm 1), and AdamW (Loshchilov & Hutter 2019, algorithm 2) with `decoupled`.

    With g = ∇L(p), in step t = 1, 2, …, learning rate η:

        m ← β₁ m + (1 - β₁) g        the mean gradient of late
        v ← β₂ v + (1 - β₂) g²       and its mean square
        p ← p - η m̂ / (√v̂ + ε)      with m̂ = m / (1 - β₁ᵗ), v̂ = v / (1 - β₂ᵗ), which undo the start from zero

    Weight decay λ adds λp to g, or, decoupled, takes ηλp from p beside the step, which the scale √v̂ then leaves alone.

    Args:
        params: the parameters under their names, as `layer.params` is: live, changed in place by each step.
        lr: η; may be assigned anew before any step.
        betas: β₁ and β₂.
        eps: ε.
        weight_decay: λ, on the parameters named by `decayed`.
        decoupled: False for Adam, True for AdamW.
        decayed: names in `params`; None is all of them.

    Attributes:
        state: ``mean/<name>``, ``square/<name>`` for each parameter, and ``steps``; with `lr` all there is to save.

    Raises:
        ValueError: an argument out of range, or a name that `params` has not; a step with a gradient missing or of
            another shape (before anything is changed).

    >>> params = {"p": np.array([1.0, 1.0])}
    >>> Adam(params, lr=0.1).step({"p": np.array([5.0, -0.01])})
    >>> print(params["p"].round(6))  # the first step has the size of the learning rate, whatever the gradient's
    [0.9 1.1]
    """

    def __init__(
        self,
        params: Mapping[str, Array],
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        decoupled: bool = False,
        decayed: Collection[str] | None = None,
    ) -> None:
        super().__init__(params, lr, weight_decay, decayed)
        self.betas = number("Adam", "betas[0]", betas[0], at_most=1), number("Adam", "betas[1]", betas[1], at_most=1)
        self.eps = number("Adam", "eps", eps)
        self.decoupled = decoupled

    def _counted(self) -> dict[str, Array]:
        return {"steps": np.asarray(self.state.get("steps", 0.0) + 1.0)}

    def _move(self, name: str, parameter: Array, gradient: Array) -> None:
        beta1, beta2 = self.betas
        steps = float(self.state["steps"])
        if name in self.decayed and self.weight_decay:
            if self.decoupled:
                parameter *= 1 - self.lr * self.weight_decay
            else:
                gradient = gradient + self.weight_decay * parameter
        mean = self.state.setdefault(f"mean/{name}", np.zeros_like(gradient))
        square = self.state.setdefault(f"square/{name}", np.zeros_like(gradient))
        mean += (1 - beta1) * (gradient - mean)
        square *= beta2
        square += (1 - beta2) * gradient * gradient
        scale = np.sqrt(square) / np.sqrt(1 - beta2**steps) + self.eps
        parameter -= self.lr / (1 - beta1**steps) * mean / scale
