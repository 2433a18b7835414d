"""The page on which pictures are drawn: exact pixels, measured text, nothing borrowed from the user's settings."""

import io
from concurrent.futures import ThreadPoolExecutor

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image

from convscope.runs.canvas import (
    MARGIN,
    SCALE,
    Canvas,
    class_labels,
    elide,
    enlarge,
    framed,
    is_printable,
    rgb,
    signed_colors,
    text_width,
    wrap,
)
from convscope.runs.outlines import arrowhead, box, disc, line


def draw(width: float, height: float, pixels: np.ndarray, at: tuple[float, float], text: str = "") -> np.ndarray:
    """One image and one line of text on a page, decoded again, (H, W, 3)."""
    with Canvas(width, height) as canvas:
        canvas.image(*at, pixels)
        canvas.text(MARGIN, MARGIN, text)
        png = canvas.png()
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def test_pixels_arrive_unchanged_at_their_place() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (13, 29, 3)).astype(np.uint8)
    page = draw(90, 61, pixels, (30.5, 20))
    assert page.shape == (61 * SCALE, 90 * SCALE, 3)
    np.testing.assert_array_equal(page[40:53, 61:90], pixels)
    page = page.copy()
    page[40:53, 61:90] = 255
    assert (page == 255).all()


def test_pixels_that_do_not_fit_the_page_are_refused() -> None:
    with pytest.raises(ValueError, match="broadcast"):
        draw(20, 20, np.zeros((10, 10, 3), np.uint8), (18, 0))


def test_the_users_settings_neither_matter_nor_change() -> None:
    pixels = np.zeros((4, 6, 3), np.uint8)
    expected = draw(120, 40, pixels, (60, 10), "Ωhm")
    with mpl.rc_context(
        {"font.family": "serif", "text.color": "red", "savefig.bbox": "tight", "figure.facecolor": "0.3"}
    ):
        before = dict(mpl.rcParams)
        np.testing.assert_array_equal(draw(120, 40, pixels, (60, 10), "Ωhm"), expected)
        assert dict(mpl.rcParams) == before


def test_settings_are_restored_after_an_error() -> None:
    before = dict(mpl.rcParams)
    with pytest.raises(RuntimeError, match="halfway"), Canvas(10, 10):
        raise RuntimeError("halfway")
    assert dict(mpl.rcParams) == before


def test_threads_draw_what_one_alone_draws() -> None:
    pixels = [np.full((8, 8, 3), shade, np.uint8) for shade in range(0, 240, 30)]
    alone = [draw(80, 40, each, (50, 10), f"{each[0, 0, 0]}") for each in pixels]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda each: draw(80, 40, each, (50, 10), f"{each[0, 0, 0]}"), pixels))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one, other)


def test_text_is_literal_in_any_script() -> None:
    assert text_width("$a$", 10) > text_width("a", 10) + 10  # two dollar signs, no formula
    assert (draw(120, 40, np.zeros((1, 1, 3), np.uint8), (0, 0), r"$\oops{ 5$ note")[20:42, 40:] < 128).any()
    assert (draw(80, 40, np.zeros((1, 1, 3), np.uint8), (0, 0), "Ωж")[20:42, 40:] < 128).any()


UNKNOWN = "\U0001107f\uf8fe"  # a Brahmi joiner and a character for private use: no text font has both


def test_what_no_font_has_is_drawn_and_measured_as_a_sign_of_its_own() -> None:
    blank = np.zeros((1, 1, 3), np.uint8)
    unknown, sign = (draw(120, 40, blank, (0, 0), f"a {text} b") for text in ("\uf8fe", "\N{REPLACEMENT CHARACTER}"))
    np.testing.assert_array_equal(unknown, sign)  # and no warning, which pytest would have made an error
    assert text_width("\uf8fe", 10) == text_width("\N{REPLACEMENT CHARACTER}", 10) > 0


def test_a_class_that_cannot_be_written_goes_by_its_number() -> None:
    assert not is_printable(UNKNOWN)
    names = class_labels(["Käsekästchen", f"cat {UNKNOWN}", "кошка", "a very long name " * 5], 120, 10)
    assert names[:3] == ["Käsekästchen", "no. 1", "кошка"]
    assert names[3].startswith("a very long")
    assert names[3].endswith("…")
    assert text_width(names[3], 10) <= 120


def test_letter_and_accent_are_one() -> None:
    blank = np.zeros((1, 1, 3), np.uint8)
    np.testing.assert_array_equal(*(draw(120, 40, blank, (0, 0), text) for text in ("Käse", "Ka\u0308se")))


def test_text_width_is_what_is_drawn() -> None:
    text = "Speed limit (50 km/h)"
    page = draw(200, 40, np.full((1, 1, 3), 255, np.uint8), (0, 0), text)
    columns = np.flatnonzero((page < 200).any(axis=(0, 2)))
    assert abs((columns[-1] - columns[0]) / SCALE - text_width(text, 10)) < 2
    assert columns[0] / SCALE == pytest.approx(MARGIN, abs=1.5)


@pytest.mark.parametrize("width", [20.0, 47.0, 90.0])
def test_elided_text_fits_and_begins_as_it_did(width: float) -> None:
    short = elide("an automobile", width, 10)
    assert text_width(short, 10) <= width
    assert short == "an automobile" or (short.endswith("…") and "an automobile".startswith(short[:-1]))
    assert elide("cat", 90, 10) == "cat"


def test_a_number_keeps_its_unit() -> None:
    lines = wrap("taken for no. 5 (17.0\N{NO-BREAK SPACE}%)", text_width("taken for no. 5 (17.0", 10) + 1, 10, 3)
    assert lines == ["taken for no. 5", "(17.0\N{NO-BREAK SPACE}%)"]


def test_wrapped_lines_fit_and_lose_nothing_until_the_last() -> None:
    text = "true Speed limit (50 km/h) · predicted Speed limit (80 km/h) (61 %)"
    lines = wrap(text, 120, 9.5, 5)
    assert " ".join(lines) == text
    assert 1 < len(lines) <= 5
    assert all(text_width(line, 9.5) <= 120 for line in lines)
    cut = wrap(text, 120, 9.5, 2)
    assert len(cut) == 2
    assert cut[0] == lines[0]
    assert cut[1].endswith("…")


def test_signed_colors_part_at_zero_and_darken_with_magnitude() -> None:
    values = np.array([-3.0, -1.5, 0.0, 1.5, 3.0, np.nan, np.inf, 99.0])
    colors = signed_colors(values, 3.0).astype(int)
    light = colors.sum(axis=1)
    assert light[0] < light[1] < light[2] > light[3] > light[4]
    assert (colors[:2, 2] > colors[:2, 0]).all()  # blue below zero
    assert (colors[3:5, 0] > colors[3:5, 2]).all()  # red above it
    np.testing.assert_array_equal(colors[5], colors[2])
    np.testing.assert_array_equal(colors[6], colors[4])
    np.testing.assert_array_equal(colors[7], colors[4])


def test_small_pictures_grow_by_whole_pixels() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (5, 8, 3)).astype(np.uint8)
    np.testing.assert_array_equal(enlarge(pixels, 100), np.kron(pixels, np.ones((12, 12, 1), np.uint8)))


@pytest.mark.parametrize(("shape", "expected"), [((60, 40), (96, 64)), ((300, 200), (96, 64)), ((7, 400), (2, 96))])
def test_larger_pictures_fill_the_box_in_proportion(shape: tuple[int, int], expected: tuple[int, int]) -> None:
    pixels = np.random.default_rng(2).integers(0, 256, (*shape, 3)).astype(np.uint8)
    fitted = enlarge(pixels, 96)
    assert fitted.shape == (*expected, 3)
    if shape[0] == 60:  # still no blur: only colours that were there
        assert {tuple(color) for color in fitted.reshape(-1, 3)} <= {tuple(color) for color in pixels.reshape(-1, 3)}
    else:
        assert fitted.mean() == pytest.approx(pixels.mean(), abs=3)


def test_rgb_orders_channels_last_and_greys_stay_grey() -> None:
    rng = np.random.default_rng(3)
    colour = rng.integers(0, 256, (3, 4, 6)).astype(np.uint8)
    np.testing.assert_array_equal(rgb(colour)[2, 5], colour[:, 2, 5])
    grey = rng.integers(0, 256, (1, 4, 6)).astype(np.uint8)
    np.testing.assert_array_equal(rgb(grey), np.repeat(grey[0, :, :, None], 3, axis=2))


@pytest.mark.parametrize("picture", [np.zeros((2, 4, 4), np.uint8), np.zeros((4, 4), np.uint8), np.zeros((3, 4, 4))])
def test_rgb_refuses_what_is_no_picture(picture: np.ndarray) -> None:
    with pytest.raises(ValueError, match="expected uint8"):
        rgb(picture)


def test_a_frame_surrounds_the_picture() -> None:
    out = framed(np.zeros((3, 5, 3), np.uint8), "#c04f00", width=2)
    assert out.shape == (7, 9, 3)
    assert (out[2:5, 2:7] == 0).all()
    assert {tuple(color) for color in np.concatenate([out[:2].reshape(-1, 3), out[:, :2].reshape(-1, 3)])} == {
        (0xC0, 0x4F, 0x00)
    }


def test_shapes_stand_where_points_say() -> None:
    with Canvas(90, 61) as canvas:
        box(canvas, 10, 20, 30, 8, "#0072b2")
        disc(canvas, (60, 40), 6, "#c04f00")
        line(canvas, [(5, 5), (80, 5), (80, 55)], "#1c2126", 2, radius=6)
        arrowhead(canvas, (80, 58), "#1c2126")
        page = np.asarray(Image.open(io.BytesIO(canvas.png())).convert("RGB"))
    blue, orange, ink = (
        np.argwhere((page == color).all(axis=-1)) for color in ((0, 0x72, 0xB2), (0xC0, 0x4F, 0), (0x1C, 0x21, 0x26))
    )
    assert (blue.min(axis=0).tolist(), blue.max(axis=0).tolist()) == ([40, 20], [55, 79])
    assert orange.mean(axis=0) / SCALE == pytest.approx([39.75, 59.75], abs=0.1)
    assert (page[60:100, 100:140, 2] < 128).sum() / SCALE**2 == pytest.approx(np.pi * 36, rel=0.05)
    assert ink.min(axis=0) / SCALE == pytest.approx([4, 5], abs=0.6)
    assert ink[:, 0].max() / SCALE == pytest.approx(58, abs=2)
    assert (page[round(5 * SCALE), round(79.5 * SCALE)] == 255).all()  # the corner is rounded away


def test_an_svg_needs_no_font_and_no_date() -> None:
    made = []
    for _ in range(2):
        with Canvas(90, 61) as canvas:
            canvas.text(MARGIN, MARGIN, "Ωhm")
            canvas.axes(40, 30, 40, 20).plot([1, 3, 2])  # clipped, by an id
            box(canvas, 10, 30, 30, 8, "#0072b2", radius=2)
            made.append(canvas.svg())
    assert made[0] == made[1]
    assert b'viewBox="0 0 90 61"' in made[0]
    assert b"<text" not in made[0]
    assert b"dc:date" not in made[0]
