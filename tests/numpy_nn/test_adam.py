"""Adam and AdamW against torch.optim over several steps with changing learning rates, in both dtypes."""

import numpy as np
import pytest
import torch

from convscope.numpy_nn import Adam


@pytest.mark.parametrize("decayed", [None, ["conv", "head"]], ids=["all", "some"])
@pytest.mark.parametrize("weight_decay", [0.0, 0.03])
@pytest.mark.parametrize("decoupled", [False, True])
@pytest.mark.parametrize(("betas", "eps"), [((0.9, 0.999), 1e-8), ((0.5, 0.7), 1e-2)])
def test_the_steps_of_pytorch(dtype, decoupled, weight_decay, decayed, betas, eps, follows):
    def ours(params, lr, weight_decay, decayed):
        return Adam(params, lr, betas, eps, weight_decay, decoupled, decayed)

    theirs = torch.optim.AdamW if decoupled else torch.optim.Adam
    rtol = 1e-13 if dtype == np.float64 else 4e-6
    follows(ours, theirs, dtype, weight_decay, decayed, rtol, betas=betas, eps=eps)


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
