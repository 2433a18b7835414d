"""What a run is: read from a recipe, overridden key by key, validated once, frozen, and saved with the run."""

import os
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, Strict, ValidationError, field_validator, model_validator

from convscope.errors import UsageError
from convscope.registry import DATASETS, MODELS

# passed to the data set, if not null
DATA_OPTIONS = ("path", "size", "mode", "crop", "corrupt", "shortcut", "corner", "labels")
RECIPES = resources.files("convscope") / "recipes"


Count = Annotated[int, Strict()]  # a whole number; true and 1.0 are none


class Section(BaseModel):
    """A frozen group of settings; an unknown key is an error that names the known ones."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)


class AugmentConfig(Section):
    """How training pictures are varied; 0 or false switches a part off."""

    flip: bool | Literal["alternating"] = False
    """Mirror left-right with probability 1/2; `alternating` mirrors in turn, so that two epochs show both."""
    crop: Count = Field(0, ge=0)
    """Pad by so many reflected pixels a side, then cut the original size out at a random place."""
    brightness: float = Field(0.0, ge=0, le=1)
    """Multiply by a factor drawn from [1 - v, 1 + v]."""
    contrast: float = Field(0.0, ge=0, le=1)
    """Blend with the picture's mean by such a factor."""
    saturation: float = Field(0.0, ge=0, le=1)
    """Blend with the grey picture by such a factor."""
    cutout: Count = Field(0, ge=0)
    """Cover one square of so many pixels a side, anywhere."""


class DataConfig(Section):
    """Which pictures, how many, how held out, how varied."""

    name: str = "digits"
    """A data set; `convscope data list` shows them."""
    path: str | None = None
    """Of `folder`: where pictures lie, one folder a class; seen from `--data-dir`, which replaces an absolute path."""
    size: Annotated[int, Field(ge=1)] | tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]] | None = None
    """Of `folder`, `shapes`, `synthetic`: pixels a side, for `folder` also [height, width]; null is 32."""
    mode: Literal["colour", "grey"] | None = None
    """Of `folder`: `colour` or `grey`; null is `colour`."""
    crop: Literal["resize", "center"] | None = None
    """Of `folder`: `resize` fits the whole picture in, `center` keeps its proportions; null is `resize`."""
    corrupt: Literal["refuse", "skip"] | None = None
    """Of `folder`: what becomes of files that cannot be read, `refuse` or `skip`; null is `refuse`."""
    shortcut: float | None = Field(None, ge=0, le=1)
    """Of `shapes`: the share of the training pictures in which a mark gives the label away; null is 0."""
    corner: Literal["top-left", "top-right", "bottom-left", "bottom-right"] | None = None
    """Of `shapes`: where that mark stands; null is `bottom-right`."""
    labels: Literal["fine", "coarse"] | None = None
    """Of `cifar100`: the 100 classes, `fine`, or the 20 groups of five, `coarse`; null is `fine`."""
    subset: Count | None = Field(None, ge=1)
    """Train on so many pictures, balanced over the classes; null takes all."""
    val_fraction: float = Field(0.1, ge=0, lt=1)
    """The share of the training pictures that is held out to choose `best.pt`; 0 holds none out."""
    augment: AugmentConfig = AugmentConfig()
    """How training pictures are varied; null or false switches all of it off."""

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        return DATASETS[name] and name

    @property
    def options(self) -> dict[str, Any]:
        """The data set's own options, those that were given."""
        return self.model_dump(include=set(DATA_OPTIONS), exclude_none=True)

    @field_validator("augment", mode="before")
    @classmethod
    def _off(cls, value: Any) -> Any:
        return {} if value in (None, False, "none") else value


class ModelConfig(BaseModel):
    """Which network; every key but `name` is an option of that network's own."""

    model_config = ConfigDict(frozen=True, extra="allow", use_attribute_docstrings=True)

    name: str = "tiny-resnet"
    """A model of the table in the README."""

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        return MODELS[name] and name

    @property
    def options(self) -> dict[str, Any]:
        """The model's own options, as given."""
        return dict(self.model_extra or {})


class TrainConfig(Section):
    """How the network learns."""

    engine: Literal["torch", "numpy"] = "torch"
    """What computes: PyTorch, or the layers of `convscope.numpy_nn` alone, slowly, to see that there is no magic."""
    epochs: Count = Field(10, ge=1)
    """Passes over the training pictures."""
    batch_size: Count = Field(128, ge=2)
    """Pictures a step."""
    optimizer: Literal["sgd", "adam", "adamw", "muon"] = "sgd"
    """`sgd` is with Nesterov momentum; `muon` gives kernels orthogonalised steps."""
    lr: float = Field(0.1, gt=0)
    """The largest learning rate of the run."""
    momentum: float = Field(0.9, ge=0, lt=1)
    """Of `sgd` and `muon`."""
    bias_lr: float = Field(1.0, gt=0)
    """Of `muon`: the learning rate of biases and BatchNorm, as a multiple of `lr`."""
    head_lr: float = Field(1.0, gt=0)
    """Of `muon`: the learning rate of linear layers, as a multiple of `lr`."""
    ns_steps: Count = Field(5, ge=1)
    """Of `muon`: iterations that orthogonalise a step; fewer are faster and less exact."""
    bias_decay: bool = False
    """Of `muon`: let `weight_decay` shrink biases and BatchNorm's numbers too."""
    fixed_norm: bool = False
    """Of `muon`: keep every kernel at one norm, so that `lr` alone says how far it turns; where BatchNorm follows."""
    sizes: tuple[Annotated[int, Strict(), Field(ge=1)], ...] | None = None
    """Heights that training pictures are scaled to, each for an equal share of the epochs; null is the full size."""
    weight_decay: float = Field(5e-4, ge=0)
    """On kernels and matrices only, not on biases and BatchNorm."""
    schedule: Literal["cosine", "step", "linear", "constant"] = "cosine"
    """How the learning rate goes down."""
    warmup: float = Field(0.0, ge=0)
    """Epochs over which it first rises from 0 to `lr`, fractions allowed; at most half of the run."""
    step_size: Count = Field(5, ge=1)
    """Of `step`: epochs from one drop to the next."""
    gamma: float = Field(0.5, gt=0, le=1)
    """Of `step`: the factor of a drop."""
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    """The share of the target that is spread over all classes."""
    patience: Count | None = Field(None, ge=1)
    """Stop once so many epochs in a row brought no better validation; null trains all epochs."""
    tta: bool = False
    """Test also with test-time augmentation, over six views of each picture, three mirrored; not for digits."""
    device: str = "auto"
    """`auto` takes CUDA where there is one, else the CPU."""
    precision: Literal["auto", "float32", "float64", "bfloat16", "float16"] = "float32"
    """In which numbers it learns; those of 16 bits only where PyTorch's autocast holds them safe. `auto` measures."""
    channels_last: bool | Literal["auto"] = False
    """Keep pictures in memory with their channels side by side (NHWC); `auto` measures whether that is faster."""
    threads: Annotated[int, Strict(), Field(ge=1, le=1024)] | Literal["auto"] | None = None
    """Of the CPU; `auto` measures how many are fastest, null leaves PyTorch's choice."""
    compile: bool = False
    """Have `torch.compile` fuse the forward and backward pass, which takes a compiler and, for each size, a minute."""
    keep_memory: bool = True
    """Keep memory that a step has freed for the next one, not give it back to the system; of Linux with glibc."""
    seed: Count = Field(0, ge=0, lt=2**32)
    """Everything random derives from it."""

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.engine == "numpy":
            for key, known in {
                "precision": ("auto", "float32", "float64"),
                "channels_last": (False, "auto"),
                "compile": (False,),
            }.items():
                if (value := getattr(self, key)) not in known:
                    raise ValueError(f"engine=numpy knows no {key}={value}; leave it out")
            if self.device not in ("auto", "cpu"):
                raise ValueError(f"engine=numpy computes on the CPU; leave device={self.device} out")
        return self


class RunConfig(Section):
    """Everything that decides what a run computes; saved as `config.yaml`, it is a recipe for the same run."""

    recipe: str = "custom"
    """The recipe's name."""
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
    return make_config(_assigned(values, map(_parse, overrides)), source=str(recipe))


def override(config: RunConfig, values: Mapping[str, Any]) -> RunConfig:
    """`config` with dotted keys replaced, validated anew; UsageError as in `load_config`."""
    return make_config(_assigned(config.model_dump(), values.items()))


def differences(config: RunConfig, other: RunConfig) -> str:
    """What of `config` is otherwise in `other`, as ``key=value, key=value``; the recipe's name does not count."""
    mine, theirs = (_flat(c.model_dump(mode="json", exclude={"recipe"})) for c in (config, other))
    return ", ".join(f"{key}={mine.get(key)}" for key in mine | theirs if mine.get(key) != theirs.get(key))


def make_config(values: Mapping[str, Any], source: str = "configuration") -> RunConfig:
    """Validate plain values; a UsageError names the first wrong key, what came and what was expected."""
    try:
        return RunConfig.model_validate(values)
    except ValidationError as error:
        first, *others = error.errors()
        key = _key(first["loc"])
        if first["type"] == "extra_forbidden":
            known = ", ".join(_known_keys(first["loc"][:-1]))
            raise UsageError(f"{source}: unknown key {key!r}; choose from {known}") from None
        alternatives = [e["msg"] for e in (first, *others) if _key(e["loc"]) == key]
        message = " or ".join(dict.fromkeys(alternatives)).removeprefix("Value error, ")
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


def _assigned(values: dict[str, Any], assignments: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Nested dicts with dotted keys set. Another model's name comes first, and takes the old one's options away."""
    for key, value in sorted(assignments, key=lambda item: item[0] != "model.name"):
        *sections, name = key.split(".")
        if not sections or not all([*sections, name]):
            raise UsageError(f"cannot set {key!r}: expected section.key, for example train.epochs")
        inner = values
        for section in sections:
            found = inner.get(section)
            inner[section] = dict(found) if isinstance(found, Mapping) else {}
            inner = inner[section]
        if key == "model.name" and inner.get("name") != value:
            inner.clear()
        inner[name] = value
    return values


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one of dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {prefix + key: value}
    return flat


def _key(location: tuple[int | str, ...]) -> str:
    """The dotted key at `location`, without what pydantic adds to say which alternative of a union it tried."""
    depth = 3 if location[:2] == ("data", "augment") else 2
    return ".".join(str(part) for part in location[:depth])


def _known_keys(location: tuple[int | str, ...]) -> list[str]:
    """The keys of the section at `location`."""
    section: type[BaseModel] = RunConfig
    for part in location:
        annotation = section.model_fields[str(part)].annotation
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            break
        section = annotation
    return list(section.model_fields)
