"""A device in; out comes a context that undoes what this thread draws from the global random streams of torch."""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

# Held from the first draw of a pass to its end. Re-entrant: a method may make a pass within a pass.
_TURN = threading.RLock()
_SWITCHES = ("dropout_p", "training", "train")
# Whether a model may go unwatched: a watched call drew nothing, and no number was drawn during an unwatched one.
_TRUSTED: "WeakKeyDictionary[nn.Module, bool]" = WeakKeyDictionary()

Result = TypeVar("Result")


class _Here(threading.local):
    """What holds for this thread: whether `draws_undone` watches, and whether a body has drawn."""

    watching = True
    drew = False


_HERE = _Here()


def streams_kept(model: nn.Module, device: torch.device, work: Callable[[], Result]) -> Result:
    """What `work` gives, which makes passes of `model` inside `draws_undone`; the streams are left as found.

    Watching every operation takes as long as a small network takes for one picture. So a model that was watched
    through a whole call and drew nothing is trusted from then on, and the streams are compared before and after. Where
    a number was drawn all the same, by the model or by another thread, the work is done once more, watched, which
    tells whose it was; and that model is always watched from then on.
    """
    if _TRUSTED.get(model):
        streams = _streams(device)
        before = [stream.get_state() for stream in streams]
        try:
            with _in_this_thread(watching=False):
                result = work()
        except Exception:
            if _are_at(streams, before):
                raise
        else:
            if _are_at(streams, before):
                return result
        _TRUSTED[model] = False
        with _in_this_thread(watching=True):
            try:
                return work()
            finally:
                if _HERE.drew:
                    _put_back(streams, before)
    with _in_this_thread(watching=True):
        result = work()
        if not _HERE.drew:
            _TRUSTED.setdefault(model, True)
    return result


class _in_this_thread:  # noqa: N801
    """A context: `_HERE` says `watching`, and that nothing has been drawn yet; put back at the end."""

    def __init__(self, watching: bool) -> None:
        self.inside = watching, False

    def __enter__(self) -> None:
        self.outside = _HERE.watching, _HERE.drew
        _HERE.watching, _HERE.drew = self.inside

    def __exit__(self, *_: object) -> None:
        _HERE.watching, _HERE.drew = self.outside[0], self.outside[1] or _HERE.drew


@contextmanager
def draws_undone(device: torch.device) -> Iterator[None]:
    """Put the CPU's stream, and the device's, back as they were on entry, if the body draws from them.

    The streams belong to the whole process. A body that draws nothing leaves them alone, so another thread
    draws meanwhile as if it were by itself. Bodies that draw take turns. What a thread outside this context
    draws while such a body runs is put back as well, and drawn again later: torch offers no stream of a
    thread's own to draw from instead. Amid the work of `streams_kept`, that may do the watching.
    """
    if not _HERE.watching:
        yield
        return
    generators = _streams(device)
    with _TURN:  # never the state in the middle of another body's turn
        before = [generator.get_state() for generator in generators]
    watch = (_HiddenWatch if "torch._dynamo" in sys.modules else _Watch)(generators)
    try:
        with watch:
            yield
    finally:
        if watch.drew:
            _HERE.drew = True
            _put_back(generators, before)
        if watch.has_turn:
            _TURN.release()


def _streams(device: torch.device) -> list[torch.Generator]:
    """The global streams of a pass on that device."""
    streams = [torch.default_generator]
    if device.type == "cuda":
        streams.append(torch.cuda.default_generators[device.index])
    return streams


def _are_at(streams: list[torch.Generator], states: list[Tensor]) -> bool:
    return all(torch.equal(stream.get_state(), state) for stream, state in zip(streams, states, strict=True))


def _put_back(streams: list[torch.Generator], states: list[Tensor]) -> None:
    for stream, state in zip(streams, states, strict=True):
        stream.set_state(state)


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
