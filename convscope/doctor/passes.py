"""A model and pictures in, what private copies of the model answer out; the model itself is left as found."""

from collections.abc import Callable
from typing import Any, TypeGuard

from torch import Tensor, nn

from convscope.explain.capture import recording
from convscope.explain.clone import eval_clone

SAME = 1e-5  # of the largest logit: what rounding makes of equal answers
# what a model's own code raises on a batch that it cannot take
REFUSALS = (RuntimeError, ValueError, TypeError, AssertionError, LookupError, AttributeError)


def first_line(error: Exception) -> str:
    """What an error says first; its type where it says nothing, as a bare assert does."""
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")


def forward(model: nn.Module, images: Tensor, training: Callable[[nn.Module], bool] = lambda module: False) -> object:
    """What a copy gives in eval mode; `training` says which of the model's modules are in train mode instead.

    Nothing is recorded or updated, and every call draws the same random numbers.
    """
    copy = _copy(model, training)
    with recording(images.device, record=False):
        answer: object = copy(images.clone())
    return answer


def forward_twice(model: nn.Module, images: Tensor) -> tuple[object, object]:
    """Two passes in eval mode, one after the other; the second goes on in the random stream where the first ended."""
    copy = _copy(model, lambda module: False)
    with recording(images.device, record=False):
        return copy(images.clone()), copy(images.clone())


def first_input(model: nn.Module, images: Tensor) -> Tensor | None:
    """What reaches the first layer with weights of at least two axes: a convolution, a Linear; None without one."""
    copy = _copy(model, lambda module: False)
    seen: list[Any] = []
    for module in copy.modules():
        if any(p.ndim >= 2 for p in module.parameters(recurse=False)):
            module.register_forward_pre_hook(lambda _, inputs: None if seen else seen.extend(inputs[:1]))
    with recording(images.device, record=False):
        copy(images.clone())
    return seen[0] if seen and isinstance(seen[0], Tensor) else None


def are_logits(answer: object, pictures: int) -> TypeGuard[Tensor]:
    """Whether it is (N, classes) in floats, with at least two classes to choose from."""
    return (
        isinstance(answer, Tensor)
        and answer.is_floating_point()
        and answer.ndim == 2
        and len(answer) == pictures
        and answer.shape[1] >= 2
    )


def shape_text(answer: object) -> str:
    """An output in words: a shape where it is a tensor, else its type."""
    if not isinstance(answer, Tensor):
        return f"a {type(answer).__name__}"
    return f"{tuple(answer.shape)}" + ("" if answer.is_floating_point() else f" of {answer.dtype}")


def _copy(model: nn.Module, training: Callable[[nn.Module], bool]) -> nn.Module:
    copy = eval_clone(model)
    for module, original in zip(copy.modules(), model.modules(), strict=True):
        module.training = training(original)
    return copy
