"""The same training step with no PyTorch in it: every multiply-add of it stands in `numpy_nn`, to be read."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from convscope.config import TrainConfig
from convscope.convert import leaves, named_arrays, numpy_state, to_numpy
from convscope.numpy_nn import SGD, Adam, BatchNorm2D, CrossEntropyLoss, Dropout, Muon
from convscope.numpy_nn.optimizer import Optimizer
from convscope.numpy_nn.shapes import Array
from convscope.training.precision import Arithmetic


class NumPyEngine:
    """Trains the NumPy counterpart of `model`, and writes its weights back where they are asked for; see `Engine`.

    There is no autograd: each layer's `backward` is its derivative, written out. From the same weights and batches it
    learns what PyTorch learns, to rounding, except where dropout draws: the masks come from NumPy's stream.
    """

    def __init__(self, model: nn.Module, config: TrainConfig, arithmetic: Arithmetic) -> None:
        self.model = arithmetic.prepare(model)
        self.network = to_numpy(self.model)
        self.dtype = np.float64 if arithmetic.precision == "float64" else np.float32
        self.loss = CrossEntropyLoss(config.label_smoothing)
        self.config = config
        self.optimizer = make_optimizer(self._learned(), config)

    def step(self, images: Tensor, labels: Tensor, lr: float, seed: int) -> tuple[float, int]:
        """Forward, backward, update; (mean loss, correct predictions)."""
        self.network.train()
        rng = np.random.default_rng(seed)
        for layer in leaves(self.network):
            if isinstance(layer, Dropout):
                layer.rng = rng
        logits = self.network(self._array(images))
        loss = float(self.loss(logits, labels.numpy()))
        self.network.backward(self.loss.backward())
        self.optimizer.lr = lr
        self.optimizer.step(named_arrays(self.network, lambda layer: layer.grads))
        return loss, int((logits.argmax(axis=1) == labels.numpy()).sum())

    def measure(self, images: Tensor, labels: Tensor) -> tuple[float, int]:
        """(sum of the cross-entropies, correct predictions) in eval mode."""
        logits = self.network.eval()(self._array(images), remember=False)
        loss = len(labels) * float(CrossEntropyLoss()(logits, labels.numpy()))
        return loss, int((logits.argmax(axis=1) == labels.numpy()).sum())

    def state_dict(self) -> dict[str, Any]:
        """Of the network, in the model's names and as tensors, and of the optimiser."""
        own = {name: torch.from_numpy(value.copy()) for name, value in numpy_state(self.network).items()}
        self.model.load_state_dict(self.model.state_dict() | own)
        state = {name: torch.from_numpy(value.copy()) for name, value in self.optimizer.state.items()}
        return {"model_state": self.model.state_dict(), "optimizer_state": state, "scaler": {}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` gave."""
        self.model.load_state_dict(state["model_state"])
        fresh = to_numpy(self.model)
        for ours, theirs in zip(leaves(self.network), leaves(fresh), strict=True):
            ours.params.update(theirs.params)
            if isinstance(ours, BatchNorm2D) and isinstance(theirs, BatchNorm2D):
                ours.running_mean, ours.running_var = theirs.running_mean, theirs.running_var
        self.optimizer = make_optimizer(self._learned(), self.config)
        for name in state["optimizer_state"]:
            if name != "steps" and name.rpartition("/")[2] not in self.optimizer.params:
                raise KeyError(f"the optimizer's state of {name}, which this network has not")
        self.optimizer.state = {name: value.numpy().copy() for name, value in state["optimizer_state"].items()}

    def _learned(self) -> dict[str, Array]:
        """The network's parameters themselves, in the model's names, without those that need no gradient."""
        fixed = {name for name, parameter in self.model.named_parameters() if not parameter.requires_grad}
        params = named_arrays(self.network, lambda layer: layer.params)
        return {name: value for name, value in params.items() if name not in fixed}

    def _array(self, images: Tensor) -> Array:
        return images.numpy().astype(self.dtype, copy=False)


def make_optimizer(params: Any, config: TrainConfig) -> Optimizer:
    """As `optimizers.make_optimizer` sets them: Nesterov's momentum, decay on kernels and matrices only."""
    decayed = [name for name, value in params.items() if value.ndim > 1]
    if config.optimizer == "sgd":
        return SGD(params, config.lr, config.momentum, config.momentum > 0, config.weight_decay, decayed)
    if config.optimizer == "muon":
        return Muon(
            params,
            config.lr,
            config.momentum,
            config.weight_decay,
            None if config.bias_decay else decayed,
            config.bias_lr,
            config.head_lr,
            config.ns_steps,
            config.fixed_norm,
        )
    decoupled = config.optimizer == "adamw"
    return Adam(params, config.lr, weight_decay=config.weight_decay, decoupled=decoupled, decayed=decayed)
