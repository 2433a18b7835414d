"""A job ready to fit in, what its steps take and the least that their convolutions alone could take out.

The bound of a step adds up, over its convolutions, the fastest forward and backward pass of that shape alone, in any
precision and memory layout that the recipe may use; frozen layers have no backward pass, and what needs no gradient
gets none, as in the step itself.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.timing import Contest
from convscope.config import TrainConfig
from convscope.errors import UsageError
from convscope.layers import Conv2D
from convscope.training.job import Job

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float64": torch.float64, "float16": torch.float16}
LAYOUTS = {False: torch.contiguous_format, True: torch.channels_last}
FIRST, BATCH, STEP = "first batch", "batch", "step"


@dataclass(frozen=True)
class Convolution:
    """One convolution of a step, by all that decides its time.

    Attributes:
        input: (N, C, H, W).
        weight: (O, C / groups, KH, KW).
        settings: stride, padding, dilation, groups.
        bias: whether it has one.
        gradients: those that the step asks of it, of `input`, `weight` and `bias`.
    """

    input: tuple[int, ...]
    weight: tuple[int, ...]
    settings: tuple[Any, ...]
    bias: bool
    gradients: tuple[str, ...]

    def operations(self) -> int:
        """Multiplications and additions of its passes; a gradient of input or weight takes as many as forward."""
        output = F.conv2d(*(torch.empty(of, device="meta") for of in (self.input, self.weight)), None, *self.settings)
        passes = 1 + len({"input", "weight"} & set(self.gradients))
        return 2 * output.numel() * self.weight[1] * self.weight[2] * self.weight[3] * passes

    def lay_out(self, dtype: torch.dtype, layout: torch.memory_format) -> Callable[[], Any]:
        """Its forward pass and those gradients as a call, on numbers of its own."""
        x, weight = (_numbers(of).to(dtype, memory_format=layout) for of in (self.input, self.weight))
        bias = _numbers(self.weight[:1]).to(dtype) if self.bias else None
        named = {"input": x, "weight": weight, "bias": bias}
        wanted = [named[name].requires_grad_() for name in self.gradients]
        dy = _numbers(F.conv2d(x, weight, bias, *self.settings).shape).to(dtype, memory_format=layout)

        def call() -> Any:
            y = F.conv2d(x, weight, bias, *self.settings)
            return torch.autograd.grad(y, wanted, dy) if wanted else y

        return call


@dataclass(frozen=True)
class Stage:
    """Training steps of one shape: their batches (N, C, H, W), the first epoch that has them, their convolutions."""

    batch: tuple[int, ...]
    epoch: int
    convolutions: Counter[Convolution]

    def __str__(self) -> str:
        return f"{self.batch[0]} pictures of {self.batch[2]}×{self.batch[3]}"


def stages(job: Job) -> list[Stage]:
    """What shapes of batches the epochs begin with, in the order in which they come."""
    found: dict[tuple[int, ...], Stage] = {}
    for epoch in range(job.config.train.epochs):
        images, _ = next(job.batches.train(epoch))
        if (shape := tuple(images.shape)) not in found:
            found[shape] = Stage(shape, epoch, Counter(convolutions(job, images)))
    return list(found.values())


def full_size(found: list[Stage]) -> Stage:
    """The stage with the largest pictures."""
    return max(found, key=lambda stage: stage.batch[2] * stage.batch[3])


def convolutions(job: Job, images: Tensor) -> list[Convolution]:
    """Those that a training step on `images` calls, in that order, found by hooks on the model itself."""
    calls: list[Convolution] = []

    def note(module: nn.Module, inputs: tuple[Tensor], _: Tensor) -> None:
        tensors = {"input": inputs[0], "weight": module.weight, "bias": module.bias}
        calls.append(
            Convolution(
                tuple(inputs[0].shape),
                tuple(module.weight.shape),
                (module.stride, module.padding, getattr(module, "dilation", 1), getattr(module, "groups", 1)),
                module.bias is not None,
                tuple(name for name, tensor in tensors.items() if tensor is not None and tensor.requires_grad),
            )
        )

    model, way = job.state.model, job.state.arithmetic
    hooks = [module.register_forward_hook(note) for module in model.modules() if isinstance(module, Conv2D | nn.Conv2d)]
    try:
        with way.autocast():
            model.train()(way.place(images))
    finally:
        for hook in hooks:
            hook.remove()
    return calls


def ways(config: TrainConfig) -> dict[str, tuple[torch.dtype, torch.memory_format]]:
    """The precisions and layouts that a recipe may use on a CPU, by name."""
    precisions = ["float32", "bfloat16"] if config.precision == "auto" else [config.precision]
    layouts = [False, True] if config.channels_last == "auto" else [config.channels_last]
    return {
        f"{precision}, channels {'last' if last else 'first'}": (DTYPES[precision], LAYOUTS[last])
        for precision, last in product(precisions, layouts)
    }


def contests(job: Job, found: list[Stage]) -> dict[str, Contest]:
    """Of each stage: its batches, its step, and each of its convolutions in every way."""
    made: dict[str, Contest] = {}
    choices = ways(job.config.train)
    for stage in found:
        for name, lay_out in {FIRST: _first_batch, BATCH: _later_batch, STEP: _step}.items():
            made[f"{stage}, {name}"] = {name: lambda lay_out=lay_out, epoch=stage.epoch: lay_out(job, epoch)}
        for number, convolution in enumerate(stage.convolutions):
            made[f"{stage}, convolution {number}"] = {
                name: lambda of=convolution, choice=choice: of.lay_out(*choice) for name, choice in choices.items()
            }
    return made


def results(job: Job, found: list[Stage], seconds: dict[str, dict[str, float]]) -> list[dict[str, Any]]:
    """A row a stage with its `layers`; `bound`, `step` and `making` of a batch in seconds, `over_bound` and `share`.

    `over_bound` is step over bound; `share` is that of making the batch in both together.
    """
    rows = []
    for stage in found:
        layers = [
            asdict(convolution)
            | {"operations": convolution.operations(), "count": count}
            | {"seconds": seconds[f"{stage}, convolution {number}"]}
            for number, (convolution, count) in enumerate(stage.convolutions.items())
        ]
        bound = sum(layer["count"] * min(layer["seconds"].values()) for layer in layers)
        step = seconds[f"{stage}, {STEP}"][STEP]
        making = seconds[f"{stage}, {BATCH}"][BATCH] + setting_up(job, stage, seconds)
        rows.append(
            {"stage": str(stage), "batch": stage.batch, "epoch": stage.epoch, "bound": bound, "step": step}
            | {"making": making, "over_bound": step / bound, "share": making / (making + step), "layers": layers}
        )
    return rows


def setting_up(job: Job, stage: Stage, seconds: dict[str, dict[str, float]]) -> float:
    """The seconds that the first batch of an epoch takes longer than another, spread over the epoch's steps."""
    first, later = (seconds[f"{stage}, {name}"][name] for name in (FIRST, BATCH))
    return max(0.0, first - later) / job.batches.steps_per_epoch


def _first_batch(job: Job, epoch: int) -> Callable[[], Any]:
    return lambda: next(job.batches.train(epoch))


def _later_batch(job: Job, epoch: int) -> Callable[[], Any]:
    if job.batches.steps_per_epoch < 3:
        raise UsageError(f"an epoch has {job.batches.steps_per_epoch} batches, this takes 3; lower train.batch_size")
    batches = job.batches.train(epoch)
    next(batches)
    return lambda: next(batches)


def _step(job: Job, epoch: int) -> Callable[[], Any]:
    """A step on a ready batch, at a learning rate of 0, so that the network stays what it is."""
    images, labels = next(job.batches.train(epoch))
    return lambda: job.state.engine.step(images, labels, lr=0.0, seed=0)


def _numbers(shape: tuple[int, ...]) -> Tensor:
    """float32 in [-0.5, 0.5), soon there also where there are many: a million, repeated."""
    count = torch.Size(shape).numel()
    some = torch.rand(min(count, 1 << 20)) - 0.5
    return some.repeat(-(-count // len(some)))[:count].view(shape)
