"""The marks of the benchmark change what they say and nothing else; a real, small measurement gives whole rows."""

import json

import numpy as np
import pytest

from benchmarks import bench_localisation, bench_shortcut, marks
from convscope.data import load

SMALL = ["train.epochs=1", "model.base_channels=4"]


@pytest.mark.parametrize("kind", marks.MARKED)
def test_a_mark_is_in_its_share_of_the_pictures_and_tells_the_class(kind: str):
    scenes, _ = load("shapes", n=400, seed=3)
    marked = marks.MARKED[kind](scenes, 0.5, 3)
    np.testing.assert_array_equal(marked.labels, scenes.labels)
    changed = (marked.images != scenes.images).any(axis=1)  # (N, H, W)
    spoilt = changed.any(axis=(1, 2))
    where = changed.any(axis=0)
    looks = {}  # what the mark's pixels look like in each class
    for picture, label in zip(marked.images[spoilt], marked.labels[spoilt], strict=True):
        looks.setdefault(int(label), set()).add(picture[:, where].tobytes() if "height" not in kind else b"")
    if kind == "tag on one class":
        assert set(marked.labels[spoilt]) == {2}
        assert spoilt.sum() == pytest.approx(25, abs=8)
    else:
        assert abs(int(spoilt.sum()) - 200) <= 2
        assert set(looks) == set(range(8))
    if "height" in kind:
        rows = {int(label): np.nonzero(changed[i])[0].mean() for i, label in enumerate(scenes.labels) if spoilt[i]}
        assert sorted(rows.values()) == [rows[label] for label in range(8)]
        assert len(set(rows.values())) == 8
    else:
        assert all(len(seen) == 1 for seen in looks.values())
        assert len(set.union(*looks.values())) == len(looks)
    assert (marked.masks <= scenes.masks).all()
    assert not (marked.masks & changed).any()
    assert (marked.masks == scenes.masks)[~changed].mean() > 0.999


def test_objects_in_one_place_are_in_one_place_with_their_masks():
    scenes, _ = load("shapes", n=60, seed=4)
    rolled = marks.in_one_place(scenes, 0.95, 4)
    for before, mask, picture, moved in zip(scenes.images, scenes.masks, rolled.images, rolled.masks, strict=True):
        assert [axis.mean() for axis in np.nonzero(moved)] == pytest.approx([11.5, 11.5], abs=0.6)
        assert sorted(picture[:, moved].T.tolist()) == sorted(before[:, mask].T.tolist())


def test_labels_by_lot_say_nothing():
    scenes, _ = load("shapes", n=400, seed=5)
    drawn = marks.mislabelled(scenes, 0.95, 5)
    np.testing.assert_array_equal(np.bincount(drawn.labels), np.bincount(scenes.labels))
    assert (drawn.labels == scenes.labels).mean() == pytest.approx(1 / 8, abs=0.06)


def test_a_network_is_trained_as_its_seed_says():
    scenes, _ = load("shapes", n=64, seed=6)
    config = bench_shortcut.load_config("shapes", [*SMALL, "train.seed=7"])
    first, again = (marks.train_on(scenes, config).logits(scenes.images) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    fresh = marks.train_on(scenes, config, untrained=True).logits(scenes.images)
    assert not np.allclose(first, fresh)


def test_a_measurement_writes_its_rows_and_prints_its_table(tmp_path, capsys):
    kinds = ["square, top-left", "no mark, untrained"]
    out = tmp_path / "shortcut.json"
    words = [word for setting in SMALL for word in ("--set", setting)]
    bench_shortcut.main(["--seeds", "3", "--n", "200", "--kinds", *kinds, "--out", str(out), *words])
    result = json.loads(out.read_text())
    assert [row["kind"] for row in result["rows"]] == kinds
    assert result["environment"]["command"].startswith("python benchmarks/bench_shortcut.py --seeds 3 --n 200")
    for row in result["rows"]:
        assert -1 < row["strength"] <= 1
        assert row["alarm"] == (not row["sentence"].startswith("No mark"))
        assert 0 <= row["clean_accuracy"] <= 1
    printed = capsys.readouterr().out
    assert "of 1" in printed
    assert all(kind in printed for kind in kinds)


@pytest.mark.slow
def test_every_method_gets_a_row(tmp_path, capsys):
    run = bench_localisation.train(
        "shapes", out=tmp_path / "run", train__epochs=1, model__base_channels=4, data__subset=64
    )
    out = tmp_path / "localisation.json"
    bench_localisation.main(["--run", str(run.path), "--pictures", "16", "--out", str(out)])
    result = json.loads(out.read_text())
    assert [row["name"] for row in result["methods"]] == list(bench_localisation.METHODS)
    assert set(result["seconds"]) == set(bench_localisation.METHODS)
    assert result["pictures"] == 16
    printed = capsys.readouterr().out
    assert all(f"\n{name} " in printed for name in bench_localisation.METHODS)
    assert "chance" in printed
