"""MNIST, Fashion-MNIST and the IDX format: the real files give the known pictures; wrong ones are refused by name."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from convscope.data import ImageSet
from convscope.data.mnist import DIGITS, GARMENTS, PARTS, load_fashion_mnist, load_idx_set, load_mnist, read_idx
from convscope.errors import DataError


def idx(array: np.ndarray, kind: int = 8) -> bytes:
    return bytes([0, 0, kind, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def arrays(train: int = 5, test: int = 3) -> dict[str, np.ndarray]:
    """File -> content of a tiny MNIST."""
    rng = np.random.default_rng(0)
    return {
        part: rng.integers(0, 256 if "images" in part else 10, (n, 28, 28) if "images" in part else n, dtype=np.uint8)
        for part, n in zip(PARTS, (train, train, test, test), strict=True)
    }


def write(folder: Path, contents: dict[str, np.ndarray], packed: bool = True, name: str = "mnist") -> None:
    (folder / name).mkdir()
    for part, array in contents.items():
        path = folder / name / f"{part}-ubyte{'.gz' if packed else ''}"
        path.write_bytes(gzip.compress(idx(array)) if packed else idx(array))


@pytest.mark.parametrize("packed", [True, False])
def test_pictures_come_with_their_labels(tmp_path: Path, packed: bool) -> None:
    contents = arrays()
    write(tmp_path, contents, packed)
    train, test = load_idx_set("mnist", DIGITS, tmp_path, counts=(5, 3))
    np.testing.assert_array_equal(train.images[:, 0], contents["train-images-idx3"])
    np.testing.assert_array_equal(train.labels, contents["train-labels-idx1"])
    np.testing.assert_array_equal(test.images[:, 0], contents["t10k-images-idx3"])
    np.testing.assert_array_equal(test.labels, contents["t10k-labels-idx1"])
    assert train.images.flags.writeable


@pytest.mark.parametrize(
    ("part", "array", "reason"),
    [
        ("train-images-idx3", np.zeros((5, 28, 27)), r"has shape \(5, 28, 27\), expected \(5, 28, 28\)"),
        ("t10k-images-idx3", np.zeros((4, 28, 28)), r"has shape \(4, 28, 28\), expected \(3, 28, 28\)"),
        ("t10k-labels-idx1", np.zeros(4), r"has shape \(4,\), expected \(3,\), one label for each picture"),
        ("train-labels-idx1", np.zeros((5, 1)), r"has shape \(5, 1\), expected \(5,\)"),
        ("train-labels-idx1", np.array([0, 10, 0, 0, 0]), "has the label 10, expected 0 to 9"),
    ],
)
def test_what_does_not_fit_together_is_refused(tmp_path: Path, part: str, array: np.ndarray, reason: str) -> None:
    write(tmp_path, arrays() | {part: array.astype(np.uint8)})
    with pytest.raises(DataError, match=f"{part}-ubyte.gz: {reason}"):
        load_idx_set("mnist", DIGITS, tmp_path, counts=(5, 3))


def test_the_published_counts_are_expected(tmp_path: Path) -> None:
    write(tmp_path, arrays())
    with pytest.raises(DataError, match=r"has shape \(5, 28, 28\), expected \(60000, 28, 28\)"):
        load_mnist(tmp_path)


def test_fashion_mnist_lies_in_its_own_folder_and_has_garments(tmp_path: Path) -> None:
    contents = arrays()
    write(tmp_path, contents, name="fashion-mnist")
    train, test = load_idx_set("fashion-mnist", GARMENTS, tmp_path, counts=(5, 3))
    np.testing.assert_array_equal(train.images[:, 0], contents["train-images-idx3"])
    np.testing.assert_array_equal(test.labels, contents["t10k-labels-idx1"])
    assert [train.classes[i] for i in (0, 1, 5, 9)] == ["T-shirt/top", "Trouser", "Sandal", "Ankle boot"]
    with pytest.raises(DataError, match=r"fashion-mnist.*has shape \(5, 28, 28\), expected \(60000, 28, 28\)"):
        load_fashion_mnist(tmp_path)


def test_one_to_three_axes_are_read(tmp_path: Path) -> None:
    path = tmp_path / "x"
    for shape in [(7,), (2, 3), (2, 3, 4)]:
        array = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
        path.write_bytes(idx(array))
        np.testing.assert_array_equal(read_idx(path), array)


PICTURES = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", r"not an IDX file, it starts with b''"),
        (b"\x89PNG\r\n", r"not an IDX file, it starts with b'\\x89PNG'"),
        (b"\x00\x01\x08\x03" + bytes(40), "not an IDX file"),
        (b"\x00\x00\x07\x03" + bytes(40), "not an IDX file"),
        (idx(PICTURES.astype(np.float32), 0x0D), "holds float32, expected uint8"),
        (b"\x00\x00\x08\x00" + bytes(40), "claims 0 axes"),
        (b"\x00\x00\x08\xff" + bytes(40), "claims 255 axes, at most 3 are expected"),
        (b"\x00\x00\x08\x03" + bytes(8), "claims 3 axes, its 12 bytes do not hold their sizes"),
        (idx(PICTURES.reshape(2, 3, 2, 2)), "claims 4 axes, at most 3 are expected"),
        (b"\x00\x00\x08\x64" + b"\x00\x00\x00\x01" * 100 + b"x", "claims 100 axes, at most 3 are expected"),
        (b"\x00\x00\x08\x03" + b"\xff" * 8 + bytes(4), r"claims shape \(4294967295, 4294967295, 0\), which holds"),
        (idx(PICTURES[:0]), r"claims shape \(0, 3, 4\), which holds nothing"),
        (idx(PICTURES)[:-1], r"claims shape \(2, 3, 4\), 24 bytes, but holds 23"),
        (idx(PICTURES) + b"x", r"claims shape \(2, 3, 4\), 24 bytes, but holds 25"),
        (b"\x00\x00\x08\x03" + b"\xff" * 12, r"claims shape .* but holds 0"),
    ],
)
@pytest.mark.parametrize("name", ["x", "x.gz"])
def test_what_is_no_idx_file_is_called_by_its_name(tmp_path: Path, content: bytes, reason: str, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    with pytest.raises(DataError, match=f"{name}: {reason}") as error:
        read_idx(path)
    assert "\n" not in str(error.value)


def test_a_broken_gzip_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.gz"
    path.write_bytes(gzip.compress(idx(PICTURES))[:-9])
    with pytest.raises(DataError, match=r"x\.gz: truncated"):
        read_idx(path)
    path.write_bytes(gzip.compress(idx(PICTURES)))
    with pytest.raises(DataError, match=r"x\.gz: unpacks to more than the 39 bytes"):
        read_idx(path, limit=39)
    np.testing.assert_array_equal(read_idx(path, limit=40), PICTURES)


def test_the_real_pictures_have_the_known_statistics(mnist: tuple[ImageSet, ImageSet]) -> None:
    train, test = mnist
    assert train.images.shape == (60_000, 1, 28, 28)
    assert test.images.shape == (10_000, 1, 28, 28)
    assert train.labels[:5].tolist() == [5, 0, 4, 1, 9]
    assert test.labels[:5].tolist() == [7, 2, 1, 0, 4]
    (mean,), (std,) = train.channel_stats()
    assert (round(mean, 4), round(std, 4)) == (0.1307, 0.3081)
