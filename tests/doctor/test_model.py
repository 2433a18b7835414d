"""A sound model passes every check and is left as found; what is no model or batch is refused in one line."""

import doctest
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from convscope.data import ImageSet
from convscope.doctor import CHECKS, Finding, examine
from convscope.errors import UsageError
from convscope.explain.clone import eval_clone
from convscope.runs import Run

Bad = Callable[[list[Finding]], dict[str, tuple[str, str]]]
BatchOf = Callable[..., tuple[Tensor, Tensor]]
Trained = Callable[..., nn.Sequential]


def test_a_sound_model_passes_every_check(
    bad: Bad, batch_of: BatchOf, trained: Trained, digits_run: Run, digits: tuple[ImageSet, ImageSet]
) -> None:
    _, test = digits
    found = examine(digits_run.model, digits_run.preprocess(test.images), test.labels)
    assert bad(found) == {}
    assert {finding.name for finding in found} == set(CHECKS["model and batch"])
    own = trained(*batch_of("train"))
    assert bad(examine(own, *batch_of("test"))) == {}


def test_the_model_is_left_as_found(batch_of: BatchOf, digits_run: Run) -> None:
    model = eval_clone(digits_run.model).train()
    model.head.eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    images, labels = batch_of("test", 16)
    kept = images.clone()
    examine(model, images, labels)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert [module.training for module in model.modules()] == modes
    assert torch.equal(images, kept)
    assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
def test_a_scripted_model_is_refused(batch_of: BatchOf, small_network: nn.Sequential) -> None:
    with pytest.raises(UsageError, match="is scripted"):
        examine(torch.jit.script(small_network), *batch_of("test"))


@pytest.mark.parametrize(
    "images",
    [np.zeros((0, 1, 8, 8)), np.zeros((2, 1, 0, 8)), [object()], 3.0],
    ids=["none", "empty ones", "objects", "a number"],
)
def test_what_is_no_batch_is_refused(small_network: nn.Sequential, images: Any) -> None:
    with pytest.raises(UsageError, match="images"):
        examine(small_network, images, [0])


@pytest.mark.parametrize(
    ("model", "got"),
    [
        (lambda x: x.flatten(1), "a function"),
        ("abc", "a str"),
        (nn.Linear, "the class Linear"),
        (None, "a NoneType"),
    ],
    ids=["function", "text", "class", "nothing"],
)
def test_what_is_no_model_is_refused(model: Any, got: str) -> None:
    with pytest.raises(UsageError) as error:
        examine(model, np.ones((2, 1, 8, 8)), [0, 1])
    assert str(error.value).startswith(
        f"examine needs a torch.nn.Module that maps pictures (N, C, H, W) to logits, got {got}; make one"
    )


def test_the_example_in_the_docstring_is_true() -> None:
    assert doctest.testmod(sys.modules["convscope.doctor.model"]) == (0, 4)


def test_a_finding_belongs_to_a_check_and_has_advice_unless_fine() -> None:
    with pytest.raises(ValueError, match="unknown check 'colour'; choose from accuracy, "):
        Finding("colour", "fine", "Red.")
    with pytest.raises(ValueError, match="needs advice"):
        Finding("labels", "warning", "Odd.")
    with pytest.raises(ValueError, match="takes no advice"):
        Finding("labels", "fine", "Even.", "Go on.")
