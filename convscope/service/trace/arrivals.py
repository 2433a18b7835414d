"""A visitor's picture file in; the reference by which every model knows it out."""

from typing import Any

from fastapi import APIRouter, Request

from convscope.service.openapi import PICTURES
from convscope.service.trace.desk import Traced, desk, models
from convscope.service.trace.uploads import way_of
from convscope.service.uploads import read_files
from convscope.service.work import Work

router = APIRouter()


@router.post("/{model}/pictures", status_code=201, openapi_extra=PICTURES)
async def add_picture(request: Request, traced: Traced) -> dict[str, Any]:
    """Prepare a picture for each model that is served; it is remembered for as long as there is room."""
    work: Work = request.app.state.work
    files = await read_files(request, 1)
    ways = {way_of(served.run): served for served in (*models(request).ready, traced.served)}
    prepared = {way: (await work.decoder(served, files))[0] for way, served in ways.items()}
    return {"ref": desk(request).uploads.add(files[0], prepared), "label": None}
