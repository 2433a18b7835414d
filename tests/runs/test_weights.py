"""Weights survive the way into a safetensors file as their float16 values; damage to the file is one line."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from convscope.doctor import examine_run
from convscope.errors import ConvscopeError
from convscope.runs import Run, load_run
from convscope.runs.checkpoint import FOR_USE, load_checkpoint
from convscope.runs.weights import ENTRY, from_safetensors, rounded, to_safetensors

IMAGES = np.random.default_rng(1).integers(0, 256, (7, 1, 8, 8)).astype(np.uint8)


def some_state() -> dict[str, Tensor]:
    """Float32 with a turned and a channels-last tensor, float64, a counter."""
    generator = torch.Generator().manual_seed(3)
    return {
        "kernel": torch.randn(5, 3, 2, 4, generator=generator).to(memory_format=torch.channels_last),
        "turned": torch.randn(6, 2, generator=generator).T,
        "double": torch.randn(3, generator=generator, dtype=torch.float64) * 1e-3,
        "counter": torch.tensor(70_001),
    }


def test_what_comes_back_are_the_float16_values_in_float32(tmp_path: Path) -> None:
    state = some_state()
    (tmp_path / "x.safetensors").write_bytes(to_safetensors({"model_state": state, "epoch": 3, "names": ["ä", "|"]}))
    found = from_safetensors(tmp_path / "x.safetensors")
    assert (found["epoch"], found["names"]) == (3, ["ä", "|"])
    assert found["model_state"].keys() == state.keys()
    for name, value in state.items():
        expected = value.half().float() if value.is_floating_point() else value
        assert torch.equal(found["model_state"][name], expected)
        assert torch.equal(rounded(state)[name], expected)
        assert found["model_state"][name].dtype == (torch.float32 if name != "counter" else torch.int64)
    assert not torch.equal(found["model_state"]["kernel"], state["kernel"])  # or nothing was rounded
    assert load_file(tmp_path / "x.safetensors")["turned"].dtype == torch.float16


def test_equal_weights_are_equal_bytes_and_the_originals_stay() -> None:
    state = some_state()
    first = to_safetensors({"model_state": state, "epoch": 3})
    assert first == to_safetensors({"model_state": dict(reversed(state.items())), "epoch": 3})
    assert all(torch.equal(value, some_state()[name]) for name, value in state.items())
    assert first == to_safetensors({"model_state": rounded(state), "epoch": 3})


@pytest.mark.parametrize(
    ("value", "said"),
    [(70_000.0, r"^norm.running_var holds 7e\+04, float16 reaches 65,504"), (float("nan"), "holds nan"), (-1e9, "1e")],
)
def test_what_float16_cannot_hold_is_refused(value: float, said: str) -> None:
    state = some_state() | {"norm.running_var": torch.tensor([1.0, value, 2.0])}
    for use in (rounded, lambda state: to_safetensors({"model_state": state})):
        with pytest.raises(ConvscopeError, match=said):
            use(state)
    assert rounded({"a": torch.tensor([65_504.0])})["a"].item() == 65_504


def test_an_export_is_a_checkpoint_without_what_training_needs(exported_run: Run, digits_run: Run) -> None:
    found = load_checkpoint(exported_run.path / "model.safetensors")
    assert set(found) == set(FOR_USE)
    same = set(FOR_USE) - {"model_state"}
    assert {key: found[key] for key in same} == {key: digits_run.checkpoint[key] for key in same}
    for name, value in digits_run.checkpoint["model_state"].items():
        expected = value.half().float() if value.is_floating_point() else value
        assert torch.equal(exported_run.model.state_dict()[name], expected)
    logits, before = exported_run.logits(IMAGES), digits_run.logits(IMAGES)
    np.testing.assert_allclose(logits, before, rtol=0, atol=0.02)
    assert not np.array_equal(logits, before)


@pytest.fixture
def copy(exported_run: Run, tmp_path: Path) -> Path:
    """A copy of `exported_run` to break."""
    return Path(shutil.copytree(exported_run.path, tmp_path / "copy"))


def with_bytes(change: Callable[[bytes], bytes]) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(change(path.read_bytes()))


def with_state(change: Callable[[dict[str, Tensor]], dict[str, Tensor]]) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        rest = {key: value for key, value in from_safetensors(path).items() if key != "model_state"}
        save_file(change(load_file(path)), path, {ENTRY: json.dumps(rest)})

    return damage


def with_entry(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        rest = {key: value for key, value in from_safetensors(path).items() if key != "model_state"}
        save_file(load_file(path), path, {ENTRY: json.dumps(change(rest))})

    return damage


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (with_bytes(lambda data: b""), "is not a readable safetensors file: "),
        (with_bytes(lambda data: b"hello"), "is not a readable safetensors file: "),
        (with_bytes(lambda data: data[:-1]), "is not a readable safetensors file: "),
        (with_bytes(lambda data: data[: len(data) // 4]), "is not a readable safetensors file: "),
        (with_bytes(lambda data: data + b"0"), "is not a readable safetensors file: "),
        (with_bytes(lambda data: b"\xff" * 8 + data[8:]), "is not a readable safetensors file: "),
        (with_bytes(lambda data: data.replace(b"F16", b"F64", 1)), "is not a readable safetensors file: "),
        (lambda path: save_file(load_file(path), path), "does not say which network .* it lacks __metadata__$"),
        (
            lambda path: save_file(load_file(path), path, {"by": "me"}),
            "does not say .* is damaged: it lacks convscope$",
        ),
        (lambda path: save_file(load_file(path), path, {ENTRY: "{"}), "does not say .* no JSON from line 1 on$"),
        (lambda path: save_file(load_file(path), path, {ENTRY: "[" * 10**5}), "does not say which network its weights"),
        (with_entry(lambda rest: [1]), "does not say which network its weights are of"),
        (with_entry(lambda rest: rest | {"format": 99}), "format 99; this version reads format 1"),
        (with_entry(lambda rest: {"epoch": 1}), "is not a convscope checkpoint: it lacks some of format, model, "),
        (with_entry(lambda rest: rest | {"classes": 10}), "its 'classes' is 10"),
        (with_entry(lambda rest: rest | {"mean": [0.1, 0.2]}), "another number of channels"),
        (
            with_entry(lambda rest: rest | {"model": {"name": "tiny-resnet", "options": {"base_channels": 10**6}}}),
            "do not fit .*: it has more numbers",
        ),
        (with_state(lambda state: state | {"head.bias": torch.zeros(3)}), "size mismatch for head.bias"),
        (
            with_state(lambda state: {name: value for name, value in state.items() if name != "head.bias"}),
            "do not fit .*head.bias",
        ),
        (with_state(lambda state: state | {"more": torch.zeros(1)}), 'Unexpected key.*"more"'),
    ],
)
def test_damage_is_refused_in_one_line(copy: Path, damage: Callable[[Path], object], said: str) -> None:
    damage(copy / "model.safetensors")
    with pytest.raises(ConvscopeError, match=said) as caught:
        load_run(copy)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 1


def test_a_network_of_nan_opens_and_the_doctor_says_so(copy: Path) -> None:
    with_state(lambda state: state | {"head.bias": torch.full((10,), float("nan"))})(copy / "model.safetensors")
    assert load_run(copy).parameters == 10_978
    assert "problem" in {finding.severity for finding in examine_run(copy) if finding.name == "weights"}
