"""SGD: parameters and their gradients come in; the parameters, changed in place, are one step further down."""

from collections.abc import Collection, Mapping

import numpy as np

from convscope.numpy_nn.optimizer import Optimizer
from convscope.numpy_nn.shapes import Array, number


class SGD(Optimizer):
    """Stochastic gradient descent with momentum: a ball rolling down the loss, not a walker.

    With g = ∇L(p) + λp (λ, the weight decay, only where wanted), learning rate η and momentum μ:

        v ← μ v + g        p ← p - η v                 (Polyak 1964)
        v ← μ v + g        p ← p - η (g + μ v)         with `nesterov`

    The second is Nesterov's momentum in the form of Sutskever et al. 2013, "On the importance of initialization and
    momentum in deep learning", equations 3 and 4, rewritten so that the gradient is taken at p itself, as PyTorch
    does. η stands outside of v, so a new learning rate takes effect at once, on the momentum too.

    Args:
        params: the parameters under their names, as `layer.params` is: live, changed in place by each step.
        lr: η; may be assigned anew before any step (``sgd.lr = …``).
        momentum: μ, 0 to 1; 0 is plain gradient descent.
        nesterov: look ahead along v; needs momentum.
        weight_decay: λ, on the parameters named by `decayed`.
        decayed: names in `params`; None is all of them.

    Attributes:
        state: v under the parameters' names, in their shapes and dtypes; empty before the first step.

    Raises:
        ValueError: an argument out of range, or a name that `params` has not; a step with a gradient missing or of
            another shape (before anything is changed).

    >>> params = {"p": np.array([1.0])}
    >>> sgd = SGD(params, lr=0.1, momentum=0.5)
    >>> for _ in range(2):
    ...     sgd.step({"p": np.array([1.0])})
    >>> print(params["p"])  # 1 - 0.1 · 1 - 0.1 · (0.5 · 1 + 1)
    [0.75]
    """

    def __init__(
        self,
        params: Mapping[str, Array],
        lr: float,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
        decayed: Collection[str] | None = None,
    ) -> None:
        super().__init__(params, lr, weight_decay, decayed)
        self.momentum = number("SGD", "momentum", momentum, at_most=1)
        if nesterov and not self.momentum:
            raise ValueError("SGD got nesterov with momentum 0: there is nothing to look ahead along")
        self.nesterov = nesterov

    def _move(self, name: str, parameter: Array, gradient: Array) -> None:
        if self.weight_decay and name in self.decayed:
            gradient = gradient + self.weight_decay * parameter
        if self.momentum:
            velocity = self.state.setdefault(name, np.zeros_like(gradient))
            velocity *= self.momentum
            velocity += gradient
            gradient = gradient + self.momentum * velocity if self.nesterov else velocity
        parameter -= self.lr * gradient
