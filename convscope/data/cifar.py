"""The CIFAR-10 or CIFAR-100 archive of Toronto, packed or not -> 50,000 training and 10,000 test pictures."""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from convscope.data.archive import read_file, read_members
from convscope.data.image_set import ImageSet
from convscope.data.locations import find
from convscope.data.unpickle import read_pickle
from convscope.errors import DataError, UsageError

PIXELS = 3 * 32 * 32  # a row is one picture: 1024 red bytes, 1024 green, 1024 blue, each plane row by row


@dataclass(frozen=True)
class Layout:
    """What a CIFAR archive holds and under which names.

    Attributes:
        archive, folder: the packed file, and the folder inside it.
        train, test: member -> number of its pictures; the pictures keep this order.
        meta: the member that names the classes, under `names_key`.
        labels_key: where a batch keeps its labels.
    """

    name: str
    archive: str
    folder: str
    train: Mapping[str, int]
    test: Mapping[str, int]
    meta: str
    labels_key: str
    names_key: str
    classes: tuple[str, ...]


CIFAR10 = Layout(
    name="cifar10",
    archive="cifar-10-python.tar.gz",
    folder="cifar-10-batches-py",
    train={f"data_batch_{number}": 10_000 for number in range(1, 6)},
    test={"test_batch": 10_000},
    meta="batches.meta",
    labels_key="labels",
    names_key="label_names",
    classes=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
)

FINE_CLASSES = """
    apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can
    castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin
    elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard
    lobster man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear
    pickup_truck pine_tree plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal
    shark shrew skunk skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table tank
    telephone television tiger tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm
"""
COARSE_CLASSES = """
    aquatic_mammals fish flowers food_containers fruit_and_vegetables household_electrical_devices
    household_furniture insects large_carnivores large_man-made_outdoor_things large_natural_outdoor_scenes
    large_omnivores_and_herbivores medium_mammals non-insect_invertebrates people reptiles small_mammals trees
    vehicles_1 vehicles_2
"""

CIFAR100_FINE = Layout(
    name="cifar100",
    archive="cifar-100-python.tar.gz",
    folder="cifar-100-python",
    train={"train": 50_000},
    test={"test": 10_000},
    meta="meta",
    labels_key="fine_labels",
    names_key="fine_label_names",
    classes=tuple(FINE_CLASSES.split()),
)
CIFAR100_COARSE = replace(
    CIFAR100_FINE,
    labels_key="coarse_labels",
    names_key="coarse_label_names",
    classes=tuple(COARSE_CLASSES.split()),
)
CIFAR100 = {"fine": CIFAR100_FINE, "coarse": CIFAR100_COARSE}

FILES = {layout.name: ((layout.archive, layout.folder),) for layout in (CIFAR10, CIFAR100_FINE)}  # by possible names


def load_cifar10(data_dir: Path | None = None) -> tuple[ImageSet, ImageSet]:
    """CIFAR-10: colour photographs of 32×32 pixels, ten classes, (50,000, 10,000) pictures.

    Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009. Looked for as
    ``cifar-10-python.tar.gz`` or the unpacked folder ``cifar-10-batches-py``; see `locations.find`.

    Raises:
        DataError: not found, or not what it should be; names the file and the reason.
    """
    return read_cifar(find(CIFAR10.name, FILES[CIFAR10.name][0], data_dir), CIFAR10)


def load_cifar100(data_dir: Path | None = None, labels: str = "fine") -> tuple[ImageSet, ImageSet]:
    """CIFAR-100: colour photographs of 32×32 pixels, 100 fine or 20 coarse classes, (50,000, 10,000) pictures.

    Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009. Looked for as
    ``cifar-100-python.tar.gz`` or the unpacked folder ``cifar-100-python``; see `locations.find`.

    Args:
        labels: ``"fine"`` (apple, aquarium_fish, …) or ``"coarse"`` (aquatic_mammals, fish, …, five fine ones each).

    Raises:
        UsageError: other `labels`.
        DataError: not found, or not what it should be; names the file and the reason.
    """
    if labels not in CIFAR100:
        raise UsageError(f"cifar100: labels={labels!r}; choose from {', '.join(CIFAR100)}")
    return read_cifar(find("cifar100", FILES["cifar100"][0], data_dir), CIFAR100[labels])


def read_cifar(path: Path, layout: Layout) -> tuple[ImageSet, ImageSet]:
    """(train, test) from a packed archive or an unpacked folder at `path`; DataError as above."""
    rows = {**layout.train, **layout.test}
    starts = dict(zip(rows, itertools.accumulate(rows.values(), initial=0), strict=False))
    total, split = sum(rows.values()), sum(layout.train.values())
    images = np.empty((total, PIXELS), dtype=np.uint8)
    labels = np.empty(total, dtype=np.int64)
    for member, content in _members(path, layout, rows):
        where = f"{path}: {member}"
        values = read_pickle(content, where)
        if member == layout.meta:
            _check_classes(values, layout, where)
        else:
            part = slice(starts[member], starts[member] + rows[member])
            images[part], labels[part] = _batch(values, layout, rows[member], where)
    pictures = images.reshape(-1, 3, 32, 32)
    train = ImageSet(pictures[:split], labels[:split], layout.classes)
    return train, ImageSet(pictures[split:], labels[split:], layout.classes)


def _members(path: Path, layout: Layout, rows: Mapping[str, int]) -> Iterator[tuple[str, bytes]]:
    """(member, pickle) for each batch and the meta file, one in memory at a time."""
    # text twice the pixels: Python 3 writes a byte above 127 as two; and some for names and labels
    limits = {name: count * (2 * PIXELS + 256) + 2**16 for name, count in rows.items()} | {layout.meta: 2**16}
    if path.is_dir():
        for name, limit in limits.items():
            yield name, read_file(path / name, limit)
    else:
        wanted = {f"{layout.folder}/{name}": limit for name, limit in limits.items()}
        for name, content in read_members(path, wanted):
            yield name.removeprefix(f"{layout.folder}/"), content


def _batch(
    values: Mapping[str, object], layout: Layout, count: int, where: str
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """(pictures (count, 3072), labels (count,)) of one batch, every claim about them checked."""
    for key in ("data", layout.labels_key):
        if key not in values:
            raise DataError(f"{where}: has no {key!r}, its keys are {', '.join(map(repr, values)) or 'none'}")
    data, labels = values["data"], values[layout.labels_key]
    if not isinstance(data, np.ndarray) or data.shape != (count, PIXELS):
        came = f"shape {data.shape}" if isinstance(data, np.ndarray) else f"a {type(data).__name__}"
        raise DataError(f"{where}: 'data' is {came}, expected uint8 of shape ({count}, {PIXELS})")
    for key in (layout.labels_key, "filenames"):
        entries = values.get(key, labels)
        if not isinstance(entries, list) or len(entries) != count:
            came = f"{len(entries)} entries" if isinstance(entries, list) else f"a {type(entries).__name__}"
            raise DataError(f"{where}: {key!r} is {came}, expected a list of {count}")
    assert isinstance(labels, list)
    last = len(layout.classes) - 1
    for label in labels:
        if type(label) is not int or not 0 <= label <= last:
            shown = label if isinstance(label, int) else f"a {type(label).__name__}"
            raise DataError(f"{where}: {layout.labels_key!r} has {shown}, expected whole numbers 0 to {last}")
    return data, np.array(labels, dtype=np.int64)


def _check_classes(values: Mapping[str, object], layout: Layout, where: str) -> None:
    """The archive must name our classes in our order, or labels would be called by wrong names."""
    names = values.get(layout.names_key)
    found = tuple(_name(name) for name in names) if isinstance(names, list) else ()
    if found != layout.classes:
        came = " ".join(", ".join(found).split())[:200]
        raise DataError(f"{where}: {layout.names_key!r} is {came or 'missing'}, expected {', '.join(layout.classes)}")


def _name(name: object) -> str:
    """The name as text; only the type of what is no text, for its own text may be endless."""
    if isinstance(name, bytes):
        return name.decode("ascii", "replace")
    return name if isinstance(name, str) else f"a {type(name).__name__}"
