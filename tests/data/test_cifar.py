"""CIFAR: the real archive gives the known pictures; small ones made here show what is refused and why."""

import io
import os
import pickle
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from convscope.data import ImageSet, load
from convscope.data.cifar import CIFAR10, CIFAR100, Layout, load_cifar10, read_cifar
from convscope.errors import DataError, UsageError

SMALL = replace(CIFAR10, train={"data_batch_1": 5, "data_batch_2": 4}, test={"test_batch": 3})
META = {"num_cases_per_batch": 5, "label_names": list(CIFAR10.classes), "num_vis": 3072}


def batch(count: int, seed: int) -> dict[str, object]:
    rng = np.random.default_rng(seed)
    return {
        "batch_label": f"batch {seed}",
        "labels": rng.integers(0, 10, count).tolist(),
        "data": rng.integers(0, 256, (count, 3072), dtype=np.uint8),
        "filenames": [f"{i}.png" for i in range(count)],
    }


def members() -> dict[str, object]:
    return {"batches.meta": META, "data_batch_1": batch(5, 1), "data_batch_2": batch(4, 2), "test_batch": batch(3, 3)}


def as_archive(folder: Path, contents: dict[str, object], layout: Layout = CIFAR10) -> Path:
    path = folder / layout.archive
    with tarfile.open(path, "w:gz") as tar:
        for name, content in contents.items():
            raw = content if isinstance(content, bytes) else pickle.dumps(content, 2)
            info = tarfile.TarInfo(f"{layout.folder}/{name}")
            info.size = len(raw)
            tar.addfile(info, io.BytesIO(raw))
    return path


def as_folder(folder: Path, contents: dict[str, object], layout: Layout = CIFAR10) -> Path:
    path = folder / layout.folder
    path.mkdir()
    for name, content in contents.items():
        (path / name).write_bytes(content if isinstance(content, bytes) else pickle.dumps(content, 2))
    return path


FORMS = pytest.mark.parametrize("write", [as_archive, as_folder])
Write = Callable[..., Path]


@FORMS
def test_pictures_and_labels_come_in_the_order_of_the_batches(tmp_path: Path, write: Write) -> None:
    contents = dict(reversed(members().items()))  # whatever the order in the archive
    train, test = read_cifar(write(tmp_path, contents), SMALL)
    first, second, held = batch(5, 1), batch(4, 2), batch(3, 3)
    assert train.labels.tolist() == first["labels"] + second["labels"]
    assert test.labels.tolist() == held["labels"]
    assert train.classes == test.classes == CIFAR10.classes
    data = np.concatenate([first["data"], second["data"]])
    assert train.images.shape == (9, 3, 32, 32)
    for picture, channel, row, column in [(0, 0, 0, 0), (3, 1, 7, 31), (8, 2, 30, 5)]:
        value = data[picture, channel * 1024 + row * 32 + column]
        assert train.images[picture, channel, row, column] == value
    np.testing.assert_array_equal(test.images.reshape(3, -1), held["data"])
    assert train.images.flags.writeable


def changed(name: str, **values: object) -> dict[str, object]:
    contents = members()
    return contents | {name: contents[name] | values}


class Evil:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return os.system, (f"touch {self.mark}",)


LABELS = batch(4, 2)["labels"]
assert isinstance(LABELS, list)


@FORMS
@pytest.mark.parametrize(
    ("name", "values", "reason"),
    [
        ("data_batch_2", {"data": np.zeros((4, 3071), dtype=np.uint8)}, "'data' is shape (4, 3071), expected uint8 of"),
        ("data_batch_2", {"data": np.zeros((5, 3072), dtype=np.uint8)}, "'data' is shape (5, 3072)"),
        ("data_batch_2", {"data": np.zeros((4, 3, 32, 32), dtype=np.uint8)}, "'data' is shape (4, 3, 32, 32)"),
        ("data_batch_2", {"data": np.zeros((4, 3072), dtype=np.float16)}, "elements of type 'f2'"),
        ("data_batch_2", {"data": np.zeros((4, 3072), dtype=object)}, "elements of type 'O8'"),
        ("data_batch_2", {"data": [0] * 4}, "'data' is a list"),
        ("data_batch_2", {"labels": [*LABELS[:3], 10]}, "'labels' has 10, expected whole numbers 0 to 9"),
        ("data_batch_2", {"labels": [-1, *LABELS[1:]]}, "'labels' has -1"),
        ("data_batch_2", {"labels": [True, *LABELS[1:]]}, "'labels' has True"),
        ("data_batch_2", {"labels": ["a", *LABELS[1:]]}, "'labels' has a str"),
        ("data_batch_2", {"labels": LABELS[:3]}, "'labels' is 3 entries, expected a list of 4"),
        ("data_batch_2", {"labels": 3}, "'labels' is a int, expected a list of 4"),
        ("data_batch_2", {"filenames": ["a"]}, "'filenames' is 1 entries, expected a list of 4"),
        ("batches.meta", {"label_names": list(reversed(CIFAR10.classes))}, "'label_names' is truck, ship, horse"),
        ("batches.meta", {"label_names": None}, "'label_names' is missing"),
        (
            "batches.meta",
            {"label_names": ["cat\nWARNING: all is well", 3]},
            "'label_names' is cat WARNING: all is well, a",
        ),
    ],
)
def test_every_claim_of_a_batch_is_checked(
    tmp_path: Path, write: Write, name: str, values: dict[str, object], reason: str
) -> None:
    path = write(tmp_path, changed(name, **values))
    with pytest.raises(DataError) as error:
        read_cifar(path, SMALL)
    message = str(error.value)
    assert message.startswith(f"{path}: {name}: ")
    assert reason in message
    assert "\n" not in message


@FORMS
def test_a_batch_without_its_keys_lists_those_it_has(tmp_path: Path, write: Write) -> None:
    path = write(tmp_path, members() | {"test_batch": {"data": 1, "fine_labels": []}})
    with pytest.raises(DataError, match="test_batch: has no 'labels', its keys are 'data', 'fine_labels'"):
        read_cifar(path, SMALL)


@FORMS
def test_a_name_nested_without_end_does_not_overflow_the_stack(tmp_path: Path, write: Write) -> None:
    deep = b"\x80\x02}U\x0blabel_names]" + b"]" * 30_000 + b"a" * 30_000 + b"s."
    path = write(tmp_path, members() | {"batches.meta": deep})
    with pytest.raises(DataError, match=r"batches\.meta: 'label_names' is a list, expected airplane"):
        read_cifar(path, SMALL)


@FORMS
def test_a_missing_batch_is_named(tmp_path: Path, write: Write) -> None:
    contents = members()
    del contents["data_batch_2"]
    with pytest.raises(DataError, match=r"data_batch_2"):
        read_cifar(write(tmp_path, contents), SMALL)


@FORMS
def test_a_batch_that_is_too_large_is_not_read(tmp_path: Path, write: Write) -> None:
    path = write(tmp_path, members() | {"data_batch_1": bytes(200_000)})
    with pytest.raises(DataError, match=r"data_batch_1.* (at most \d+ expected|larger than the \d+ bytes)"):
        read_cifar(path, SMALL)


@FORMS
def test_a_hostile_batch_runs_nothing(tmp_path: Path, write: Write) -> None:
    mark = tmp_path / "mark"
    path = write(tmp_path, changed("data_batch_1", batch_label=Evil(mark)))
    with pytest.raises(DataError, match=r"data_batch_1: refused.*'(posix|nt)\.system'"):
        read_cifar(path, SMALL)
    assert not mark.exists()


SMALL100 = {name: replace(layout, train={"train": 40}, test={"test": 30}) for name, layout in CIFAR100.items()}


def batch100(count: int, seed: int) -> dict[str, object]:
    rng = np.random.default_rng(seed)
    values = {key: value for key, value in batch(count, seed).items() if key != "labels"}
    fine, coarse = rng.integers(0, 100, count), rng.integers(0, 20, count)
    return values | {"fine_labels": fine.tolist(), "coarse_labels": coarse.tolist()}


def members100() -> dict[str, object]:
    names = {f"{kind}_label_names": list(layout.classes) for kind, layout in CIFAR100.items()}
    return {"meta": names, "test": batch100(30, 2), "train": batch100(40, 1)}


@FORMS
@pytest.mark.parametrize(("labels", "classes"), [("fine", 100), ("coarse", 20)])
def test_cifar100_has_fine_or_coarse_labels(tmp_path: Path, write: Write, labels: str, classes: int) -> None:
    layout = SMALL100[labels]
    train, test = read_cifar(write(tmp_path, members100(), layout), layout)
    for part, made in ((train, batch100(40, 1)), (test, batch100(30, 2))):
        np.testing.assert_array_equal(part.images.reshape(len(part), -1), made["data"])
        assert part.labels.tolist() == made[f"{labels}_labels"]
        assert len(part.classes) == classes


def test_cifar100_knows_its_classes() -> None:
    """As the archive's ``meta`` names them; some by index, from lists published elsewhere."""
    fine, coarse = CIFAR100["fine"].classes, CIFAR100["coarse"].classes
    assert " ".join(fine[i] for i in (0, 1, 4, 39, 40, 41, 58, 72, 95, 99)) == (
        "apple aquarium_fish beaver keyboard lamp lawn_mower pickup_truck seal whale worm"
    )
    assert [coarse[i] for i in (0, 9, 11, 13, 19)] == [
        "aquatic_mammals",
        "large_man-made_outdoor_things",
        "large_omnivores_and_herbivores",
        "non-insect_invertebrates",
        "vehicles_2",
    ]
    assert (len(set(fine)), len(set(coarse))) == (100, 20)


@pytest.mark.parametrize(
    ("labels", "name", "values", "reason"),
    [
        ("fine", "train", {"fine_labels": [100] * 40}, "'fine_labels' has 100, expected whole numbers 0 to 99"),
        ("coarse", "test", {"coarse_labels": [20] * 30}, "'coarse_labels' has 20, expected whole numbers 0 to 19"),
        ("coarse", "meta", {"coarse_label_names": ["fish"]}, "'coarse_label_names' is fish, expected aquatic_mammals"),
        ("fine", "train", {"fine_labels": [1] * 39}, "'fine_labels' is 39 entries, expected a list of 40"),
    ],
)
def test_every_claim_of_cifar100_is_checked(
    tmp_path: Path, labels: str, name: str, values: dict[str, object], reason: str
) -> None:
    contents = members100()
    path = as_archive(tmp_path, contents | {name: contents[name] | values}, SMALL100[labels])
    with pytest.raises(DataError) as error:
        read_cifar(path, SMALL100[labels])
    assert str(error.value).startswith(f"{path}: {name}: {reason}")


def test_cifar100_is_found_and_its_options_are_checked(tmp_path: Path) -> None:
    as_archive(tmp_path, members100(), CIFAR100["fine"])
    with pytest.raises(DataError, match=r"test: 'data' is shape \(30, 3072\), expected uint8 of shape \(10000, 3072\)"):
        load("cifar100", tmp_path, labels="coarse")
    with pytest.raises(UsageError, match="cifar100: labels='both'; choose from fine, coarse"):
        load("cifar100", tmp_path, labels="both")


@pytest.mark.slow
def test_cifar100_trains_on_the_labels_of_the_configuration(tmp_path: Path) -> None:
    """In the size that was published, each coarse class told by its pictures' brightness, so that it can be learned."""
    from convscope import train

    contents = members100()
    for name, count in (("train", 50_000), ("test", 10_000)):
        made = batch100(count, count)
        coarse = np.arange(count) % 20
        pixels = (coarse[:, None] * 12 + np.random.default_rng(0).integers(0, 12, (count, 3072))).astype(np.uint8)
        fine = coarse * 5 + np.arange(count) // 20 % 5
        contents[name] = made | {"data": pixels, "fine_labels": fine.tolist(), "coarse_labels": coarse.tolist()}
    as_folder(tmp_path, contents, CIFAR100["fine"])
    small = {"data__subset": 2000, "data__augment": None, "train__epochs": 4, "model__base_channels": 8}
    accuracies = {}
    for labels, classes in (("coarse", 20), (None, 100)):
        settings = {"data__name": "cifar100", "data__labels": labels, **small}
        run = train("cifar10-5k", data_dir=tmp_path, out=tmp_path / str(labels), **settings)
        assert len(run.classes) == classes
        accuracies[classes] = run.results["test_accuracy"]
    assert accuracies[20] > 0.5  # the fine classes of one coarse class look alike
    assert accuracies[100] < 0.4


def test_a_saved_error_page_is_recognised(tmp_path: Path) -> None:
    (tmp_path / "cifar-10-python.tar.gz").write_text("<html>Service unavailable</html>")
    with pytest.raises(DataError, match=r"cifar-10-python\.tar\.gz: a web page \(HTML\), not a gzip file"):
        load("cifar10", tmp_path)


def test_the_published_counts_are_expected(tmp_path: Path) -> None:
    as_archive(tmp_path, members())
    with pytest.raises(DataError, match=r"shape \(5, 3072\), expected uint8 of shape \(10000, 3072\)"):
        load_cifar10(tmp_path)


def test_the_real_pictures_have_the_known_statistics(cifar10: tuple[ImageSet, ImageSet]) -> None:
    train, test = cifar10
    assert train.images.shape == (50_000, 3, 32, 32)
    assert test.images.shape == (10_000, 3, 32, 32)
    assert np.bincount(train.labels).tolist() == [5000] * 10
    assert np.bincount(test.labels).tolist() == [1000] * 10
    mean, std = train.channel_stats()
    assert np.round(mean, 4).tolist() == [0.4914, 0.4822, 0.4465]
    assert np.round(std, 4).tolist() == [0.2470, 0.2435, 0.2616]


def test_the_real_pictures_are_laid_out_as_pictures(cifar10: tuple[ImageSet, ImageSet]) -> None:
    """Neighbouring pixels resemble each other far more than pixels that a wrong layout would make neighbours."""
    images = cifar10[1].images[:500].astype(np.float64)
    across, down = np.abs(np.diff(images, axis=3)).mean(), np.abs(np.diff(images, axis=2)).mean()
    wrong = images.reshape(500, 32, 32, 3).transpose(0, 3, 1, 2)  # as if the channel came last
    assert max(across, down) < 0.7 * np.abs(np.diff(wrong, axis=3)).mean()
    ship, frog = CIFAR10.classes.index("ship"), CIFAR10.classes.index("frog")
    train = cifar10[0]
    blue_less_red = [np.diff(train.images[train.labels == k].mean(axis=(0, 2, 3))[[0, 2]])[0] for k in (ship, frog)]
    assert blue_less_red[0] > 5  # the sea is blue, and red comes first
    assert blue_less_red[1] < -5
