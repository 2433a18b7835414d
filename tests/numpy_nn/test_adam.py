"""Adam and AdamW against torch.optim over several steps with changing learning rates, in both dtypes."""

import numpy as np
import pytest
import torch

from convscope.numpy_nn import Adam

SHAPES = {"conv": (4, 3, 2, 5), "norm": (4,), "head": (3, 7)}
RATES = (0.3, 0.3, 0.05, 0.0, 0.7)


@pytest.mark.parametrize("decayed", [None, ["conv", "head"]], ids=["all", "some"])
@pytest.mark.parametrize("weight_decay", [0.0, 0.03])
@pytest.mark.parametrize("decoupled", [False, True])
@pytest.mark.parametrize(("betas", "eps"), [((0.9, 0.999), 1e-8), ((0.5, 0.7), 1e-2)])
def test_the_steps_of_pytorch(dtype, decoupled, weight_decay, decayed, betas, eps):
    rng = np.random.default_rng(5)
    params = {name: rng.standard_normal(shape).astype(dtype) for name, shape in SHAPES.items()}
    theirs = {name: torch.tensor(value, requires_grad=True) for name, value in params.items()}
    adam = Adam(params, 1.0, betas, eps, weight_decay, decoupled, decayed)
    chosen = set(SHAPES if decayed is None else decayed)
    groups = [
        {"params": [theirs[n] for n in SHAPES if n in chosen], "weight_decay": weight_decay},
        {"params": [theirs[n] for n in SHAPES if n not in chosen], "weight_decay": 0.0},
    ]
    kind = torch.optim.AdamW if decoupled else torch.optim.Adam
    optimizer = kind([g for g in groups if g["params"]], lr=1.0, betas=betas, eps=eps)
    for lr in RATES:
        grads = {name: rng.standard_normal(shape).astype(dtype) for name, shape in SHAPES.items()}
        kept = {name: value.copy() for name, value in grads.items()}
        adam.lr = lr
        for group in optimizer.param_groups:
            group["lr"] = lr
        for name, value in theirs.items():
            value.grad = torch.from_numpy(grads[name].copy())
        adam.step(grads)
        optimizer.step()
        assert all(np.array_equal(grads[name], kept[name]) for name in grads)
        for name, value in theirs.items():
            tolerance = 1e-13 if dtype == np.float64 else 4e-6
            np.testing.assert_allclose(params[name], value.detach().numpy(), rtol=tolerance, atol=tolerance)
            assert params[name].dtype == dtype


def test_goes_on_from_a_saved_state():
    rng = np.random.default_rng(7)
    one, two = {"p": np.ones(3)}, {"p": np.ones(3)}
    steps = rng.standard_normal((4, 3))
    straight, stopped = Adam(one, 0.1), Adam(two, 0.1)
    for step in steps:
        straight.step({"p": step})
    for step in steps[:2]:
        stopped.step({"p": step})
    resumed = Adam(two, 0.1)
    resumed.state = {name: value.copy() for name, value in stopped.state.items()}
    for step in steps[2:]:
        resumed.step({"p": step})
    assert np.array_equal(one["p"], two["p"])


def test_a_step_that_cannot_be_made_changes_nothing():
    params = {"weight": np.ones((2, 3)), "bias": np.ones(2)}
    adam = Adam(params, lr=0.1)
    with pytest.raises(ValueError, match="Adam got no gradient for bias"):
        adam.step({"weight": np.ones((2, 3))})
    with pytest.raises(ValueError, match="Adam got betas"):
        Adam(params, lr=0.1, betas=(1.5, 0.9))
    assert all((value == 1).all() for value in params.values())
    assert not adam.state
