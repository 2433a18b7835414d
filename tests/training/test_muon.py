"""Muon against its definition: the SVD says which direction is orthogonal, NumPy writes the step out again."""

import numpy as np
import pytest
import torch
from torch import nn

from convscope.config import TrainConfig
from convscope.training.muon import Muon, orthogonalize
from convscope.training.optimizers import make_optimizer


@pytest.mark.parametrize("shape", [(6, 27), (40, 9), (16, 16)])
def test_singular_vectors_stay_and_singular_values_become_nearly_one(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    u, _, vt = np.linalg.svd(rng.standard_normal(shape), full_matrices=False)
    values = np.geomspace(1, 0.03, min(shape)) * 50  # far from each other, and from 1
    found = orthogonalize(torch.from_numpy(u * values @ vt)).numpy()
    seen = u.T @ found @ vt.T
    np.testing.assert_allclose(seen - np.diag(np.diag(seen)), 0, atol=1e-10)
    assert np.diag(seen).min() > 0.65
    assert np.diag(seen).max() < 1.25


def test_a_matrix_of_zeros_stays() -> None:
    assert torch.equal(orthogonalize(torch.zeros(3, 5)), torch.zeros(3, 5))


@pytest.mark.parametrize("shape", [(5, 2, 3, 3), (12, 1, 2, 2)])
def test_the_step_of_a_kernel(shape: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(1)
    p = torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_()
    expected, velocity = p.detach().clone(), torch.zeros(shape, dtype=torch.float64)
    muon = Muon([{"params": [p], "weight_decay": 0.2}], lr=0.1, momentum=0.8)
    longest = max(1, shape[0] / np.prod(shape[1:])) ** 0.5
    for lr in (0.1, 0.1, 0.03):
        gradient = torch.randn(shape, generator=generator, dtype=torch.float64)
        p.grad = gradient.clone()
        muon.param_groups[0]["lr"] = lr
        muon.step()
        velocity = 0.8 * velocity + gradient
        direction = orthogonalize((gradient + 0.8 * velocity).reshape(shape[0], -1)).reshape(shape)
        expected = expected - lr * 0.2 * expected - lr * longest * direction
        torch.testing.assert_close(p.detach(), expected, rtol=1e-12, atol=1e-12)
        assert torch.equal(p.grad, gradient)


def test_the_size_of_a_gradient_says_nothing() -> None:
    kernels = [torch.zeros(4, 3, 3, 3, requires_grad=True) for _ in range(2)]
    gradient = torch.randn(4, 3, 3, 3, generator=torch.Generator().manual_seed(2))
    for kernel, size in zip(kernels, (1.0, 1e4), strict=True):
        kernel.grad = size * gradient
        Muon([kernel], lr=0.1).step()
    torch.testing.assert_close(kernels[0], kernels[1], rtol=1e-4, atol=1e-6)


def test_what_is_no_kernel_goes_the_way_of_sgd() -> None:
    torch.manual_seed(3)
    ours, theirs = nn.Linear(4, 3), nn.Linear(4, 3)
    theirs.load_state_dict(ours.state_dict())
    muon = Muon(ours.parameters(), lr=0.1, momentum=0.7)
    sgd = torch.optim.SGD(theirs.parameters(), lr=0.1, momentum=0.7, nesterov=True)
    for _ in range(3):
        x = torch.randn(5, 4)
        for model, optimizer in ((ours, muon), (theirs, sgd)):
            optimizer.zero_grad()
            model(x).square().sum().backward()
            optimizer.step()
    torch.testing.assert_close(ours.weight, theirs.weight)
    torch.testing.assert_close(ours.bias, theirs.bias)


def test_the_configuration_reaches_it() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    config = TrainConfig(optimizer="muon", lr=0.07, momentum=0.6, weight_decay=0.3)
    optimizer = make_optimizer(model, config)
    assert isinstance(optimizer, Muon)
    kernels, offsets = optimizer.param_groups
    assert (kernels["lr"], kernels["momentum"], kernels["weight_decay"]) == (0.07, 0.6, 0.3)
    assert [tuple(p.shape) for p in kernels["params"]] == [(2, 1, 3, 3)]
    assert offsets["weight_decay"] == 0


def test_a_fixed_norm_leaves_the_direction_alone_to_count() -> None:
    generator = torch.Generator().manual_seed(4)
    start = torch.randn(6, 2, 3, 3, generator=generator, dtype=torch.float64)
    gradient = torch.randn(6, 2, 3, 3, generator=generator, dtype=torch.float64)
    found = []
    for scale in (1.0, 1e3):
        p = (scale * start).requires_grad_()
        p.grad = gradient.clone()
        Muon([p], lr=0.3, momentum=0.5, fixed_norm=True).step()
        found.append(p.detach())
    torch.testing.assert_close(found[0], found[1])
    step = found[0] - start * 6**0.5 / start.norm()
    torch.testing.assert_close(step, -0.3 * orthogonalize(1.5 * gradient.flatten(1)).view_as(step))


def test_fewer_iterations_are_less_exact() -> None:
    u, _, vt = torch.linalg.svd(torch.randn(8, 20, generator=torch.Generator().manual_seed(6)), full_matrices=False)
    matrix = u * torch.logspace(0, -2, 8) @ vt
    off = [float((u.T @ orthogonalize(matrix, n) @ vt.T - torch.eye(8)).norm()) for n in (1, 3, 5)]
    assert off[0] > 1.5 * off[1] > 1.5**2 * off[2]


def test_sixteen_bits_are_exact_enough() -> None:
    p, q = (torch.zeros(16, 4, 3, 3, requires_grad=True) for _ in range(2))
    p.grad = torch.randn(16, 4, 3, 3, generator=torch.Generator().manual_seed(7))
    q.grad = p.grad.clone()
    Muon([p], lr=1.0).step()
    Muon([q], lr=1.0, dtype=torch.bfloat16).step()
    assert q.dtype == torch.float32
    cosine = torch.cosine_similarity(p.detach().flatten(), q.detach().flatten(), dim=0)
    assert 0.99 < float(cosine) < 0.9999999


def test_biases_and_the_head_may_go_at_a_rate_of_their_own() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3, bias=False), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(2, 3))
    head = model[3].weight.detach().clone()
    config = TrainConfig(
        optimizer="muon", lr=0.5, momentum=0.0, bias_lr=0.1, weight_decay=0, fixed_norm=True, head_lr=0.3
    )
    optimizer = make_optimizer(model, config)
    kernel = model[0].weight.detach().clone()
    for p in model.parameters():
        p.grad = torch.ones_like(p)
    optimizer.step()
    torch.testing.assert_close(model[1].bias.detach(), torch.full((2,), -0.05))
    torch.testing.assert_close(model[3].weight.detach(), head - 0.15)
    moved = model[0].weight.detach() - kernel * 2**0.5 / kernel.norm()
    torch.testing.assert_close(moved, -0.5 * orthogonalize(torch.ones(2, 9)).view_as(moved))


@pytest.mark.parametrize("bias_decay", [False, True])
def test_decay_is_as_fast_for_all_that_decays(bias_decay: bool) -> None:
    model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm2d(3))
    config = TrainConfig(optimizer="muon", lr=0.5, weight_decay=0.2, bias_lr=7.0, head_lr=0.3, bias_decay=bias_decay)
    optimizer = make_optimizer(model, config)
    before = [p.detach().clone() for p in model.parameters()]
    for p in model.parameters():
        p.grad = torch.zeros_like(p)
    optimizer.step()
    for p, was in zip(model.parameters(), before, strict=True):
        torch.testing.assert_close(p.detach(), (0.9 if bias_decay or p.ndim > 1 else 1.0) * was)


def test_what_needs_no_gradient_is_not_the_optimizers() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Conv2d(2, 2, 3))
    model[0].weight.requires_grad_(False)
    for name in ("sgd", "adam", "adamw", "muon"):
        held = [p for group in make_optimizer(model, TrainConfig(optimizer=name)).param_groups for p in group["params"]]
        assert len(held) == 3
        assert not any(p is model[0].weight for p in held)
