"""Each classic mistake, really made on a real model or batch, is named; a sound model gets no alarm."""

import doctest
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convscope.data import ImageSet, load
from convscope.doctor import CHECKS, Finding, examine
from convscope.errors import UsageError
from convscope.explain.clone import eval_clone
from convscope.runs import Run


@pytest.fixture(scope="module")
def digits() -> tuple[ImageSet, ImageSet]:
    return load("digits")


def batch_of(pictures: ImageSet, n: int = 200) -> tuple[Tensor, Tensor]:
    """Normalised as one should, (n, 1, 8, 8), with labels."""
    chosen = pictures.subset(n, seed=1)
    images = torch.from_numpy(chosen.images).float()
    return (images - images.mean()) / images.std(), torch.from_numpy(chosen.labels)


def bad(findings: list[Finding]) -> dict[str, tuple[str, str]]:
    """What is not fine: name -> (severity, what was seen)."""
    return {f.name: (f.severity, f.seen) for f in findings if f.severity != "fine"}


def small_network(seed: int = 0) -> nn.Sequential:
    """One convolution and a linear layer, without the attributes of our own models."""
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(72, 10))


def trained(
    images: Tensor, labels: Tensor, lr: float = 0.1, steps: int = 60, model: nn.Sequential | None = None
) -> nn.Sequential:
    """The small network (or another) after so many steps of plain gradient descent on the whole batch."""
    model = small_network() if model is None else model
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    for _ in range(steps):
        optimizer.zero_grad()
        F.cross_entropy(model(images), labels).backward()
        optimizer.step()
    return model


def test_a_sound_model_passes_every_check(digits_run: Run, digits: tuple[ImageSet, ImageSet]) -> None:
    _, test = digits
    found = examine(digits_run.model, digits_run.preprocess(test.images), test.labels)
    assert bad(found) == {}
    assert {finding.name for finding in found} == set(CHECKS["model and batch"])
    own = trained(*batch_of(digits[0]))
    assert bad(examine(own, *batch_of(test))) == {}


def channels_last(images: Tensor) -> Tensor:
    return images.permute(0, 2, 3, 1)


def scaled(pixels: Tensor) -> Tensor:
    """As it should be, near enough."""
    return (pixels / 255 - 0.3) / 0.4


SPOILT: dict[str, tuple[Callable[[Tensor], Any], str, str, str]] = {
    "in [0, 255]": (lambda x: x.float(), "values", "problem", "values from 0 to 255, as if still on [0, 255]."),
    "in [0, 1]": (lambda x: x.float() / 255, "values", "problem", "values from 0 to 1, as if still on [0, 1]."),
    "bytes": (lambda x: x, "values", "problem", "The pictures are torch.uint8."),
    "only centred": (lambda x: x.float() - 78, "values", "problem", "as if still on [0, 255]."),
    "divided twice": (lambda x: scaled(x) / 255, "values", "warning", "normalised pictures have about 0 and 1."),
    "float64": (lambda x: scaled(x.double()), "values", "problem", "torch.float64, the model's weights torch.float32."),
    "all the same": (lambda x: x.float() * 0 - 0.5, "values", "problem", "Every pixel of every picture is -0.5."),
    "divided by zero": (lambda x: (x.float() - 78) / 0, "values", "problem", "The pictures contain NaN or infinity."),
    "NHWC": (lambda x: channels_last(scaled(x)), "layout", "problem", "are channels-last (200, 8, 8, 1)."),
    "NHWC array": (lambda x: channels_last(scaled(x)).numpy(), "layout", "problem", "channels-last (200, 8, 8, 1)"),
    "no channel axis": (lambda x: scaled(x)[:, 0], "layout", "problem", "The pictures are (200, 8, 8)."),
    "two axes": (lambda x: scaled(x).flatten(1), "layout", "problem", "The pictures are (200, 64)."),
    "one axis": (lambda x: scaled(x).flatten(1).mean(1), "layout", "problem", "The pictures are (200,)."),
    "five axes": (lambda x: scaled(x)[None], "layout", "problem", "The pictures are (1, 200, 1, 8, 8)."),
    "grey as colour": (lambda x: scaled(x).repeat(1, 3, 1, 1), "layout", "problem", "The pictures are (200, 3, 8, 8)."),
}


@pytest.mark.parametrize(("spoil", "name", "severity", "seen"), SPOILT.values(), ids=SPOILT)
@pytest.mark.parametrize("own", [True, False], ids=["our model", "plain model"])
def test_a_spoilt_batch_is_named(
    digits_run: Run,
    digits: tuple[ImageSet, ImageSet],
    spoil: Callable[[Tensor], Any],
    name: str,
    severity: str,
    seen: str,
    own: bool,
) -> None:
    chosen = digits[1].subset(200, seed=1)
    model = digits_run.model if own else trained(*batch_of(digits[0]))
    spoilt = spoil(torch.from_numpy(chosen.images))
    found = bad(examine(model, spoilt, chosen.labels[: len(spoilt)]))
    assert found[name][0] == severity
    assert seen in found[name][1]
    assert {"layout", "values", "labels"} & found.keys() == {name}
    if name == "layout":
        assert found.keys() == {name}
    if "NaN" in seen:
        assert found.keys() == {name}  # what NaN does to the answers is no finding of its own


@pytest.mark.parametrize(
    ("spoil", "seen"),
    [
        (lambda y: y.float(), "The labels are torch.float32."),
        (lambda y: y.to(torch.int32), "The labels are torch.int32."),
        (lambda y: F.one_hot(y, 10), "The labels have shape (200, 10)."),
        (lambda y: y + 1, "The labels run from 1 to 10."),
        (lambda y: y - 1, "The labels run from -1 to 8."),
        (lambda y: y[:100], "The labels have shape (100,)."),
        (lambda y: [float(label) for label in y], "The labels are torch.float32."),
    ],
    ids=["float", "int32", "one-hot", "from one", "negative", "too few", "list of floats"],
)
@pytest.mark.parametrize("own", [True, False], ids=["our model", "plain model"])
def test_spoilt_labels_are_named_and_nothing_else(
    digits_run: Run, digits: tuple[ImageSet, ImageSet], spoil: Callable[[Tensor], Any], seen: str, own: bool
) -> None:
    """A plain model does not say how many classes it has: its logits do."""
    images, labels = batch_of(digits[1])
    found = examine(digits_run.model if own else trained(*batch_of(digits[0])), images, spoil(labels))
    assert bad(found) == {"labels": ("problem", seen)}
    assert [finding.name for finding in found].count("labels") == 1
    assert "accuracy" not in {finding.name for finding in found}  # there is nothing to hold it against


def test_train_mode_is_named_with_what_it_changes(digits_run: Run, digits: tuple[ImageSet, ImageSet]) -> None:
    images, labels = batch_of(digits[1], 16)
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


def test_train_mode_with_dropout_alone(digits: tuple[ImageSet, ImageSet]) -> None:
    model = trained(*batch_of(digits[0]))
    model.insert(4, nn.Dropout(0.5))
    images, labels = batch_of(digits[1])
    torch.manual_seed(7)
    before = torch.random.get_rng_state()
    assert bad(examine(model.train(), images, labels))["mode"][1].startswith("1 of 1 BatchNorm and Dropout layers")
    assert torch.equal(torch.random.get_rng_state(), before)
    assert bad(examine(model.eval(), images, labels)) == {}
    del model[4]
    assert bad(examine(model.train(), images, labels)) == {}  # without such a layer the mode changes nothing


def test_train_mode_on_one_picture_is_refused_by_batchnorm() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 8), nn.BatchNorm1d(8), nn.Linear(8, 3))
    severity, seen = bad(examine(model, torch.randn(1, 1, 3, 4), torch.tensor([2])))["mode"]
    assert severity == "problem"
    assert "refuses this batch: Expected more than 1 value per channel" in seen


def test_the_model_is_left_as_found(digits_run: Run, digits: tuple[ImageSet, ImageSet]) -> None:
    model = eval_clone(digits_run.model).train()
    model.head.eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    images, labels = batch_of(digits[1], 16)
    kept = images.clone()
    examine(model, images, labels)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert [module.training for module in model.modules()] == modes
    assert torch.equal(images, kept)
    assert not any(module._forward_hooks for module in model.modules())


def test_a_training_that_left_the_numbers(digits: tuple[ImageSet, ImageSet]) -> None:
    model = trained(*batch_of(digits[0]), lr=1e6, steps=8)
    found = bad(examine(model, *batch_of(digits[1])))
    assert found == {"weights": ("problem", "NaN or infinity in 0.weight and 3 more: the training has diverged.")}


def test_a_network_whose_relus_never_fire(digits: tuple[ImageSet, ImageSet]) -> None:
    model = small_network()
    nn.init.constant_(model[0].bias, -30.0)  # so badly begun, it has no gradient to recover by
    trained(*batch_of(digits[0]), model=model)
    found = bad(examine(model, *batch_of(digits[1])))
    assert found["output"] == (
        "problem",
        "Every picture gets the same logits, for layer 1 gives zero for each of them.",
    )
    assert found["heatmap"][1].startswith("32 of 32 Grad-CAM heatmaps at layer 1 are blank")
    assert found["accuracy"][0] == "problem"


def test_one_answer_to_everything(digits: tuple[ImageSet, ImageSet]) -> None:
    images, labels = batch_of(digits[0])
    model = trained(images, torch.full_like(labels, 4))  # the labels were lost on the way
    found = bad(examine(model, *batch_of(digits[1])))
    assert found["output"] == ("problem", "Every picture is taken for class 4; 180 of 200 belong to others.")
    # a batch of that one class tells nothing
    images, labels = batch_of(digits[1])
    assert "output" not in bad(examine(model, images[labels == 4], labels[labels == 4]))


def test_stuck_at_chance(digits: tuple[ImageSet, ImageSet]) -> None:
    images, labels = batch_of(digits[0], 400)
    shuffled = labels[torch.randperm(400, generator=torch.Generator().manual_seed(3))]
    model = trained(images, shuffled, lr=0.5, steps=150)  # pictures and labels in different orders
    found = bad(examine(model, *batch_of(digits[1], 300)))
    assert found.keys() == {"accuracy"}
    severity, seen = found["accuracy"]
    assert severity == "problem"
    assert seen.endswith("no better than guessing (10.0 %).")


def test_too_few_pictures_to_tell_are_no_problem(digits: tuple[ImageSet, ImageSet]) -> None:
    images, _ = batch_of(digits[1], 4)
    model = trained(*batch_of(digits[0]))
    answers = model(images).argmax(1)
    wrong = torch.where(torch.arange(4) < 3, (answers + 1) % 10, answers)
    severity, seen = bad(examine(model, images, wrong))["accuracy"]
    assert severity == "warning"
    assert seen.startswith("1 of 4 pictures are right (25.0 %; 95 % interval 4.6 % to 69.9 %)")
    images, _ = batch_of(digits[1], 30)
    wrong = (model(images).argmax(1) + 1) % 10
    assert bad(examine(model, images[:29], wrong[:29]))["accuracy"][0] == "warning"
    assert bad(examine(model, images, wrong))["accuracy"][0] == "problem"


def test_all_right_on_a_handful(digits: tuple[ImageSet, ImageSet]) -> None:
    images, labels = batch_of(digits[0], 8)
    model = trained(images, labels, lr=0.5, steps=100)  # eight pictures, learned by heart
    found = examine(model, images, labels)
    assert bad(found) == {"accuracy": ("warning", "8 of 8 pictures are right (100 %; 95 % interval 67.6 % to 100 %).")}
    (advice,) = [finding.advice for finding in found if finding.advice]
    assert "at least 30" in advice
    images, labels = batch_of(digits[0], 30)
    model = trained(images, labels, lr=0.5, steps=100)
    assert bad(examine(model, images[:29], labels[:29])).keys() == {"accuracy"}
    assert bad(examine(model, images, labels)) == {}


def test_blank_heatmaps(digits_run: Run, digits: tuple[ImageSet, ImageSet]) -> None:
    model = eval_clone(digits_run.model)
    with torch.no_grad():
        model.head.weight.data = -model.head.weight.abs()  # every feature now argues against every class
    found = bad(examine(model, *batch_of(digits[1])))
    assert found["heatmap"] == (
        "problem",
        "32 of 32 Grad-CAM heatmaps at layer group2.1.relu are blank: nothing there argues for the predicted class.",
    )


def test_logits_that_are_none(digits: tuple[ImageSet, ImageSet]) -> None:
    images, labels = batch_of(digits[1])
    whole = trained(*batch_of(digits[0]))
    seen = bad(examine(whole[:3], images, labels))["output"][1]
    assert seen == "The model gives (200, 8, 3, 3) for 200 pictures; expected logits (200, classes)."
    larger = F.interpolate(images, size=(12, 10))
    seen = bad(examine(whole, larger, labels))["output"][1]
    assert seen.startswith(
        "The model cannot take this batch: mat1 and mat2 shapes cannot be multiplied (200x160 and 72x10)"
    )


class Then(nn.Module):
    """A model and what its author did with its output."""

    def __init__(self, model: nn.Module, then: Callable[[Tensor, bool], object]) -> None:
        super().__init__()
        self.model, self.then = model, then

    def forward(self, x: Tensor) -> object:
        return self.then(self.model(x), self.training)


def refuse(_: Tensor) -> Tensor:
    raise AssertionError


NO_LOGITS: dict[str, tuple[Callable[[Tensor], object], str]] = {
    "another batch": (lambda z: z.view(-1, 5), "The model gives (400, 5) for 200 pictures; expected logits (200,"),
    "fewer": (lambda z: z[:0], "The model gives (0, 10) for 200 pictures; expected logits (200, classes)."),
    "a loss": (lambda z: z.mean(), "The model gives () for 200 pictures"),
    "tuple": (lambda z: (z, z.relu()), "The model gives a tuple for 200 pictures"),
    "dict": (lambda z: {"logits": z}, "The model gives a dict for 200 pictures"),
    "one logit": (lambda z: z[:, :1], "The model gives (200, 1) for 200 pictures"),
    "class numbers": (lambda z: z.argmax(1), "The model gives (200,) of torch.int64 for 200 pictures"),
    "choices": (lambda z: z > 0, "The model gives (200, 10) of torch.bool for 200 pictures"),
    "logarithm": (lambda z: z.log(), "The logits contain NaN or infinity; the pictures are finite"),
    "bare assert": (refuse, "The model cannot take this batch: AssertionError."),
    "no such key": (lambda z: {}[len(z)], "The model cannot take this batch: 200."),
}


@pytest.mark.parametrize(("spoil", "seen"), NO_LOGITS.values(), ids=NO_LOGITS)
@pytest.mark.parametrize("mode", [True, False], ids=["train mode", "eval mode"])
def test_a_model_that_gives_no_logits(
    digits: tuple[ImageSet, ImageSet], spoil: Callable[[Tensor], object], seen: str, mode: bool
) -> None:
    whole = trained(*batch_of(digits[0])).append(nn.Dropout(0.5))
    found = examine(Then(whole, lambda z, _: spoil(z)).train(mode), *batch_of(digits[1]))
    assert bad(found).keys() == {"output"}
    assert bad(found)["output"][0] == "problem"
    assert bad(found)["output"][1].startswith(seen)
    assert {f.name for f in found} == {"layout", "values", "labels", "weights", "output"}
    if "largest weight" in bad(found)["output"][1]:
        largest = max(float(p.detach().abs().max()) for p in whole.parameters())
        assert bad(found)["output"][1].endswith(f"the largest weight is {largest:.2g}.")


def test_a_flatten_that_takes_pictures_apart(digits: tuple[ImageSet, ImageSet]) -> None:
    """`x.view(-1, 72)` where 144 features belong to one picture: every picture becomes two."""
    torch.manual_seed(2)
    model = nn.Sequential(nn.Conv2d(1, 16, 3), nn.MaxPool2d(2), nn.Flatten(0), nn.Unflatten(0, (-1, 72)))
    seen = bad(examine(model.append(nn.Linear(72, 10)), *batch_of(digits[1])))
    expected = "The model gives (400, 10) for 200 pictures; expected logits (200, classes)."
    assert seen == {"output": ("problem", expected)}


@pytest.mark.parametrize(
    ("then", "seen"),
    [
        (lambda z, training: (z, z) if training else z, "The model is not in eval mode, and so gives a tuple instead"),
        (
            lambda z, training: z[:, :7] if training else z,
            "The model is not in eval mode, and so gives (200, 7) instead",
        ),
        (lambda z, training: z * float("nan") if training else z, "0 of 0 BatchNorm and Dropout layers are in train"),
        (
            lambda z, training: refuse(z) if training else z,
            "0 of 0 BatchNorm and Dropout layers are in train mode, and",
        ),
    ],
    ids=["auxiliary logits", "another head", "NaN", "refused"],
)
def test_a_model_that_answers_otherwise_in_train_mode(
    digits: tuple[ImageSet, ImageSet], then: Callable[[Tensor, bool], object], seen: str
) -> None:
    model = Then(trained(*batch_of(digits[0])), then)
    found = bad(examine(model.train(), *batch_of(digits[1])))
    assert found.keys() == {"mode"}
    assert found["mode"][0] == "problem"
    assert found["mode"][1].startswith(seen)
    assert bad(examine(model.eval(), *batch_of(digits[1]))) == {}


def test_a_model_made_for_one_size_of_batch_has_no_heatmap(digits: tuple[ImageSet, ImageSet]) -> None:
    """Heatmaps are drawn for a part of the batch, so are those that tell which layer is dead."""
    whole = trained(*batch_of(digits[0]))
    found = bad(examine(Then(whole, lambda z, _: z.view(200, 10)), *batch_of(digits[1])))
    assert found.keys() == {"heatmap"}
    assert found["heatmap"][1].startswith("The model refuses a part of the pictures: shape '[200, 10]' is invalid")
    nn.init.constant_(whole[0].bias, -30.0)
    found = bad(examine(Then(whole, lambda z, _: z.view(200, 10)), *batch_of(digits[1])))
    assert found["output"][1].startswith("Every picture gets the same logits")


def test_a_model_without_gradients_has_no_heatmap(digits: tuple[ImageSet, ImageSet]) -> None:
    model = Then(trained(*batch_of(digits[0])), lambda z, _: z.detach())
    found = bad(examine(model, *batch_of(digits[1])))
    assert found.keys() == {"heatmap"}
    assert found["heatmap"][1].startswith("Grad-CAM cannot be drawn: ")


@pytest.mark.parametrize("said", [784, (8, 8), ("1", 8, 8), None], ids=str)
def test_an_input_shape_that_means_something_else_is_not_believed(
    digits: tuple[ImageSet, ImageSet], said: object
) -> None:
    model = trained(*batch_of(digits[0]))
    model.in_shape = said
    assert bad(examine(model, *batch_of(digits[1]))) == {}


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
def test_a_scripted_model_is_refused(digits: tuple[ImageSet, ImageSet]) -> None:
    with pytest.raises(UsageError, match="is scripted"):
        examine(torch.jit.script(small_network()), *batch_of(digits[1]))


def test_without_a_convolution_there_is_no_heatmap_but_all_the_rest(digits: tuple[ImageSet, ImageSet]) -> None:
    torch.manual_seed(1)
    images, labels = batch_of(digits[1])
    found = examine(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), images, labels)
    assert bad(found)["heatmap"][0] == "warning"
    assert {finding.name for finding in found} == set(CHECKS["model and batch"])


def test_numbers_of_classes_may_be_said(digits_run: Run, digits: tuple[ImageSet, ImageSet]) -> None:
    images, labels = batch_of(digits[1])
    assert bad(examine(digits_run.model, images, labels, num_classes=5))["labels"][1] == "The labels run from 0 to 9."
    model = trained(*batch_of(digits[0]))
    model.num_classes = 0  # as some libraries mark a model without a head
    assert bad(examine(model, images, labels)) == {}
    # whatever was said, a label without a logit has no loss
    assert bad(examine(model, images, labels + 1, 20)) == {"labels": ("problem", "The labels run from 1 to 10.")}


@pytest.mark.parametrize(
    "images",
    [np.zeros((0, 1, 8, 8)), np.zeros((2, 1, 0, 8)), [object()], 3.0],
    ids=["none", "empty ones", "objects", "a number"],
)
def test_what_is_no_batch_is_refused(images: Any) -> None:
    with pytest.raises(UsageError, match="images"):
        examine(small_network(), images, [0])


def test_the_example_in_the_docstring_is_true() -> None:
    assert doctest.testmod(sys.modules["convscope.doctor.model"]) == (0, 4)


def test_a_finding_belongs_to_a_check_and_has_advice_unless_fine() -> None:
    with pytest.raises(ValueError, match="unknown check 'colour'; choose from accuracy, "):
        Finding("colour", "fine", "Red.")
    with pytest.raises(ValueError, match="needs advice"):
        Finding("labels", "warning", "Odd.")
    with pytest.raises(ValueError, match="takes no advice"):
        Finding("labels", "fine", "Even.", "Go on.")
