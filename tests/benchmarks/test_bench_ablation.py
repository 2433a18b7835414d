"""The ablation: what is planned, what is run anew, and real trainings of one epoch."""

import json
import shutil
from pathlib import Path

import pytest

from benchmarks import bench_ablation as bench
from convscope.config import differences, load_config
from convscope.data.batches import evaluation_batches
from convscope.errors import ConvscopeError, UsageError
from convscope.models import build_model
from convscope.training import Epoch, fit
from convscope.training.fit import validate
from convscope.training.job import Job, prepare

SMALL = ["train.epochs=1", "model.base_channels=4"]


def trained(row: bench.Row) -> tuple[Job, list[Epoch]]:
    """What the settings of `row` give, trained here."""
    job = prepare(load_config(row["recipe"], row["settings"]))
    return job, [record for record in fit(job.state, job.batches) if isinstance(record, Epoch)]


@pytest.mark.parametrize(("name", "overrides"), bench.IDEAS, ids=[name for name, _ in bench.IDEAS])
def test_every_idea_but_the_recipe_itself_changes_something_that_can_be_had(name: str, overrides: list[str]):
    config = load_config(bench.RECIPE, overrides)
    assert bool(differences(load_config(bench.RECIPE), config)) == bool(overrides) == (name != bench.IDEAS[0][0])
    build_model(config.model.name, (3, 32, 32), 10, **config.model.options)


def test_rows_come_seed_after_seed_each_with_the_command_that_it_is():
    rows = bench.plan("digits", SMALL, [4, 2], bench.TEST, [])
    count = len(bench.IDEAS)
    assert [row["seed"] for row in rows] == [4] * count + [2] * count
    assert [row["idea"] for row in rows[:count]] == [name for name, _ in bench.IDEAS]
    name, overrides = bench.IDEAS[1]
    settings = [*SMALL, "data.val_fraction=0", *overrides, "train.seed=2"]
    assert rows[count + 1]["command"] == " ".join(["convscope train digits", *(f"--set {of}" for of in settings)])
    assert len({row["command"] for row in rows}) == len(rows)
    assert [row["idea"] for row in bench.plan("digits", SMALL, [4], bench.TEST, [name])] == [name]


def test_on_the_validation_split_the_recipe_holds_out_what_it_does():
    row, *_ = bench.plan("digits", SMALL, [0], bench.VALIDATION, [])
    assert row["settings"] == [*SMALL, "train.seed=0"]
    with pytest.raises(UsageError, match=r"^digits holds no pictures out to validate on; add --set data\.val"):
        bench.plan("digits", ["data.val_fraction=0"], [0], bench.VALIDATION, [])
    with pytest.raises(UsageError, match=r"^no idea 'luck'; choose from the recipe as it is, "):
        bench.plan("digits", SMALL, [0], bench.TEST, ["luck"])
    with pytest.raises(UsageError, match=r"unknown key 'train\.luck'"):
        bench.plan("digits", ["train.luck=1"], [0], bench.TEST, [])


def test_the_fingerprint_is_of_code_and_settings_that_decide(tmp_path: Path):
    package = tmp_path / "convscope"
    shutil.copytree(bench.ROOT / "convscope", package)
    config = load_config("digits", SMALL)
    before = bench.fingerprint(package, config)
    assert bench.fingerprint(bench.ROOT / "convscope", config) == before
    assert bench.fingerprint(package, load_config("digits", [*SMALL, "train.lr=0.2"])) != before
    for file in ("cli/app.py", "doctor/score.py"):
        (package / file).write_text("", encoding="utf-8")
    assert bench.fingerprint(package, config) == before
    seen = {before}
    for file in ("training/muon.py", "data/augment.py", "models/base.py", "schedules.py", "layers.py"):
        with (package / file).open("a", encoding="utf-8") as code:
            code.write("#")
        seen.add(bench.fingerprint(package, config))
    assert len(seen) == 6


def test_a_row_is_known_by_command_code_machine_and_split():
    row, other, *_ = bench.plan("digits", SMALL, [0], bench.TEST, [])
    assert bench.known([other, row], row)
    assert not bench.known([other], row)
    for key in ("command", "code", "machine", "split"):
        assert not bench.known([row | {key: "other"}], row)


def test_a_row_replaces_its_older_self_only():
    row, *others = bench.plan("digits", SMALL, [0, 1], bench.TEST, [])
    assert bench._replaces(row, row | {"code": "older", "machine": "older", "overrides": ["other"]})
    assert not any(bench._replaces(row, other) for other in others)
    assert not bench._replaces(row, row | {"split": bench.VALIDATION})
    assert not bench._replaces(row, row | {"changes": []})


def test_a_real_row_is_what_its_command_gives_and_is_not_run_again(tmp_path: Path, capsys):
    file = tmp_path / "new" / "ablation.json"
    arguments = ["--recipe", "digits", "--seeds", "3", "--only", bench.IDEAS[0][0], "--out", str(file)]
    arguments += [word for setting in SMALL for word in ("--set", setting)]
    bench.main(arguments)
    first = capsys.readouterr().out.splitlines()
    written = file.read_bytes()
    content = json.loads(written)
    (row,) = content["rows"]
    assert content["environment"]["command"].startswith(
        "python benchmarks/bench_ablation.py --recipe digits --seeds 3 "
    )
    assert row["seed"] == 3
    assert row["seconds"] > 0
    assert row["images_per_second"] == pytest.approx(1437 / row["seconds"])

    bench.main(arguments)
    again = capsys.readouterr().out.splitlines()
    assert again[0] == "the recipe as it is, seed 3: in ablation.json already"
    assert again[1:] == first[1:]
    assert file.read_bytes() == written

    job, _ = trained(row)
    pictures = evaluation_batches(job.test, mean=job.batches.mean, std=job.batches.std)
    assert row["accuracy"] == pytest.approx(validate(job.state.engine, pictures)[1])


def test_validation_is_that_of_the_last_epoch():
    row, *_ = bench.plan("digits", [*SMALL, "train.epochs=2", "train.lr=2"], [3], bench.VALIDATION, [])
    measured = bench.carry_out(row, None)
    _, (first, last) = trained(row)
    assert measured["accuracy"] == last.val_accuracy != first.val_accuracy


def test_a_training_that_fails_ends_it():
    row, *_ = bench.plan("digits", SMALL, [3], bench.TEST, [])
    with pytest.raises(ConvscopeError, match=r"^`convscope train digits .*` ended with exit code 2; its message is ab"):
        bench.carry_out(row | {"settings": ["train.luck=1"]}, None)
    with pytest.raises(SystemExit, match=r"^error: no idea 'luck'; choose from "):
        bench.main(["--only", "luck"])
