"""PyTorch's training step: autograd, `torch.optim`, and the arithmetic that was chosen."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convscope.config import TrainConfig
from convscope.data.batches import seeded
from convscope.training.optimizers import make_optimizer
from convscope.training.precision import Arithmetic


class TorchEngine:
    """Trains `model` itself; see `Engine`."""

    def __init__(self, model: nn.Module, config: TrainConfig, arithmetic: Arithmetic) -> None:
        self.model = arithmetic.prepare(model)
        self.arithmetic = arithmetic
        self.label_smoothing = config.label_smoothing
        self.optimizer = make_optimizer(self.model, config, half=arithmetic.precision == "bfloat16")
        self.scaler = arithmetic.scaler()
        self.forward = torch.compile(self.model) if config.compile else self.model

    def step(self, images: Tensor, labels: Tensor, lr: float, seed: int) -> tuple[float, int]:
        """Forward, backward, update; (mean loss, correct predictions)."""
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.model.train()
        with seeded(seed, images.device), self.arithmetic.autocast():  # dropout draws from the global stream
            logits = self.forward(self.arithmetic.place(images))
            loss = F.cross_entropy(logits, labels, label_smoothing=self.label_smoothing)
        self.optimizer.zero_grad()
        self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return loss.item(), int((logits.argmax(1) == labels).sum())

    @torch.no_grad()
    def measure(self, images: Tensor, labels: Tensor) -> tuple[float, int]:
        """(sum of the cross-entropies, correct predictions) in eval mode."""
        logits = self.model.eval()(self.arithmetic.place(images))
        loss = F.cross_entropy(logits, labels, reduction="sum")
        return loss.item(), int((logits.argmax(1) == labels).sum())

    def state_dict(self) -> dict[str, Any]:
        """Of model, optimiser and loss scale."""
        return {
            "model_state": self.model.state_dict(),
            "optimizer_state": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` gave."""
        self.model.load_state_dict(state["model_state"])
        self.optimizer.load_state_dict(state["optimizer_state"])
        self.scaler.load_state_dict(state["scaler"])
