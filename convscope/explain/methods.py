"""What `explain` must know of a method besides its name: whether it looks at a layer, and how it says no."""

from collections.abc import Callable

from torch import Tensor

from convscope.errors import UsageError

INPUT = "input"  # the layer of explanations that are about the picture's own pixels

Method = Callable[..., Tensor]  # (model, layer, images, targets) -> maps (N, h, w)


def of_input(method: Method) -> Method:
    """Marks a method whose maps have the picture's resolution and that takes no layer."""
    method.of_input = True  # type: ignore[attr-defined]
    return method


def is_of_input(method: Method) -> bool:
    """Whether `of_input` marked it."""
    return bool(getattr(method, "of_input", False))


class RefusalError(UsageError):
    """A method that a model cannot have; `reason` says why in a few words, as the figure of a sweep has room for."""

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason
