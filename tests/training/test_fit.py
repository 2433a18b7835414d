"""The loop against plain PyTorch, step by step, and the promise that a step depends on its place alone."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from convscope.config import TrainConfig
from convscope.data import Batches, ImageSet
from convscope.errors import ConvscopeError, UsageError
from convscope.training import Epoch, Step, TrainState, fit, learning_rate
from convscope.training.optimizers import make_optimizer


def pictures(n: int, seed: int = 0) -> ImageSet:
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (n, 1, 5, 6)).astype(np.uint8)
    return ImageSet(images, rng.integers(0, 3, n), ("a", "b", "c"))


def make_model() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout(0.3), nn.Linear(48, 3)
    )


def make_state(**settings: Any) -> TrainState:
    config = TrainConfig(**{"epochs": 3, "batch_size": 8, "lr": 0.05, "warmup": 1, "label_smoothing": 0.1} | settings)
    return TrainState(make_model(), config, (1, 5, 6), 3)


def make_batches(n: int = 30, val: int = 10) -> Batches:
    return Batches(pictures(n), pictures(val, 1) if val else None, mean=(0.5,), std=(0.3,), batch_size=8, seed=0)


def test_records_come_in_order_and_say_what_happened() -> None:
    state, batches = make_state(), make_batches()
    records = list(fit(state, batches))
    epochs = [r for r in records if isinstance(r, Epoch)]
    assert batches.steps_per_epoch == 4
    assert [type(r) for r in records] == ([Step] * 4 + [Epoch]) * 3
    assert [e.epoch for e in epochs] == [1, 2, 3]
    assert [e.step for e in epochs] == [4, 8, 12]
    for index, epoch in enumerate(epochs):
        last = records[index * 5 + 3]
        assert isinstance(last, Step)
        assert (epoch.train_loss, epoch.train_accuracy, epoch.lr) == (last.loss, last.accuracy, last.lr)
        assert epoch.images_per_second == pytest.approx(30 / epoch.seconds)
    assert sum(r.images for r in records if isinstance(r, Step)) == 90


def test_the_update_is_the_textbook_one() -> None:
    """Nesterov SGD with weight decay on matrices only, cross-entropy with smoothing, written out by hand."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(30, 3))
    settings = {"schedule": "linear", "momentum": 0.8, "weight_decay": 0.01, "label_smoothing": 0.3}
    config = TrainConfig(epochs=1, batch_size=8, lr=0.2, **settings)
    batches = make_batches(val=0)
    weight, bias = (p.detach().clone().double() for p in model.parameters())
    velocity = [torch.zeros_like(weight), torch.zeros_like(bias)]
    for step, (x, y) in enumerate(batches.train(0)):
        z = x.double().flatten(1) @ weight.T + bias
        error = (z.softmax(1) - (0.7 * F.one_hot(y, 3) + 0.3 / 3)) / len(y)
        gradients = [error.T @ x.double().flatten(1) + 0.01 * weight, error.sum(0)]
        for parameter, v, g in zip((weight, bias), velocity, gradients, strict=True):
            v.mul_(0.8).add_(g)
            parameter -= 0.2 * (1 - step / 4) * (g + 0.8 * v)
    list(fit(TrainState(model, config, (1, 5, 6), 3), batches))
    torch.testing.assert_close(model[1].weight.double(), weight, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(model[1].bias.double(), bias, rtol=1e-5, atol=1e-6)


def test_losses_are_means_over_pictures_and_validation_is_in_eval_mode() -> None:
    state, batches = make_state(epochs=1), make_batches(val=13)
    *_, epoch = fit(state, batches)
    assert isinstance(epoch, Epoch)
    model = state.model.eval()
    held_out = pictures(13, 1)
    x = (torch.from_numpy(held_out.images).float() / 255 - 0.5) / 0.3
    y = torch.from_numpy(held_out.labels)
    with torch.no_grad():
        logits = model(x)
    assert epoch.val_loss == pytest.approx(float(F.cross_entropy(logits, y)), rel=1e-5)  # without smoothing
    assert epoch.val_accuracy == int((logits.argmax(1) == y).sum()) / 13


def test_without_validation_its_columns_are_none() -> None:
    *_, epoch = fit(make_state(epochs=1), make_batches(val=0))
    assert isinstance(epoch, Epoch)
    assert (epoch.val_loss, epoch.val_accuracy) == (None, None)


def test_a_loss_that_is_no_number_stops_with_epoch_and_step() -> None:
    state = make_state(lr=1e30, warmup=0, momentum=0)
    with pytest.raises(
        ConvscopeError, match=r"the loss became (nan|inf) in epoch 1, step 2 of \d+; .* smaller train.lr"
    ):
        list(fit(state, make_batches()))


def test_the_first_batch_is_checked_before_anything_is_learned() -> None:
    raw = Batches(pictures(30), mean=(0.0,), std=(1.0,), batch_size=8, seed=0)
    state = make_state()
    with pytest.raises(UsageError, match="the pictures are not normalised"):
        list(fit(state, raw))
    assert torch.equal(weights(state), weights(make_state()))
    assert state.step == 0
    with pytest.raises(UsageError, match="the labels run from 0 to 2; a model with 2 classes"):
        list(fit(TrainState(make_model(), TrainConfig(), (1, 5, 6), 2), make_batches()))
    with pytest.raises(UsageError, match=r"expects \(N, C, H, W\) with \(1, 6, 5\)"):
        list(fit(TrainState(make_model(), TrainConfig(), (1, 6, 5), 3), make_batches()))


def test_an_update_that_wrecks_the_weights_is_noticed_before_anything_is_saved() -> None:
    state = make_state(lr=1e38, warmup=0, momentum=0, epochs=1, batch_size=64)
    batches = Batches(
        pictures(30), None, mean=(0.5,), std=(0.3,), batch_size=64, seed=0
    )  # one step: its loss is finite
    with pytest.raises(ConvscopeError, match=r"after its update the loss is (nan|inf) in epoch 1, step 1 of 1;"):
        list(fit(state, batches))


def weights(state: TrainState) -> torch.Tensor:
    return torch.cat([value.flatten().double() for value in state.model.state_dict().values()])


@pytest.mark.parametrize("stop_after", [2, 4, 5, 7])
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_stopping_and_going_on_gives_the_unbroken_run_bit_for_bit(stop_after: int, optimizer: str) -> None:
    whole = make_state(optimizer=optimizer)
    rows = [r for r in fit(whole, make_batches()) if isinstance(r, Epoch)]

    broken = make_state(optimizer=optimizer)
    early = []
    for record in fit(broken, make_batches()):
        early += [record] if isinstance(record, Epoch) else []
        if isinstance(record, Step) and record.step == stop_after:
            break
    torch.randn(1000)  # whatever happens in between draws from the global stream
    resumed = make_state(optimizer=optimizer)
    resumed.model.load_state_dict(make_model().state_dict())
    resumed.load_state_dict(broken.state_dict())
    late = [r for r in fit(resumed, make_batches()) if isinstance(r, Epoch)]

    assert torch.equal(weights(whole), weights(resumed))
    timing = {"seconds": 0.0, "images_per_second": 0.0}
    assert [dataclasses.replace(r, **timing) for r in [*early, *late]] == [
        dataclasses.replace(r, **timing) for r in rows
    ]


def test_the_global_random_state_is_left_alone_and_does_not_matter() -> None:
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    first = make_state()
    torch.random.set_rng_state(before)
    list(fit(first, make_batches()))
    assert torch.equal(torch.random.get_rng_state(), before)
    second = make_state()
    torch.manual_seed(99)
    list(fit(second, make_batches()))
    assert torch.equal(weights(first), weights(second))


def test_another_seed_is_another_run() -> None:
    first, second = make_state(seed=0), make_state(seed=1)  # dropout differs, the order does not
    list(fit(first, make_batches()))
    list(fit(second, make_batches()))
    assert not torch.equal(weights(first), weights(second))


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("constant", [1.0] * 8),
        ("linear", [1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125]),
        ("step", [1.0, 1.0, 0.1, 0.1, 0.01, 0.01, 0.001, 0.001]),
        ("cosine", [1.0, 0.961940, 0.853553, 0.691342, 0.5, 0.308658, 0.146447, 0.038060]),
    ],
)
def test_schedules(schedule: Any, expected: list[float]) -> None:
    config = TrainConfig(epochs=4, lr=1, schedule=schedule, step_size=1, gamma=0.1)
    assert [learning_rate(config, step, 2) for step in range(8)] == pytest.approx(expected, abs=1e-6)


def test_warm_up_is_linear_and_the_schedule_fills_the_rest() -> None:
    config = TrainConfig(epochs=4, lr=2, schedule="linear", warmup=1.5)
    rates = [learning_rate(config, step, 2) for step in range(8)]
    assert rates == pytest.approx([2 / 3, 4 / 3, 2, 2, 1.6, 1.2, 0.8, 0.4])


def test_warm_up_takes_at_most_half_of_a_short_run() -> None:
    config = TrainConfig(epochs=1, lr=1, schedule="linear", warmup=3)
    assert [learning_rate(config, step, 4) for step in range(4)] == pytest.approx([0.5, 1, 1, 0.5])


@pytest.mark.parametrize(
    ("name", "kind"), [("sgd", torch.optim.SGD), ("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)]
)
def test_weight_decay_spares_biases_and_batchnorm(name: Any, kind: type) -> None:
    model = make_model()
    optimizer = make_optimizer(model, TrainConfig(optimizer=name, weight_decay=0.01))
    assert type(optimizer) is kind
    decayed, spared = optimizer.param_groups
    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.01, 0)
    assert [p.ndim for p in decayed["params"]] == [4, 2]
    assert {p.ndim for p in spared["params"]} == {1}
    if name == "sgd":
        assert decayed["nesterov"]
