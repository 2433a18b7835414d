"""The four IDX files of MNIST or Fashion-MNIST, packed or not -> 60,000 training and 10,000 test pictures."""

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from convscope.data.archive import read_file, read_gzip
from convscope.data.image_set import ImageSet
from convscope.data.locations import find
from convscope.errors import DataError

IDX_TYPES = {0x08: "uint8", 0x09: "int8", 0x0B: "int16", 0x0C: "int32", 0x0D: "float32", 0x0E: "float64"}
MAX_AXES = 3  # pictures have three, (N, H, W)
DIGITS = tuple("0123456789")
GARMENTS = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
MNIST_COUNTS = (60_000, 10_000)  # train, test
PARTS = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
FILES = {  # each file by the names it may have
    name: tuple((f"{name}/{part}-ubyte.gz", f"{name}/{part}-ubyte") for part in PARTS)
    for name in ("mnist", "fashion-mnist")
}


def load_mnist(data_dir: Path | None = None) -> tuple[ImageSet, ImageSet]:
    """MNIST: handwritten digits, grey, 28×28 pixels, ten classes, (60,000, 10,000) pictures.

    LeCun, Bottou, Bengio, Haffner, "Gradient-based learning applied to document recognition", 1998. Looked
    for as ``mnist/train-images-idx3-ubyte.gz`` and so on, or without ``.gz``; see `locations.find`.

    Raises:
        DataError: not found, or not what it should be; names the file and the reason.
    """
    return load_idx_set("mnist", DIGITS, data_dir)


def load_fashion_mnist(data_dir: Path | None = None) -> tuple[ImageSet, ImageSet]:
    """Fashion-MNIST: pictures of garments, grey, 28×28 pixels, ten classes, (60,000, 10,000) pictures.

    Xiao, Rasul, Vollgraf, "Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning Algorithms",
    2017, arXiv:1708.07747. Looked for as MNIST is, in a folder ``fashion-mnist``.

    Raises:
        DataError: not found, or not what it should be; names the file and the reason.
    """
    return load_idx_set("fashion-mnist", GARMENTS, data_dir)


def load_idx_set(
    name: str, classes: tuple[str, ...], data_dir: Path | None, counts: tuple[int, int] = MNIST_COUNTS
) -> tuple[ImageSet, ImageSet]:
    """(train, test) of a data set published in MNIST's form, of so many pictures each."""
    paths = [find(name, names, data_dir) for names in FILES[name]]
    train = _read_pair(paths[0], paths[1], counts[0], classes)
    return train, _read_pair(paths[2], paths[3], counts[1], classes)


def _read_pair(image_path: Path, label_path: Path, count: int, classes: tuple[str, ...]) -> ImageSet:
    """The pictures of one file with the labels of the other, once both fit together."""
    images = read_idx(image_path)
    if images.shape != (count, 28, 28):
        raise DataError(f"{image_path}: has shape {images.shape}, expected ({count}, 28, 28)")
    labels = read_idx(label_path)
    if labels.shape != (count,):
        raise DataError(f"{label_path}: has shape {labels.shape}, expected ({count},), one label for each picture")
    if labels.max() >= len(classes):
        raise DataError(f"{label_path}: has the label {labels.max()}, expected 0 to {len(classes) - 1}")
    return ImageSet(images[:, None], labels.astype(np.int64), classes)


def read_idx(path: Path, limit: int = 2**28) -> NDArray[np.uint8]:
    """The uint8 array in an IDX file, gzip-packed if its name ends in ``.gz``.

    The format, http://yann.lecun.com/exdb/mnist: two zero bytes, one byte for the element type, one for the
    number of axes, each axis as a big-endian 32-bit number, then the elements, the last axis fastest.

    Args:
        limit: how many bytes it may have unpacked.

    Raises:
        DataError: not IDX, another element type than uint8, no axis or more than three, an axis of size 0, or
            more or fewer bytes than its shape says.
    """
    content = (read_gzip if path.suffix == ".gz" else read_file)(path, limit)
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in IDX_TYPES:
        raise DataError(f"{path}: not an IDX file, it starts with {content[:4]!r}")
    if content[2] != 0x08:
        raise DataError(f"{path}: holds {IDX_TYPES[content[2]]}, expected uint8")
    axes, start = content[3], 4 + 4 * content[3]
    if axes > MAX_AXES:
        raise DataError(f"{path}: claims {axes} axes, at most {MAX_AXES} are expected: (N, height, width)")
    if axes == 0 or len(content) < start:
        raise DataError(f"{path}: claims {axes} axes, its {len(content)} bytes do not hold their sizes")
    shape = tuple(np.frombuffer(content, dtype=">u4", count=axes, offset=4).tolist())
    if 0 in shape:
        raise DataError(f"{path}: claims shape {shape}, which holds nothing")
    if len(content) - start != math.prod(shape):
        raise DataError(
            f"{path}: claims shape {shape}, {math.prod(shape)} bytes, but holds {len(content) - start}; "
            "cut off or not the original"
        )
    # a copy, because what lies over bytes is read-only and torch wants arrays that it may share
    return np.frombuffer(content, dtype=np.uint8, offset=start).reshape(shape).copy()
