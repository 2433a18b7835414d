"""A subject in; the maps of every method out, as many pictures of each as its price allows, and what was refused."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from convscope.audit.subject import LEAST, Subject
from convscope.errors import ConvscopeError
from convscope.explain import Explanation
from convscope.explain.capture import EvalCopy, pictures_at_once
from convscope.explain.methods import INPUT, Method, is_of_input
from convscope.registry import METHODS

PRICE = 4096  # passes of one picture that the maps of one method may take; a gradient counts as a second pass

Tell = Callable[[str], None]  # what is being done, for whoever waits


@dataclass(frozen=True, eq=False)
class MethodMaps:
    """What one method found.

    Attributes:
        found: of the subject's first n pictures.
        passes: what one picture cost.
    """

    found: Explanation
    passes: int

    @property
    def name(self) -> str:
        """Of the method."""
        return self.found.method

    @property
    def of_input(self) -> bool:
        """Whether it is about the picture's own pixels, not about a layer."""
        return self.found.layer == INPUT

    @property
    def shown(self) -> NDArray[np.float32]:
        """(n, h, w), not negative: what the order of the places is read from. See `strength`."""
        return strength(self.found.maps, self.of_input)

    def __len__(self) -> int:
        return len(self.found.maps)


def strength(maps: NDArray[np.float32], of_input: bool) -> NDArray[np.float32]:
    """How strongly a signed map (n, h, w) points at each place: of pixels the size, of a layer the positive part.

    The positive part is what `Explanation.heatmaps` draws. Maps of pixels are mostly shown by their size, in which
    Adebayo et al. (2018) found the failures.
    """
    return np.abs(maps) if of_input else np.maximum(maps, 0)


def explain_all(
    subject: Subject, methods: Sequence[str] | None = None, price: int = PRICE, tell: Tell = lambda _: None
) -> tuple[dict[str, MethodMaps], dict[str, str]]:
    """The maps of each method, in the order of `METHODS`, and why the others are not there.

    Methods at a layer share one forward pass a batch. What a picture costs is counted, not timed, so that the same run
    gets the same number of pictures on every machine.

    Args:
        methods: some of `METHODS`; None takes all.
        price: passes for each method; at least `LEAST` pictures all the same.
    """
    copy, plan = EvalCopy(subject.model), dict[str, tuple[Method, str, int]]()
    refused: dict[str, str] = {}
    for name in methods or METHODS:
        run = METHODS.load(name)
        layer = INPUT if is_of_input(run) else subject.layer
        if layer is None:
            refused[name] = subject.no_layer
            continue
        try:
            plan[name] = run, layer, price_of(copy, run, layer, subject)
        except ConvscopeError as error:
            refused[name] = str(error)
    wanted = {
        name: min(len(subject.images), max(LEAST, price // passes)) for name, (_, _, passes) in plan.items()
    }  # pictures
    parts: dict[str, list[Tensor]] = {name: [] for name in plan}
    at_once = pictures_at_once(subject.images)
    for start in range(0, len(subject.images), at_once):
        stop = min(start + at_once, len(subject.images))
        batches: dict[int, tuple[Tensor, Tensor]] = {}  # one object for each length: that is how passes are shared
        for name, (run, layer, _) in plan.items():
            end = min(stop, wanted[name])
            if end <= start or name in refused:
                continue
            batch = batches.setdefault(end, (subject.images[start:end], subject.targets[start:end]))
            tell(f"maps of {name}")
            try:
                parts[name].append(_finite(run(copy, layer, *batch)))
            except ConvscopeError as error:
                refused[name] = str(error)
    found = {
        name: MethodMaps(_explanation(subject, name, plan[name][1], torch.cat(parts[name])), plan[name][2])
        for name in plan
        if name not in refused
    }
    return found, refused


def price_of(copy: EvalCopy, run: Method, layer: str, subject: Subject) -> int:
    """Passes that `run` takes for one picture, measured on the first two."""
    with counted(copy) as passes:
        run(copy, layer, subject.images[:2].clone(), subject.targets[:2])  # a clone, or its pass would be shared
    return max(1, passes[0] // 2)


@contextmanager
def counted(copy: EvalCopy) -> Iterator[list[int]]:
    """Inside, the only entry counts the pictures that go through the model, twice where a gradient will come back."""
    passes = [0]

    def note(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        passes[0] += len(inputs[0]) * (2 if torch.is_grad_enabled() else 1)

    handle = copy.model.register_forward_pre_hook(note)
    try:
        yield passes
    finally:
        handle.remove()


def maps_of(copy: EvalCopy, maps: MethodMaps, images: Tensor, targets: Tensor) -> NDArray[np.float32]:
    """The same method at the same layer on another model, (n, h, w); raises as the method does."""
    return _finite(METHODS.load(maps.name)(copy, maps.found.layer, images, targets)).numpy()


def control_maps(subject: Subject, controls: Mapping[str, Callable[[Tensor], Tensor]]) -> dict[str, Explanation]:
    """The maps of what knows nothing of the network."""
    return {
        name: _explanation(subject, name, INPUT, control(subject.images).float().contiguous())
        for name, control in controls.items()
    }


def _finite(maps: Tensor) -> Tensor:
    maps = maps.detach().cpu().to(torch.float32)
    if not maps.isfinite().all():
        raise ConvscopeError("its map is not finite; look for NaN or infinity in the pictures and in the weights")
    return maps


def _explanation(subject: Subject, method: str, layer: str, maps: Tensor) -> Explanation:
    count = len(maps)
    return Explanation(
        maps=maps.numpy(),
        targets=subject.targets[:count].cpu().numpy(),
        layer=layer,
        method=method,
        evidence=tuple("positive" if m.max() > 0 else "none" for m in maps),
        logits=np.empty((count, 0), np.float32),  # nobody asks for them here
    )
