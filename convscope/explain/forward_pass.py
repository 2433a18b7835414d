"""A module and pictures in; one forward pass out, with a listener on some of its layers."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from convscope.errors import UsageError
from convscope.explain.random_streams import draws_undone

# (module name, which call of it, its output) -> None, or what takes the output's place
Listener = Callable[[str, int, Any], Any]


def forward_pass(
    model: nn.Module,
    called: str,
    images: Tensor,
    listener: Listener,
    modules: Mapping[str, nn.Module],
    record: bool,
    x: Tensor | None = None,
) -> tuple[Any, Counter[str]]:
    """One forward pass with `listener` on these modules; the model's output and the calls of each, by name.

    Args:
        model: takes hooks for the time of the pass, so it should be nobody else's.
        called: its name, for errors.
        images: (N, C, H, W); the model gets a copy.
        record: whether autograd is on.
        x: takes the place of `images` where the graph should lead back to it.

    Raises:
        UsageError: the pictures have another precision than the parameters, and the model cannot take them.
    """
    counts: Counter[str] = Counter()

    def hook_for(name: str) -> Callable[[nn.Module, Any, Any], Any]:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> Any:
            counts[name] += 1
            return listener(name, counts[name], output)

        return hook

    handles = [
        module.register_forward_hook(hook_for(name))
        for name, module in modules.items()
        # a parametrization (weight norm) computes a weight: what it returns is no picture's feature map
        if name and "parametrizations" not in name.split(".")
    ]
    try:
        with recording(images.device, record):
            return model(private(images) if x is None else x.clone()), counts
    except RuntimeError as error:
        kinds = {p.dtype: None for p in model.parameters() if p.is_floating_point()}  # in order
        if not kinds or images.dtype in kinds:
            raise
        raise UsageError(
            f"images are {images.dtype} but the parameters of {called} are {' and '.join(map(str, kinds))}; "
            f"pass images.to({next(iter(kinds))}) (torch says: {str(error).splitlines()[0]})"
        ) from error
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def recording(device: torch.device, record: bool = True) -> Iterator[None]:
    """Autograd on (or off), whatever mode the caller is in; the random streams are left as found."""
    with torch.inference_mode(False), torch.set_grad_enabled(record), draws_undone(device):
        yield


def private(tensor: Tensor) -> Tensor:
    """A copy that is in no graph and may be changed in place; outside inference mode a normal tensor."""
    return tensor.detach().clone()
