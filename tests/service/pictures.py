"""Arrays in, pictures as a client sends them out."""

import io
from typing import Any

import numpy as np
from PIL import Image


def encoded(array: np.ndarray[Any, Any], form: str = "PNG", **options: Any) -> bytes:
    """A picture file."""
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, form, **options)
    return buffer.getvalue()


def noise(seed: int = 0, size: tuple[int, ...] = (20, 30, 3)) -> np.ndarray[Any, Any]:
    """A picture that no two seeds share, uint8 (H, W, 3)."""
    return np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8)


def files(*contents: bytes) -> list[tuple[str, tuple[str, bytes]]]:
    """Pictures as httpx sends them."""
    return [("image", ("picture", content)) for content in contents]
