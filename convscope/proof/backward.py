"""A run's model, its NumPy counterpart and a labelled batch in; how far gradients, steps and Grad-CAM lie apart, out.

All in float64, for the reason that `rounding` gives. Both sides get copies, so nothing here changes the run.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from convscope.config import TrainConfig
from convscope.convert import Array, leaves, named_arrays, numpy_state
from convscope.explain import explain
from convscope.numpy_nn import SGD, BatchNorm2D, CrossEntropyLoss, Dropout, Layer
from convscope.proof.difference import Difference, largest
from convscope.proof.rounding import FLOAT64
from convscope.proof.walk import run_backward, run_forward

NOISE = 2.0**-44  # of the largest gradient of all: what is left of a sum that cancels to zero, 2⁹ float64 roundings
MEMORY = 2**29  # bytes for the batch
CamMethod = Callable[[Layer, str, Array], tuple[Array, NDArray[np.int64]]]
STEPS = 2  # a first step has no momentum yet: the second one shows it


@dataclass(frozen=True, eq=False)
class Batch:
    """What both sides are given: float64 pictures, (N, C, H, W), normalised; labels, int64 (N,); how to learn."""

    x: Array
    labels: NDArray[np.int64]
    config: TrainConfig


@dataclass(frozen=True, eq=False)
class Twins:
    """The same network twice, float64, private: what is done to them reaches nobody."""

    model: nn.Module
    network: Layer

    @classmethod
    def of(cls, model: nn.Module, network: Layer, training: bool) -> "Twins":
        """Copies in the mode wanted. Each Dropout of the model takes the masks that its NumPy counterpart draws."""
        model, network = copy.deepcopy(model).double(), copy.deepcopy(network)
        for name, value in network.params.items():
            network.params[name] = value.astype(np.float64)
        for seed, layer in enumerate(leaves(network)):
            if isinstance(layer, Dropout):
                layer.rng = np.random.default_rng(seed)
                parent, _, key = layer.name.rpartition(".")
                setattr(model.get_submodule(parent), key, MaskedLike(layer.p, seed))
            if isinstance(layer, BatchNorm2D):
                layer.running_mean = layer.running_mean.astype(np.float64)
                layer.running_var = layer.running_var.astype(np.float64)
        model.train(training)
        return cls(model, network.train() if training else network.eval())


class MaskedLike(nn.Module):
    """Dropout by the very masks of a `numpy_nn.Dropout` with the same seed: PyTorch's own stream would draw others."""

    def __init__(self, p: float, seed: int) -> None:
        super().__init__()
        self.p = p
        self.rng = np.random.default_rng(seed)

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        kept = torch.from_numpy(self.rng.random(tuple(x.shape)) >= self.p)
        return x * kept / (1 - self.p) if self.p < 1 else x * 0


def compare_gradients(twins: Twins, batch: Batch) -> tuple[Difference, ...]:
    """dL/d(input) and dL/dp of every parameter p, L being the training loss; the input first."""
    theirs = torch_gradients(twins.model, batch)
    ours = numpy_gradients(twins.network, batch)
    top = max(largest(value) for value in theirs.values())
    return tuple(
        difference(name, "gradient", ours.get(name), theirs[name], FLOAT64 * largest(theirs[name]) + NOISE * top)
        for name in theirs
    )


def torch_gradients(model: nn.Module, batch: Batch) -> dict[str, Array]:
    """By autograd: the gradient of the input, under "input", and of every parameter under its name."""
    x = torch.from_numpy(batch.x).requires_grad_()
    parameters = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    with torch.enable_grad():
        loss = F.cross_entropy(model(x), torch.from_numpy(batch.labels), label_smoothing=batch.config.label_smoothing)
        found = torch.autograd.grad(loss, [x, *parameters.values()], materialize_grads=True)
    return {name: g.numpy() for name, g in zip(["input", *parameters], found, strict=True)}


def numpy_gradients(network: Layer, batch: Batch) -> dict[str, Array]:
    """The same by the NumPy backward pass."""
    loss = CrossEntropyLoss(batch.config.label_smoothing)
    loss(network(batch.x), batch.labels)
    dx = network.backward(loss.backward())
    return {"input": dx, **named_arrays(network, lambda layer: layer.grads)}


def compare_steps(twins: Twins, batch: Batch, optimizer: type[SGD] = SGD) -> tuple[Difference, ...]:
    """`STEPS` training steps of SGD on the batch, and what they change: every parameter and running statistic.

    The settings are the run's as `training` hands them to PyTorch: Nesterov's momentum, decay on matrices and kernels.
    `optimizer` is the one to hold against PyTorch's.
    """
    config = batch.config
    before = torch_state(twins.model)
    theirs = torch_sgd(twins.model, config)
    learned = [name for name, parameter in twins.model.named_parameters() if parameter.requires_grad]
    arrays = named_arrays(twins.network, lambda layer: layer.params)
    params = {name: arrays[name] for name in learned}
    decayed = [name for name, value in params.items() if value.ndim > 1]
    ours = optimizer(params, config.lr, config.momentum, config.momentum > 0, config.weight_decay, decayed)
    for _ in range(STEPS):
        found = torch_gradients(twins.model, batch)
        for name in learned:
            twins.model.get_parameter(name).grad = torch.from_numpy(found[name])
        theirs.step()
        numpy_gradients(twins.network, batch)
        ours.step(named_arrays(twins.network, lambda layer: layer.grads))
    mine = numpy_state(twins.network)
    compared = []
    for name, value in torch_state(twins.model).items():
        # held against the way that it went, not against its size: a small step must not hide in a large weight
        allowed = FLOAT64 * largest(value - before[name]) + NOISE * largest(value)
        kind = "running statistic" if "running_" in name else "parameter"
        compared.append(difference(name, kind, mine.get(name), value, allowed))
    return tuple(compared)


def torch_sgd(model: nn.Module, config: TrainConfig) -> torch.optim.SGD:
    """PyTorch's SGD as `training.optimizers`, which this room does not import, sets it up; a test holds both equal."""
    learned = [p for p in model.parameters() if p.requires_grad]
    weights = [p for p in learned if p.ndim > 1]
    offsets = [p for p in learned if p.ndim <= 1]
    return torch.optim.SGD(
        [{"params": weights, "weight_decay": config.weight_decay}, {"params": offsets, "weight_decay": 0.0}],
        lr=config.lr,
        momentum=config.momentum,
        nesterov=config.momentum > 0,
    )


def compare_grad_cam(twins: Twins, batch: Batch, method: CamMethod | None = None) -> Difference | None:
    """The signed map at the model's CAM layer for the predicted class; None where the model has no such layer.

    `method` is the one to hold against `explain`, by default `numpy_grad_cam`.
    """
    layer = getattr(twins.model, "cam_layer", None)
    if layer is None:
        return None
    ours, targets = (method or numpy_grad_cam)(twins.network, layer, batch.x)
    theirs = explain(twins.model, torch.from_numpy(batch.x), target=targets, layer=layer).maps
    allowed = (FLOAT64 + 2.0**-24) * largest(theirs)  # `explain` hands its maps out rounded to float32
    return difference(layer, "Grad-CAM", ours, theirs, allowed)


def numpy_grad_cam(network: Layer, layer: str, x: Array) -> tuple[Array, NDArray[np.int64]]:
    """Grad-CAM before its ReLU, (N, h, w), for the class predicted for each picture, (N,); `network` in eval mode.

    Σ_k w_k A_k, w_k being the mean over places of the logit's gradient with respect to the activation A_k (Selvaraju
    et al. 2017, equations 1 and 2).
    """
    there = class_gradients(network, x, layer)
    weights = there.gradient.mean(axis=(2, 3), keepdims=True)  # (N, K, 1, 1)
    return (weights * there.activation).sum(axis=1), there.targets


@dataclass(frozen=True, eq=False)
class ClassGradients:
    """What NumPy's backward pass from the logit of a class shows.

    Attributes:
        activation: the output of the layer, (N, K, h, w); empty where no layer of that name computes anything.
        gradient: of the logit with respect to it.
        of_input: of the logit with respect to the picture, (N, C, H, W).
        targets: the class, (N,).
    """

    activation: Array
    gradient: Array
    of_input: Array
    targets: NDArray[np.int64]


def class_gradients(
    network: Layer, x: Array, layer: str | None = None, targets: NDArray[np.int64] | None = None
) -> ClassGradients:
    """The gradient of each picture's target logit, by default of the predicted class; `network` in eval mode."""
    activation: Array = np.empty(0)
    gradient: Array = np.empty(0)

    def keep_activation(visited: Layer, _: Array, y: Array) -> None:
        nonlocal activation
        if visited.name == layer:
            activation = y.copy()

    def keep_gradient(visited: Layer, dy: Array) -> None:
        nonlocal gradient
        if visited.name == layer:
            gradient = dy.copy()

    logits = run_forward(network, x, keep_activation, remember=True)
    targets = logits.argmax(axis=1) if targets is None else targets
    dx = run_backward(network, np.eye(logits.shape[1])[targets], keep_gradient)
    return ClassGradients(activation, gradient, dx, targets)


def torch_state(model: nn.Module) -> dict[str, Array]:
    """Copies of the parameters and running statistics under their names."""
    return {name: value.numpy().copy() for name, value in model.state_dict().items() if value.is_floating_point()}


def difference(name: str, kind: str, ours: Array | None, theirs: Array, allowed: float) -> Difference:
    """How far two arrays lie apart; infinitely, where one is missing or of another shape."""
    same_shape = ours is not None and ours.shape == theirs.shape
    apart = largest(ours - theirs) if ours is not None and same_shape else float("inf")
    return Difference(name, kind, apart, largest(theirs), allowed)
