"""A checkpoint that is damaged, or holds other weights than its model takes, is named with what they fit."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from torch.nn.modules.module import register_module_module_registration_hook

from convscope.doctor import examine_run
from convscope.doctor.checkpoint import check_checkpoint
from convscope.models import build_model
from convscope.models.base import ImageClassifier
from convscope.runs import Run

Problems = Callable[..., dict[str, str]]
Change = Callable[..., None]


def test_a_checkpoint_of_another_architecture(problems: Problems, change: Change, copied_run: Run) -> None:
    other = build_model("deep-cnn", (1, 8, 8), 10).state_dict()
    change(copied_run.path, model_state=other)
    (finding, *_) = examine_run(copied_run.path)
    assert finding.seen.startswith(
        "The weights do not fit tiny-resnet, base_channels=8: stem.conv.weight is missing; "
        "stem.norm.weight is missing; stem.norm.bias is missing and "
    )
    assert finding.advice.startswith("The weights fit deep-cnn. Take the checkpoint of the model that you mean")
    assert problems(copied_run.path).keys() == {"checkpoint"}


def test_a_checkpoint_of_the_same_model_with_other_options(change: Change, copied_run: Run) -> None:
    change(copied_run.path, model={"name": "tiny-resnet", "options": {"base_channels": 16}})
    (finding, *_) = examine_run(copied_run.path)
    assert "stem.conv.weight is (8, 1, 3, 3), the model has (16, 1, 3, 3)" in finding.seen
    assert finding.advice.startswith("The weights fit tiny-resnet with other options.")


@pytest.mark.parametrize(
    ("model", "seen"),
    [
        ({"name": "alexnet", "options": {}}, "Its model cannot be built: unknown model 'alexnet'; choose from"),
        ({"name": "lenet5", "options": {}}, "Its model cannot be built: LeNet5 got 8×8 pictures"),
        (
            {"name": "tiny-resnet", "options": {"depth": 3}},
            "Its model cannot be built: tiny-resnet has no option 'depth'",
        ),
    ],
    ids=["unknown", "too large", "unknown option"],
)
def test_a_model_that_cannot_be_built(
    problems: Problems,
    change: Change,
    copied_run: Run,
    model: dict[str, Any],
    seen: str,
) -> None:
    change(copied_run.path, model=model)
    assert problems(copied_run.path)["checkpoint"].startswith(seen)


def test_a_damaged_checkpoint(problems: Problems, copied_run: Run) -> None:
    (copied_run.path / "best.pt").write_bytes(b"not a checkpoint")
    assert "is not a readable checkpoint" in problems(copied_run.path)["checkpoint"]


@pytest.mark.parametrize(
    ("values", "seen"),
    [
        (
            {"model": {"name": "tiny-resnet", "options": {"base_channels": 1000}}},
            r"\(8, 1, 3, 3\), the model has \(1000, ",
        ),
        ({"model": {"name": "tiny-resnet", "options": {"base_channels": 10**30}}}, "than any machine holds"),
        ({"model_state": {}, "input_shape": [1, 480, 500]}, "stem.conv.weight is missing"),
    ],
    ids=["wide", "absurd", "large pictures"],
)
def test_a_model_is_compared_without_its_memory(
    change: Change, copied_run: Run, values: dict[str, Any], seen: str
) -> None:
    """Neither for the model that the checkpoint names nor for those that the weights are tried on: here half a GB."""
    resource = pytest.importorskip("resource")
    change(copied_run.path, **values)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    (finding, *_) = examine_run(copied_run.path)
    assert finding.severity == "problem"
    assert re.search(seen, finding.seen)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KB


def test_other_models_are_tried_only_where_the_weights_do_not_fit(change: Change, copied_run: Run) -> None:
    built: set[str] = set()

    def note(module: object, *_: object) -> None:
        if isinstance(module, ImageClassifier):
            built.add(type(module).__name__)

    with register_module_module_registration_hook(note):
        assert check_checkpoint(copied_run.path, "finished").severity == "fine"
        assert built == {"TinyResNet"}
        change(copied_run.path, model_state={})
        assert check_checkpoint(copied_run.path, "finished").severity == "problem"
        assert built == {"TinyResNet", "SimpleCNN", "DeepCNN"}  # 8×8 is too small for LeNet5
