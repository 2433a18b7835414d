"""Pictures and labels spoilt in each classic way are named, each by its own finding and no other."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convscope.data import ImageSet
from convscope.doctor import Finding, examine
from convscope.runs import Run

Bad = Callable[[list[Finding]], dict[str, tuple[str, str]]]
BatchOf = Callable[..., tuple[Tensor, Tensor]]
Trained = Callable[..., nn.Sequential]


def channels_last(images: Tensor) -> Tensor:
    return images.permute(0, 2, 3, 1)


def scaled(pixels: Tensor) -> Tensor:
    """As it should be, near enough."""
    return (pixels / 255 - 0.3) / 0.4


SPOILT: dict[str, tuple[Callable[[Tensor], Any], str, str]] = {
    "in [0, 255]": (lambda x: x.float(), "values", "values from 0 to 255, as if still on [0, 255]."),
    "in [0, 1]": (lambda x: x.float() / 255, "values", "values from 0 to 1, as if still on [0, 1]."),
    "bytes": (lambda x: x, "values", "The pictures are torch.uint8."),
    "divided twice": (lambda x: scaled(x) / 255, "values", "normalised pictures have about 0 and 1. 20 of"),
    "float64": (lambda x: scaled(x.double()), "values", "torch.float64, the model's weights torch.float32."),
    "all the same": (lambda x: x.float() * 0 - 0.5, "values", "Every pixel of every picture is -0.5."),
    "divided by zero": (lambda x: (x.float() - 78) / 0, "values", "The pictures contain NaN or infinity."),
    "NHWC": (lambda x: channels_last(scaled(x)), "layout", "are channels-last (200, 8, 8, 1)."),
    "NHWC array": (lambda x: channels_last(scaled(x)).numpy(), "layout", "channels-last (200, 8, 8, 1)"),
    "no channel axis": (lambda x: scaled(x)[:, 0], "layout", "The pictures are (200, 8, 8)."),
    "two axes": (lambda x: scaled(x).flatten(1), "layout", "The pictures are (200, 64)."),
    "one axis": (lambda x: scaled(x).flatten(1).mean(1), "layout", "The pictures are (200,)."),
    "five axes": (lambda x: scaled(x)[None], "layout", "The pictures are (1, 200, 1, 8, 8)."),
    "grey as colour": (lambda x: scaled(x).repeat(1, 3, 1, 1), "layout", "The pictures are (200, 3, 8, 8)."),
}


@pytest.mark.parametrize(("spoil", "name", "seen"), SPOILT.values(), ids=SPOILT)
@pytest.mark.parametrize("own", [True, False], ids=["our model", "plain model"])
def test_a_spoilt_batch_is_named(
    bad: Bad,
    batch_of: BatchOf,
    trained: Trained,
    digits_run: Run,
    digits: tuple[ImageSet, ImageSet],
    spoil: Callable[[Tensor], Any],
    name: str,
    seen: str,
    own: bool,
) -> None:
    chosen = digits[1].subset(200, seed=1)
    model = digits_run.model if own else trained(*batch_of("train"))
    spoilt = spoil(torch.from_numpy(chosen.images))
    found = bad(examine(model, spoilt, chosen.labels[: len(spoilt)]))
    assert found[name][0] == "problem"
    assert seen in found[name][1]
    assert {"layout", "values", "labels"} & found.keys() == {name}
    if name == "layout":
        assert found.keys() == {name}
    if seen.startswith("torch.float64"):
        assert found.keys() == {name}  # the rest is looked at in the weights' precision
    if "NaN" in seen:
        assert found.keys() == {name}  # what NaN does to the answers is no finding of its own


def test_only_centred_pictures_are_a_problem_for_the_model_that_fails_on_them(
    bad: Bad, batch_of: BatchOf, trained: Trained, digits_run: Run, digits: tuple[ImageSet, ImageSet]
) -> None:
    """The plain one looks for the largest sum, so scale is nothing to it."""
    chosen = digits[1].subset(200, seed=1)
    centred = torch.from_numpy(chosen.images).float() - 78
    severity, seen = bad(examine(digits_run.model, centred, chosen.labels))["values"]
    assert severity == "problem"
    assert "as if still on [0, 255]. " in seen
    found = examine(trained(*batch_of("train")), centred, chosen.labels)
    assert bad(found) == {}
    assert "as if still on [0, 255]; the model works on them as they are: " in found[1].seen


@pytest.mark.parametrize(
    ("spoil", "seen"),
    [
        (lambda y: y.float(), "The labels are torch.float32."),
        (lambda y: y.to(torch.int32), "The labels are torch.int32."),
        (lambda y: F.one_hot(y, 10), "The labels are one-hot (200, 10)."),
        (lambda y: F.one_hot(y, 10).float(), "The labels are one-hot (200, 10)."),
        (lambda y: F.one_hot(y, 10) + F.one_hot((y + 1) % 10, 10), "The labels have shape (200, 10)."),
        (lambda y: 0.9 * F.one_hot(y, 10) + 0.01, "The labels are torch.float32."),
        (lambda y: y + 1, "The labels run from 1 to 10."),
        (lambda y: y - 1, "The labels run from -1 to 8."),
        (lambda y: y[:100], "The labels have shape (100,)."),
        (lambda y: [float(label) for label in y], "The labels are torch.float32."),
    ],
    ids=[
        "float",
        "int32",
        "one-hot",
        "one-hot floats",
        "twos",
        "smoothed",
        "from one",
        "negative",
        "too few",
        "list of floats",
    ],
)
@pytest.mark.parametrize("own", [True, False], ids=["our model", "plain model"])
def test_spoilt_labels_are_named_and_nothing_else(
    bad: Bad,
    batch_of: BatchOf,
    trained: Trained,
    digits_run: Run,
    spoil: Callable[[Tensor], Any],
    seen: str,
    own: bool,
) -> None:
    """A plain model does not say how many classes it has: its logits do."""
    images, labels = batch_of("test")
    found = examine(digits_run.model if own else trained(*batch_of("train")), images, spoil(labels))
    assert bad(found) == {"labels": ("problem", seen)}
    assert [finding.name for finding in found].count("labels") == 1
    assert "accuracy" not in {finding.name for finding in found}  # there is nothing to hold it against


def test_numbers_of_classes_may_be_said(bad: Bad, batch_of: BatchOf, trained: Trained, digits_run: Run) -> None:
    images, labels = batch_of("test")
    assert bad(examine(digits_run.model, images, labels, num_classes=5))["labels"][1] == "The labels run from 0 to 9."
    model = trained(*batch_of("train"))
    model.num_classes = 0  # as some libraries mark a model without a head
    assert bad(examine(model, images, labels)) == {}
    # whatever was said, a label without a logit has no loss
    assert bad(examine(model, images, labels + 1, 20)) == {"labels": ("problem", "The labels run from 1 to 10.")}


@pytest.mark.parametrize("said", [784, (8, 8), ("1", 8, 8), None], ids=str)
def test_an_input_shape_that_means_something_else_is_not_believed(
    bad: Bad, batch_of: BatchOf, trained: Trained, said: object
) -> None:
    model = trained(*batch_of("train"))
    model.in_shape = said
    assert bad(examine(model, *batch_of("test"))) == {}
