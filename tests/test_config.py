from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from convscope.config import RunConfig, load_config, make_config, override, recipe_names
from convscope.errors import UsageError


@pytest.mark.parametrize("name", recipe_names())
def test_shipped_recipe_loads_and_saves_to_the_same(name: str, tmp_path: Path) -> None:
    config = load_config(name)
    assert config.recipe == name
    copy = tmp_path / "other.yaml"
    copy.write_text(config.as_yaml(), encoding="utf-8")
    assert load_config(copy) == config


def test_overrides_are_yaml_and_reach_the_model_options() -> None:
    config = load_config(
        "digits",
        [
            "train.epochs=3",
            "train.lr=1e-3",
            "model.base_channels=8",
            "data.augment.flip=true",
            "data.subset=null",
        ],
    )
    assert (config.train.epochs, config.train.lr, config.data.subset) == (3, 0.001, None)
    assert config.model.options["base_channels"] == 8
    assert config.data.augment.flip
    assert config.data.augment.crop == load_config("digits").data.augment.crop  # its neighbours stay


def test_another_model_does_not_inherit_the_options_of_the_recipes_own() -> None:
    assert load_config("synthetic").model.options == {"base_channels": 8}
    assert load_config("synthetic", ["model.name=tiny-resnet"]).model.options == {"base_channels": 8}
    config = load_config("synthetic", ["model.hidden=16", "model.name=simple-cnn"])
    assert (config.model.name, config.model.options) == ("simple-cnn", {"hidden": 16})


def test_python_overrides_take_the_same_keys() -> None:
    config = override(load_config("digits"), {"train.seed": 7, "data.augment": None})
    assert config.train.seed == 7
    assert config.data.augment.crop == 0


def test_only_the_options_that_were_given_reach_the_data_set() -> None:
    assert load_config("digits").data.options == {}
    values = ["data.name=folder", "data.path=my pictures", "data.size=[20, 30]", "data.corrupt=skip"]
    data = load_config("digits", values).data
    assert data.options == {"path": "my pictures", "size": (20, 30), "corrupt": "skip"}
    assert load_config("digits", ["data.shortcut=0"]).data.options == {"shortcut": 0.0}  # given, so passed on


def test_a_configuration_is_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        load_config("digits").train.epochs = 5  # type: ignore[misc]


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("train.epochs=0", "train.epochs: .*greater than or equal to 1, got 0"),
        ("train.epoch=3", "unknown key 'train.epoch'; choose from engine, epochs, batch_size"),
        ("trian.epochs=3", "unknown key 'trian'; choose from recipe, data, model, train"),
        ("data.augment.flop=3", "unknown key 'data.augment.flop'; choose from flip, crop"),
        ("train.optimizer=lion", "train.optimizer: .*'adamw' or 'muon', got 'lion'"),
        ("train.epochs=true", "train.epochs: .*valid integer, got True"),
        ("data.subset=1.5", "data.subset: .*valid integer, got 1.5"),
        ("train.channels_last=maybe", "train.channels_last: .*valid boolean.* or .*'auto', got 'maybe'"),
        ("train.threads=100000", "train.threads: .*less than or equal to 1024"),
        ("train.lr=fast", "train.lr: .*number.*, got 'fast'"),
        ("train.lr=.inf", "train.lr: .*finite"),
        ("model.name=alexnet", "unknown model 'alexnet'; choose from lenet5"),
        ("data.name=imagenet", "unknown data set 'imagenet'; choose from digits"),
        ("data.size=0", "data.size: .*greater than or equal to 1 or .*, got 0"),
        ("data.size=[1,2,3]", r"data.size.*, got \[1, 2, 3\]"),
        ("data.mode=sepia", "data.mode: .*'colour' or 'grey', got 'sepia'"),
        ("data.shortcut=2", "data.shortcut: .*less than or equal to 1, got 2"),
        ("epochs=3", "cannot set 'epochs': expected section.key"),
        ("train.epochs", "expected section.key=value"),
        ("train.epochs=[1", "is not a YAML value"),
    ],
)
def test_a_wrong_override_is_one_clear_line(assignment: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        load_config("digits", [assignment])
    assert "\n" not in str(caught.value)


def test_a_recipe_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no recipe 'nope'.*choose from cifar10-5k, cifar10-90, cifar10-94, digits"):
        load_config("nope")
    for text, message in [("a: [", "not YAML"), ("- 1\n- 2", "expected a mapping"), ("data: 3", "data: ")]:
        path = tmp_path / "bad.yaml"
        path.write_text(text, encoding="utf-8")
        with pytest.raises(UsageError, match=message):
            load_config(path)


def test_the_defaults_are_a_run() -> None:
    assert make_config({}) == RunConfig()
    assert yaml.safe_load(RunConfig().as_yaml())["train"]["optimizer"] == "sgd"
