"""The main job through its front door: real digits, a whole run folder, and the numbers in it."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from convscope import train
from convscope.config import load_config
from convscope.data import ImageSet, hold_out, load
from convscope.errors import UsageError
from convscope.evaluate import evaluate, summary
from convscope.runs import Run, load_run
from convscope.runs.artifacts import ARTIFACTS, LATEST, MANIFEST
from convscope.runs.checkpoint import load_checkpoint, rebuild_model
from convscope.training.device import choose_device
from convscope.verify import verify

COLUMNS = "epoch,step,train_loss,train_accuracy,val_loss,val_accuracy,lr,seconds,images_per_second"


def test_the_folder_holds_what_the_design_says(digits_run: Run) -> None:
    files = {str(p.relative_to(digits_run.path)) for p in digits_run.path.rglob("*") if p.is_file()}
    assert files == {*ARTIFACTS, MANIFEST}
    assert (digits_run.path / "metrics.csv").read_text().splitlines()[0] == COLUMNS
    saved = yaml.safe_load((digits_run.path / "config.yaml").read_text())
    assert (saved["train"]["epochs"], saved["model"]["base_channels"]) == (3, 8)
    environment = json.loads((digits_run.path / "environment.json").read_text())
    assert environment["threads"] == torch.get_num_threads()
    assert environment["packages"]["torch"] == torch.__version__


def test_it_learns_and_its_figures_are_those_of_the_test_set(digits_run: Run) -> None:
    _, test = load("digits")
    right = digits_run.model(digits_run.preprocess(test.images)).argmax(1).numpy() == test.labels
    results = digits_run.results
    assert results["test_accuracy"] == pytest.approx(right.mean(), abs=1e-12)
    assert results["test_accuracy"] > 0.8
    assert results == summary(digits_run, evaluate(digits_run, test))
    assert list(results) == [
        *("run", "dataset", "model", "parameters", "epochs"),
        *("val_accuracy", "test_accuracy", "train_seconds", "images_per_second"),
    ]
    assert results["parameters"] == sum(p.numel() for p in digits_run.model.parameters())
    assert results["train_seconds"] == pytest.approx(sum(row["seconds"] or 0 for row in digits_run.metrics))


def test_normalisation_comes_from_the_training_pictures_alone(digits_run: Run) -> None:
    pictures, test = load("digits")
    training, validation = hold_out(pictures, digits_run.config)
    assert validation is not None
    assert len(training) + len(validation) == len(pictures)
    values = training.images / 255
    assert digits_run.checkpoint["mean"] == pytest.approx([values.mean()], abs=1e-12)
    assert digits_run.checkpoint["std"] == pytest.approx([values.std()], abs=1e-12)
    for other in (pictures.images / 255, validation.images / 255, test.images / 255):
        assert digits_run.checkpoint["mean"][0] != pytest.approx(other.mean(), abs=1e-6)


def test_the_same_seed_gives_the_same_network_and_another_seed_another(digits_run: Run, tmp_path: Path) -> None:
    torch.manual_seed(1234)  # the global stream must not matter
    small = {"train__epochs": 1, "model__base_channels": 4, "data__subset": 200}
    runs = [train("digits", out=tmp_path / str(i), **small, train__seed=seed) for i, seed in enumerate([3, 3, 4])]
    states = [np.concatenate([v.numpy().ravel() for v in r.model.state_dict().values()]) for r in runs]
    assert np.array_equal(states[0], states[1])
    assert not np.array_equal(states[0], states[2])
    assert runs[0].results["test_accuracy"] == runs[1].results["test_accuracy"]


def test_subset_first_then_validation_both_balanced() -> None:
    pictures, _ = load("digits")
    config = load_config("digits", ["data.subset=500", "data.val_fraction=0.2"])
    training, validation = hold_out(pictures, config)
    assert validation is not None
    assert np.bincount(training.labels).tolist() == [40] * 10
    assert np.bincount(validation.labels).tolist() == [10] * 10
    seen = {picture.tobytes() for picture in training.images}
    assert not seen & {picture.tobytes() for picture in validation.images}


def test_best_is_the_epoch_of_the_highest_validation_accuracy_then_of_the_lowest_loss(tmp_path: Path) -> None:
    epochs, steps, calls = 12, 15, []  # 960 training pictures in batches of 64

    def spoil_the_end(images: torch.Tensor) -> torch.Tensor:
        """From the last epoch the network learns negatives, which ruins it for the pictures as they are."""
        calls.append(len(images))
        return 255 - images if len(calls) > (epochs - 1) * steps else images

    few_held_out = {"data__subset": 970, "data__val_fraction": 10 / 970}  # so that accuracies are often equal
    small = {"model__base_channels": 8, "train__epochs": epochs, "train__batch_size": 64}
    run = train("digits", out=tmp_path / "run", augment=spoil_the_end, **few_held_out, **small)
    assert len(calls) == epochs * steps
    scores = [(row["val_accuracy"] or 0.0, -(row["val_loss"] or 0.0)) for row in run.metrics]
    best = scores.index(max(scores))
    accuracies = [accuracy for accuracy, _ in scores]
    assert accuracies[-1] < max(accuracies)  # or this run would not tell the best from the latest
    assert accuracies.index(max(accuracies)) < best  # nor a tie broken by the loss from the first one

    assert run.checkpoint["epoch"] == best + 1
    assert run.checkpoint["best_val_accuracy"] == accuracies[best] == run.results["val_accuracy"]
    validation = hold_out(load("digits")[0], run.config)[1]
    assert validation is not None
    latest = load_checkpoint(run.path / LATEST)
    assert latest["epoch"] == epochs
    for checkpoint, score in ((run.checkpoint, scores[best]), (latest, scores[-1])):
        logits = rebuild_model(checkpoint)(run.preprocess(validation.images))
        loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(validation.labels))
        assert -loss.item() == pytest.approx(score[1], rel=1e-5)


def test_without_validation_best_is_latest_and_says_so(tmp_path: Path) -> None:
    small = {"train__epochs": 2, "model__base_channels": 4, "data__subset": 100, "data__val_fraction": 0}
    run = train("digits", out=tmp_path / "run", **small)
    assert run.checkpoint["epoch"] == 2
    assert run.checkpoint["best_val_accuracy"] is None
    assert run.results["val_accuracy"] is None
    assert [row["val_accuracy"] for row in run.metrics] == [None, None]
    best, latest = ((tmp_path / "run" / name).read_bytes() for name in ("best.pt", "latest.pt"))
    assert best == latest
    for text in ((run.path / "README.md").read_text(), (run.path / "report.html").read_text()):
        assert "Nothing was held out for validation" in text
        assert "Only 100 training pictures for 10 classes" in text


def test_overfitting_is_said_in_report_and_readme(tmp_path: Path) -> None:
    memorise = {"data__subset": 60, "data__val_fraction": 0.5, "data__augment": None, "train__epochs": 25}
    run = train("digits", out=tmp_path / "run", model__base_channels=8, train__batch_size=8, **memorise)
    last = run.metrics[-1]
    assert (last["train_accuracy"] or 0) - (last["val_accuracy"] or 0) > 0.1
    for name in ("README.md", "report.html"):
        assert re.search(r"Training accuracy \([\d.]+\s%\) runs far ahead", (run.path / name).read_text())


def test_any_callable_on_a_batch_plugs_in(tmp_path: Path) -> None:
    seen: list[torch.Size] = []

    def watch(images: torch.Tensor) -> torch.Tensor:
        assert images.dtype == torch.uint8
        seen.append(images.shape)
        return images.flip(-1)

    small = {"train__epochs": 1, "model__base_channels": 4, "data__subset": 100, "data__val_fraction": 0}
    train("digits", out=tmp_path / "run", augment=watch, **small)
    assert [tuple(shape) for shape in seen] == [(64, 1, 8, 8), (36, 1, 8, 8)]  # training batches only


def test_the_recipe_augments_and_cutout_covers_with_the_training_mean(tmp_path: Path) -> None:
    seen: list[torch.Tensor] = []

    def watch(images: torch.Tensor) -> torch.Tensor:
        seen.append(images.clone())
        return images

    covered = {"data__augment": {"cutout": 8}, "train__lr": 0.01}
    small = {"train__epochs": 1, "model__base_channels": 4, "data__subset": 100}
    run = train("digits", out=tmp_path / "run", augment=watch, **covered, **small)
    fill = round(255 * run.checkpoint["mean"][0])
    assert fill not in load("digits")[0].images  # so that only the square has this grey
    squares = (torch.cat(seen) == fill).sum(dim=(1, 2, 3))
    assert squares.min() >= 4 * 4  # a centre in a corner leaves a quarter of the square in the picture
    assert squares.max() >= 6 * 6


def test_augmentation_changes_what_is_learned(tmp_path: Path) -> None:
    small = {"train__epochs": 1, "model__base_channels": 4, "data__subset": 100}
    with_crops = train("digits", out=tmp_path / "with", **small, data__augment={"crop": 1})
    without = train("digits", out=tmp_path / "without", **small, data__augment=None)
    assert not torch.equal(with_crops.model.head.weight, without.model.head.weight)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU that PyTorch knows")
@pytest.mark.parametrize("device", ["cpu", "cuda", "auto"])
def test_the_device_of_the_recipe_is_the_one_that_computes(device: str, tmp_path: Path) -> None:
    seen: set[str] = set()

    def watch(images: torch.Tensor) -> torch.Tensor:
        seen.add(images.device.type)
        return images

    run = train("digits", out=tmp_path / "run", augment=watch, train__device=device, train__epochs=2)
    assert seen == {"cpu" if device == "cpu" else "cuda"}
    environment = json.loads((run.path / "environment.json").read_text())
    assert environment["device"] == ("cpu" if device == "cpu" else torch.cuda.get_device_name())
    assert run.results["test_accuracy"] > 0.5


def test_the_threads_of_the_recipe_are_those_in_use(tmp_path: Path) -> None:
    before = torch.get_num_threads()
    seen: set[int] = set()

    def watch(images: torch.Tensor) -> torch.Tensor:
        seen.add(torch.get_num_threads())
        return images

    small = {"train__epochs": 1, "model__base_channels": 4, "data__subset": 100}
    run = train("digits", out=tmp_path / "run", augment=watch, **small, train__threads=before + 1)
    assert seen == {before + 1}
    assert torch.get_num_threads() == before
    assert json.loads((run.path / "environment.json").read_text())["threads"] == before + 1


@pytest.mark.parametrize("model", ["simple-cnn", "deep-cnn"])
def test_other_models_train_through_the_same_door(model: str, tmp_path: Path) -> None:
    settings = {"model__name": model, "train__epochs": 2, "train__optimizer": "adam", "train__lr": 0.003}
    run = train("digits", out=tmp_path / "run", **settings)
    assert run.model_name == model
    assert run.results["test_accuracy"] > 0.6
    assert load_run(run.path).parameters == run.parameters


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(UsageError, match="is not empty; choose another --out"):
        train("digits", out=tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


def test_one_folder_is_one_trainings(tmp_path: Path) -> None:
    """Two real processes start together on one folder: one trains, the other says so and changes nothing."""
    command = [sys.executable, "-m", "convscope", "train", "digits", "--out", str(tmp_path / "run")]
    small = ["--set", "train.epochs=1", "--set", "model.base_channels=4"]
    processes = [
        subprocess.Popen([*command, *small, "--set", f"train.seed={seed}"], stderr=subprocess.PIPE, text=True)
        for seed in (0, 1)
    ]
    errors = [process.communicate()[1] for process in processes]
    assert sorted(process.returncode for process in processes) == [0, 2]
    loser = next(i for i, process in enumerate(processes) if process.returncode)
    assert re.match(r"convscope: .*/run (has just been taken|is in use|holds a run).* choose another", errors[loser])
    assert load_run(tmp_path / "run").config.train.seed == 1 - loser
    assert verify(tmp_path / "run").ok


@pytest.mark.parametrize(
    "wrong",
    [
        {"model__depth": 3},
        {"model__name": "lenet5"},
        {"train__device": "cuda:77"},
        {"train__device": "meta"},
        {"data__subset": 5000},
        {"data__augment": {"crop": 8}},
        {"data__augment": {"cutout": 99}},
        {"data__val_fraction": 1e-5},
    ],
)
def test_a_wrong_option_makes_no_folder(wrong: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        train("digits", out=tmp_path / "run", **wrong)
    assert not (tmp_path / "run").exists()


def test_a_device_that_is_not_there() -> None:
    assert choose_device("cpu") == "cpu"
    with pytest.raises(UsageError, match=r"unknown train.device 'abacus'; choose auto, cpu, cuda"):
        choose_device("abacus")


def test_evaluating_other_pictures_is_refused(digits_run: Run) -> None:
    pictures = ImageSet(np.zeros((2, 3, 8, 8), np.uint8), np.zeros(2, np.int64), digits_run.classes)
    with pytest.raises(UsageError, match=r"trained on pictures \(1, 8, 8\) .*these are \(3, 8, 8\)"):
        evaluate(digits_run, pictures)
