"""The report: one HTML file, everything escaped, nothing fetched, the right numbers, and readable on a phone."""

import base64
import html
import io
import math
import re
import shutil
import subprocess
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from convscope.models import build_model
from convscope.runs import plots
from convscope.runs.anatomy import anatomy
from convscope.runs.layer_table import LayerRow
from convscope.runs.report import Note, ReportData, render_report, wilson_interval

HOSTILE = "<script>alert(1)</script>"
VOID = {"meta", "img", "link", "br", "hr", "input"}
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
MATRIX = np.array([[48, 1, 1], [0, 30, 10], [3, 2, 5]])  # 83 of 100 right; 1 is taken for 2 most often


class Page(HTMLParser):
    """Every tag with its attributes, the text of each kind of element, and that tags close in order."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text: dict[str, str] = {}
        self._open: list[str] = []
        self.feed(source)
        self.close()
        assert not self._open, f"left open: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag
        if tag in {"td", "th", "dt", "dd"}:
            self.handle_data(" ")

    def handle_data(self, data: str) -> None:
        for tag in self._open:
            self.text[tag] = self.text.get(tag, "") + data

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]


CLASSES = ("cat", "dog", HOSTILE)


@cache
def drawn() -> dict[str, bytes]:
    """Every picture of a small run."""
    rng = np.random.default_rng(0)
    digits = rng.integers(0, 256, (4, 1, 8, 8)).astype(np.uint8)
    overlays = [np.zeros((8, 8, 3), np.uint8)] * 4
    rows: list[dict[str, float | None]] = [
        {
            "epoch": epoch,
            "train_loss": 1 / epoch,
            "train_accuracy": 1 - 0.5 / epoch,
            "val_loss": 1.2 / epoch,
            "val_accuracy": 1 - 0.6 / epoch,
            "lr": 0.1,
        }
        for epoch in range(1, 6)
    ]
    return {
        "curves": plots.curves(rows, np.linspace(0.1, 0, 20)),
        "confusion": plots.confusion(MATRIX, CLASSES),
        "filters": plots.filters(rng.normal(size=(8, 1, 3, 3)), "stem.conv"),
        "feature_maps": plots.feature_maps(digits[0], {"stem.conv": rng.normal(size=(8, 8, 8))}, ["One picture"]),
        "explain": plots.explanation_gallery(digits, overlays, "abcd", [True] * 4, "grad-cam"),
        "network": plots.network(anatomy(build_model("lenet5", (1, 12, 14), 3), (1, 12, 14)), "lenet5"),
    }


def report_data(**changes: Any) -> ReportData:
    """A run of three classes, one of them with a hostile name, with every picture."""
    data = ReportData(
        run="runs/digits-20250101-120000",
        recipe="digits",
        model="tiny-resnet",
        dataset="digits",
        classes=CLASSES,
        confusion=MATRIX,
        parameters=175258,
        epochs=5,
        best_epoch=4,
        train_seconds=75.2,
        images_per_second=1180.4,
        layers=[
            LayerRow("stem.conv", "Conv2D", (8, 8, 8), 72, 4608),
            LayerRow("pool", "GlobalAveragePool2D", (8,), 0, 0),
        ],
        pictures=drawn(),
        config_yaml="data:\n  name: digits & <b>letters</b>\n",
        environment={"platform": "Linux", "threads": 2, "packages": {"numpy": "2.4.0"}, "command": None},
        notes=[Note("warning", "Training runs far ahead."), Note("info", "Small < large: `convscope smoke`.")],
        explain_index=3,
    )
    return replace(data, **changes)


@pytest.fixture(scope="module")
def source() -> str:
    return render_report(report_data())


def text_of(source: str) -> str:
    """The words of the page as a reader sees them, blanks collapsed."""
    return re.sub(r"\s+", " ", Page(source).text["body"])


def test_the_page_is_one_file_that_fetches_nothing(source: str) -> None:
    page = Page(source)
    assert source.startswith("<!doctype html>")
    for tag, attributes in page.tags:
        assert tag not in {"script", "link", "iframe", "object", "base"}
        for name, value in attributes.items():
            assert not name.startswith("on")
            if name in {"src", "srcset", "poster", "action", "data"}:
                assert value.startswith("data:image/png;base64,")
            if name == "href":
                assert value.startswith("#")
    assert not re.search(r"url\(|@import|https?://", source)


def test_links_lead_somewhere(source: str) -> None:
    page = Page(source)
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert len(page.all("a")) == 7
    assert {link["href"].removeprefix("#") for link in page.all("a")} <= set(ids)
    assert {section["aria-labelledby"] for section in page.all("section")} <= set(ids)


def test_each_picture_is_inside_and_described(source: str) -> None:
    pictures = Page(source).all("img")
    assert len(pictures) == 6
    for picture in pictures:
        png = base64.b64decode(picture["src"].partition(",")[2], validate=True)
        assert png in drawn().values()
        width, height = Image.open(io.BytesIO(png)).size
        assert int(picture["width"]) / width == pytest.approx(0.6, abs=0.01)
        assert int(picture["height"]) / height == pytest.approx(0.6, abs=0.01)
        assert len(picture["alt"]) > 30


def test_the_numbers_are_there(source: str) -> None:
    words = text_of(source)
    for expected in (
        "Of 100 test pictures that it had never seen, the network named the right class for 83: 83.0 %.",
        "95 % interval 74.5 % to 89.1 %, n = 100",
        "175,258",
        "Together 175,258 4,608",
        "1 min 15 s",
        "1,180 images/s",
        "the best one, 4, is tested",
        "Guessing would reach about 33.3 %.",
        f"{math.log(3):.2f} nats",
        f"dog taken for {HOSTILE}, 10 of 40 times",
        "dog 40 30 75.0 %",  # the class's row
        f"{HOSTILE} 10 5 50.0 % cat 3×",
        "8 × 8 × 8",
        "Take care. Training runs far ahead.",
        "Note. Small < large: convscope smoke.",
        "convscope explain runs/digits-20250101-120000 --index 3",
        "convscope prove runs/digits-20250101-120000",
        "numpy 2.4.0",
        "name: digits & <b>letters</b>",
    ):
        assert expected in words, expected
    assert "None" not in words


def test_everything_from_the_run_is_escaped() -> None:
    source = render_report(
        report_data(
            recipe=HOSTILE,
            model=HOSTILE,
            dataset=HOSTILE,
            run=f"runs/{HOSTILE}",
            classes=[HOSTILE] * 3,
            notes=[Note("info", HOSTILE)],
            layers=[LayerRow(HOSTILE, HOSTILE, (1,), 1, 1)],
            config_yaml=HOSTILE,
            environment={HOSTILE: HOSTILE},
        )
    )
    page = Page(source)
    assert HOSTILE not in source
    assert not page.all("script")
    assert page.text["body"].count(HOSTILE) > 20
    assert HOSTILE in page.text["title"]


def test_the_page_can_be_read_aloud(source: str) -> None:
    page = Page(source)
    assert page.all("html") == [{"lang": "en"}]
    for landmark in ("header", "nav", "main", "footer", "title", "h1"):
        assert len(page.all(landmark)) == 1, landmark
    assert len(page.all("caption")) + len(page.all("thead")) >= len(page.all("table")) == 3
    assert all(cell.get("scope") in {"row", "col"} for cell in page.all("th"))
    headings = [int(tag[1]) for tag, _ in page.tags if re.fullmatch(r"h[1-6]", tag)]
    assert headings[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(headings))
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in page.all("meta")


def luminance(color: str) -> float:
    """Relative luminance of #rrggbb (WCAG 2.2)."""
    channels = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_text_stands_out_from_its_ground(source: str, scheme: int) -> None:
    block = re.findall(r":root \{([^}]*)\}", source)[scheme]
    color = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", block))
    for ink, ground in [
        ("ink", "page"),
        ("soft", "page"),
        ("accent", "page"),
        ("ink", "card"),
        ("ink", "info-page"),
        ("accent", "info-page"),
        ("ink", "warn-page"),
        ("warn", "warn-page"),
    ]:
        bright, dark = sorted((luminance(color[ink]), luminance(color[ground])), reverse=True)
        assert (bright + 0.05) / (dark + 0.05) >= 4.5, (ink, ground)


def test_what_is_missing_leaves_no_gap() -> None:
    source = render_report(report_data(pictures={}, notes=(), best_epoch=None, images_per_second=None))
    page = Page(source)
    assert not page.all("img")
    assert [link["href"] for link in page.all("a")] == ["#mistakes", "#network", "#next"]
    words = text_of(source)
    assert "images/s" not in words
    assert "the last one is tested" in words
    assert "What to make of it" not in words
    curves = text_of(render_report(report_data(best_epoch=None)))
    assert "No pictures were held out for validation" in curves
    assert "dotted line" not in curves


def test_many_classes_come_weakest_first_and_are_folded() -> None:
    k = 30
    right = np.random.default_rng(1).permutation(k) + 50
    matrix = np.diag(right)
    matrix[np.arange(k), (np.arange(k) + 1) % k] = 100 - right
    matrix[4] = 0  # a class that the test set does not hold
    source = render_report(report_data(classes=[f"class-{i}" for i in range(k)], confusion=matrix))
    rows = re.findall(r'<th scope="row">(class-\d+)</th>', source)
    expected = [f"class-{i}" for i in np.argsort(right) if i != 4] + ["class-4"]
    assert rows == expected
    shown, folded = source.split("The other 10 classes")
    assert shown.count('<th scope="row">class-') == 20
    assert folded.count('<th scope="row">class-') == 10


def test_a_run_without_mistakes_says_so() -> None:
    words = text_of(render_report(report_data(confusion=np.diag([5, 7, 9]))))
    assert "Not one mistake in 21 pictures." in words
    assert "95 % interval 84.5 % to 100 %" in words
    assert words.count("never mistaken") == 3


def test_accuracy_is_never_rounded_to_perfect() -> None:
    matrix = np.diag([20000, 20000, 20000])
    matrix[0, 1] = 1
    words = text_of(render_report(report_data(confusion=matrix)))
    assert "for 60,000: 99.998 %" in words


def test_commands_quote_a_path_with_blanks() -> None:
    assert "convscope verify 'my runs/a; b'" in text_of(render_report(report_data(run="my runs/a; b")))


@pytest.mark.parametrize(
    ("seconds", "text"), [(3.14, "3.1 s"), (59.6, "1 min 0 s"), (7384, "2 h 3 min"), (41.2, "41 s")]
)
def test_durations_are_readable(seconds: float, text: str) -> None:
    assert f">{text}<" in render_report(report_data(train_seconds=seconds))


def test_wrong_input_is_refused() -> None:
    with pytest.raises(ValueError, match=r"got \(2, 2\)"):
        report_data(confusion=np.eye(2, dtype=int))
    with pytest.raises(ValueError, match="with 0 pictures"):
        report_data(confusion=np.zeros((3, 3), int))
    with pytest.raises(ValueError, match=r"unknown pictures \['curve'\]; choose from curves, "):
        report_data(pictures={"curve": b""})
    with pytest.raises(ValueError, match="PNG"):
        render_report(report_data(pictures={"curves": b"GIF89a"}))


@pytest.mark.parametrize(
    ("correct", "n", "low", "high"),
    [  # Agresti & Coull (1998) and R's prop.test(correct = FALSE)
        (8, 10, 0.4902, 0.9433),
        (0, 10, 0.0, 0.2775),
        (10, 10, 0.7225, 1.0),
        (1, 2, 0.0945, 0.9055),
        (9500, 10000, 0.9456, 0.9541),
    ],
)
def test_wilson_interval(correct: int, n: int, low: float, high: float) -> None:
    assert wilson_interval(correct, n) == pytest.approx((low, high), abs=5e-5)


def test_wilson_bounds_are_the_proportions_just_compatible_with_the_count() -> None:
    for correct, n in ((3, 17), (250, 360), (1, 9999)):
        for bound in wilson_interval(correct, n):  # the definition: |p - bound| = 1.96 standard errors *at the bound*
            assert abs(correct / n - bound) == pytest.approx(1.959964 * math.sqrt(bound * (1 - bound) / n), rel=1e-6)
    assert wilson_interval(0, 7)[0] == 0
    assert wilson_interval(7, 7)[1] == 1


@pytest.mark.parametrize(("correct", "n"), [(0, 0), (3, 2), (-1, 4)])
def test_wilson_refuses_impossible_counts(correct: int, n: int) -> None:
    with pytest.raises(ValueError, match="0 <= correct <= n"):
        wilson_interval(correct, n)


def chromium(folder: Path, *arguments: str) -> str:
    """Standard output of a headless browser that may not go out."""
    assert CHROMIUM is not None
    switches = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
    offline = ["--disable-component-update", "--disable-sync", "--proxy-server=127.0.0.1:9", "--hide-scrollbars"]
    command = [CHROMIUM, *switches, *offline, f"--user-data-dir={folder / 'profile'}", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine to render the page")


@needs_chromium
def test_a_browser_shows_it_without_sideways_scrolling_on_a_phone(tmp_path: Path) -> None:
    long = "a_very_long_unbroken_name_" * 6
    layers = [LayerRow(long, "Conv2D", (256, 32, 32), 10**9, 10**12)]
    data = report_data(recipe=long, classes=[long, "b", "c"], layers=layers, environment={"processor": long})
    frame = f'<iframe width="390" height="800" srcdoc="{html.escape(render_report(data))}"></iframe>'
    probe = """<script>onload = () => {
      const page = document.querySelector('iframe').contentDocument, root = page.documentElement
      const broken = [...page.images].filter(image => !image.naturalWidth).length
      document.title = [root.scrollWidth, root.clientWidth, root.scrollHeight, broken].join(' ')
    }</script>"""
    wrapper = tmp_path / "phone.html"
    wrapper.write_text(f"<!doctype html>{probe}<style>iframe {{ border: 0 }}</style>{frame}", encoding="utf-8")
    dom = chromium(tmp_path, "--dump-dom", wrapper.as_uri())
    match = re.search(r"<title>(\d+) (\d+) (\d+) (\d+)</title>", dom)
    assert match, dom[:500]
    scroll_width, width, height, broken = map(int, match.groups())
    assert scroll_width == width == 390
    assert height > 3000
    assert broken == 0


@needs_chromium
def test_a_browser_paints_it_light_and_dark(tmp_path: Path, source: str) -> None:
    report = tmp_path / "report.html"
    report.write_text(source, encoding="utf-8")
    shots = []
    for scheme in (1, 0):  # Blink's numbers for light and dark
        shot = tmp_path / f"{scheme}.png"
        chromium(
            tmp_path,
            f"--blink-settings=preferredColorScheme={scheme}",
            "--window-size=1200,1600",
            f"--screenshot={shot}",
            report.as_uri(),
        )
        picture = np.asarray(Image.open(shot).convert("RGB")).astype(int)
        assert picture.shape == (1600, 1200, 3)
        shots.append(picture)
    light, dark = shots
    assert light[5, 5].mean() > 240
    assert dark[5, 5].mean() < 40
    curve = (light == (0x00, 0x72, 0xB2)).all(axis=-1)  # the picture is there
    assert curve.sum() > 300
    assert (dark[curve] @ [0.2126, 0.7152, 0.0722] > 110).mean() > 0.9  # light lines on the dark card
    assert (dark[curve][:, 2] > dark[curve][:, 0] + 50).mean() > 0.9  # still blue
    rows, columns = np.nonzero(curve)
    assert np.median(dark[rows.min() : rows.max(), columns.min() : columns.max()]) < 40


def test_only_charts_turn_dark(source: str) -> None:
    """A photograph or its heat with turned colours would be another picture."""
    figures = re.findall(r"<figure( class=\"chart\")?>\s*<div [^>]*aria-label=\"([A-Za-z ]+), scrollable", source)
    assert [(name, bool(chart)) for chart, name in figures] == [
        ("Curves", True),
        ("Confusion", True),
        ("Explain", False),
        ("Filters", False),
        ("Feature maps", False),
        ("Network", True),
    ]


def test_a_name_that_no_font_can_draw_stands_beside_its_number(source: str) -> None:
    assert "no. " not in text_of(source)
    words = text_of(render_report(report_data(classes=["cat", "dog", "\U00012000"])))
    assert "no. 2 \U00012000 10 5 50.0" in words
    assert "no. 0 cat" in words
    assert "call a class by its number" in words
