"""The evaluation's numbers, against counting by hand; test-time augmentation, against six forward passes."""

import json
import re
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import pad

from convscope import train
from convscope.data import load
from convscope.errors import StoppedError
from convscope.evaluate import Evaluation, evaluate, summary
from convscope.runs import Run
from convscope.runs.artifacts import METRICS, write_csv
from convscope.runs.captions import percent
from convscope.train import resume

Cli = Callable[..., tuple[int, str, str]]

RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 4, 200)
PROBABILITIES = RNG.dirichlet(np.ones(4), 200)
EVALUATION = Evaluation(PROBABILITIES, LABELS, ("ant", "bee", "cat", "dog"))


def test_confusion_counts_true_rows_and_predicted_columns() -> None:
    by_hand = np.zeros((4, 4), int)
    for true, row in zip(LABELS, PROBABILITIES, strict=True):
        by_hand[true, int(np.argmax(row))] += 1
    assert EVALUATION.confusion.tolist() == by_hand.tolist()
    assert EVALUATION.accuracy == np.trace(by_hand) / 200


def test_most_confused_pairs_are_the_largest_off_the_diagonal() -> None:
    pairs = EVALUATION.most_confused(3)
    counts = {
        (t, p): EVALUATION.confusion[i, j]
        for i, t in enumerate(EVALUATION.classes)
        for j, p in enumerate(EVALUATION.classes)
        if i != j
    }
    assert [count for _, _, count in pairs] == sorted(counts.values(), reverse=True)[:3]
    assert all(counts[true, predicted] == count for true, predicted, count in pairs)


def test_a_perfect_network_confuses_nothing() -> None:
    perfect = Evaluation(np.eye(4)[LABELS], LABELS, EVALUATION.classes)
    assert perfect.accuracy == 1
    assert perfect.most_confused() == []


def test_images_a_second_are_all_pictures_over_all_seconds(copied_run: Run) -> None:
    """One epoch of 1 s at 100 images/s and one of 3 s at 200: 700 pictures in 4 s, not the mean of the rates."""
    rows = copied_run.metrics[:2]
    rates = [{"seconds": 1.0, "images_per_second": 100.0}, {"seconds": 3.0, "images_per_second": 200.0}]
    write_csv(copied_run.path / METRICS, [row | rate for row, rate in zip(rows, rates, strict=True)])
    found = summary(copied_run, EVALUATION)
    assert (found["epochs"], found["train_seconds"], found["images_per_second"]) == (2, 4.0, 175.0)
    assert found["test_accuracy"] == EVALUATION.accuracy
    assert found["val_accuracy"] == copied_run.checkpoint["best_val_accuracy"]


def six_forward_passes(run: Run, images: np.ndarray) -> torch.Tensor:
    """Mean logits, float64 (N, K), of the definition written out: windows of torch's own reflection, no batches."""
    height, width = images.shape[2:]
    pixels = torch.from_numpy(images)
    padded = pad(pixels.float(), (1, 1, 1, 1), mode="reflect").byte()
    up_left, down_right = padded[:, :, :height, :width], padded[:, :, 2 : height + 2, 2 : width + 2]

    def answer(view: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return run.model(run.preprocess(view)).double()

    plain = (answer(pixels) + answer(pixels.flip(3))) / 2
    shifted = [(answer(view) + answer(view.flip(3))) / 2 for view in (up_left, down_right)]
    return plain / 2 + (shifted[0] + shifted[1]) / 4


def test_tta_is_the_softmax_of_the_mean_logits_of_six_views(digits_run: Run) -> None:
    _, test = load("digits")
    found = evaluate(digits_run, test, tta=True)
    assert found.tta_probabilities is not None
    assert found.tta_probabilities.dtype == np.float64
    logits = six_forward_passes(digits_run, test.images)
    np.testing.assert_allclose(found.tta_probabilities, logits.softmax(1).numpy(), rtol=1e-4, atol=1e-6)
    assert found.accuracy_tta == np.mean(logits.argmax(1).numpy() == test.labels)
    assert found.accuracy_tta < found.accuracy - 0.01  # a mirrored digit is another sign: it must cost some
    plain = evaluate(digits_run, test)
    assert np.array_equal(found.probabilities, plain.probabilities)
    assert plain.tta_probabilities is plain.accuracy_tta is None


def test_tta_turns_a_picture_whose_mirror_image_is_surer() -> None:
    """Three pictures: tta changes the second alone, for the better."""
    plain, averaged = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]]), np.array([[0.8, 0.2], [0.3, 0.7], [0.4, 0.6]])
    found = Evaluation(plain, np.array([0, 1, 0]), ("a", "b"), averaged)
    assert (found.accuracy, found.accuracy_tta) == (1 / 3, 2 / 3)
    assert found.predictions.tolist() == [0, 0, 1]


def test_evaluate_gives_the_tta_accuracy_beside_the_plain_one_only_where_asked(digits_run: Run, cli: Cli) -> None:
    plain = json.loads(cli("evaluate", digits_run.path, "--json")[1])
    assert "test_accuracy_tta" not in plain
    answer = json.loads(cli("evaluate", digits_run.path, "--tta", "--json")[1])
    keys = list(answer)
    assert keys[keys.index("test_accuracy") + 1] == "test_accuracy_tta"
    assert {key: value for key, value in answer.items() if key != "test_accuracy_tta"} == plain
    assert answer["test_accuracy_tta"] == evaluate(digits_run, load("digits")[1], tta=True).accuracy_tta
    both = f"{plain['test_accuracy']:.2%} of 360 test pictures right; {answer['test_accuracy_tta']:.2%} with test-time"
    assert both in cli("evaluate", digits_run.path, "--tta")[1]
    assert "test-time" not in cli("evaluate", digits_run.path)[1]


TTA = {"train__tta": True, "train__epochs": 2, "model__base_channels": 4, "data__subset": 300}


@pytest.fixture(scope="module")
def tta_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train("digits", out=tmp_path_factory.mktemp("tta") / "run", **TTA)


def test_a_run_with_tta_says_both_accuracies_everywhere(tta_run: Run, cli: Cli) -> None:
    results = tta_run.results
    found = evaluate(tta_run, load("digits")[1], tta=True)
    assert (results["test_accuracy"], results["test_accuracy_tta"]) == (found.accuracy, found.accuracy_tta)
    assert results["test_accuracy"] != results["test_accuracy_tta"]
    card, report = ((tta_run.path / name).read_text() for name in ("README.md", "report.html"))
    tta = results["test_accuracy_tta"]
    assert f"Averaged over six views of each (test-time augmentation), {percent(tta, 2)} are. The test set" in card
    assert f">{percent(tta)} averaged over six views of each (test-time augmentation)</dd>" in report
    assert json.loads(cli("evaluate", tta_run.path, "--json")[1]).items() >= results.items()  # without being asked
    out = cli("train", "--resume", tta_run.path)[1]  # finished: printed once more
    lines = dict(re.findall(r"^(test accuracy.*?)  +(.+)$", out, re.MULTILINE))
    assert lines == {
        "test accuracy": f"{results['test_accuracy']:.2%}",
        "test accuracy, TTA": f"{tta:.2%}",
    }


def test_a_run_without_tta_says_nothing_of_it(digits_run: Run) -> None:
    assert "test_accuracy_tta" not in digits_run.results
    assert "six views" not in (digits_run.path / "README.md").read_text()
    assert "six views" not in (digits_run.path / "report.html").read_text()


def test_a_resumed_run_has_the_same_tta_accuracy(tta_run: Run, tmp_path: Path) -> None:
    left = iter(range(2, -1, -1))  # steps before the signal; an epoch has five

    def interrupt(images: torch.Tensor) -> torch.Tensor:
        if next(left) == 0:
            signal.raise_signal(signal.SIGTERM)
        return images

    with pytest.raises(StoppedError, match="after step 3 of"):
        train("digits", out=tmp_path / "run", augment=interrupt, **TTA)
    results = resume(tmp_path / "run").results
    for key in ("test_accuracy", "test_accuracy_tta", "val_accuracy"):
        assert results[key] == tta_run.results[key]
