"""What a run is: read from a recipe, overridden key by key, validated once, frozen, and saved with the run."""

import os
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from convscope.errors import UsageError
from convscope.registry import DATASETS, MODELS

RECIPES = resources.files("convscope") / "recipes"


class Section(BaseModel):
    """A frozen group of settings; an unknown key is an error that names the known ones."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class AugmentConfig(Section):
    """How training pictures are varied; 0 or false switches a part off.

    Attributes:
        flip: mirror left-right with probability 1/2.
        crop: pad by so many reflected pixels a side, then cut the original size at a random place.
        brightness, contrast, saturation: vary by a factor drawn from [1 - v, 1 + v].
        cutout: cover one square of this side (pixels), anywhere.
    """

    flip: bool = False
    crop: int = Field(0, ge=0)
    brightness: float = Field(0.0, ge=0, le=1)
    contrast: float = Field(0.0, ge=0, le=1)
    saturation: float = Field(0.0, ge=0, le=1)
    cutout: int = Field(0, ge=0)


class DataConfig(Section):
    """Which pictures, how many, how held out, how varied.

    Attributes:
        name: a name in the registry `DATASETS`.
        subset: train on so many pictures, balanced over the classes; None takes all.
        val_fraction: the share of the training pictures that chooses `best.pt`; 0 switches validation off.
        augment: see AugmentConfig.
    """

    name: str = "digits"
    subset: int | None = Field(None, ge=1)
    val_fraction: float = Field(0.1, ge=0, lt=1)
    augment: AugmentConfig = AugmentConfig()

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        return DATASETS[name] and name

    @field_validator("augment", mode="before")
    @classmethod
    def _off(cls, value: Any) -> Any:
        """`null`, `false` and `none` all mean: no augmentation."""
        return {} if value in (None, False, "none") else value


class ModelConfig(BaseModel):
    """The model's name in the registry `MODELS`; every other key is an option of that model's own."""

    model_config = ConfigDict(frozen=True, extra="allow")

    name: str = "tiny-resnet"

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        return MODELS[name] and name

    @property
    def options(self) -> dict[str, Any]:
        """The model's own options, as given."""
        return dict(self.model_extra or {})


class TrainConfig(Section):
    """How the network learns.

    Attributes:
        epochs: passes over the training pictures.
        batch_size: pictures a step.
        optimizer: `sgd` is Nesterov momentum.
        lr: the peak learning rate; `warmup` epochs (fractions allowed; at most half of all) lead up to it linearly.
        momentum: of `sgd`.
        weight_decay: on kernels and matrices only, not on biases and BatchNorm.
        schedule: `step` multiplies by `gamma` every `step_size` epochs.
        label_smoothing: share of the target spread over all classes.
        device: `auto` takes CUDA where there is one.
        threads: of the CPU; None leaves PyTorch's choice.
        seed: everything random derives from it.
    """

    epochs: int = Field(10, ge=1)
    batch_size: int = Field(128, ge=2)
    optimizer: Literal["sgd", "adam", "adamw"] = "sgd"
    lr: float = Field(0.1, gt=0)
    momentum: float = Field(0.9, ge=0, lt=1)
    weight_decay: float = Field(5e-4, ge=0)
    schedule: Literal["cosine", "step", "linear", "constant"] = "cosine"
    warmup: float = Field(0.0, ge=0)
    step_size: int = Field(5, ge=1)
    gamma: float = Field(0.5, gt=0, le=1)
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    device: str = "auto"
    threads: int | None = Field(None, ge=1)
    seed: int = Field(0, ge=0, lt=2**32)


class RunConfig(Section):
    """Everything that decides what a run computes; `RunConfig.model_validate(yaml)` gives the same run again."""

    recipe: str = "custom"
    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    train: TrainConfig = TrainConfig()

    def as_yaml(self) -> str:
        """The configuration as a recipe that reproduces it, every value written out."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False)


def recipe_names() -> list[str]:
    """The recipes that come with convscope."""
    return sorted(entry.name.removesuffix(".yaml") for entry in RECIPES.iterdir() if entry.name.endswith(".yaml"))


def load_config(recipe: str | os.PathLike[str], overrides: Iterable[str] = ()) -> RunConfig:
    """Read a recipe by shipped name or YAML path, apply ``key=value`` overrides, and validate.

    Raises:
        UsageError: no such recipe, not YAML, an unknown key or a value out of range; one line.
    """
    name, text = _read_recipe(recipe)
    try:
        values = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise UsageError(f"{recipe}: not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise UsageError(f"{recipe}: expected a mapping with data, model and train, got {type(values).__name__}")
    values = {"recipe": name} | values
    for assignment in overrides:
        _assign(values, *_parse(assignment))
    return make_config(values, source=str(recipe))


def override(config: RunConfig, values: Mapping[str, Any]) -> RunConfig:
    """`config` with dotted keys replaced, validated anew; UsageError as in `load_config`."""
    changed = config.model_dump()
    for key, value in values.items():
        _assign(changed, key, value)
    return make_config(changed)


def make_config(values: Mapping[str, Any], source: str = "configuration") -> RunConfig:
    """Validate plain values; a UsageError names the first wrong key, what came and what was expected."""
    try:
        return RunConfig.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            known = ", ".join(_known_keys(first["loc"][:-1]))
            raise UsageError(f"{source}: unknown key {key!r}; choose from {known}") from None
        message = first["msg"].removeprefix("Value error, ")
        came = "" if first["type"] == "value_error" else f", got {first['input']!r}"
        raise UsageError(f"{source}: {key + ': ' if key else ''}{message}{came}") from None


def _read_recipe(recipe: str | os.PathLike[str]) -> tuple[str, str]:
    """(name, text) of a shipped recipe or of a file."""
    path = Path(recipe)
    shipped = RECIPES / f"{recipe}.yaml"
    if path.name == str(recipe) and shipped.is_file():
        return str(recipe), shipped.read_text(encoding="utf-8")
    try:
        return path.stem, path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a text file"
        raise UsageError(
            f"no recipe {str(recipe)!r} ({reason}); give a YAML file or choose from {', '.join(recipe_names())}"
        ) from None


def _parse(assignment: str) -> tuple[str, Any]:
    """``section.key=value`` as (key, value); the value is read as YAML, so 3, 1.0e-3, true, null and lists work."""
    key, equals, text = assignment.partition("=")
    if not equals:
        raise UsageError(f"--set {assignment!r}: expected section.key=value, for example train.epochs=5")
    try:
        return key.strip(), yaml.safe_load(text)
    except yaml.YAMLError:
        raise UsageError(f"--set {assignment!r}: {text!r} is not a YAML value") from None


def _assign(values: dict[str, Any], key: str, value: Any) -> None:
    """Set the dotted `key` in nested dicts."""
    path = key.split(".")
    if len(path) < 2 or not all(path):
        raise UsageError(f"cannot set {key!r}: expected section.key, for example train.epochs")
    for part in path[:-1]:
        inner = values.get(part)
        values[part] = inner = dict(inner) if isinstance(inner, Mapping) else {}
        values = inner
    values[path[-1]] = value


def _known_keys(location: tuple[int | str, ...]) -> list[str]:
    """The keys of the section at `location`."""
    section: type[BaseModel] = RunConfig
    for part in location:
        annotation = section.model_fields[str(part)].annotation
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            break
        section = annotation
    return list(section.model_fields)
