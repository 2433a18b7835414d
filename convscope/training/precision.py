"""How a training step computes: on which device, in which numbers and memory layout, on how many threads."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Literal, Self, get_args

import torch
from threadpoolctl import threadpool_limits
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
        device: where the model and the batches are.
    """

    precision: Precision = "float32"
    channels_last: bool = False
    threads: int | None = None
    device: str = "cpu"

    def __str__(self) -> str:
        return f"{self.precision}, channels {'last' if self.channels_last else 'first'}, {self.threads} threads"

    @classmethod
    def recorded(cls, record: Any) -> Self:
        """The arithmetic from ``asdict`` of it; ValueError if it is not one."""
        way = cls(**record)
        if way.precision not in get_args(Precision) or not isinstance(way.channels_last, bool):
            raise ValueError(f"no such arithmetic: {record}")
        if way.threads is not None and (type(way.threads) is not int or way.threads < 1):
            raise ValueError(f"no such number of threads: {record}")
        return way

    def place(self, images: Tensor) -> Tensor:
        """Pictures (N, C, H, W) in the layout and number type that the network takes."""
        return images.to(self._weights, memory_format=self._layout)

    def prepare(self, model: nn.Module) -> nn.Module:
        """`model` itself, its weights on that device, in that layout and number type."""
        return model.to(self.device, self._weights, memory_format=self._layout)  # type: ignore[call-overload,no-any-return]

    def autocast(self) -> AbstractContextManager[object]:
        """Around a forward pass: runs it in 16 bits where that is the precision."""
        half = HALF.get(self.precision)
        return torch.autocast(self._kind, half or torch.bfloat16, enabled=half is not None)

    def scaler(self) -> torch.amp.GradScaler:
        """Scales losses of float16, below whose smallest numbers gradients fall; otherwise does nothing."""
        return torch.amp.GradScaler(self._kind, enabled=self.precision == "float16")

    @contextmanager
    def on_threads(self) -> Iterator[None]:
        """PyTorch and NumPy compute on `threads` threads inside, and on as many as before after."""
        before = torch.get_num_threads()
        torch.set_num_threads(self.threads or before)
        try:
            with threadpool_limits(self.threads, user_api="blas"):
                yield
        finally:
            torch.set_num_threads(before)

    @property
    def _kind(self) -> str:
        return torch.device(self.device).type

    @property
    def _weights(self) -> torch.dtype:
        return torch.float64 if self.precision == "float64" else torch.float32

    @property
    def _layout(self) -> torch.memory_format:
        return torch.channels_last if self.channels_last else torch.contiguous_format
