"""The synthetic pictures: balanced, reproducible, learnable by looking at neighbours and hardly otherwise."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from convscope.data import Batches, load
from convscope.data.synthetic import PATTERNS
from convscope.errors import UsageError
from convscope.models import build_model


@pytest.mark.parametrize(("n", "classes", "size"), [(512, 4, 32), (90, 6, 20), (8, 2, 16)])
def test_the_classes_are_balanced_and_in_random_order(n: int, classes: int, size: int) -> None:
    train, test = load("synthetic", n=n, classes=classes, size=size)
    assert train.images.shape == (n, 3, size, size)
    assert len(test) == n // 2
    assert train.classes == tuple(PATTERNS)[:classes]
    for part in (train, test):
        counts = np.bincount(part.labels, minlength=classes)
        assert counts.max() - counts.min() <= 1
        assert not np.array_equal(part.labels, np.sort(part.labels))


def test_the_seed_decides_and_the_test_set_is_another_stream() -> None:
    (train, test), (again, _), (other, _) = (load("synthetic", n=40, seed=seed) for seed in (5, 5, 6))
    assert np.array_equal(train.images, again.images)
    assert np.array_equal(train.labels, again.labels)
    assert not np.array_equal(train.images, other.images)
    pictures = np.concatenate([train.images, test.images, other.images])
    assert len(np.unique(pictures, axis=0)) == len(pictures)


def test_neither_colour_nor_place_gives_the_class_away() -> None:
    train, _ = load("synthetic", n=2400, classes=6)
    for label in range(6):
        members = train.images[train.labels == label] / 255
        assert abs(members.mean() - 0.5) < 0.02
        assert np.abs(members.mean(axis=0) - 0.5).max() < 0.12  # the average picture: even grey
        assert members.std() > 0.18  # while each picture is anything but


def test_stripes_run_the_way_their_name_says() -> None:
    train, _ = load("synthetic", n=200)
    images = train.images.astype(np.float64)
    across = np.abs(np.diff(images, axis=3)).mean(axis=(1, 2, 3))
    down = np.abs(np.diff(images, axis=2)).mean(axis=(1, 2, 3))
    horizontal, vertical = (train.labels == train.classes.index(name) for name in ("horizontal", "vertical"))
    assert (down > 1.3 * across)[horizontal].all()
    assert (across > 1.3 * down)[vertical].all()


def train_and_test(model: torch.nn.Module, epochs: int, lr: float) -> float:
    train, test = load("synthetic")
    mean, std = train.channel_stats()
    batches = Batches(train, test, mean=mean, std=std, batch_size=32, seed=0)
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    for epoch in range(epochs):
        for images, labels in batches.train(epoch):
            loss = F.cross_entropy(model(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    model.eval()
    with torch.no_grad():
        return sum(int((model(images).argmax(1) == labels).sum()) for images, labels in batches.val()) / len(test)


def test_a_small_network_learns_in_five_epochs_what_a_linear_classifier_cannot() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build_model("tiny-resnet", (3, 32, 32), 4, base_channels=4)
        linear = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3072, 4))
    assert train_and_test(network, 5, lr=0.01) > 0.9
    assert train_and_test(linear, 15, lr=1e-3) < 0.6


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": 7}, r"classes must lie in 2\.\.6, got 7"),
        ({"classes": 1}, r"classes must lie in 2\.\.6, got 1"),
        ({"size": 15}, "at least 16 pixels, got 15"),
        ({"n": 7}, "n of at least 8 and seed >= 0, got 7 and 0"),
        ({"seed": -1}, "got 512 and -1"),
    ],
)
def test_what_cannot_be_drawn_is_refused(options: dict[str, int], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load("synthetic", **options)
