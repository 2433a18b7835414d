"""An array in; out comes the answer that carries it: little-endian float32 bytes, its shape in a header."""

import numpy as np
from fastapi import Response
from numpy.typing import NDArray

SHAPE = "X-Shape"


def raw(array: NDArray[np.float32]) -> Response:
    """``application/octet-stream``, with `X-Shape` as in "64,15,15"."""
    content = np.ascontiguousarray(array, dtype="<f4").tobytes()
    return Response(content, media_type="application/octet-stream", headers={SHAPE: ",".join(map(str, array.shape))})
