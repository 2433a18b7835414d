"""The ablation's table: rows with known numbers in, cells out."""

from typing import Any

import pytest

from benchmarks import ablation_table


def row(idea: str, seed: int, accuracy: float, **others: Any) -> dict[str, Any]:
    """A measured row; everything is the recipe unless `others` says so."""
    common = {"recipe": "cifar10-5k", "changes": [], "split": "test set", "code": "c1", "machine": "Abacus, 2 cores"}
    measured = {"place": 0, "overrides": [], "seconds": 100.0 + 10 * seed, "images_per_second": 1000.0 - 100 * seed}
    return common | measured | {"idea": idea, "seed": seed, "accuracy": accuracy} | others


@pytest.fixture
def rows() -> list[dict[str, Any]]:
    """The recipe with two seeds, an idea with both, one with the second seed only, one of older code."""
    flips = {"overrides": ["data.augment.flip=false", "train.lr=0.2"], "place": 2}
    return [
        row("no crops", 0, 0.1, code="c0", overrides=["data.augment.crop=0"], place=1),
        row("no flips", 1, 0.78, **flips),
        row("no flips", 0, 0.81, **flips),
        row("whole", 0, 0.82),
        row("no Muon", 1, 0.84, overrides=["train.optimizer=sgd"], place=1),
        row("whole", 1, 0.83),
    ]


def test_means_are_over_seeds_and_changes_over_the_same_seeds(rows: list[dict[str, Any]]):
    _, *cells = ablation_table.table(rows)
    assert cells == [
        ["whole", "–", "82.50 %", "82.00, 83.00", "–", "105", "950"],
        ["no Muon", "`train.optimizer=sgd`", "84.00 %", "84.00", "+1.00", "110", "900"],
        [
            "no flips",
            "`data.augment.flip=false` `train.lr=0.2`",
            "79.50 %",
            "81.00, 78.00",
            "-3.00",
            "105",
            "950",
        ],
    ]


def test_without_the_recipe_itself_there_is_nothing_to_compare_with(rows: list[dict[str, Any]]):
    assert ablation_table.table(rows[:2])[1][4] == "–"


@pytest.mark.parametrize("key", ["recipe", "changes", "split", "code", "machine"])
def test_a_row_that_is_no_equal_of_the_newest_is_left_out_and_counted(key: str):
    rows = [row("whole", 0, 0.8, **{key: "other"}), row("whole", 1, 0.6)]
    assert ablation_table.table(rows)[1][2:4] == ["60.00 %", "60.00"]
    assert ablation_table.describe(rows).endswith(" 1 older rows, of other code, settings or machines, are left out.")


def test_the_table_says_what_it_is_of(rows: list[dict[str, Any]]):
    several = [of | {"changes": ["train.epochs=3"]} for of in rows[1:]]
    said = "cifar10-5k train.epochs=3, test set, after the last epoch; Abacus, 2 cores."
    assert ablation_table.describe(several) == said
