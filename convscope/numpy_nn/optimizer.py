"""What optimisers share: parameters and their gradients come in, the parameters, changed in place, are one step on."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping

import numpy as np

from convscope.numpy_nn.shapes import Array, check_shape, number


class Optimizer(ABC):
    """Moves parameters against their gradients. A subclass writes `_move`; this class checks what it is given.

    Attributes:
        params: the parameters under their names, as `layer.params` is: live, changed in place by each step.
        lr: the learning rate of the next step; may be assigned anew before any.
        weight_decay: on the parameters named by `decayed`.
        state: what the optimiser remembers from step to step, arrays by name; empty before the first. With `lr` it is
            all there is: assign what was saved to go on from there.
    """

    def __init__(
        self, params: Mapping[str, Array], lr: float, weight_decay: float, decayed: Collection[str] | None
    ) -> None:
        self.kind = type(self).__name__
        self.params = params
        self.lr = lr
        self.weight_decay = number(self.kind, "weight_decay", weight_decay)
        self.decayed = frozenset(params if decayed is None else decayed)
        if unknown := sorted(self.decayed.difference(params)):
            raise ValueError(
                f"{self.kind} got decayed {', '.join(unknown)}: the parameters are {', '.join(params) or 'none'}"
            )
        self.state: dict[str, Array] = {}

    @property
    def lr(self) -> float:
        """The learning rate of the next step."""
        return self._lr

    @lr.setter
    def lr(self, value: float) -> None:
        self._lr = number(type(self).__name__, "lr", value)

    def step(self, grads: Mapping[str, Array]) -> None:
        """Move every parameter one step; `grads` holds dL/dp under the parameters' names and is left alone.

        The arithmetic is in each parameter's own dtype.

        Raises:
            ValueError: a gradient is missing or of another shape; then nothing is changed.
        """
        for name, parameter in self.params.items():
            if name not in grads:
                raise ValueError(f"{self.kind} got no gradient for {name}; call forward and backward before each step")
            check_shape(self.kind, f"a gradient of {name}", np.asarray(grads[name]), parameter.shape)
        self.state |= self._counted()
        for name, parameter in self.params.items():
            self._move(name, parameter, np.asarray(grads[name], dtype=parameter.dtype))

    def _counted(self) -> dict[str, Array]:
        """What of `state` changes once a step, not once a parameter."""
        return {}

    @abstractmethod
    def _move(self, name: str, parameter: Array, gradient: Array) -> None:
        """Move one parameter in place; `gradient` has its shape and dtype and must not be changed."""
