"""A multipart request in; its pictures, checked and prepared for a model, out."""

import asyncio
import threading
import zipfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import Any

import numpy as np
from fastapi import Request
from numpy.typing import NDArray
from starlette.datastructures import UploadFile

from convscope.errors import DataError
from convscope.pictures import prepare
from convscope.service.answers import AbandonedError
from convscope.service.models import Served
from convscope.service.problems import Problem

FORMATS = ("PNG", "JPEG", "WEBP")
FIELD = "image"
MAX_FIELDS = 8  # that are no files; none is used, so a few by mistake are named and a thousand cut off
DECODERS = 2
MIN_SIDE = 2  # pixels; one alone is a colour, not a picture


class Decoder:
    """Turns the content of picture files into what a model takes, in threads, a few at a time."""

    def __init__(self, max_pixels: int) -> None:
        self.max_pixels = max_pixels
        self._free = asyncio.Semaphore(DECODERS)
        self._threads = ThreadPoolExecutor(DECODERS, "convscope-decode")

    async def __call__(self, model: Served, files: Sequence[bytes]) -> NDArray[np.uint8]:
        """Pictures prepared as the model's checkpoint says, (N, C, H, W); a 422 names the one that cannot be."""
        await self._free.acquire()
        given_up = threading.Event()
        work = asyncio.get_running_loop().run_in_executor(self._threads, self._prepare, model, files, given_up)
        work.add_done_callback(self._ended)  # not before, even if nobody waits for it any more
        try:
            return await asyncio.shield(work)
        finally:
            given_up.set()

    def _ended(self, work: asyncio.Future[Any]) -> None:
        self._free.release()
        if not work.cancelled():
            work.exception()  # looked at, or asyncio would complain of those that nobody waits for

    def close(self) -> None:
        """Let the threads end."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _prepare(self, model: Served, files: Sequence[bytes], given_up: threading.Event) -> NDArray[np.uint8]:
        how = model.run.checkpoint["picture"]
        pictures = []
        for number, content in enumerate(files, start=1):
            if given_up.is_set():
                raise AbandonedError
            try:
                refuse_disguised(content)
                pictures.append(prepare(content, how, self.max_pixels, FORMATS, MIN_SIDE))
            except DataError as error:
                reason = str(error).removeprefix("the picture: ")
                raise Problem(422, "bad_picture", f"picture {number} of {len(files)}: {reason}") from None
        return np.stack(pictures)


async def read_files(request: Request, most: int) -> list[bytes]:
    """The content of every `image` of a multipart request, one to `most` of them.

    Raises:
        Problem: not multipart (415), or other parts than pictures in it, or none, or an empty one (422).
    """
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind != "multipart/form-data":
        raise Problem(415, "not_multipart", f"expected multipart/form-data with a file {FIELD!r}, got {kind!r:.100}")
    async with request.form(max_files=most, max_fields=MAX_FIELDS, max_part_size=1024) as form:
        files = []
        for name, part in form.multi_items():
            if name != FIELD or not isinstance(part, UploadFile):
                what = "a file" if isinstance(part, UploadFile) else "a field that is no file"
                raise Problem(
                    422, "invalid_request", f"expected files called {FIELD!r}, got {what} called {name!r:.100}"
                )
            files.append(await part.read())
    if not files:
        raise Problem(422, "invalid_request", f"expected a file called {FIELD!r}, got none")
    if b"" in files:
        raise Problem(422, "bad_picture", f"picture {files.index(b'') + 1} of {len(files)}: zero bytes")
    return files


def refuse_disguised(content: bytes) -> None:
    """DataError where a picture is another kind of file at the same time, as what slips past filters is."""
    if zipfile.is_zipfile(BytesIO(content)):
        raise DataError("the picture: also a ZIP archive; send the picture alone")
    if b"%PDF-" in content[:1024]:
        raise DataError("the picture: also a PDF document; send the picture alone")
    if content.startswith(b"\x89PNG") and (end := content.rfind(b"IEND")) >= 0 and content[end + 8 :]:
        raise DataError("the picture: bytes after the end of the PNG; send the picture alone")
