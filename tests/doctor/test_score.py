"""Accuracy is held against guessing as far as so many pictures can tell."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from convscope.doctor import Finding, examine

Bad = Callable[[list[Finding]], dict[str, tuple[str, str]]]
BatchOf = Callable[..., tuple[Tensor, Tensor]]
Trained = Callable[..., nn.Sequential]


def test_stuck_at_chance(bad: Bad, batch_of: BatchOf, trained: Trained) -> None:
    images, labels = batch_of("train", 400)
    shuffled = labels[torch.randperm(400, generator=torch.Generator().manual_seed(3))]
    model = trained(images, shuffled, lr=0.5, steps=150)  # pictures and labels in different orders
    found = bad(examine(model, *batch_of("test", 300)))
    assert found.keys() == {"accuracy"}
    severity, seen = found["accuracy"]
    assert severity == "problem"
    assert seen.endswith("no better than guessing (10.0 %).")


def test_too_few_pictures_to_tell_are_no_problem(bad: Bad, batch_of: BatchOf, trained: Trained) -> None:
    images, _ = batch_of("test", 4)
    model = trained(*batch_of("train"))
    answers = model(images).argmax(1)
    wrong = torch.where(torch.arange(4) < 3, (answers + 1) % 10, answers)
    severity, seen = bad(examine(model, images, wrong))["accuracy"]
    assert severity == "warning"
    assert seen.startswith("1 of 4 pictures are right (25.0 %; 95 % interval 4.6 % to 69.9 %)")
    images, _ = batch_of("test", 30)
    wrong = (model(images).argmax(1) + 1) % 10
    assert bad(examine(model, images[:29], wrong[:29]))["accuracy"][0] == "warning"
    assert bad(examine(model, images, wrong))["accuracy"][0] == "problem"


def test_all_right_on_a_handful(
    bad: Bad,
    batch_of: BatchOf,
    trained: Trained,
) -> None:
    images, labels = batch_of("train", 8)
    model = trained(images, labels, lr=0.5, steps=100)  # eight pictures, learned by heart
    found = examine(model, images, labels)
    assert bad(found) == {"accuracy": ("warning", "8 of 8 pictures are right (100 %; 95 % interval 67.6 % to 100 %).")}
    (advice,) = [finding.advice for finding in found if finding.advice]
    assert "at least 30" in advice
    images, labels = batch_of("train", 30)
    model = trained(images, labels, lr=0.5, steps=100)
    assert bad(examine(model, images[:29], labels[:29])).keys() == {"accuracy"}
    assert bad(examine(model, images, labels)) == {}
