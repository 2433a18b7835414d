"""A user's folder with a folder of picture files for each class -> training and test pictures of one size."""

import logging
import os
import unicodedata
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from convscope.data.image_set import ImageSet
from convscope.errors import DataError, UsageError
from convscope.pictures import CROPS, DEFAULT_CROP, FORMATS, Crop, prepare

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif"})
MODES = {"colour": "RGB", "grey": "L"}
TEST_SHARE = 0.2  # of each class, where the folder brings no split of its own
PARTS = {"train", "test"}
HALF_SPLIT = PARTS | {"val", "valid", "validation", "dev"}  # if these are all there is, they are hardly classes
BREAKING = {"Cc", "Zl", "Zp"}  # Unicode's control characters and separators of lines: no table survives them
WHERE = "the folder that data.path names"

log = logging.getLogger(__name__)

Files = list[tuple[Path, int]]  # each picture file with its label


def load_folder(
    data_dir: Path | None = None,
    path: str | Path | None = None,
    size: int | tuple[int, int] = 32,
    mode: Literal["colour", "grey"] = "colour",
    crop: Crop = DEFAULT_CROP,
    corrupt: Literal["refuse", "skip"] = "refuse",
    seed: int = 0,
) -> tuple[ImageSet, ImageSet]:
    """The user's own pictures, one folder a class, any size and common format, brought to one size.

    The classes are the names of the folders, sorted; pictures may lie in folders below them. With ``train/`` and
    ``test/`` at the top, the split is theirs; otherwise a fifth of each class, at least one picture, is drawn for the
    test. Hidden files and folders are passed over; so are files that are no pictures by their name, and a warning
    says how many. Links to files and to class folders are followed, links to folders below those are not.

    Args:
        data_dir: what a relative `path` starts from; without one, or with an absolute one, the folder itself.
        path: the folder.
        size: pixels a side, or (height, width).
        mode: "colour" makes three channels of every picture, "grey" one.
        crop: as in `pictures.fit_picture`.
        corrupt: "refuse" ends with the name of the first file that cannot be read, "skip" leaves each out with a
            warning.
        seed: of the split. The same files, seed and options give the same pictures.

    Raises:
        UsageError: no folder was named, or an option is none of the choices.
        DataError: no such folder, fewer than two classes, a class with too few pictures, or files that cannot be read.
    """
    root = root_folder(data_dir, path)
    height, width = (size, size) if isinstance(size, int) else size
    if mode not in MODES or crop not in CROPS or corrupt not in ("refuse", "skip") or min(height, width) < 1:
        raise UsageError(
            f"folder: expected size of at least 1, mode colour or grey, crop resize or center, corrupt refuse or skip; "
            f"got {size}, {mode}, {crop}, {corrupt}"
        )
    picture = {"size": (height, width), "mode": MODES[mode], "crop": crop}
    inside = {folder.name for folder in _folders(root)}
    if inside >= PARTS:
        if inside > PARTS:
            log.warning("%s: only train and test are read, not %s", root, ", ".join(sorted(inside - PARTS)))
        listed = {part: _list(root / part) for part in ("train", "test")}
        (classes, train), (others, test) = listed["train"], listed["test"]
        if classes != others:
            odd = ", ".join(sorted({*classes} ^ {*others}))
            raise DataError(f"{root}: train and test must have the same classes; only one of them has {odd}")
        return _read(root, train, classes, picture, corrupt), _read(root, test, classes, picture, corrupt)
    if inside and inside <= HALF_SPLIT:
        raise DataError(
            f"{root}: has {', '.join(sorted(inside))}; expected train and test with a folder a class in each, "
            "or the folders of the classes themselves"
        )
    classes, files = _list(root)
    return _split(root, _read(root, files, classes, picture, corrupt), seed)


def root_folder(data_dir: Path | None, path: str | Path | None) -> Path:
    """The folder that was meant; raises as `load_folder` where none was named, or there is none."""
    if path is None and data_dir is None:
        raise UsageError(
            "folder: no folder was named; give yours as --data-dir FOLDER, with a folder of pictures for each class in "
            "it; `convscope train` also takes --set data.path=FOLDER"
        )
    named = Path(path or "").expanduser()
    root = data_dir if data_dir and named.is_absolute() else (data_dir or Path()) / named
    if not root.is_dir():
        reason = "is not a folder" if root.exists() else f"no such folder (seen from {Path.cwd()})"
        raise DataError(f"{root}: {reason}; data.path must name one that holds a folder of pictures for each class")
    return root


def _folders(root: Path) -> list[Path]:
    """The visible folders in `root`, sorted by name; none of them leads back to `root` or above it."""
    real = root.resolve()
    found = (entry for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    return sorted((entry for entry in found if not real.is_relative_to(entry.resolve())), key=lambda entry: entry.name)


def _list(root: Path) -> tuple[tuple[str, ...], Files]:
    """The classes in `root` and their picture files, in an order that depends on the names alone."""
    folders = _folders(root)
    if len(folders) < 2:
        found = f"only {folders[0].name}" if folders else "none"
        raise DataError(f"{root}: expected a folder for each of at least two classes, found {found}")
    for folder in folders:
        if any(unicodedata.category(character) in BREAKING for character in folder.name):
            raise DataError(f"{root}: the name of a class is one line of text, got {folder.name!r}; rename that folder")
    files: Files = []
    others: list[Path] = []
    for label, folder in enumerate(folders):
        everything = sorted(_files(folder))
        pictures = [path for path in everything if path.suffix.lower() in SUFFIXES]
        if not pictures:
            raise DataError(f"{folder}: no picture in it ({', '.join(FORMATS)}); every class needs some")
        files += [(path, label) for path in pictures]
        others += [path for path in everything if path.suffix.lower() not in SUFFIXES]
    if others:
        named = ", ".join(str(path.relative_to(root)) for path in others[:3]) + (", …" if len(others) > 3 else "")
        log.warning("%s: passed over %d files that are no pictures by their name: %s", root, len(others), named)
    return tuple(folder.name for folder in folders), files


def _files(folder: Path) -> Iterator[Path]:
    """Everything visible in `folder` and below that is no folder; links to folders are not followed."""
    for entry in folder.iterdir():
        if entry.name.startswith("."):
            continue
        if not entry.is_dir():
            yield entry
        elif not entry.is_symlink():
            yield from _files(entry)


def _read(root: Path, files: Files, classes: tuple[str, ...], picture: Mapping[str, object], corrupt: str) -> ImageSet:
    """The pictures of `files`, prepared as `picture` says, just as prediction prepares a file."""

    def attempt(path: Path) -> NDArray[np.uint8] | DataError:
        try:
            return prepare(path, picture)
        except DataError as error:
            return error

    images, labels = [], []
    broken: list[DataError] = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # Pillow decodes outside Python's lock
        for (_, label), result in zip(files, pool.map(attempt, [path for path, _ in files]), strict=True):
            if isinstance(result, DataError):
                broken.append(result)
            else:
                images.append(result)
                labels.append(label)
    if broken and corrupt == "refuse":
        more = f" and {len(broken) - 1} more such files" if len(broken) > 1 else ""
        raise DataError(f"{broken[0]}{more}; mend or remove what is broken, or --set data.corrupt=skip leaves it out")
    for error in broken:
        log.warning("skipped %s", error)
    if lacking := sorted({*range(len(classes))} - {*labels}):
        raise DataError(f"{root}: not one picture of {', '.join(classes[k] for k in lacking)} can be read")
    return ImageSet(np.stack(images), np.array(labels, dtype=np.int64), classes)


def _split(root: Path, pictures: ImageSet, seed: int) -> tuple[ImageSet, ImageSet]:
    """(train, test), the same share of every class in both, as far as whole pictures allow."""
    rng = np.random.default_rng(seed)
    held = []
    for label, name in enumerate(pictures.classes):
        members = np.flatnonzero(pictures.labels == label)
        if len(members) < 2:
            raise DataError(f"{root}: {name} has one picture; a class needs two, one to train on and one to test")
        held.append(rng.permutation(members)[: max(1, round(TEST_SHARE * len(members)))])
    test = np.sort(np.concatenate(held))
    return pictures.take(np.setdiff1d(np.arange(len(pictures)), test)), pictures.take(test)
