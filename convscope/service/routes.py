"""The questions of the API: predict, explain, and which models there are."""

import base64
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, Query, Request
from pydantic import AfterValidator, BeforeValidator

from convscope.predict import choices
from convscope.registry import METHODS
from convscope.service import schemas
from convscope.service.answers import Answer, Question, Rows
from convscope.service.gone import for_client
from convscope.service.models import Served
from convscope.service.openapi import PICTURES, problems
from convscope.service.problems import Problem
from convscope.service.uploads import read_files
from convscope.service.work import Work

router = APIRouter(prefix="/v1", tags=["network"])

ModelQuery = Annotated[str | None, Query(max_length=255, description="Which model; the first one if left out.")]
TopK = Annotated[int, Query(ge=1, le=1000, description="How many classes to name, at most all.")]
Method = Annotated[
    str,
    BeforeValidator(lambda name: str(name).replace(" ", "+")),  # grad-cam++ as people type it into an address
    AfterValidator(lambda name: METHODS[name] and name),
    Query(description="How to explain.", json_schema_extra={"enum": list(METHODS)}),
]
LayerQuery = Annotated[
    str | None, Query(max_length=255, description="Dotted name of a layer; the model's CAM layer if left out.")
]
TargetQuery = Annotated[
    str | None,
    Query(max_length=255, description="The class to argue for, by name or number; the predicted one if left out."),
]
Output = Annotated[
    Literal["png", "map"], Query(description="Heat over the picture as a PNG in base64, or the raw signed numbers.")
]


@router.get("/models", responses=problems(401, 403, 503))
async def models(request: Request) -> schemas.ModelList:
    """Which models answer, and what each takes and knows."""
    served = request.app.state.models
    return schemas.ModelList(
        default=served.names[0], models=[_described(one) for one in served.ready], missing=list(served.missing)
    )


@router.post(
    "/predict", openapi_extra=PICTURES, responses=problems(400, 401, 403, 404, 408, 409, 413, 415, 422, 429, 503, 504)
)
async def predict(request: Request, model: ModelQuery = None, top_k: TopK = 3) -> schemas.Predictions:
    """Label one or several pictures, with probabilities."""
    work: Work = request.app.state.work
    served = work.models.get(model)
    work.predictions.refuse_if_full()
    files = await read_files(request, work.settings.images)

    async def answer() -> Rows:
        with work.predictions.places(len(files)):
            pictures = await work.decoder(served, files)
            return await work.predictions.submit(served, pictures, len(pictures))

    rows = await for_client(request, answer(), work.settings.timeout)
    if not np.isfinite(rows).all():
        raise Problem(422, "not_finite", f"{served.name} gives no numbers (NaN) for picture {_first_broken(rows)}")
    work.metrics.predicted(served, rows)
    request.state.said = {"model": served.name, "pictures": len(files)}
    return schemas.Predictions(
        model=_named(served),
        preparation=_preparation(served),
        results=[schemas.Prediction(**_prediction(served, row, top_k)) for row in rows],
    )


@router.post(
    "/explain", openapi_extra=PICTURES, responses=problems(400, 401, 403, 404, 408, 409, 413, 415, 422, 429, 503, 504)
)
async def explain(
    request: Request,
    model: ModelQuery = None,
    top_k: TopK = 3,
    method: Method = "grad-cam",
    layer: LayerQuery = None,
    target: TargetQuery = None,
    output: Output = "png",
) -> schemas.Explanations:
    """Show where in one or several pictures the network saw a class."""
    work: Work = request.app.state.work
    served = work.models.get(model)
    number = None if target is None else served.run.class_number(target)
    work.explanations.refuse_if_full()
    files = await read_files(request, work.settings.explain_images)

    async def answer() -> list[Answer]:
        with work.explanations.places(len(files)):
            pictures = await work.decoder(served, files)
            question = Question(pictures, method, layer, number, drawn=output == "png")
            return await work.explanations.submit(served, question, len(pictures))

    answers = await for_client(request, answer(), work.settings.explain_timeout)
    request.state.said = {"model": served.name, "pictures": len(files), "explained": method}
    return schemas.Explanations(
        model=_named(served),
        preparation=_preparation(served),
        results=[_explained(served, one, top_k) for one in answers],
    )


def _first_broken(rows: Rows) -> int:
    """The number of the first picture whose probabilities (N, K) are not finite, from 1."""
    return int(np.flatnonzero(~np.isfinite(rows).all(axis=1))[0]) + 1


def _named(served: Served) -> schemas.ModelName:
    return schemas.ModelName(name=served.name, sha256=served.sha256)


def _preparation(served: Served) -> schemas.Preparation:
    checkpoint = served.run.checkpoint
    return schemas.Preparation(**checkpoint["picture"], mean=checkpoint["mean"], std=checkpoint["std"])


def _described(served: Served) -> schemas.ServedModel:
    run = served.run
    return schemas.ServedModel(
        name=served.name,
        sha256=served.sha256,
        model=run.model_name,
        parameters=run.parameters,
        classes=list(run.classes),
        input_shape=run.input_shape,
        preparation=_preparation(served),
    )


def _prediction(served: Served, row: Any, top_k: int) -> dict[str, Any]:
    """What one picture's probabilities (K,) say."""
    best = choices(served.run.classes, row, max(2, top_k))
    top = [schemas.Choice(label=one.label, index=one.index, probability=_rounded(one.probability)) for one in best]
    margin = _rounded(best[0].probability - best[1].probability)
    return {**top[0].model_dump(), "margin": margin, "top": top[:top_k]}


def _rounded(probability: float) -> float:
    """Without the digits that depend on which pictures happened to be computed together."""
    return round(float(probability), 6)


def _explained(served: Served, answer: Answer, top_k: int) -> schemas.Explained:
    """One picture's explanation, with the heat drawn or in numbers."""
    found = answer.found
    target = int(found.targets[0])
    return schemas.Explained(
        **_prediction(served, answer.probabilities, top_k),
        method=found.method,
        layer=found.layer,
        target=target,
        target_label=served.run.classes[target],
        target_probability=_rounded(answer.probabilities[target]),
        evidence=found.evidence[0],
        heatmap_png=None if answer.png is None else base64.b64encode(answer.png).decode(),
        map=None if answer.png is not None else found.maps[0].tolist(),
    )
