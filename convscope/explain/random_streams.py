"""A device in; out comes a context that undoes what this thread draws from the global random streams of torch."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

# Held from the first draw of a pass to its end. Re-entrant: a method may make a pass within a pass.
_TURN = threading.RLock()
_SWITCHES = ("dropout_p", "training", "train")


@contextmanager
def draws_undone(device: torch.device) -> Iterator[None]:
    """Put the CPU's stream, and the device's, back as they were on entry, if the body draws from them.

    The streams belong to the whole process. A body that draws nothing leaves them alone, so another thread
    draws meanwhile as if it were by itself. Bodies that draw take turns. What a thread outside this context
    draws while such a body runs is put back as well, and drawn again later: torch offers no stream of a
    thread's own to draw from instead.
    """
    generators = [torch.default_generator]
    if device.type == "cuda":
        generators.append(torch.cuda.default_generators[device.index])
    with _TURN:  # never the state in the middle of another body's turn
        before = [generator.get_state() for generator in generators]
    watch = (_HiddenWatch if "torch._dynamo" in sys.modules else _Watch)(generators)
    try:
        with watch:
            yield
    finally:
        if watch.drew:
            for generator, state in zip(generators, before, strict=True):
                generator.set_state(state)
        if watch.has_turn:
            _TURN.release()


class _Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch leaves these two untyped
    """Sees every operation of its own thread, and of the backward passes which that starts."""

    # else torch refuses its higher order operators (flex_attention) inside the context
    supports_higher_order_operators = True

    def __init__(self, generators: list[torch.Generator]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.drew = False
        self.has_turn = False
        self._generators = generators
        self._thread = threading.get_ident()

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """False: to hide from the compiler, torch would first import it, which takes most of a second."""
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if not self.drew and self._draws(func, args, kwargs):
            # a GPU's backward pass runs in autograd's thread, which could not give the turn back
            if threading.get_ident() == self._thread:
                self.has_turn = _TURN.acquire()
            self.drew = True
        return func(*args, **kwargs)

    def _draws(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
        """Whether the operation takes numbers from a global stream; for a higher order operator, whether it could."""
        if not isinstance(func, torch._ops.OpOverload):
            return True
        if torch.Tag.nondeterministic_seeded not in func.tags:
            return False
        arguments = func._schema.arguments
        given = {a.name: a.default_value for a in arguments if a.has_default_value()}
        given |= dict(zip((a.name for a in arguments), args, strict=False)) | kwargs
        if any(given.get(name, True) in (False, 0.0) for name in _SWITCHES):
            return False  # attention, or a randomised ReLU, with its randomness switched off
        own = given.get("generator")  # known by its state: torch wraps the global one anew for each operation
        return own is None or any(torch.equal(own.get_state(), stream.get_state()) for stream in self._generators)


class _HiddenWatch(_Watch):  # type: ignore[no-untyped-call]
    """The same where the compiler is loaded: it would compile the watch into the model."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return True

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return super().__torch_dispatch__(func, types, args, kwargs)
