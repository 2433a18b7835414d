"""An export does what its run does up to float16, gives its own accuracy, and names no place of the machine."""

import hashlib
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from convscope import train
from convscope.config import load_config
from convscope.data import hold_out, load
from convscope.doctor import examine_run
from convscope.errors import ConvscopeError, DataError, UsageError
from convscope.evaluate import evaluate
from convscope.export import export_safetensors, last_part, measure, without_places
from convscope.runs import Run, load_run
from convscope.runs.artifacts import EXPORTED, MANIFEST, write_csv, write_json, write_manifest
from convscope.runs.checkpoint import save_checkpoint
from convscope.verify import verify

Cli = Callable[..., tuple[int, str, str]]


def problems(folder: Path) -> dict[str, str]:
    """What is wrong or could not be looked at."""
    return {check.name: check.problem or check.skipped for check in verify(folder).checks if not check.ok}


@pytest.fixture
def copy(exported_run: Run, tmp_path: Path) -> Path:
    """A copy of `exported_run` to break."""
    return Path(shutil.copytree(exported_run.path, tmp_path / "copy"))


def test_the_folder_is_small_and_verifies(exported_run: Run, digits_run: Run) -> None:
    folder = exported_run.path
    assert {path.name for path in folder.iterdir()} == {*EXPORTED, MANIFEST}
    numbers = sum(value.numel() for value in digits_run.model.state_dict().values())
    weights = (folder / "model.safetensors").stat().st_size
    assert 2 * numbers < weights < 2 * numbers + 10_000
    assert sum(path.stat().st_size for path in folder.iterdir()) - weights < 10_000
    assert problems(folder) == {}
    assert len(verify(folder).checks) == 12


def test_the_results_are_of_the_rounded_weights(exported_run: Run, digits_run: Run) -> None:
    pictures, test = load("digits")
    _, validation = hold_out(pictures, digits_run.config)
    result = evaluate(exported_run, test)
    found, before = exported_run.results, digits_run.results
    assert found["test_accuracy"] == result.accuracy
    assert validation is not None
    assert found["val_accuracy"] == evaluate(exported_run, validation).accuracy
    measured = {"run", "val_accuracy", "test_accuracy"}
    assert {key: found[key] for key in found.keys() - measured} == {
        key: before[key] for key in before.keys() - measured
    }
    assert json.loads((exported_run.path / "results.json").read_text())["run"] == "tiny"
    assert exported_run.metrics == digits_run.metrics
    np.testing.assert_allclose(result.probabilities, evaluate(digits_run, test).probabilities, rtol=0, atol=0.01)


def test_rounding_that_costs_accuracy_shows_in_the_results(copied_run: Run) -> None:
    """Near 40,000 float16 goes in steps of 32, so it forgets that a bias of 15 makes every other class win."""
    state = dict(copied_run.checkpoint["model_state"])
    state["head.bias"] = state["head.bias"] + 40_000 + torch.tensor([0.0, 15.0] * 5)
    checkpoint = copied_run.checkpoint | {"model_state": state}
    save_checkpoint(copied_run.path / "best.pt", checkpoint)
    run = load_run(copied_run.path)
    _, test = load("digits")
    results, tested = measure(run, None)
    assert tested == len(test) == 360
    assert evaluate(run, test).accuracy < 0.5
    assert results["test_accuracy"] > 0.6
    made = export_safetensors(run, copied_run.path.parent / "small")
    assert made.results["test_accuracy"] == results["test_accuracy"] == evaluate(made, test).accuracy
    assert problems(made.path) == {}


def test_the_commands_say_of_an_export_what_they_say_of_the_run(exported_run: Run, digits_run: Run, cli: Cli) -> None:
    for command in ("evaluate", "prove"):
        answers = [json.loads(cli(command, run.path, "--json")[1]) for run in (exported_run, digits_run)]
        assert answers[0].keys() == answers[1].keys()
        assert answers[0]["pictures_changed"] is False
        if command == "evaluate":
            assert abs(answers[0]["test_accuracy"] - answers[1]["test_accuracy"]) <= 2 / 360
            assert np.abs(np.array(answers[0]["confusion"]) - answers[1]["confusion"]).sum() <= 4
        else:
            assert answers[0]["ok"]
            assert [row["name"] for row in answers[0]["layers"]] == [row["name"] for row in answers[1]["layers"]]
    layers = [json.loads(cli("look", run.path, "layers", "--json")[1])["layers"] for run in (exported_run, digits_run)]
    assert layers[0] == layers[1]


def test_views_predictions_and_the_doctor(copy: Path, copied_run: Run, tmp_path: Path, cli: Cli) -> None:
    pixels = np.random.default_rng(4).integers(0, 256, (11, 9)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "picture.png")
    answers = []
    for folder in (copy, copied_run.path):
        code, out, _ = cli("predict", folder, tmp_path / "picture.png", "--json", "--top", 10)
        assert code == 0
        answers.append({c["label"]: c["probability"] for c in json.loads(out)["results"][0]["top"]})
    assert answers[0] == pytest.approx(answers[1], abs=0.01)
    code, out, _ = cli("explain", copy, "--index", 2, "--json")
    assert code == 0
    assert Path(json.loads(out)["png"]).parent == copy / "views"
    assert {finding.severity for finding in examine_run(copy)} == {"fine"}
    assert [f.name for f in examine_run(copy)] == [f.name for f in examine_run(copied_run.path)]
    assert problems(copy) == {}  # views are no part of it


def test_an_export_of_an_export_is_the_same(exported_run: Run, tmp_path: Path) -> None:
    again = export_safetensors(exported_run, tmp_path / "tiny")
    for name in EXPORTED:
        assert (again.path / name).read_bytes() == (exported_run.path / name).read_bytes()


def test_where_the_training_is_too_its_checkpoint_is_what_counts(copied_run: Run, exported_run: Run) -> None:
    shutil.copy(exported_run.path / "model.safetensors", copied_run.path)
    assert problems(copied_run.path) == {}
    bias = load_run(copied_run.path).model.state_dict()["head.bias"]
    assert torch.equal(bias, copied_run.checkpoint["model_state"]["head.bias"])
    assert not torch.equal(bias, bias.half().float())


def test_the_command_says_where_and_what(digits_run: Run, exported_run: Run, tmp_path: Path, cli: Cli) -> None:
    code, out, err = cli("export", digits_run.path, "--to", "safetensors", "--out", tmp_path / "tiny")
    weights = (exported_run.path / "model.safetensors").read_bytes()
    accuracies = [f"{run.results['test_accuracy']:.2%}" for run in (exported_run, digits_run)]
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        f"{tmp_path / 'tiny' / 'model.safetensors'}: {len(weights):,} bytes, "
        f"SHA-256 {hashlib.sha256(weights).hexdigest()}",
        f"test accuracy {accuracies[0]}, of {digits_run.path} {accuracies[1]}",
    ]


def test_it_trains_on_no_further(exported_run: Run, cli: Cli) -> None:
    code, out, err = cli("train", "--resume", exported_run.path)
    assert (code, "is finished; nothing is left to do" in err) == (0, True)
    assert "report" not in out  # it has none
    config = load_config(exported_run.path / "config.yaml")
    assert config == exported_run.config


@pytest.fixture
def own_run(tmp_path: Path) -> Run:
    """Trained on pictures of the user's own, under an absolute path, written with a space."""
    rng = np.random.default_rng(6)
    for label, name in enumerate(("red", "blue")):
        (tmp_path / "my secret" / "mine" / name).mkdir(parents=True)
        for i in range(20):
            pixels = rng.integers(0, 120, (12, 9, 3)).astype(np.uint8)
            pixels[..., 2 * label] += 100
            Image.fromarray(pixels).save(tmp_path / "my secret" / "mine" / name / f"{i}.png")
    small = {"train__epochs": 2, "model__base_channels": 4, "data__val_fraction": 0.25, "data__size": (12, 9)}
    return train("folder", out=tmp_path / "run", data__path=str(tmp_path / "my secret" / "mine"), **small)


def test_no_place_of_the_machine_is_in_it(own_run: Run, tmp_path: Path, cli: Cli) -> None:
    pictures = tmp_path / "my secret" / "mine"
    record = json.loads((own_run.path / "environment.json").read_text())
    command = f"convscope train folder --set 'data.path={pictures}' --out {own_run.path} --data-dir={tmp_path}"
    write_json(own_run.path / "environment.json", record | {"command": command, "data_dir": str(pictures)})
    code, out, err = cli("export", own_run.path, "--to", "safetensors", "--out", tmp_path / "small", "--json")
    assert (code, err) == (0, "")
    held = b"".join(path.read_bytes() for path in (tmp_path / "small").iterdir())
    for place in (tmp_path, own_run.path, pictures, "my secret", Path.home(), Path.cwd()):
        assert len(str(place)) > 1  # or it would be everywhere
        assert str(place).encode() not in held
        assert json.dumps(str(place))[1:-1].encode() not in held
    kept = json.loads((tmp_path / "small" / "environment.json").read_text())
    assert kept["command"] == f"convscope train folder --set 'data.path=mine' --out run --data-dir={tmp_path.name}"
    assert kept.keys() == record.keys() - {"data_dir"}
    made = load_run(tmp_path / "small")
    assert made.config.data.path == "mine"
    assert made.config.train == own_run.config.train

    assert json.loads(out)["test_accuracy"] == made.results["test_accuracy"]
    assert json.loads(out)["sha256"] == hashlib.sha256((made.path / "model.safetensors").read_bytes()).hexdigest()
    checks = verify(made.path, pictures).checks
    assert all(check.ok for check in checks)
    reasons = set(problems(made.path).values())  # nobody says where the pictures are
    assert len(reasons) == 1
    assert "not at hand" in reasons.pop()


@pytest.mark.parametrize(
    ("path", "kept"),
    [
        ("/home/me/my pictures", "my pictures"),
        ("/home/me/", "me"),
        ("C:\\Users\\me\\pictures", "pictures"),
        ("\\\\server\\share\\me\\pictures", "pictures"),
        ("pictures/mine", "pictures/mine"),
        ("../mine", "../mine"),
        ("0.5", "0.5"),
        ("/", "."),
    ],
)
def test_of_an_absolute_path_the_last_part_stays(path: str, kept: str) -> None:
    assert last_part(path) == kept
    line = 'convscope train x --set "data.path={0}" --out {1} --set a=[1,2]'
    command = {"command": line.format(path, path.replace(" ", "_")), "data_dir": path, "cores": 2}
    expected = line.format(kept, kept.replace(" ", "_"))
    assert without_places(command) == {"command": expected, "cores": 2}
    assert without_places({"command": None}) == {"command": None}


def claim(**values: Any) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        found = json.loads((folder / "results.json").read_text())
        write_json(folder / "results.json", found | {key: found[key] + by for key, by in values.items()})

    return damage


def cut_row(folder: Path) -> None:
    write_csv(folder / "metrics.csv", load_run(folder).metrics[:-1])


def half_the_weights(folder: Path) -> None:
    data = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(data[: len(data) // 2])


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        (claim(test_accuracy=1.6 / 360), {"test set": "test: accuracy .* recomputed .* on 360 pictures"}),
        (claim(val_accuracy=1.6 / 144), {"validation": "validation: accuracy .* recomputed .* on 144 pictures"}),
        (claim(epochs=1), {"one sane row": "results.json is of epoch 4, the configuration asks for 3"}),
        (cut_row, {"one sane row": "expected epochs 1 to 3, got 2 rows"}),
        (
            half_the_weights,
            {"rebuilds": "not a readable", "predicts": "not a readable", "recipe": "not", "one sane row": "not"}
            | {"validation": "not a readable", "test set": "not a readable"},
        ),
    ],
    ids=["test", "validation", "epochs", "rows", "weights"],
)
def test_verify_computes_again(copy: Path, damage: Callable[[Path], None], found: dict[str, str]) -> None:
    damage(copy)
    assert "its SHA-256 differs" in str(problems(copy)) or "bytes, the manifest says" in str(problems(copy))
    write_manifest(copy)
    wrong = problems(copy)
    assert len(wrong) == len(found)
    for (name, problem), (part, said) in zip(wrong.items(), found.items(), strict=True):
        assert part in name
        assert re.search(said, problem)


def test_a_file_that_is_missing_is_named(copy: Path) -> None:
    for name in EXPORTED:
        (copy / name).rename(copy / "aside")
        assert problems(copy)[f"{name} is there with the hash on record"] == "missing"
        (copy / "aside").rename(copy / name)
    assert problems(copy) == {}


def test_what_cannot_be_exported_is_refused_and_leaves_nothing(copied_run: Run, tmp_path: Path, cli: Cli) -> None:
    out = tmp_path / "small"
    large = dict(copied_run.checkpoint["model_state"]) | {"head.bias": torch.full((10,), 1e5)}
    save_checkpoint(tmp_path / "run" / "best.pt", copied_run.checkpoint | {"model_state": large})
    with pytest.raises(ConvscopeError, match=r"head\.bias holds 1e\+05, float16 reaches 65,504"):
        export_safetensors(load_run(copied_run.path), out)
    save_checkpoint(tmp_path / "run" / "best.pt", copied_run.checkpoint)
    (copied_run.path / MANIFEST).unlink()
    with pytest.raises(ConvscopeError, match=r"run is not finished: it has no manifest\.json"):
        export_safetensors(copied_run, out)
    write_manifest(copied_run.path)
    record = json.loads((copied_run.path / "environment.json").read_text())
    others = record["pictures"] | {"test": "0" * 64}
    write_json(copied_run.path / "environment.json", record | {"pictures": others})
    with pytest.raises(DataError, match=r"the test pictures of .*run have changed since its training"):
        export_safetensors(copied_run, out)
    assert not out.exists()
    out.mkdir()
    (out / "mine.txt").write_text("keep")
    with pytest.raises(UsageError, match="small is not empty; choose another --out"):
        export_safetensors(copied_run, out)
    assert cli("export", copied_run.path, "--to", "tiff", "--out", tmp_path / "x")[0] == 2
    assert cli("export", copied_run.path, "--to", "safetensors")[0] == 2
    assert [path.name for path in out.iterdir()] == ["mine.txt"]
