"""Outputs that are no logits, answers that are all the same, probabilities and blank heatmaps are named."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convscope.doctor import CHECKS, Finding, examine
from convscope.explain.clone import eval_clone
from convscope.runs import Run

Bad = Callable[[list[Finding]], dict[str, tuple[str, str]]]
BatchOf = Callable[..., tuple[Tensor, Tensor]]
Trained = Callable[..., nn.Sequential]
Around = Callable[..., nn.Module]


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
    around: Around,
    bad: Bad,
    batch_of: BatchOf,
    trained: Trained,
    spoil: Callable[[Tensor], object],
    seen: str,
    mode: bool,
) -> None:
    whole = trained(*batch_of("train")).append(nn.Dropout(0.5))
    found = examine(around(whole, after=lambda z, _: spoil(z)).train(mode), *batch_of("test"))
    assert bad(found).keys() == {"output"}
    assert bad(found)["output"][0] == "problem"
    assert bad(found)["output"][1].startswith(seen)
    assert {f.name for f in found} == {"layout", "values", "labels", "weights", "output"}
    if "largest weight" in bad(found)["output"][1]:
        largest = max(float(p.detach().abs().max()) for p in whole.parameters())
        assert bad(found)["output"][1].endswith(f"the largest weight is {largest:.2g}.")


def test_logits_that_are_none(bad: Bad, batch_of: BatchOf, trained: Trained) -> None:
    images, labels = batch_of("test")
    whole = trained(*batch_of("train"))
    seen = bad(examine(whole[:3], images, labels))["output"][1]
    assert seen == "The model gives (200, 8, 3, 3) for 200 pictures; expected logits (200, classes)."
    larger = F.interpolate(images, size=(12, 10))
    seen = bad(examine(whole, larger, labels))["output"][1]
    assert seen.startswith(
        "The model cannot take this batch: mat1 and mat2 shapes cannot be multiplied (200x160 and 72x10)"
    )


def test_a_flatten_that_takes_pictures_apart(bad: Bad, batch_of: BatchOf) -> None:
    """`x.view(-1, 72)` where 144 features belong to one picture: every picture becomes two."""
    torch.manual_seed(2)
    model = nn.Sequential(nn.Conv2d(1, 16, 3), nn.MaxPool2d(2), nn.Flatten(0), nn.Unflatten(0, (-1, 72)))
    seen = bad(examine(model.append(nn.Linear(72, 10)), *batch_of("test")))
    expected = "The model gives (400, 10) for 200 pictures; expected logits (200, classes)."
    assert seen == {"output": ("problem", expected)}


def test_a_network_whose_relus_never_fire(
    bad: Bad, batch_of: BatchOf, trained: Trained, small_network: nn.Sequential
) -> None:
    model = small_network
    nn.init.constant_(model[0].bias, -30.0)  # so badly begun, it has no gradient to recover by
    trained(*batch_of("train"), model=model)
    found = bad(examine(model, *batch_of("test")))
    assert found["output"] == (
        "problem",
        "Every picture gets the same logits, for layer 1 gives zero for each of them.",
    )
    assert found["heatmap"][1].startswith("32 of 32 Grad-CAM heatmaps at layer 1 are blank")
    assert found["accuracy"][0] == "problem"


def test_one_answer_to_everything(bad: Bad, batch_of: BatchOf, trained: Trained) -> None:
    images, labels = batch_of("train")
    model = trained(images, torch.full_like(labels, 4))  # the labels were lost on the way
    found = bad(examine(model, *batch_of("test")))
    assert found["output"] == ("problem", "Every picture is taken for class 4; 180 of 200 belong to others.")
    # a batch of that one class tells nothing
    images, labels = batch_of("test")
    assert "output" not in bad(examine(model, images[labels == 4], labels[labels == 4]))


def test_blank_heatmaps(bad: Bad, batch_of: BatchOf, digits_run: Run) -> None:
    model = eval_clone(digits_run.model)
    with torch.no_grad():
        model.head.weight.data = -model.head.weight.abs()  # every feature now argues against every class
    found = bad(examine(model, *batch_of("test")))
    assert found["heatmap"] == (
        "problem",
        "32 of 32 Grad-CAM heatmaps at layer group2.1.relu are blank: nothing there argues for the predicted class.",
    )


def test_a_model_for_one_size_of_batch_has_no_heatmap(
    around: Around, bad: Bad, batch_of: BatchOf, trained: Trained
) -> None:
    """Heatmaps are drawn for a part of the batch, so are those that tell which layer is dead."""
    whole = trained(*batch_of("train"))
    found = bad(examine(around(whole, after=lambda z, _: z.view(200, 10)), *batch_of("test")))
    assert found.keys() == {"heatmap"}
    assert found["heatmap"][1].startswith("The model refuses a part of the pictures: shape '[200, 10]' is invalid")
    nn.init.constant_(whole[0].bias, -30.0)
    found = bad(examine(around(whole, after=lambda z, _: z.view(200, 10)), *batch_of("test")))
    assert found["output"][1].startswith("Every picture gets the same logits")


def test_without_gradients_there_is_no_heatmap(around: Around, bad: Bad, batch_of: BatchOf, trained: Trained) -> None:
    model = around(trained(*batch_of("train")), after=lambda z, _: z.detach())
    found = bad(examine(model, *batch_of("test")))
    assert found.keys() == {"heatmap"}
    assert found["heatmap"][1].startswith("Grad-CAM cannot be drawn: ")


def test_without_a_convolution_there_is_no_heatmap_but_all_the_rest(bad: Bad, batch_of: BatchOf) -> None:
    torch.manual_seed(1)
    images, labels = batch_of("test")
    found = examine(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), images, labels)
    assert bad(found)["heatmap"][0] == "warning"
    assert {finding.name for finding in found} == set(CHECKS["model and batch"])


class Against(nn.Linear):
    """A linear layer whose weights are all negative: features only argue against classes."""

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, -F.softplus(self.weight), self.bias)


def test_blank_heatmaps_of_a_model_that_works_are_none(bad: Bad, batch_of: BatchOf, trained: Trained) -> None:
    torch.manual_seed(6)
    model = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), Against(8 * 36, 10))
    with torch.no_grad():
        model[3].weight -= 4
    trained(*batch_of("train"), model=model, steps=100)
    images, labels = batch_of("test")
    found = examine(model, images, labels)
    assert bad(found) == {}
    (heatmap,) = [finding.seen for finding in found if finding.name == "heatmap"]
    right = int((model(images).argmax(1) == labels).sum())
    assert heatmap.startswith("32 of 32 Grad-CAM heatmaps at layer 1 are blank: ")
    assert f"but the model works: {right} of 200 pictures are right" in heatmap
    found = examine(model, images, labels.float())
    assert bad(found)["heatmap"][0] == "warning"  # whether it works nobody knows
    (advice,) = [finding.advice for finding in found if finding.name == "heatmap"]
    assert advice.startswith("convscope.explain.explain(model, images, layer=NAME) looks at a layer of your choice")


def test_a_network_that_ends_in_a_softmax(bad: Bad, batch_of: BatchOf, trained: Trained) -> None:
    train, test = batch_of("train"), batch_of("test")
    model = trained(*train, model=nn.Sequential(*trained(*train), nn.Softmax(dim=1)))
    severity, seen = bad(examine(model, *test))["softmax"]
    assert severity == "warning"
    assert seen.startswith("Each picture's 10 outputs are positive and sum to 1: the network ends in a softmax.")
    perfect = F.cross_entropy(torch.eye(10), torch.arange(10))
    assert f"never falls below {perfect:.2f}." in seen
    half = model.bfloat16()
    assert "softmax" in bad(examine(half, test[0].bfloat16(), test[1]))


def test_other_ends_are_no_softmax(bad: Bad, batch_of: BatchOf, trained: Trained, around: Around) -> None:
    train, test = batch_of("train"), batch_of("test")
    log = trained(*train, model=nn.Sequential(*trained(*train), nn.LogSoftmax(dim=1)), loss=F.nll_loss)
    assert bad(examine(log, *test)) == {}
    for after in (
        lambda z, training: z if training else z.softmax(1),
        lambda z, _: z.sigmoid(),
        lambda z, _: z.softmax(1) - 0.01,
        lambda z, _: z + (1 - z.sum(dim=1, keepdim=True)) / 10,  # they sum to 1, but some are negative
        lambda z, _: 3 * z.softmax(1),
    ):
        assert "softmax" not in bad(examine(around(trained(*train), after=after).eval(), *test))
