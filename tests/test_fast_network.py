"""The network and the training of `cifar10-94`, small, on the digits: every command takes it as it takes any other."""

from pathlib import Path

import pytest
import torch

from convscope import prove, train
from convscope.config import load_config
from convscope.data import load
from convscope.doctor import examine_run
from convscope.evaluate import evaluate
from convscope.explain import learned_filters
from convscope.export import export_safetensors
from convscope.runs import Run
from convscope.verify import verify
from convscope.views import choose_picture, explain_picture, look_at_augmentation

RECIPE = load_config("cifar10-94")
SMALL = {"base_channels": 8, "stem_pool": 1}  # a quarter of 8×8 would leave nothing to the second group


@pytest.fixture(scope="module")
def fast_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    settings = RECIPE.train.model_dump() | {"epochs": 12, "batch_size": 64, "sizes": [6, 8], "tta": True}
    for key in ("bias_lr", "head_lr", "weight_decay"):  # their effect on a step grows with the batch
        settings[key] *= 64 / RECIPE.train.batch_size
    model = {"name": RECIPE.model.name} | RECIPE.model.options | SMALL
    return train(
        "digits",
        out=tmp_path_factory.mktemp("runs") / "fast",
        data__augment={"flip": "alternating", "crop": 1},
        **{f"train__{key}": value for key, value in settings.items()},
        **{f"model__{key}": value for key, value in model.items()},
    )


def test_it_learns_and_verifies(fast_run: Run) -> None:
    assert fast_run.results["test_accuracy"] > 0.93
    assert verify(fast_run.path).ok
    assert not [finding for finding in examine_run(fast_run.path) if finding.severity == "problem"]


def test_the_proof_holds_forward_and_backward(fast_run: Run) -> None:
    _, test = load("digits")
    proof = prove(fast_run, test.images, labels=test.labels)
    assert proof.ok, proof.problem
    assert proof.gradients is not None
    proved = {difference.name for difference in proof.gradients.train}
    learned = {name for name, parameter in fast_run.model.named_parameters() if parameter.requires_grad}
    assert learned <= proved
    assert "stem.whitening.weight" not in learned


def test_what_it_shows(fast_run: Run, tmp_path: Path) -> None:
    assert learned_filters(fast_run.model)[0] == "stem.conv"  # the whitening kernels were not learned
    assert learned_filters(fast_run.model, "stem.whitening")[1].shape == (8, 1, 2, 2)
    picture = choose_picture(fast_run, None, 3, None)
    assert Path(explain_picture(fast_run, picture, out=tmp_path / "e.png")["png"]).is_file()
    assert Path(look_at_augmentation(fast_run, out=tmp_path / "a.png")["png"]).is_file()


def test_it_is_exported(fast_run: Run, tmp_path: Path) -> None:
    exported = export_safetensors(fast_run, tmp_path / "small")
    _, test = load("digits")
    found = evaluate(exported, test, tta=True)
    assert exported.results["test_accuracy"] == found.accuracy
    assert exported.results["test_accuracy_tta"] == found.accuracy_tta
    assert torch.allclose(
        exported.model.get_parameter("stem.whitening.weight"),
        fast_run.model.get_parameter("stem.whitening.weight"),
        rtol=1e-3,
    )
    assert verify(exported.path).ok
