"""BatchNorm in train mode: its statistics over a batch of mates, and what it makes of them."""

from collections.abc import Callable

import numpy as np
import torch

from convscope.explain.clone import eval_clone
from convscope.runs import Run
from convscope.service.trace.tracer import Tracer

MATES = ("shapes:9", "shapes:4", "digits:11")


def test_statistics_are_those_of_the_batch(untrained: Callable[..., Run], tracer_of: Callable[[Run], Tracer]) -> None:
    tracer = tracer_of(untrained("tiny-resnet", base_channels=4))
    passes = [tracer.passed(img, mode="train", mates=[m for m in ("shapes:5", *MATES) if m != img])
              for img in ("shapes:5", *MATES)]  # fmt: skip
    for node in tracer.graph.nodes:
        if node.kind.name != "batchnorm":
            continue
        inputs = np.stack([passed.outputs[node.inputs[0]] for passed in passes]).astype(np.float64)
        seen = passes[0].statistics[node.id]
        assert seen.count == inputs.size // inputs.shape[1]
        assert np.allclose(seen.mean, inputs.mean(axis=(0, 2, 3)), rtol=1e-5, atol=1e-6)
        assert np.allclose(seen.var, inputs.var(axis=(0, 2, 3)), rtol=1e-4)
        weight, bias = (tracer.tensor(node.id, name)[:, None, None] for name in ("weight", "bias"))
        mean, var = seen.mean[:, None, None], seen.var[:, None, None].astype(np.float64)
        expected = weight * (inputs[0] - mean) / np.sqrt(var + node.kind.settings["eps"]) + bias
        assert np.allclose(passes[0].outputs[node.id], expected, rtol=1e-4, atol=1e-5), node.id


def test_train_mode_is_pytorchs_own(untrained: Callable[..., Run], tracer_of: Callable[[Run], Tracer]) -> None:
    run = untrained("deep-cnn", initial_channels=4, hidden=9)
    tracer = tracer_of(run)
    model = eval_clone(run.model).train()
    model.get_submodule("dropout").eval()
    with torch.no_grad():
        logits = model(tracer.x([tracer.gallery.picture(ref) for ref in ("shapes:5", *MATES)]))
    passed = tracer.passed("shapes:5", mode="train", mates=MATES)
    assert np.array_equal(passed.logits, logits[0].numpy())
    assert not np.allclose(passed.logits, tracer.passed("shapes:5").logits, atol=1e-3)


def test_running_statistics_are_left_alone(untrained: Callable[..., Run], tracer_of: Callable[[Run], Tracer]) -> None:
    run = untrained("tiny-resnet", base_channels=4)
    before = {name: value.clone() for name, value in run.model.state_dict().items()}
    tracer = tracer_of(run)
    tracer.passed("shapes:5", mode="train", mates=MATES)
    found = tracer.statistics("shapes:5", "stem.norm", MATES)
    assert found["running_var"] == before["stem.norm.running_var"].tolist()
    assert all(torch.equal(before[name], value) for name, value in run.model.state_dict().items())
    assert not any(module.training for module in run.model.modules())
