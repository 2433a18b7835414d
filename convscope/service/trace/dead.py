"""A model and pictures in; of every node the channels that are above 0 nowhere in any of them out."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from convscope.explain.clone import eval_clone
from convscope.service.trace.flow import Call, follow

AT_ONCE = 32


@dataclass(frozen=True)
class Dead:
    """Channels by node id, and how many pictures were looked at."""

    channels: Mapping[str, tuple[int, ...]]
    pictures: int

    @property
    def nbytes(self) -> int:
        return 8 * sum(map(len, self.channels.values()))


def dead_channels(model: nn.Module, x: Tensor) -> Dead:
    """Look through every node's output for the pictures (N, C, H, W), in batches; outputs (N, K) have K channels."""
    copy = eval_clone(model)
    largest: dict[str, Tensor] = {}

    def note(call: Call) -> None:
        if call.output.ndim > 1:
            top = call.output.detach().transpose(0, 1).flatten(1).amax(dim=1)  # (K,)
            largest[call.id] = torch.maximum(largest[call.id], top) if call.id in largest else top

    for part in torch.split(x, AT_ONCE):
        follow(copy, part, note)
    return Dead({name: tuple((~(top > 0)).nonzero()[:, 0].tolist()) for name, top in largest.items()}, len(x))
