"""Values of pictures are a mistake where another scale gets more of them right, and none where the model works."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from convscope.data import ImageSet
from convscope.doctor import Finding, examine
from convscope.runs import Run

Bad = Callable[[list[Finding]], dict[str, tuple[str, str]]]
Trained = Callable[..., nn.Module]
Around = Callable[..., nn.Module]
Digits = tuple[ImageSet, ImageSet]
MEAN, STD = 0.31, 0.38  # of the digits on [0, 1]


def raw(pictures: ImageSet, n: int = 200) -> tuple[Tensor, Tensor]:
    """Bytes (n, 1, 8, 8), with labels."""
    chosen = pictures.subset(n, seed=1)
    return torch.from_numpy(chosen.images), torch.from_numpy(chosen.labels)


def network() -> nn.Sequential:
    """Biases matter to it, unlike to a network that only has to take the largest sum."""
    torch.manual_seed(8)
    return nn.Sequential(
        nn.Conv2d(1, 12, 3), nn.Tanh(), nn.Conv2d(12, 12, 3), nn.Tanh(), nn.Flatten(), nn.Linear(12 * 16, 10)
    )


def from_unit(x: Tensor, _: bool = False) -> Tensor:
    return (x - MEAN) / STD


def from_bytes(x: Tensor, _: bool = False) -> Tensor:
    return (x.float() / 255 - MEAN) / STD


WORKING: dict[str, tuple[Callable[[Tensor], Tensor], Callable[..., Tensor] | None, str]] = {
    "normalises [0, 1] itself": (lambda x: x / 255, from_unit, "the model's first step brings them to mean "),
    "normalises bytes itself": (lambda x: x, from_bytes, "The pictures are torch.uint8; the model's first step brings"),
    "normalises [0, 255] itself": (lambda x: x.float(), from_bytes, "on [0, 255]; the model's first step brings"),
    "was trained on [0, 1]": (lambda x: x / 255, None, "as if still on [0, 1]; the model works on them as they are: "),
    "takes doubles": (lambda x: from_bytes(x).double(), lambda x, _: x.float(), "torch.float32; the model works on"),
    "clips too": (lambda x: x / 255, lambda x, _: from_unit(x.clamp(0.1, 0.9)), "on [0, 1]; the model works on them"),
    "normalised twice, always": (from_bytes, from_unit, "standard deviation 2.6; the model works on them: "),
}


@pytest.mark.parametrize(("given", "before", "seen"), WORKING.values(), ids=WORKING)
def test_what_a_model_works_on_is_no_mistake(
    bad: Bad,
    digits: Digits,
    trained: Trained,
    around: Around,
    given: Callable[[Tensor], Tensor],
    before: Callable[..., Tensor] | None,
    seen: str,
) -> None:
    (train, classes), (test, labels) = raw(digits[0], 300), raw(digits[1])
    model = trained(given(train), classes, model=around(network(), before), lr=0.4, steps=60)
    found = examine(model, given(test), labels)
    assert int((model(given(test)).argmax(1) == labels).sum()) > 150
    assert bad(found) == {}
    (values,) = [finding.seen for finding in found if finding.name == "values"]
    assert seen in values
    # labels that cannot be used leave a doubt where only the answers tell
    unsure = bad(examine(model, given(test), labels.float()))
    assert "values" not in unsure if "first step brings" in seen else unsure["values"][0] == "warning"


def test_pictures_that_are_normalised_twice(bad: Bad, digits: Digits, digits_run: Run, around: Around) -> None:
    test, labels = raw(digits[1])
    (mean,), (std,) = digits_run.checkpoint["mean"], digits_run.checkpoint["std"]
    model = around(digits_run.model, lambda x, _: (x - mean) / std).eval()
    given = digits_run.preprocess(test)
    with torch.no_grad():
        right, wrong = (int((model(x).argmax(1) == labels).sum()) for x in (test / 255, given))
    severity, seen = bad(examine(model, given, labels))["values"]
    assert severity == "problem"
    reached = model.before(given, False)
    assert seen == (
        "The pictures are normalised, and the model's first step then brings them to "
        f"mean {float(reached.mean()):.2g} and standard deviation {float(reached.std()):.2g}, so twice: "
        f"{wrong} of 200 pictures are right ({100 * wrong / 200:.1f}\N{NO-BREAK SPACE}%); "
        f"with that step undone, {right} are."
    )
    severity, unsure = bad(examine(model, given, labels.float()))["values"]
    assert severity == "warning"
    assert unsure == seen.partition(", so twice")[0] + ": they are probably normalised twice."
    assert "values" not in bad(examine(model, test / 255, labels))


def test_bytes_for_a_model_that_normalises_0_to_1(bad: Bad, digits: Digits, trained: Trained, around: Around) -> None:
    (train, classes), (test, labels) = raw(digits[0], 300), raw(digits[1])
    model = trained(train / 255, classes, model=around(network(), from_unit), lr=0.4, steps=60)
    right = int((model(test / 255).argmax(1) == labels).sum())
    severity, seen = bad(examine(model, test.float(), labels))["values"]
    assert severity == "problem"
    assert "values from 0 to 255, as if still on [0, 255]. " in seen
    assert seen.endswith(f"; divided by 255, {right} are.")


def test_where_no_scale_helps_failing_is_a_problem_and_too_few_pictures_a_doubt(bad: Bad, digits: Digits) -> None:
    """A network that never learned does no better on pictures that are normalised."""
    test, labels = raw(digits[1])
    model, seen = network(), "The pictures are not normalised: values from 0 to 1, as if still on [0, 1]."
    assert bad(examine(model, test / 255, labels))["values"] == ("problem", seen)
    others = (model(test / 255).argmax(1) + 1) % 10
    assert bad(examine(model, test[:4] / 255, others[:4]))["values"] == ("warning", seen)


def test_a_batchnorm_before_everything_is_no_second_normalisation(bad: Bad, digits: Digits, trained: Trained) -> None:
    (train, classes), (test, labels) = raw(digits[0], 300), raw(digits[1])
    model = nn.Sequential(nn.BatchNorm2d(1), network())
    for given in (from_bytes, lambda x: x.float()):
        trained(given(train), classes, model=model.train(), lr=0.4, steps=60)
        assert bad(examine(model.eval(), given(test), labels)) == {}


@pytest.mark.parametrize("axes", ["channels last", "one axis"])
def test_another_layout_is_none_where_the_model_works_on_it(
    bad: Bad, digits: Digits, trained: Trained, around: Around, axes: str
) -> None:
    (train, classes), (test, labels) = raw(digits[0], 300), raw(digits[1])
    if axes == "one axis":
        model: nn.Module = nn.Linear(64, 10)
        train, test = train.flatten(1), test.flatten(1)
    else:
        model = around(network(), lambda x, _: x.permute(0, 3, 1, 2))
        train, test = train.permute(0, 2, 3, 1), test.permute(0, 2, 3, 1)
    trained(from_bytes(train), classes, model=model, lr=0.4, steps=60)
    found = examine(model, from_bytes(test), labels)
    assert not {"layout", "values"} & bad(found).keys()
    assert "; the model works on them: " in found[0].seen
