"""The answers of the API as types, from which its OpenAPI description is made."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

Probability = Annotated[float, Field(ge=0, le=1)]
Index = Annotated[int, Field(ge=0)]


class ModelName(BaseModel):
    """Which model answered: `sha256` is that of its weights file, and tells a swapped one from the old."""

    name: str
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Preparation(BaseModel):
    """How each picture was prepared: brought to `size` (height, width), `mode` and then (x / 255 - mean) / std."""

    size: tuple[int, int]
    mode: Literal["L", "RGB"]
    crop: Literal["resize", "center"]
    mean: list[float]
    std: list[float]


class ServedModel(ModelName):
    """A model that answers."""

    model: str
    parameters: int
    classes: list[str]
    input_shape: tuple[int, int, int]
    preparation: Preparation


class ModelList(BaseModel):
    """Every model that answers, the default first; `missing` are those that do not (yet)."""

    default: str
    models: list[ServedModel]
    missing: list[str]


class Choice(BaseModel):
    """One class with its probability."""

    label: str
    index: Index
    probability: Probability


class Prediction(Choice):
    """The most probable class, and the `top` ones in order; `margin` is how far the first is ahead of the second."""

    top: list[Choice]
    margin: Probability


class Predictions(BaseModel):
    """A result for each picture, in the order in which they came."""

    model: ModelName
    preparation: Preparation
    results: list[Prediction]


class Explained(Prediction):
    """What argues for the class `target`: `heatmap_png` (base64) or the signed `map` at the layer's resolution."""

    method: str
    layer: str
    target: Index
    target_label: str
    target_probability: Probability
    evidence: Annotated[
        Literal["positive", "none"], Field(description="none: nothing there argues for the class, the map is empty.")
    ]
    heatmap_png: str | None = None
    map: list[list[float]] | None = None


class Explanations(BaseModel):
    """A result for each picture, in the order in which they came."""

    model: ModelName
    preparation: Preparation
    results: list[Explained]


class Health(BaseModel):
    """That the service stands, and what it can answer with."""

    status: Literal["live", "ready"]


class ErrorDetail(BaseModel):
    """A code for a program, a sentence for a person, and the id under which the log has the request."""

    code: str
    message: str
    request_id: str


class Error(BaseModel):
    """How every request ends that is not answered."""

    error: ErrorDetail
