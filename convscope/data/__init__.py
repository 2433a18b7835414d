"""A data set's name -> its training and test pictures as two `ImageSet`s; torch is loaded only for batches.

The public face: `load`, `load_configured`, `load_at_hand`, `is_at_hand`, `hold_out`, `fetch`, `available`, `ImageSet`;
and, on first use because they need torch, `Batches`, `evaluation_batches`, `derive_seed`, the transforms `RandomFlip`,
`RandomCrop`, `ColorJitter`, `Cutout`, `Compose`, and `build_augment`.
"""

import inspect
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convscope.data.image_set import ImageSet
from convscope.data.locations import cache_folder, find, locate
from convscope.data.sources import SOURCES
from convscope.errors import DataError, UsageError
from convscope.registry import DATASETS

if TYPE_CHECKING:
    from convscope.config import DataConfig, RunConfig
    from convscope.data.augment import ColorJitter, Compose, Cutout, RandomCrop, RandomFlip, build_augment
    from convscope.data.batches import Batches, derive_seed, evaluation_batches

__all__ = [
    "Batches",
    "ColorJitter",
    "Compose",
    "Cutout",
    "ImageSet",
    "RandomCrop",
    "RandomFlip",
    "available",
    "build_augment",
    "derive_seed",
    "evaluation_batches",
    "fetch",
    "hold_out",
    "is_at_hand",
    "load",
    "load_at_hand",
    "load_configured",
]

NEEDS_TORCH = {
    "augment": ("ColorJitter", "Compose", "Cutout", "RandomCrop", "RandomFlip", "build_augment"),
    "batches": ("Batches", "derive_seed", "evaluation_batches"),
}


def load(name: str, data_dir: str | Path | None = None, **options: Any) -> tuple[ImageSet, ImageSet]:
    """The training and the test pictures of a data set.

    Args:
        name: a name in the registry `DATASETS`.
        data_dir: the folder with the data set's files, and nowhere else is looked; by default the folder in
            CONVSCOPE_DATA, then the cache, into which missing files are downloaded.
        **options: the data set's own, for example ``load("synthetic", n=64, seed=1)``.

    Raises:
        UsageError: no such data set, or it does not take such an option.
        DataError: its files are broken, or missing and not to be downloaded; names the file.
    """
    loader = DATASETS.load(name)
    known = [option for option in inspect.signature(loader).parameters if option != "data_dir"]
    for option in options:
        if option not in known:
            choices = f"choose from {', '.join(known)}" if known else "it takes none"
            raise UsageError(f"data set {name!r} takes no option {option!r}; {choices}")
    train, test = loader(None if data_dir is None else Path(data_dir), **options)
    return train, test


def fetch(name: str, mirror: str | None = None, progress: bool | None = None) -> list[Path]:
    """Make sure that a data set's files are at hand, downloading what is missing; returns where they lie.

    A file that was placed by hand (in CONVSCOPE_DATA, or unpacked) is taken as it is: loading checks its
    structure. A packed one in the cache must have the published SHA-256, and so must what is downloaded.

    Args:
        name: a name in the registry `DATASETS`; one that needs no file gives an empty list.
        mirror: an address with the layout of a data folder; by default CONVSCOPE_MIRROR, then the official hosts.
        progress: show a bar on standard error; None: only if that is a terminal.

    Raises:
        UsageError: no such data set, or the mirror's address is none.
        DataError: a file is not to be had, or the cache holds another one under its name.
    """
    from convscope.data.download import verify

    paths = []
    for names in _files(name):
        path = find(name, names, mirror=mirror, progress=progress)
        if names[0] in SOURCES and path == cache_folder() / names[0]:
            verify(path, SOURCES[names[0]])
        paths.append(path)
    return paths


def load_configured(data: "DataConfig", data_dir: str | Path | None = None) -> tuple[ImageSet, ImageSet]:
    """The training and the test pictures that a run's configuration describes, whole; raises as `load`."""
    return load(data.name, data_dir, **data.options)


def load_at_hand(data: "DataConfig", data_dir: str | Path | None = None) -> tuple[ImageSet, ImageSet]:
    """As `load_configured`, but downloads nothing: what is not on this machine is a DataError."""
    for names in _files(data.name):
        locate(data.name, names, None if data_dir is None else Path(data_dir))
    return load_configured(data, data_dir)


def is_at_hand(data: "DataConfig", data_dir: str | Path | None = None) -> bool:
    """Whether `load_at_hand` would find the files; what is in them shows when they are loaded."""
    folder = None if data_dir is None else Path(data_dir)
    try:
        if data.name == "folder":
            import_module("convscope.data.folder").root_folder(folder, data.path)
        return all(locate(data.name, names, folder) for names in _files(data.name))
    except (DataError, UsageError):
        return False


def hold_out(pictures: ImageSet, config: "RunConfig") -> tuple[ImageSet, ImageSet | None]:
    """(training, validation) as a run's configuration divides them: first the subset, then the split carved from it.

    Validation is None where nothing is held out. The same pictures, configuration and seed give the same split.

    Raises:
        UsageError: the set is too small for that subset or split.
    """
    if config.data.subset is not None:
        pictures = pictures.subset(config.data.subset, config.train.seed)
    share = config.data.val_fraction
    held = round(share * len(pictures))
    if share and not held:
        raise UsageError(
            f"data.val_fraction={share:g} of {len(pictures)} pictures is not one; give at least "
            f"{1 / len(pictures):.2g}, or 0 to hold none out"
        )
    if len(pictures) - held < 2:
        raise UsageError(f"{len(pictures)} pictures less {held} for validation leave too few to train on (2)")
    return pictures.split(held, config.train.seed) if held else (pictures, None)


def available(data_dir: str | Path | None = None) -> list[dict[str, Any]]:
    """Of each data set its `name`, whether it is `available` here, and `where` it lies or belongs.

    Only looks for the files, downloads none; whether they are what they should be shows when they are loaded.
    """
    folder = None if data_dir is None else Path(data_dir)
    found = []
    for name, reference in DATASETS.items():
        # a loader's module says in FILES what it reads, or in WHERE in words; one without either needs no file
        words = getattr(import_module(reference.split(":")[0]), "WHERE", "needs no file")
        try:
            paths = [locate(name, names, folder) for names in _files(name)]
            where = str(paths[0]) if paths else words
            found.append({"name": name, "available": True, "where": where})
        except DataError as error:
            found.append({"name": name, "available": False, "where": str(error).removeprefix(f"{name}: ")})
    return found


def _files(name: str) -> tuple[tuple[str, ...], ...]:
    """The files that a data set is made of, each by the names it may have; none for one that needs no file."""
    files: dict[str, tuple[tuple[str, ...], ...]] = getattr(import_module(DATASETS[name].split(":")[0]), "FILES", {})
    return files.get(name, ())


def __getattr__(name: str) -> Any:
    """Import what needs torch when it is first asked for (PEP 562)."""
    for module, names in NEEDS_TORCH.items():
        if name in names:
            return getattr(import_module(f"convscope.data.{module}"), name)
    raise AttributeError(f"module 'convscope.data' has no attribute {name!r}")
