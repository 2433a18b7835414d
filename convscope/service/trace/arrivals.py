"""A visitor's picture file in; the reference by which every model knows it out."""

from typing import Any

from fastapi import APIRouter, Request

from convscope.service.trace.desk import Traced, desk, models
from convscope.service.trace.turns import InTurn
from convscope.service.uploads import read_files

router = APIRouter()


@router.post("/{model}/pictures", status_code=201)
async def add_picture(request: Request, turn: InTurn, traced: Traced) -> dict[str, Any]:
    """Prepare a picture for each model that is served; it is remembered for as long as there is room."""
    (content,) = await read_files(request, 1)  # before its turn: a slow client holds up nobody
    ways = [served.run.checkpoint["picture"] for served in (traced.served, *models(request).ready)]
    uploads = desk(request).uploads
    return {"ref": await turn.compute(lambda _: uploads.add(content, ways)), "label": None}
