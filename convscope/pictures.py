"""Picture bytes that anyone may have made -> a uint8 array of the size a model wants; and arrays -> PNG."""

import io
import struct
import threading
import warnings
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from convscope.errors import DataError

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF")
MAX_PIXELS = 50_000_000
CROPS = ("resize", "center")
DEFAULT_CROP: Literal["resize"] = "resize"

# All that Pillow's decoders are known to raise on broken bytes; Warning, where warnings are errors.
BROKEN = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    EOFError,
    OverflowError,
    struct.error,
    zlib.error,
    Warning,
)

WARNINGS = threading.Lock()  # their filters belong to the whole process, and the loader decodes in several threads

Mode = Literal["L", "RGB"]
Crop = Literal["resize", "center"]


def read_picture(
    source: Path | bytes,
    mode: Mode,
    max_pixels: int = MAX_PIXELS,
    formats: tuple[str, ...] = FORMATS,
    min_side: int = 1,
) -> NDArray[np.uint8]:
    """Decode a PNG, JPEG, WebP, BMP or GIF (its first frame) as people see it.

    Turned upright as its EXIF orientation says. What is transparent lies on white, as on paper or on a page.
    16 bits of grey become 8; colour becomes grey by ITU-R BT.601 luma. Colour profiles are not applied.

    Args:
        source: a file, or the content of one.
        mode: "L" for one grey channel, "RGB" for three.
        max_pixels: refused above, before a pixel is decoded: a small file can claim a huge picture.
        formats: which of `FORMATS` are accepted; no decoder of another is ever tried.
        min_side: pixels that a picture must have in height and width.

    Returns:
        uint8, (C, H, W), C is 1 or 3.

    Raises:
        DataError: no such file, not one of the formats, cut off, broken or too large; names the file.
    """
    if mode not in ("L", "RGB"):
        raise ValueError(f"mode must be 'L' or 'RGB', got {mode!r}")
    name = "the picture" if isinstance(source, bytes) else str(source)
    try:
        if not isinstance(source, bytes) and not source.is_file():
            raise DataError(f"{name}: {'not a file' if source.exists() else 'no such file'}")
        with _open(io.BytesIO(source) if isinstance(source, bytes) else source, formats) as image:
            if image.width * image.height > max_pixels:
                came = f"{image.width} × {image.height} pixels"
                raise DataError(f"{name}: {came}, at most {max_pixels:,} are accepted; scale it down")
            if min(image.size) < min_side:
                came = f"{image.width} × {image.height} pixels"
                raise DataError(f"{name}: {came}, at least {min_side} × {min_side} are needed to see anything")
            array = np.asarray(_flatten(_upright(image), mode))  # (H, W) or (H, W, 3)
    except Image.DecompressionBombError:  # Pillow's own limit, some way above
        raise DataError(f"{name}: more than the {max_pixels:,} pixels that are accepted; scale it down") from None
    except UnidentifiedImageError:
        raise DataError(f"{name}: not a picture in one of the formats {', '.join(formats)}") from None
    except BROKEN as error:
        if isinstance(error, OSError) and error.errno:  # the system's own errors have a number, Pillow's have none
            raise DataError(f"{name}: cannot be read ({error.strerror})") from None
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise DataError(f"{name}: broken or cut off ({reason})") from None
    return _channels_first(array)


def fit_picture(array: NDArray[np.uint8], size: tuple[int, int], crop: Crop) -> NDArray[np.uint8]:
    """Bring a picture to the size that a model was trained on.

    Bilinear, and when shrinking averaged over all pixels that fall into one (antialiased): without that, fine
    texture turns into patterns that are not there. A picture of the right size comes back as it is.

    Args:
        array: uint8, (C, H, W), C is 1 or 3.
        size: (height, width).
        crop: "resize" takes the whole picture and may distort it; "center" keeps its proportions and takes
            the largest piece from the middle that has those of `size`.

    Returns:
        uint8, (C, height, width).
    """
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[0] not in (1, 3) or 0 in array.shape:
        raise ValueError(f"expected uint8 (1 or 3, H, W), got {array.dtype} {array.shape}")
    if crop not in CROPS:
        raise ValueError(f"crop must be one of {', '.join(CROPS)}, got {crop!r}")
    height, width = size
    if height < 1 or width < 1:
        raise ValueError(f"size must be (height, width) of at least 1 pixel, got {tuple(size)}")
    if array.shape[1:] == (height, width):
        return array
    image = _image(array)
    box = (0.0, 0.0, float(image.width), float(image.height))  # left, top, right, bottom
    if crop == "center":
        scale = max(height / image.height, width / image.width)
        left, top = (image.width - width / scale) / 2, (image.height - height / scale) / 2
        box = (max(left, 0.0), max(top, 0.0), image.width - max(left, 0.0), image.height - max(top, 0.0))
    return _channels_first(np.asarray(image.resize((width, height), Image.Resampling.BILINEAR, box)))


def prepare(
    source: Path | bytes,
    picture: Mapping[str, Any],
    max_pixels: int = MAX_PIXELS,
    formats: tuple[str, ...] = FORMATS,
    min_side: int = 1,
) -> NDArray[np.uint8]:
    """Read a picture the way a checkpoint's `picture` says: its `size` (H, W), `mode` and `crop`.

    Args:
        max_pixels: as in `read_picture`, and so `formats` and `min_side`.

    Returns:
        uint8, (C, H, W), ready for `preprocess` as a batch of one.

    Raises:
        DataError: as `read_picture`.
        ValueError: `picture` is not of that form.
    """
    match picture:
        case {
            "size": (int() as height, int() as width),
            "mode": "L" | "RGB" as mode,
            "crop": "resize" | "center" as crop,
        }:
            return fit_picture(read_picture(source, mode, max_pixels, formats, min_side), (height, width), crop)
    raise ValueError(f"expected picture as size (H, W), mode 'L' or 'RGB', crop {CROPS}, got {dict(picture)}")


def encode_png(array: NDArray[np.uint8]) -> bytes:
    """The PNG of a picture, uint8 (C, H, W), C of 1 or 3; nothing is lost."""
    buffer = io.BytesIO()
    _image(array).save(buffer, format="PNG")
    return buffer.getvalue()


def _image(array: NDArray[np.uint8]) -> Image.Image:
    """A picture (C, H, W) as Pillow holds it."""
    return Image.fromarray(array[0] if len(array) == 1 else np.ascontiguousarray(array.transpose(1, 2, 0)))


def _open(source: io.BytesIO | Path, formats: tuple[str, ...]) -> Image.Image:
    """The picture, its header alone read; without Pillow's warning of a size that is refused next, in one line."""
    with WARNINGS, warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        return Image.open(source, formats=formats)


def _upright(image: Image.Image) -> Image.Image:
    """The picture turned as its EXIF orientation says."""
    try:
        return ImageOps.exif_transpose(image)
    except SyntaxError:  # the EXIF data are damaged; the pixels need not be
        return image


def _flatten(image: Image.Image, mode: Mode) -> Image.Image:
    """The picture in `mode`, whatever it was stored in."""
    if image.mode.startswith("I"):  # 16 bits of grey; Pillow's own conversion clips instead of scaling
        levels = np.array(image, dtype=np.float32)  # in place from here: a small file can hold many pixels
        np.clip(levels, 0, 65535, out=levels)
        levels /= 257
        return Image.fromarray(np.round(levels, out=levels).astype(np.uint8)).convert(mode)
    if image.has_transparency_data:
        paper = Image.new("RGBA", image.size, "white")
        paper.alpha_composite(image.convert("RGBA"))
        image = paper
    return image.convert(mode)


def _channels_first(array: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(H, W) or (H, W, 3) -> (C, H, W), contiguous."""
    return np.ascontiguousarray(array[None] if array.ndim == 2 else array.transpose(2, 0, 1))
