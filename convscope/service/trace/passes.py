"""A model and a picture in; one pass out: the output of every node, in PyTorch's own float32."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from convscope.service.problems import Problem
from convscope.service.trace.edits import Edits, edited
from convscope.service.trace.flow import INPUT, Call, follow

Array = NDArray[np.float32]
Mode = Literal["eval", "train"]


@dataclass(frozen=True, eq=False)
class Statistics:
    """What a BatchNorm in train mode saw: mean and biased variance of each channel, (C,), over `count` values each."""

    mean: Array
    var: Array
    count: int


@dataclass(frozen=True, eq=False)
class Pass:
    """One pass of one picture.

    Attributes:
        outputs: node id -> its output for that picture, (C, H, W) or (F,); of "input" the normalised picture.
        logits: (K,).
        statistics: node id -> of each BatchNorm, over the whole batch; empty in eval mode.
    """

    outputs: Mapping[str, Array]
    logits: Array
    statistics: Mapping[str, Statistics]

    @property
    def nbytes(self) -> int:
        """Of the outputs, next to which the rest is nothing."""
        return sum(output.nbytes for output in self.outputs.values())


def make_pass(model: nn.Module, x: Tensor, edits: Edits = (), mode: Mode = "eval") -> Pass:
    """Run a private copy of `model` on `x`, (N, C, H, W); what is kept is of the first picture.

    In train mode BatchNorm normalises by the batch. Dropout stays idle: its masks are drawn anew each time, so no
    number behind them could be shown twice.

    Raises:
        Problem: a BatchNorm has one value a channel to take statistics of.
    """
    copy = edited(model, edits)
    norms = {m: name for name, m in copy.named_modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)}
    for norm in norms:
        norm.training = mode == "train"
    watched = set(norms.values()) if mode == "train" else set()
    outputs = {INPUT: array(x[0])}
    statistics: dict[str, Statistics] = {}

    def keep(call: Call) -> None:
        outputs[call.id] = array(call.output[0] if call.output.ndim else call.output)
        if call.function is None and call.layer in watched:
            statistics[call.id] = batch_statistics(call.operands[0])

    try:
        logits = follow(copy, x, keep)
    except ValueError as error:
        if mode == "train" and "more than 1 value" in str(error):
            raise Problem(422, "too_few_mates", f"{error}; add pictures to the batch with mates") from None
        raise
    return Pass(outputs, array(logits[0]), statistics)


def batch_statistics(x: Tensor) -> Statistics:
    """Of the input of a BatchNorm, (N, C, …), in float64, rounded once."""
    axes = [0, *range(2, x.ndim)]
    var, mean = torch.var_mean(x.detach().double(), axes, correction=0)
    return Statistics(array(mean), array(var), x.numel() // x.shape[1])


def array(tensor: Tensor) -> Array:
    """A contiguous copy in float32, which a later change in place does not reach."""
    kept: Array = tensor.detach().to("cpu", torch.float32, copy=True).contiguous().numpy()
    return kept
