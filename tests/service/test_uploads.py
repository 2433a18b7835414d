"""Pictures of every kind through HTTP: right, or refused in a line that names the reason."""

import asyncio
import gc
import io
import struct
import threading
import zipfile
import zlib
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from convscope.service import uploads
from convscope.service.models import Served
from tests.service.looped import looped
from tests.service.pictures import encoded, files, noise

GREY = (np.arange(64, dtype=np.uint8).reshape(8, 8) * 4)[::-1].copy()  # no symmetry, so that a turn shows


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and has nothing in it."""
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunk = b"IHDR" + head
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk)) + b"\0\0\0\0IDAT"


def saved(image: Image.Image, form: str, **options: Any) -> bytes:
    """The file of a picture in whatever mode."""
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def turned() -> bytes:
    """GREY on its side, with the EXIF orientation that puts it upright."""
    exif = Image.Exif()
    exif[0x0112] = 6  # the viewer turns it clockwise by a quarter
    return saved(Image.fromarray(np.rot90(GREY)), "PNG", exif=exif)


def palette() -> bytes:
    """GREY by way of a palette in the reverse order."""
    image = Image.fromarray(63 - GREY // 4, mode="P")
    image.putpalette([value for index in range(64) for value in [(63 - index) * 4] * 3])
    return saved(image, "PNG")


SAME = {  # as GREY, however it is stored
    "colour": saved(Image.fromarray(GREY).convert("RGB"), "PNG"),
    "EXIF orientation": turned(),
    "palette": palette(),
    "16 bits": saved(Image.fromarray(GREY.astype(np.uint16) * 257), "PNG"),
    "opaque alpha": saved(Image.fromarray(GREY).convert("RGBA"), "PNG"),
    "lossless WebP": saved(Image.fromarray(GREY).convert("RGB"), "WEBP", lossless=True),
}


def probabilities(response: httpx.Response) -> list[float]:
    """Of all classes of the one picture, in their order."""
    (result,) = response.json()["results"]
    return [choice["probability"] for choice in sorted(result["top"], key=lambda choice: choice["index"])]


@pytest.fixture
def expected(client: httpx.Client) -> list[float]:
    """What the network says of GREY."""
    return probabilities(client.post("/v1/predict?top_k=10", files=files(encoded(GREY))))


@pytest.mark.parametrize("kind", SAME)
def test_a_picture_is_the_same_however_it_is_stored(client: httpx.Client, expected: list[float], kind: str) -> None:
    answer = probabilities(client.post("/v1/predict?top_k=10", files=files(SAME[kind])))
    assert answer == pytest.approx(expected, abs=2e-6)
    upside_down = client.post("/v1/predict?top_k=10", files=files(encoded(GREY[::-1])))
    assert probabilities(upside_down) != pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_jpeg_comes_out_nearly_right(client: httpx.Client, expected: list[float], mode: str) -> None:
    content = saved(Image.fromarray(GREY).convert(mode), "JPEG", quality=100, subsampling=0)
    answer = probabilities(client.post("/v1/predict?top_k=10", files=files(content)))
    assert answer == pytest.approx(expected, abs=0.03)


def test_what_is_transparent_lies_on_white(client: httpx.Client) -> None:
    clear = np.zeros((8, 8, 4), np.uint8)
    white = np.full((8, 8), 255, np.uint8)
    answers = [client.post("/v1/predict?top_k=10", files=files(encoded(array))) for array in (clear, white)]
    assert probabilities(answers[0]) == probabilities(answers[1])


def zipped(picture: bytes) -> bytes:
    """A picture that is a ZIP archive too."""
    buffer = io.BytesIO(picture)
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr("page.html", "<script>")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (png_header(8000, 8000), "8000 × 8000 pixels, at most 16,000,000 are accepted"),
        (png_header(60_000, 60_000), "more than the 16,000,000 pixels|60000 × 60000 pixels"),
        (encoded(noise())[:300], "broken or cut off"),
        (b"", "zero bytes"),
        (b"GIF89a" + bytes(40), "not a picture in one of the formats PNG, JPEG, WEBP"),
        (encoded(noise(), "GIF"), "not a picture in one of the formats PNG, JPEG, WEBP"),
        (encoded(noise(), "BMP"), "not a picture in one of the formats PNG, JPEG, WEBP"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a picture in one of the formats"),
        (b'{"image": null}', "not a picture in one of the formats"),
        (encoded(noise(0, (1, 1, 3))), "1 × 1 pixels, at least 2 × 2 are needed"),
        (zipped(encoded(noise())), "also a ZIP archive"),
        (zipped(encoded(noise(), "JPEG")), "also a ZIP archive"),
        (encoded(noise()) + b"<script>", "bytes after the end of the PNG"),
    ],
)
def test_what_is_no_picture_is_refused(client: httpx.Client, content: bytes, reason: str) -> None:
    sent = files(encoded(noise()), content)
    response = client.post("/v1/predict", files=sent)
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (422, "bad_picture")
    assert error["message"].startswith("picture 2 of 2: ")
    assert any(part in error["message"] for part in reason.split("|"))
    assert not any(word in error["message"] for word in ("/", "Traceback", "Errno"))


@pytest.mark.parametrize(
    ("request_", "status", "part"),
    [
        ({"json": {"image": "x"}}, 415, "expected multipart/form-data with a file 'image', got 'application/json'"),
        ({"content": b"{]", "headers": {"content-type": "application/json"}}, 415, "got 'application/json'"),
        ({"content": b""}, 415, "got ''"),
        ({"data": {"image": "x"}}, 415, "got 'application/x-www-form-urlencoded'"),
        ({"files": {"picture": ("a", b"x")}}, 422, "got a file called 'picture'"),
        ({"files": {"image": (None, b"x")}}, 422, "got a field that is no file called 'image'"),
        ({"files": {"nothing": (None, b"")}}, 422, "got a field that is no file called 'nothing'"),
        ({"files": [("image", ("a", b"x"))] * 17}, 400, "Too many files. Maximum number of files is 16"),
        ({"files": [(f"field{n}", (None, b"x")) for n in range(1000)]}, 400, "Too many fields"),
        ({"files": {"image": (None, b"x" * 5000)}}, 400, "Part exceeded maximum size"),
        ({"content": b"nonsense", "headers": {"content-type": "multipart/form-data; boundary=x"}}, 400, "Invalid"),
        ({"content": b"nonsense", "headers": {"content-type": "multipart/form-data"}}, 400, "Missing boundary"),
        ({"content": b"--x--\r\n", "headers": {"content-type": "multipart/form-data; boundary=x"}}, 422, "got none"),
    ],
)
def test_what_is_no_form_with_pictures_is_refused(
    client: httpx.Client, request_: dict[str, Any], status: int, part: str
) -> None:
    response = client.post("/v1/predict", **request_)
    assert (response.status_code, part in response.json()["error"]["message"]) == (status, True), response.text


def test_decoding_that_nobody_waits_for_ends_with_the_picture_at_hand(
    served: Served, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    begun, go_on, right = [], threading.Event(), uploads.prepare

    def prepare(content: bytes, *rest: Any) -> Any:
        begun.append(content)
        go_on.wait(10)
        return right(content, *rest)

    async def give_up() -> None:
        decoder = uploads.Decoder(max_pixels=10**6)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(decoder(served, [encoded(noise())] * 5), 0.2)
        go_on.set()
        decoder._threads.shutdown(wait=True)
        await asyncio.sleep(0)  # for the loop to hear of it

    monkeypatch.setattr(uploads, "prepare", prepare)
    looped(give_up())
    gc.collect()
    assert (len(begun), caplog.records) == (1, [])
