"""Sequential and Residual: layers come in, one layer goes out, its parameters under dotted names."""

from collections import Counter
from collections.abc import Iterator, MutableMapping
from typing import Literal, Self

from convscope.numpy_nn.layer import Layer
from convscope.numpy_nn.shapes import Array


class DottedArrays(MutableMapping[str, Array]):
    """The arrays of several layers as one mapping: "0.weight" is entry "weight" of child "0".

    A live view: it holds nothing itself, so reading and assigning both go straight to the child. It takes no
    new names; KeyError lists the ones there are.
    """

    def __init__(self, children: dict[str, Layer], kind: Literal["params", "grads"]) -> None:
        self._children = children
        self._kind = kind

    def __getitem__(self, name: str) -> Array:
        arrays, entry = self._find(name)
        return arrays[entry]

    def __setitem__(self, name: str, value: Array) -> None:
        arrays, entry = self._find(name)
        arrays[entry] = value

    def __delitem__(self, name: str) -> None:
        arrays, entry = self._find(name)
        del arrays[entry]

    def clear(self) -> None:
        """Empty the children's mappings."""
        for child in self._children:
            self._arrays(child).clear()

    def __iter__(self) -> Iterator[str]:
        for child in self._children:
            yield from (f"{child}.{entry}" for entry in self._arrays(child))

    def __len__(self) -> int:
        return sum(len(self._arrays(child)) for child in self._children)

    def __repr__(self) -> str:
        return f"{{{', '.join(f'{name!r}: {value!r}' for name, value in self.items())}}}"

    def _arrays(self, child: str) -> MutableMapping[str, Array]:
        layer = self._children[child]
        return layer.params if self._kind == "params" else layer.grads

    def _find(self, name: str) -> tuple[MutableMapping[str, Array], str]:
        """The child's own mapping, and the name there."""
        child, _, entry = name.partition(".")
        if child not in self._children or entry not in self._arrays(child):
            raise KeyError(f"no {self._kind} {name!r}; there are {', '.join(self) or 'none'}")
        return self._arrays(child), entry


class Composite(Layer):
    """A layer made of layers.

    Attributes:
        children: the layers by name; the names come first in the dotted names of `params` and `grads`.
    """

    def __init__(self, children: dict[str, Layer]) -> None:
        super().__init__()
        for name, child in children.items():
            _check_layer(type(self).__name__, name, child)
        self.children = children
        self.params = DottedArrays(children, "params")
        self.grads = DottedArrays(children, "grads")
        for layer, places in Counter(self._leaves()).items():
            if places > 1:
                raise ValueError(
                    f"{type(self).__name__} got the same {type(layer).__name__} in {places} places: "
                    "a layer remembers one forward, so make one for each place"
                )

    def train(self) -> Self:
        """Switch this layer and all within to training."""
        for layer in self.children.values():
            layer.train()
        return super().train()

    def eval(self) -> Self:
        """Switch this layer and all within to use."""
        for layer in self.children.values():
            layer.eval()
        return super().eval()

    def __repr__(self) -> str:
        lines = (f"{name}: {layer!r}".replace("\n", "\n  ") for name, layer in self.children.items())
        return "\n  ".join([f"{type(self).__name__}(", *lines]) + ("\n)" if self.children else ")")

    def _leaves(self) -> Iterator[Layer]:
        for layer in self.children.values():
            if isinstance(layer, Composite):
                yield from layer._leaves()
            else:
                yield layer


def _check_layer(owner: str, name: str, value: object) -> None:
    """Refuse what is no layer: most often a list of them, or a class that was not called."""
    if not isinstance(value, Layer):
        came = f"the class {value.__name__}" if isinstance(value, type) else f"a {type(value).__name__}"
        raise ValueError(
            f"{owner} got {came} as {name!r}: expected a layer; pass layers one by one, as in Sequential(a, b)"
        )


class Sequential(Composite):
    """One layer after the other: y = f_k(… f_1(f_0(x))); backward runs through them in reverse.

    Without layers it is the identity. Iteration and indexing give the layers.

    Attributes:
        layers: the layers, in order.
        params, grads: live views under dotted names, "0.weight" for entry "weight" of `layers[0]`.

    Raises:
        ValueError: something that is no layer, such as a list of them; one layer object given twice.

    >>> import numpy as np
    >>> from convscope.numpy_nn import Linear, ReLU
    >>> net = Sequential(Linear(4, 3), ReLU(), Linear(3, 2))
    >>> print(", ".join(net.params))
    0.weight, 0.bias, 2.weight, 2.bias
    >>> net.params["2.bias"] = np.array([10.0, 20.0])
    >>> print(net(np.zeros((1, 4))))
    [[10. 20.]]
    """

    def __init__(self, *layers: Layer) -> None:
        super().__init__({str(position): layer for position, layer in enumerate(layers)})
        self.layers = layers

    def __iter__(self) -> Iterator[Layer]:
        return iter(self.layers)

    def __len__(self) -> int:
        return len(self.layers)

    def __getitem__(self, position: int) -> Layer:
        return self.layers[position]

    def _forward(self, x: Array) -> Array:
        for layer in self.layers:
            x = layer.forward(x, self._remember)
        return x

    def _backward(self, dy: Array) -> Array:
        for layer in reversed(self.layers):
            dy = layer.backward(dy)
        return dy


class Residual(Composite):
    """y = branch(x) + shortcut(x): the branch learns what to add to the input (He et al. 2015, equation 1).

    dx = branch.backward(dy) + shortcut.backward(dy): however deep the branch, there is a short way back.

    Args:
        branch: the layers to learn.
        shortcut: a projection where the branch changes the shape; None is the identity.

    Attributes:
        branch, shortcut: the layers.
        params, grads: live views, "branch.…" and "shortcut.…".

    Raises:
        ValueError: one layer object given twice; a call where branch and shortcut give different shapes.

    >>> import numpy as np
    >>> from convscope.numpy_nn import ReLU
    >>> block = Residual(ReLU())
    >>> print(block(np.array([-1.0, 2.0])), block.backward(np.array([1.0, 1.0])))
    [-1.  4.] [1. 2.]
    """

    def __init__(self, branch: Layer, shortcut: Layer | None = None) -> None:
        super().__init__({"branch": branch} if shortcut is None else {"branch": branch, "shortcut": shortcut})
        self.branch = branch
        self.shortcut = shortcut

    def _forward(self, x: Array) -> Array:
        added = self.branch.forward(x, self._remember)
        kept = x if self.shortcut is None else self.shortcut.forward(x, self._remember)
        if added.shape != kept.shape:
            advice = "give it a shortcut that projects the input" if self.shortcut is None else "they must agree"
            raise ValueError(
                f"Residual got input {x.shape}: its branch gives {added.shape}, its shortcut {kept.shape}; {advice}"
            )
        return added + kept

    def _backward(self, dy: Array) -> Array:
        through = self.branch.backward(dy)
        return through + (dy if self.shortcut is None else self.shortcut.backward(dy))
