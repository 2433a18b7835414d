"""The user's own pictures: real PNG and JPEG files, sound and broken, sorted into the folders of their classes."""

import os
import time
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from convscope.config import make_config
from convscope.data import ImageSet, available, load, load_configured
from convscope.errors import DataError, UsageError
from convscope.pictures import prepare

RNG = np.random.default_rng(0)


def write(path: Path, height: int = 40, width: int = 60, colour: tuple[int, int, int] | None = None) -> Path:
    """A picture file of noise, or of one colour; its kind follows from its name."""
    pixels = RNG.integers(0, 256, (height, width, 3), dtype=np.uint8) if colour is None else np.uint8([[colour]])
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.broadcast_to(pixels, (height, width, 3)).copy()).save(path)
    return path


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    """Ten cats and thirty dogs of several kinds and sizes."""
    for i in range(30):
        suffix = ("png", "jpg", "JPEG", "webp", "bmp")[i % 5]
        write(tmp_path / "pets" / "dog" / f"{i:02}.{suffix}", 30 + i, 60 - i)
        if i < 10:
            write(tmp_path / "pets" / "cat" / f"{i:02}.{suffix}")
    return tmp_path / "pets"


def pictures_of(pictures: ImageSet) -> set[bytes]:
    return {picture.tobytes() for picture in pictures.images}


def test_a_fifth_of_each_class_is_held_out(pets: Path) -> None:
    train, test = load("folder", path=pets)
    assert train.classes == test.classes == ("cat", "dog")
    assert np.bincount(train.labels).tolist() == [8, 24]
    assert np.bincount(test.labels).tolist() == [2, 6]
    assert train.shape == (3, 32, 32)
    assert train.masks is None
    assert not pictures_of(train) & pictures_of(test)
    picture = {"size": [32, 32], "mode": "RGB", "crop": "resize"}
    for label, name in enumerate(train.classes):
        expected = {prepare(path, picture).tobytes() for path in (pets / name).iterdir()}
        found = pictures_of(train.take(np.flatnonzero(train.labels == label)))
        found |= pictures_of(test.take(np.flatnonzero(test.labels == label)))
        assert found == expected


def test_the_seed_decides_the_split_and_nothing_else(pets: Path) -> None:
    (first, held), (again, held_again), (other, _) = (load("folder", path=str(pets), seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.images, again.images)
    np.testing.assert_array_equal(held.images, held_again.images)
    assert pictures_of(first) != pictures_of(other)


def test_a_split_that_is_given_is_kept(tmp_path: Path) -> None:
    for part, count in (("train", 5), ("test", 3)):
        for i in range(count):
            write(tmp_path / part / "b" / f"{i}.png", 4, 4, (10 * i, 0, 200))
            write(tmp_path / part / "a" / f"{i}.png", 4, 4, (10 * i, 200, 100 if part == "test" else 0))
    train, test = load("folder", path=tmp_path, size=4)
    assert (len(train), len(test)) == (10, 6)
    assert train.labels.tolist() == [0] * 5 + [1] * 5
    assert test.images[:, :, 0, 0].tolist() == [[10 * i, 200, 100] for i in range(3)] + [
        [10 * i, 0, 200] for i in range(3)
    ]


def test_parts_with_different_classes_are_refused(tmp_path: Path) -> None:
    for name in ("train/a", "train/b", "test/a", "test/c"):
        write(tmp_path / name / "0.png")
    with pytest.raises(DataError, match="must have the same classes; only one of them has b, c"):
        load("folder", path=tmp_path)


def test_what_lies_beside_a_given_split_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("train/a", "train/b", "test/a", "test/b", "val/a"):
        write(tmp_path / name / "0.png")
    train, test = load("folder", path=tmp_path)
    assert (len(train), len(test)) == (2, 2)
    assert "only train and test are read, not val" in caplog.text


def test_half_a_split_is_not_taken_for_classes(tmp_path: Path) -> None:
    for name in ("train/a", "train/b", "val/a", "val/b"):
        write(tmp_path / name / "0.png")
    with pytest.raises(DataError, match="has train, val; expected train and test with a folder a class in each"):
        load("folder", path=tmp_path)
    for name in ("car", "train"):  # among others, train is a class like any
        write(tmp_path / "vehicles" / name / "0.png")
        write(tmp_path / "vehicles" / name / "1.png")
    assert load("folder", path=tmp_path / "vehicles")[0].classes == ("car", "train")


@pytest.mark.parametrize("size", [16, [20, 28], (28, 20)])
@pytest.mark.parametrize("mode", ["colour", "grey"])
@pytest.mark.parametrize("crop", ["resize", "center"])
def test_every_picture_is_prepared_as_prediction_would(size: int | list[int], mode: str, crop: str, pets: Path) -> None:
    values = {"name": "folder", "path": str(pets), "size": size, "mode": mode, "crop": crop}
    train, test = load_configured(make_config({"data": values}).data)
    height, width = (size, size) if isinstance(size, int) else size
    assert train.shape == (3 if mode == "colour" else 1, height, width)
    picture = {"size": [height, width], "mode": "RGB" if mode == "colour" else "L", "crop": crop}
    expected = {prepare(path, picture).tobytes() for path in (pets / "cat").iterdir()}
    found = pictures_of(train.take(np.flatnonzero(train.labels == 0)))
    assert found | pictures_of(test.take(np.flatnonzero(test.labels == 0))) == expected


def break_some(pets: Path) -> list[Path]:
    """Five files that cannot be read, each for a reason of its own."""
    (pets / "cat" / "03.png").write_bytes((pets / "dog" / "00.png").read_bytes()[:200])
    (pets / "cat" / "a page.jpg").write_text("<html>not found</html>")
    (pets / "dog" / "empty.png").touch()
    (pets / "dog" / "gone.png").symlink_to(pets / "nowhere.png")
    os.mkfifo(pets / "dog" / "pipe.png")  # reading it would wait for ever
    return [pets / name for name in ("cat/03.png", "cat/a page.jpg", "dog/empty.png", "dog/gone.png", "dog/pipe.png")]


@pytest.mark.skipif(os.name != "posix", reason="makes a named pipe")
def test_broken_files_are_refused_by_name(pets: Path) -> None:
    broken = break_some(pets)
    with pytest.raises(DataError, match=r"and 4 more such files; .*--set data.corrupt=skip leaves it out") as caught:
        load("folder", path=pets)
    assert str(caught.value).startswith(f"{broken[0]}: broken or cut off")
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(os.name != "posix", reason="makes a named pipe")
def test_broken_files_are_skipped_by_name_where_asked(pets: Path, caplog: pytest.LogCaptureFixture) -> None:
    broken = break_some(pets)
    train, test = load("folder", path=pets, corrupt="skip")
    assert len(train) + len(test) == 40
    lines = [record.getMessage() for record in caplog.records]
    assert [line.split(":")[0] for line in lines] == [f"skipped {path}" for path in broken]


def test_a_class_of_nothing_but_broken_files_is_refused(pets: Path) -> None:
    (pets / "emu").mkdir()
    (pets / "emu" / "0.png").write_bytes(b"")
    with pytest.raises(DataError, match="not one picture of emu can be read"):
        load("folder", path=pets, corrupt="skip")


def test_hidden_files_are_passed_over_and_others_counted(pets: Path, caplog: pytest.LogCaptureFixture) -> None:
    before = load("folder", path=pets)[0].images
    (pets / ".git").mkdir()
    write(pets / ".git" / "x.png")
    (pets / "cat" / ".DS_Store").write_bytes(b"x")
    write(pets / "cat" / ".hidden.png")
    write(pets / "cat" / ".thumbnails" / "0.png")
    (pets / "README.txt").write_text("at the top, so of no class")
    assert not caplog.records
    np.testing.assert_array_equal(load("folder", path=pets)[0].images, before)
    (pets / "cat" / "notes.txt").write_text("x")
    (pets / "dog" / "clip.mp4").write_text("x")
    np.testing.assert_array_equal(load("folder", path=pets)[0].images, before)
    (record,) = caplog.records
    assert record.getMessage().endswith(
        "passed over 2 files that are no pictures by their name: cat/notes.txt, dog/clip.mp4"
    )


def test_folders_below_a_class_belong_to_it(pets: Path) -> None:
    write(pets / "cat" / "2024" / "may" / "0.png")
    train, test = load("folder", path=pets)
    assert np.bincount(np.concatenate([train.labels, test.labels])).tolist() == [11, 30]


@pytest.mark.skipif(os.name != "posix", reason="makes symbolic links")
def test_links_are_followed_but_never_in_circles(pets: Path, tmp_path: Path) -> None:
    for i in range(4):
        write(tmp_path / "elsewhere" / f"{i}.png")
    (pets / "emu").symlink_to(tmp_path / "elsewhere")  # a class that lies elsewhere
    (pets / "cat" / "linked.png").symlink_to(tmp_path / "elsewhere" / "0.png")
    (pets / "again").symlink_to(pets)  # these lead in circles
    (pets / "above").symlink_to(tmp_path)
    (pets / "self").symlink_to(pets / "self")
    (pets / "cat" / "loop").symlink_to(pets)
    (pets / "dog" / "cats").symlink_to(pets / "cat")
    train, test = load("folder", path=pets)
    assert train.classes == ("cat", "dog", "emu")
    assert np.bincount(np.concatenate([train.labels, test.labels])).tolist() == [11, 30, 4]


def test_names_are_sorted_and_the_order_of_the_disk_does_not_matter(tmp_path: Path) -> None:
    def fill(folder: Path, names: list[str]) -> Path:
        for name in names:
            for k in range(10):
                level = 10 * k + names_sorted.index(name)
                write(folder / name / f"{k}.png", 2, 2, (level, level, level))
        return folder

    names_sorted = ["10", "9", "Zebra", "ant", "été"]
    first = load("folder", path=fill(tmp_path / "one", names_sorted), size=2)
    second = load("folder", path=fill(tmp_path / "two", names_sorted[::-1]), size=2)
    assert first[0].classes == tuple(names_sorted)
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a.images, b.images)
        assert (a.images[:, 0, 0, 0] % 10).tolist() == a.labels.tolist()


def test_too_little_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder"):
        load("folder", path=tmp_path / "nowhere")
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="is not a folder"):
        load("folder", path=tmp_path / "file")
    (tmp_path / "file").unlink()
    with pytest.raises(DataError, match="at least two classes, found none"):
        load("folder", path=tmp_path)
    write(tmp_path / "cat" / "0.png")
    with pytest.raises(DataError, match="at least two classes, found only cat"):
        load("folder", path=tmp_path)
    (tmp_path / "dog").mkdir()
    with pytest.raises(DataError, match=r"dog: no picture in it \(PNG, JPEG, WEBP, BMP, GIF\)"):
        load("folder", path=tmp_path)
    write(tmp_path / "dog" / "0.png")
    write(tmp_path / "dog" / "1.png")
    with pytest.raises(DataError, match="cat has one picture; a class needs two"):
        load("folder", path=tmp_path)


def test_no_folder_or_a_wrong_option_is_bad_usage(pets: Path) -> None:
    with pytest.raises(
        UsageError, match=r"no folder was named; give yours as --data-dir FOLDER, .* --set data\.path=FOLDER"
    ):
        load("folder")
    for option in ({"mode": "RGB"}, {"crop": "middle"}, {"corrupt": "ignore"}, {"size": 0}, {"size": (8, 0)}):
        with pytest.raises(UsageError, match="expected size of at least 1, mode colour or grey"):
            load("folder", path=pets, **option)


def test_the_path_starts_from_the_data_folder(pets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected: NDArray[np.uint8] = load("folder", path=pets)[0].images
    for data_dir, path in ((pets.parent, "pets"), (pets, None), (pets, pets.parent / "replaced")):
        np.testing.assert_array_equal(load("folder", data_dir, path=path)[0].images, expected)
    monkeypatch.chdir(pets.parent)
    np.testing.assert_array_equal(load("folder", path="pets")[0].images, expected)
    monkeypatch.setenv("HOME", str(pets.parent))
    np.testing.assert_array_equal(load("folder", path="~/pets")[0].images, expected)


@pytest.mark.parametrize("name", ["two\nlines", "tab\tbed", "\x1b[31mred", "two\u2028lines"], ids=ascii)
def test_the_name_of_a_class_is_one_line_of_text(name: str, pets: Path) -> None:
    write(pets / name / "0.png")
    with pytest.raises(DataError, match=r"the name of a class is one line of text, got '.*'; rename") as caught:
        load("folder", path=pets)
    assert repr(name) in str(caught.value)


def test_two_thousand_files_load_in_seconds(tmp_path: Path) -> None:
    for label in range(10):
        (tmp_path / str(label)).mkdir()
    noise = RNG.integers(0, 256, (2000, 40, 40, 3), dtype=np.uint8)
    for i, pixels in enumerate(noise):
        Image.fromarray(pixels).save(tmp_path / str(i % 10) / f"{i}.png", compress_level=1)
    started = time.perf_counter()
    train, test = load("folder", path=tmp_path)
    assert time.perf_counter() - started < 10
    assert (len(train), len(test)) == (1600, 400)


def test_it_is_listed_with_where_it_lies() -> None:
    (entry,) = [found for found in available() if found["name"] == "folder"]
    assert entry == {"name": "folder", "available": True, "where": "the folder that data.path names"}
