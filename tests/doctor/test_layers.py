"""What is wrong with a model's layers or their mode is measured and named; what changes nothing is no alarm."""

import re
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convscope.doctor import Finding, examine
from convscope.explain.clone import eval_clone
from convscope.runs import Run

Bad = Callable[[list[Finding]], dict[str, tuple[str, str]]]
BatchOf = Callable[..., tuple[Tensor, Tensor]]
Trained = Callable[..., nn.Sequential]
Around = Callable[..., nn.Module]


def test_train_mode_is_named_with_what_it_changes(bad: Bad, batch_of: BatchOf, digits_run: Run) -> None:
    images, labels = batch_of("test", 16)
    model = eval_clone(digits_run.model).train()
    (name,) = found = bad(examine(model, images, labels))
    with torch.no_grad():
        expected = eval_clone(digits_run.model).train()(images), digits_run.model(images)
    changed = int((expected[0].argmax(1) != expected[1].argmax(1)).sum())
    difference = float((expected[0] - expected[1]).abs().max())
    assert found[name] == (
        "problem",
        "10 of 10 BatchNorm and Dropout layers are in train mode: logits are off by up to "
        f"{difference:.2g}, and {changed} of 16 predictions change.",
    )
    half = eval_clone(digits_run.model)
    half.stem.norm.train()
    assert bad(examine(half, images, labels))["mode"][1].startswith("1 of 10 ")


def test_train_mode_with_dropout_alone(bad: Bad, batch_of: BatchOf, trained: Trained) -> None:
    model = trained(*batch_of("train"))
    model.insert(4, nn.Dropout(0.5))
    images, labels = batch_of("test")
    torch.manual_seed(7)
    before = torch.random.get_rng_state()
    assert bad(examine(model.train(), images, labels))["mode"][1].startswith("1 of 1 BatchNorm and Dropout layers")
    assert torch.equal(torch.random.get_rng_state(), before)
    assert bad(examine(model.eval(), images, labels)) == {}
    del model[4]
    assert bad(examine(model.train(), images, labels)) == {}  # without such a layer the mode changes nothing


def test_train_mode_on_one_picture_is_refused_by_batchnorm(bad: Bad) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 8), nn.BatchNorm1d(8), nn.Linear(8, 3))
    severity, seen = bad(examine(model, torch.randn(1, 1, 3, 4), torch.tensor([2])))["mode"]
    assert severity == "problem"
    assert "refuses this batch: Expected more than 1 value per channel" in seen


def refuse(_: Tensor) -> Tensor:
    raise AssertionError


@pytest.mark.parametrize(
    ("then", "seen"),
    [
        (lambda z, training: (z, z) if training else z, "The model is not in eval mode, and so gives a tuple instead"),
        (
            lambda z, training: z[:, :7] if training else z,
            "The model is not in eval mode, and so gives (200, 7) instead",
        ),
        (lambda z, training: z * float("nan") if training else z, "The model is in train mode: logits are off"),
        (
            lambda z, training: refuse(z) if training else z,
            "The model is in train mode, and so the model refuses this batch: AssertionError",
        ),
    ],
    ids=["auxiliary logits", "another head", "NaN", "refused"],
)
def test_a_model_that_answers_otherwise_in_train_mode(
    around: Around,
    bad: Bad,
    batch_of: BatchOf,
    trained: Trained,
    then: Callable[[Tensor, bool], object],
    seen: str,
) -> None:
    model = around(trained(*batch_of("train")), after=then)
    found = bad(examine(model.train(), *batch_of("test")))
    assert found.keys() == {"mode"}
    assert found["mode"][0] == "problem"
    assert found["mode"][1].startswith(seen)
    assert bad(examine(model.eval(), *batch_of("test"))) == {}


def test_a_training_that_left_the_numbers(bad: Bad, batch_of: BatchOf, trained: Trained) -> None:
    model = trained(*batch_of("train"), lr=1e6, steps=8)
    found = bad(examine(model, *batch_of("test")))
    assert found == {"weights": ("problem", "NaN or infinity in 0.weight and 3 more: the training has diverged.")}


def test_dropout_left_on_in_eval_mode(bad: Bad, batch_of: BatchOf, trained: Trained, around: Around) -> None:
    """F.dropout drops by default, whatever mode the model is in."""
    model, batch = trained(*batch_of("train")), batch_of("test")
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    found = examine(around(model, lambda x, _: F.dropout(x, 0.5)).eval(), *batch)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert bad(found).keys() == {"determinism"}
    severity, seen = bad(found)["determinism"]
    assert severity == "problem"
    number = re.fullmatch(
        r"In eval mode two passes over the same pictures differ: logits by up to [\d.]+, and (\d+) of 200 predictions; "
        "the same random numbers give the same logits, so it is chance.",
        seen,
    )
    assert number
    assert 5 < int(number[1]) < 150
    (advice,) = [finding.advice for finding in found if finding.advice]
    assert "training=self.training" in advice
    assert bad(examine(around(model, lambda x, training: F.dropout(x, 0.5, training)).eval(), *batch)) == {}


def test_a_little_noise_is_a_warning(bad: Bad, batch_of: BatchOf, trained: Trained, around: Around) -> None:
    model = around(trained(*batch_of("train")), after=lambda z, _: z + 1e-3 * torch.randn_like(z))
    severity, seen = bad(examine(model, *batch_of("test")))["determinism"]
    assert severity == "warning"
    assert "and 0 of 200 predictions" in seen


def test_answers_that_differ_for_another_reason(bad: Bad, batch_of: BatchOf, trained: Trained, around: Around) -> None:
    whole, batch = trained(*batch_of("train")), batch_of("test")
    rng = np.random.default_rng(4)
    noisy = around(whole, lambda x, _: x + torch.from_numpy(rng.normal(0, 2, x.shape)).float())
    severity, seen = bad(examine(noisy, *batch))["determinism"]
    assert severity == "problem"
    assert seen.endswith("predictions, also with the same random numbers of torch.")
    calls: list[int] = []
    fewer = around(whole, after=lambda z, _: calls.append(len(z)) or z[:, : 10 - len(calls) % 2])
    assert re.search(r"give \(200, (9|10)\) and \(200, (9|10)\)", bad(examine(fewer, *batch))["determinism"][1])


def with_batchnorm() -> nn.Sequential:
    """A convolution with BatchNorm, not trained."""
    torch.manual_seed(5)
    return nn.Sequential(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 10))


def reset(model: nn.Module) -> nn.Module:
    """The same model with the running statistics of a new one."""
    model = eval_clone(model)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
    return model


def test_statistics_that_were_reset(bad: Bad, batch_of: BatchOf, digits_run: Run) -> None:
    images, labels = batch_of("test")
    model = reset(digits_run.model)
    severity, seen = bad(examine(model, images, labels))["statistics"]
    by_batch = eval_clone(model).train()
    right = int((by_batch(images).argmax(1) == labels).sum())
    assert severity == "problem"
    assert seen.startswith("10 of 10 BatchNorm layers, first stem.norm, have mean 0 and variance 1: ")
    assert seen.endswith(f"; with the statistics of the batch itself, {right} are.")
    # without labels that can be used, scale and shift are all there is to go by
    severity, seen = bad(examine(model, images, labels.float()))["statistics"]
    assert severity == "warning"
    assert seen.endswith("though scale or shift of 10 are trained: the statistics were probably reset.")
    half = eval_clone(digits_run.model)
    half.stem.norm.reset_running_stats()
    assert bad(examine(half, images, labels.float()))["statistics"][1].startswith(
        "1 of 10 BatchNorm layers, first stem"
    )


def test_statistics_of_a_new_network_or_one_that_works_are_no_alarm(
    bad: Bad, batch_of: BatchOf, trained: Trained
) -> None:
    train, test = batch_of("train"), batch_of("test")
    new = with_batchnorm().eval()
    assert "statistics" not in bad(examine(new, *test))
    frozen = trained(*train, steps=100, model=with_batchnorm().eval())  # its layers never saw a batch in train mode
    assert not frozen[1].running_mean.any()
    assert frozen[1].bias.any()
    assert bad(examine(frozen, *test)) == {}
    usual = trained(*train, steps=100, model=with_batchnorm())
    assert bad(examine(usual.eval(), *test)) == {}
    untracked = nn.Sequential(nn.BatchNorm2d(1, track_running_stats=False), *trained(*train))
    assert bad(examine(untracked.eval(), *test)) == {}
