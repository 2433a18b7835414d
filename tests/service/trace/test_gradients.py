"""Gradients at every node and of every parameter, against PyTorch's own and against each other by the chain rule."""

from collections.abc import Callable

import numpy as np
import torch
from torch.nn import functional as F

from convscope.explain.capture import EvalCopy, class_gradient
from convscope.explain.clone import eval_clone
from convscope.runs import Run
from convscope.service.trace.tracer import Tracer


def test_gradients_are_pytorchs_own(variant: Tracer) -> None:
    target, found = 4, variant.gradients("shapes:5", 4, of_parameters=True)
    x = variant.x([variant.gallery.picture("shapes:5")])
    model = eval_clone(variant.run.model).requires_grad_(True)
    model(x)[0, target].backward()
    for name, parameter in model.named_parameters():
        layer, _, key = name.rpartition(".")
        assert np.array_equal(found.parameters[layer, key], parameter.grad.numpy()), name
    plain = variant.gradients("shapes:5", 4)
    assert plain.parameters == {}
    assert all(np.array_equal(plain.outputs[node.id], found.outputs[node.id]) for node in variant.graph.nodes)
    copy = EvalCopy(variant.run.model)
    for node in variant.graph.nodes[1:]:
        assert found.outputs[node.id].shape == node.shape
        if len(node.shape) == 3 and node.shape[1:] != (1, 1):
            expected = class_gradient(*copy.forward_at(variant.graph.explained(node), x), torch.tensor([target]))
            assert np.allclose(found.outputs[node.id], expected[0], rtol=1e-5, atol=1e-9), node.id


def test_a_convolutions_gradients_follow_from_each_other(
    untrained: Callable[..., Run], tracer_of: Callable[[Run], Tracer]
) -> None:
    """What the page recomputes: the weight's gradient from dy and x, and dx by scattering dy back over the patches."""
    tracer = tracer_of(untrained("lenet5"))
    gradients, passed = tracer.gradients("shapes:5", 1, of_parameters=True), tracer.passed("shapes:5")
    x, weight = (torch.from_numpy(a).double() for a in (passed.outputs["pool1"], tracer.tensor("conv2", "weight")))
    dy = torch.from_numpy(gradients.outputs["conv2"]).double()
    columns = F.unfold(x[None], 5)[0]  # (C*KH*KW, OH*OW)
    share = (dy.flatten(1) @ columns.T).view_as(weight)
    assert np.allclose(gradients.parameters["conv2", "weight"], share, rtol=1e-4, atol=1e-8)
    scattered = F.fold(weight.flatten(1).T @ dy.flatten(1), x.shape[1:], 5)
    assert np.allclose(gradients.outputs["pool1"], scattered, rtol=1e-4, atol=1e-8)
    assert np.allclose(gradients.parameters["conv2", "bias"], dy.sum(dim=(1, 2)), rtol=1e-4, atol=1e-8)


def test_gradients_of_an_edited_network(untrained: Callable[..., Run], tracer_of: Callable[[Run], Tracer]) -> None:
    tracer = tracer_of(untrained("lenet5"))
    edits = tracer.edits("linear3:weight:84:3.5")  # of class 1 the first
    plain, edited = tracer.gradients("shapes:5", 1), tracer.gradients("shapes:5", 1, edits)
    assert edited.outputs["tanh4"][0] == np.float32(3.5) != plain.outputs["tanh4"][0]
    assert np.array_equal(edited.outputs["tanh4"][1:], plain.outputs["tanh4"][1:])
    assert not any(parameter.grad is not None for parameter in tracer.run.model.parameters())
    assert all(p.requires_grad for p in tracer.run.model.parameters())
