"""A model, a picture and a class in; the gradient of its logit at every node's output, and of every parameter, out."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from convscope.explain.forward_pass import private, recording
from convscope.service.problems import Problem
from convscope.service.trace.edits import Edits, edited
from convscope.service.trace.flow import INPUT, Call, follow
from convscope.service.trace.passes import Array, array


@dataclass(frozen=True, eq=False)
class Gradients:
    """Of one logit, for one picture.

    Attributes:
        outputs: node id -> the gradient at its output, in that shape; nodes from which nothing leads to the logit are
            not there.
        parameters: (layer, name) -> the gradient of a parameter, of all calls of the layer together; empty where nobody
            asked for them.
    """

    outputs: Mapping[str, Array]
    parameters: Mapping[tuple[str, str], Array]

    @property
    def nbytes(self) -> int:
        return sum(value.nbytes for value in (*self.outputs.values(), *self.parameters.values()))


def make_gradients(
    model: nn.Module, x: Tensor, target: int, edits: Edits = (), of_parameters: bool = False
) -> Gradients:
    """One forward and one backward pass of a private copy of `model` in eval mode, on one picture (1, C, H, W).

    Those of parameters take nearly as long again as the rest. Parameters that are fixed in training, such as a
    `Whitening`'s, have one too.

    Raises:
        Problem: there is no such class.
    """
    copy = edited(model, edits)
    parameters = {
        (layer, name): p for layer, m in copy.named_modules() for name, p in m.named_parameters(recurse=False)
    }
    for parameter in parameters.values():
        parameter.requires_grad_(of_parameters and parameter.is_floating_point())
    with recording(x.device):
        picture = private(x).requires_grad_()
    outputs: dict[str, Tensor] = {INPUT: picture}

    def keep(call: Call) -> Tensor | None:
        outputs[call.id] = call.output
        return call.output.clone()  # what a later layer may change in place, as ReLU(inplace=True) does

    logits = follow(copy, picture, keep, record=True)
    if not 0 <= target < logits.shape[1]:
        raise Problem(422, "no_class", f"target {target} is not a class: the model has {logits.shape[1]}, from 0")
    wanted = [*outputs.values(), *parameters.values()]
    with recording(x.device):
        found = torch.autograd.grad(logits[0, target], [t for t in wanted if t.requires_grad], allow_unused=True)
    by_tensor = dict(zip((id(t) for t in wanted if t.requires_grad), found, strict=True))
    return Gradients(
        {name: array(gradient[0]) for name, t in outputs.items() if (gradient := by_tensor.get(id(t))) is not None},
        {key: array(gradient) for key, p in parameters.items() if (gradient := by_tensor.get(id(p))) is not None},
    )
