"""Pictures from anyone: every common kind comes out as people see it, broken and hostile ones are refused by name."""

import io
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from convscope.errors import DataError
from convscope.pictures import fit_picture, prepare, read_picture

RNG = np.random.default_rng(0)
COLOUR = RNG.integers(0, 256, (5, 7, 3), dtype=np.uint8)  # (H, W, 3)
GREY = RNG.integers(0, 256, (5, 7), dtype=np.uint8)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "BMP"])
def test_lossless_pictures_come_back_exactly(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "picture"
    path.write_bytes(encoded(Image.fromarray(COLOUR), kind))
    for source in (path, path.read_bytes()):
        found = read_picture(source, "RGB")
        assert found.dtype == np.uint8
        np.testing.assert_array_equal(found, COLOUR.transpose(2, 0, 1))
    grey = encoded(Image.fromarray(GREY), kind)
    np.testing.assert_array_equal(read_picture(grey, "L"), GREY[None])
    np.testing.assert_array_equal(read_picture(grey, "RGB"), np.stack([GREY] * 3))


def test_colour_becomes_grey_by_luma() -> None:
    luma = COLOUR @ np.array([0.299, 0.587, 0.114])
    found = read_picture(encoded(Image.fromarray(COLOUR), "PNG"), "L")
    assert np.abs(found[0] - luma).max() <= 1


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "GIF"])
def test_lossy_pictures_come_back_nearly(kind: str) -> None:
    y, x = np.mgrid[0:40, 0:60]
    smooth = np.stack([4 * x, 5 * y, 255 - 4 * x], axis=2).astype(np.uint8)
    found = read_picture(encoded(Image.fromarray(smooth), kind), "RGB")
    assert found.shape == (3, 40, 60)
    assert np.abs(found.astype(int) - smooth.transpose(2, 0, 1)).mean() < 12


def test_of_a_moving_picture_the_first_frame_is_read() -> None:
    frames = [Image.new("L", (4, 3), level) for level in (40, 200)]
    found = read_picture(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]), "L")
    assert found.tolist() == [[[40] * 4] * 3]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_pictures_are_turned_upright(orientation: int, kind: str) -> None:
    turns = {
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.swapaxes(0, 1),
        6: lambda a: np.rot90(a, -1),
        7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
        8: lambda a: np.rot90(a, 1),
    }
    exif = Image.Exif()
    exif[274] = orientation
    found = read_picture(encoded(Image.fromarray(COLOUR), kind, exif=exif, lossless=True), "RGB")
    expected = turns.get(orientation, lambda a: a)(COLOUR)
    np.testing.assert_array_equal(found, expected.transpose(2, 0, 1))


def test_what_is_transparent_lies_on_white() -> None:
    alpha = RNG.integers(0, 256, (5, 7, 1), dtype=np.uint8)
    alpha[0] = 0
    expected = 255 + (COLOUR.astype(float) - 255) * alpha / 255
    found = read_picture(encoded(Image.fromarray(np.concatenate([COLOUR, alpha], axis=2)), "PNG"), "RGB")
    assert np.abs(found - expected.transpose(2, 0, 1)).max() <= 1
    assert (found[:, 0] == 255).all()
    grey = np.stack([GREY, alpha[..., 0]], axis=2)
    found = read_picture(encoded(Image.fromarray(grey), "PNG"), "L")
    assert np.abs(found[0] - (255 + (GREY.astype(float) - 255) * alpha[..., 0] / 255)).max() <= 1


def test_palettes_are_looked_up_and_may_be_transparent() -> None:
    image = Image.new("P", (2, 2))
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    image.putdata([0, 1, 2, 1])
    found = read_picture(encoded(image, "PNG"), "RGB").transpose(1, 2, 0)
    assert found.tolist() == [[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [0, 255, 0]]]
    found = read_picture(encoded(image, "PNG", transparency=1), "RGB").transpose(1, 2, 0)
    assert found.tolist() == [[[255, 0, 0], [255, 255, 255]], [[0, 0, 255], [255, 255, 255]]]


def test_sixteen_bits_of_grey_are_scaled_not_clipped() -> None:
    levels = np.array([[0, 257, 32896], [65535, 20000, 300]], dtype=np.uint16)
    source = encoded(Image.fromarray(levels), "PNG")
    expected = np.round(levels / 257)
    np.testing.assert_array_equal(read_picture(source, "L")[0], expected)
    np.testing.assert_array_equal(read_picture(source, "RGB"), np.stack([expected] * 3))


def test_one_bit_and_cmyk_are_read() -> None:
    bits = Image.fromarray(GREY).convert("1")
    np.testing.assert_array_equal(read_picture(encoded(bits, "PNG"), "L")[0], np.asarray(bits) * 255)
    ink = Image.new("CMYK", (16, 16), (255, 0, 0, 0))  # cyan
    found = read_picture(encoded(ink, "JPEG", quality=95), "RGB").mean(axis=(1, 2))
    assert np.abs(found - [0, 255, 255]).max() < 4


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims to be of this size, up to where its pixels begin."""
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk)) + b"\0\0\1\0IDAT"


@pytest.mark.parametrize(("width", "height"), [(10_000, 5_001), (10_000, 12_000), (2**31 - 1, 2**31 - 1)])
def test_a_small_file_cannot_claim_all_memory(width: int, height: int, tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(png_header(width, height) + bytes(100))
    with pytest.raises(DataError, match=r"bomb\.png: .*50,000,000"):
        read_picture(path, "RGB")


def test_pillow_says_nothing_of_it_beside(tmp_path: Path) -> None:
    (tmp_path / "bomb.png").write_bytes(png_header(10_000, 12_000) + bytes(100))  # enough for Pillow's own warning
    script = (
        "import sys, warnings; from pathlib import Path; from convscope.pictures import DataError, read_picture\n"
        "before = warnings.filters[:]\n"
        "try: read_picture(Path(sys.argv[1]), 'L')\n"
        "except DataError as error: print(error, warnings.filters == before)"
    )
    arguments = [sys.executable, "-c", script, str(tmp_path / "bomb.png")]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert "10000 × 12000 pixels, at most 50,000,000 are accepted; scale it down True" in done.stdout


def test_the_limit_on_pixels_is_inclusive() -> None:
    source = encoded(Image.fromarray(COLOUR), "PNG")
    assert read_picture(source, "RGB", max_pixels=35).shape == (3, 5, 7)
    with pytest.raises(DataError, match="the picture: 7 × 5 pixels, at most 34 are accepted"):
        read_picture(source, "RGB", max_pixels=34)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "GIF"])
def test_wherever_a_picture_is_cut_off_it_is_refused_by_name(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "cut"
    noise = Image.fromarray(RNG.integers(0, 256, (30, 20, 3), dtype=np.uint8))
    whole = encoded(noise, kind)
    for length in range(0, len(whole) * 3 // 4, 97):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match=f"^{path}: ") as error:
            read_picture(path, "RGB")
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "content", [b"", b"hello", b"<html></html>", b"II*\x00" + bytes(50), b"%!PS-Adobe-3.0 EPSF\n", b"%PDF-1.7"]
)
def test_what_is_no_picture_lists_the_formats(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"x\.png: not a picture in one of the formats PNG, JPEG, WEBP, BMP, GIF"):
        read_picture(path, "L")


def test_formats_beyond_the_list_are_not_even_tried() -> None:
    for kind in ("TIFF", "PPM", "TGA", "ICO"):
        with pytest.raises(DataError, match="not a picture in one of"):
            read_picture(encoded(Image.fromarray(COLOUR), kind), "RGB")


def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    kinds = {"pipe": "not a file", "": "not a file", "none.png": "no such file", "n" * 999: "cannot be read"}
    for name, reason in kinds.items():
        with pytest.raises(DataError, match=reason):
            read_picture(tmp_path / name, "L")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "GIF"])
def test_no_random_damage_gets_through_as_another_error(kind: str) -> None:
    rng = np.random.default_rng(1)
    exif = Image.Exif()
    exif[274] = 6
    whole = encoded(Image.fromarray(COLOUR), kind, **({"exif": exif} if kind in ("PNG", "JPEG", "WEBP") else {}))
    refused = 0
    for _ in range(400):
        raw = bytearray(whole)
        for place in rng.integers(0, min(len(raw), 200), 3):
            raw[place] = rng.integers(256)
        try:
            assert read_picture(bytes(raw), "RGB").ndim == 3
        except DataError:
            refused += 1
    assert refused > 20


def test_a_picture_of_the_right_size_is_left_as_it_is() -> None:
    array = COLOUR.transpose(2, 0, 1)
    for crop in ("resize", "center"):
        np.testing.assert_array_equal(fit_picture(array, (5, 7), crop), array)


def test_shrinking_by_a_whole_factor_averages() -> None:
    """Bilinear with antialiasing weighs by a triangle; on a ramp that gives the means of the blocks."""
    ramp = np.tile(np.arange(0, 240, 2, dtype=np.uint8), (3, 80, 1))  # (3, 80, 120)
    found = fit_picture(ramp, (20, 30), "resize").astype(float)
    blocks = ramp.reshape(3, 20, 4, 30, 4).mean(axis=(2, 4))
    assert np.abs(found - blocks)[:, :, 1:-1].max() <= 1
    checks = np.indices((64, 64)).sum(axis=0) % 2 * 255
    fine = fit_picture(checks.astype(np.uint8)[None], (16, 16), "resize")
    assert np.abs(fine.astype(float) - 127.5).max() < 20  # fine texture becomes grey, not a pattern


def test_resize_takes_the_whole_picture_and_center_keeps_proportions() -> None:
    wide = np.zeros((3, 20, 60), dtype=np.uint8)
    wide[0, :, :20], wide[1, :, 20:40], wide[2, :, 40:] = 200, 200, 200  # red, green, blue thirds
    whole = fit_picture(wide, (10, 15), "resize")
    assert whole.shape == (3, 10, 15)
    assert whole[:, 5, [1, 7, 13]].tolist() == [[200, 0, 0], [0, 200, 0], [0, 0, 200]]
    middle = fit_picture(wide, (10, 10), "center")
    assert middle.shape == (3, 10, 10)
    assert (middle[1, :, 1:-1] == 200).all()
    tall = fit_picture(wide.transpose(0, 2, 1).copy(), (8, 12), "center")
    assert tall.shape == (3, 8, 12)
    assert (tall[1, 1:-1] == 200).all()


@pytest.mark.parametrize(
    ("height", "width", "size"), [(7, 5, (14, 10)), (33, 47, (32, 32)), (1, 1, (4, 3)), (3, 500, (9, 9))]
)
def test_pictures_of_any_size_are_brought_to_size(height: int, width: int, size: tuple[int, int]) -> None:
    for channels in (1, 3):
        array = RNG.integers(0, 256, (channels, height, width), dtype=np.uint8)
        for crop in ("resize", "center"):
            found = fit_picture(array, size, crop)
            assert found.shape == (channels, *size)
            assert found.flags.c_contiguous
            assert found.min() >= array.min()
            assert found.max() <= array.max()


def test_center_takes_the_middle_to_a_fraction_of_a_pixel() -> None:
    """What is symmetric stays symmetric, whatever the sizes."""
    half = RNG.integers(0, 256, (1, 31, 22), dtype=np.uint8)
    array = np.concatenate([half, half[:, :, ::-1]], axis=2)
    found = fit_picture(array, (13, 9), "center").astype(int)
    assert np.abs(found - found[:, :, ::-1]).max() <= 1


def test_wrong_arguments_are_shown() -> None:
    with pytest.raises(ValueError, match=r"expected uint8 \(1 or 3, H, W\), got uint8 \(5, 7, 3\)"):
        fit_picture(COLOUR, (4, 4), "resize")
    with pytest.raises(ValueError, match="crop must be one of resize, center, got 'middle'"):
        fit_picture(GREY[None], (4, 4), "middle")
    with pytest.raises(ValueError, match=r"at least 1 pixel, got \(0, 4\)"):
        fit_picture(GREY[None], (0, 4), "resize")
    with pytest.raises(ValueError, match="mode must be 'L' or 'RGB', got 'RGBA'"):
        read_picture(b"", "RGBA")


def test_a_picture_is_prepared_as_the_checkpoint_says() -> None:
    source = encoded(Image.fromarray(COLOUR), "PNG")
    for size in ([4, 6], (4, 6)):  # a checkpoint holds lists
        found = prepare(source, {"size": size, "mode": "L", "crop": "center"})
        np.testing.assert_array_equal(found, fit_picture(read_picture(source, "L"), (4, 6), "center"))
    for wrong in [{}, {"size": 4, "mode": "L", "crop": "center"}, {"size": [4, 4], "mode": "HSV", "crop": "resize"}]:
        with pytest.raises(ValueError, match="expected picture as size"):
            prepare(source, wrong)


def test_formats_and_smallest_side_can_be_narrowed(tmp_path: Path) -> None:
    picture = tmp_path / "a.bmp"
    Image.fromarray(np.zeros((1, 9, 3), np.uint8)).save(picture)
    assert read_picture(picture, "L").shape == (1, 1, 9)
    with pytest.raises(DataError, match="not a picture in one of the formats PNG, JPEG"):
        read_picture(picture, "L", formats=("PNG", "JPEG"))
    with pytest.raises(DataError, match="9 × 1 pixels, at least 2 × 2 are needed"):
        read_picture(picture, "L", min_side=2)
    how = {"size": (4, 4), "mode": "L", "crop": "resize"}
    with pytest.raises(DataError, match="at most 8 are accepted"):
        prepare(picture, how, max_pixels=8)
