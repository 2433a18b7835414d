"""Where files are looked for: --data-dir alone, else CONVSCOPE_DATA, else the cache; and what is said if nowhere."""

import sys
from pathlib import Path

import pytest

from convscope.data.locations import data_folders, find
from convscope.errors import DataError


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """Three folders, and the environment that names the last two."""
    monkeypatch.setenv("CONVSCOPE_DATA", str(tmp_path / "named"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folders = {
        "given": tmp_path / "given",
        "named": tmp_path / "named",
        "cache": data_folders()[-1],
    }
    for folder in folders.values():
        folder.mkdir(parents=True, exist_ok=True)
    return folders


@pytest.mark.skipif(sys.platform != "linux", reason="XDG_CACHE_HOME is Linux's")
def test_the_cache_follows_xdg(places: dict[str, Path], tmp_path: Path) -> None:
    assert places["cache"] == tmp_path / "cache" / "convscope"


def test_the_variable_comes_before_the_cache(places: dict[str, Path]) -> None:
    (places["cache"] / "a.gz").touch()
    assert find("x", ["a.gz"]) == places["cache"] / "a.gz"
    (places["named"] / "a.gz").touch()
    assert find("x", ["a.gz"]) == places["named"] / "a.gz"


def test_a_given_folder_is_the_only_one(places: dict[str, Path]) -> None:
    (places["named"] / "a.gz").touch()
    (places["cache"] / "a.gz").touch()
    with pytest.raises(DataError) as error:
        find("x", ["a.gz", "a"], places["given"])
    assert str(error.value) == (
        f"x: found no a.gz or a in {places['given']}; put it there as {places['given'] / 'a.gz'}"
    )
    (places["given"] / "a").touch()
    assert find("x", ["a.gz", "a"], places["given"]) == places["given"] / "a"


def test_an_unset_or_empty_variable_names_no_folder(places: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVSCOPE_DATA", "")
    assert data_folders() == (places["cache"],)
    monkeypatch.delenv("CONVSCOPE_DATA")
    assert data_folders() == (places["cache"],)


def test_not_found_says_where_it_looked_and_what_to_do(places: dict[str, Path]) -> None:
    with pytest.raises(DataError) as error:
        find("x", ["a.gz"])
    message = str(error.value)
    assert str(places["named"]) in message
    assert str(places["cache"]) in message
    assert "--data-dir" in message
    assert "\n" not in message
