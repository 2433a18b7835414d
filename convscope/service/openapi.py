"""What FastAPI cannot see by itself: the pictures that a request carries, and how requests fail."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI

from convscope.service.schemas import Error
from convscope.service.uploads import FIELD, FORMATS

MEANINGS = {
    400: "The body is no multipart form, or one with too many parts.",
    401: "No key, or an unknown one, in X-API-Key.",
    403: "Addressed to another host than this machine, and there are no keys.",
    404: "No such model.",
    408: "The body came too slowly.",
    409: "The model has no such layer or class, or cannot have this method.",
    413: "The body is too large.",
    415: "The body is not multipart/form-data.",
    422: "A parameter is wrong, or a picture cannot be read.",
    429: "Too much is waiting.",
    503: "Not ready, or about to stop.",
    504: "It took too long.",
}
TYPES = ", ".join(f"image/{form.lower()}" for form in FORMATS)
PICTURES = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": [FIELD],
                    "additionalProperties": False,
                    "properties": {
                        FIELD: {
                            "type": "array",
                            "minItems": 1,
                            "items": {"type": "string", "format": "binary"},
                            "description": f"{', '.join(FORMATS)}; one or several.",
                        }
                    },
                },
                "encoding": {FIELD: {"contentType": TYPES}},
            }
        },
    }
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The failures that a route documents; every one is an `Error`."""
    again = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}}
    return {
        status: {"model": Error, "description": MEANINGS[status]} | ({"headers": again} if status in (429, 503) else {})
        for status in statuses
    }


def describe_settings(app: FastAPI, names: Sequence[str], most: Mapping[str, int]) -> None:
    """Let the description say what is known when the service starts.

    Args:
        names: the values of `model`.
        most: path -> how many pictures a request there may have.
    """
    describe = app.openapi

    def described() -> dict[str, Any]:
        if app.openapi_schema is None:
            for path, operations in describe()["paths"].items():
                for operation in operations.values():
                    if path in most:
                        operation["requestBody"] = body = copy.deepcopy(operation["requestBody"])
                        schema = body["content"]["multipart/form-data"]["schema"]
                        schema["properties"][FIELD]["maxItems"] = most[path]
                    for parameter in operation.get("parameters", ()):
                        if parameter["name"] == "model" and parameter["in"] == "query":
                            parameter["schema"] = {"type": "string", "enum": list(names)}
        return describe()  # which keeps what it made

    app.openapi = described  # type: ignore[method-assign]
