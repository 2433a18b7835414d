"""How a training step computes: in which numbers, in which memory layout, on how many threads."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

Precision = Literal["float32", "float64", "bfloat16", "float16"]
HALF: dict[str, torch.dtype] = {"bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Arithmetic:
    """One way to compute a step.

    Attributes:
        precision: of the forward and backward pass. With 16 bits the weights stay float32 and autocast chooses the
            operations (Micikevicius et al. 2018); float16 also scales the loss, so that small gradients survive.
        channels_last: pictures and kernels lie in memory as (N, H, W, C).
        threads: of the CPU; None leaves PyTorch's choice.
    """

    precision: Precision = "float32"
    channels_last: bool = False
    threads: int | None = None

    def __str__(self) -> str:
        return f"{self.precision}, channels {'last' if self.channels_last else 'first'}, {self.threads} threads"

    def place(self, images: Tensor) -> Tensor:
        """Pictures (N, C, H, W) in the layout and number type that the network takes."""
        return images.to(self._weights, memory_format=self._layout)

    def prepare(self, model: nn.Module) -> nn.Module:
        """`model` itself, its weights in that layout and number type."""
        return model.to(dtype=self._weights, memory_format=self._layout)  # type: ignore[call-overload,no-any-return]

    def autocast(self, device: torch.device) -> AbstractContextManager[object]:
        """Around a forward pass: runs it in 16 bits where that is the precision."""
        half = HALF.get(self.precision)
        return torch.autocast(device.type, half or torch.bfloat16, enabled=half is not None)

    def scaler(self, device: torch.device) -> torch.amp.GradScaler:
        """Scales losses of float16, below whose smallest numbers gradients fall; otherwise does nothing."""
        return torch.amp.GradScaler(device.type, enabled=self.precision == "float16")

    @contextmanager
    def on_threads(self) -> Iterator[None]:
        """PyTorch computes on `threads` threads inside, and on as many as before after."""
        before = torch.get_num_threads()
        torch.set_num_threads(self.threads or before)
        try:
            yield
        finally:
            torch.set_num_threads(before)

    @property
    def _weights(self) -> torch.dtype:
        return torch.float64 if self.precision == "float64" else torch.float32

    @property
    def _layout(self) -> torch.memory_format:
        return torch.channels_last if self.channels_last else torch.contiguous_format
