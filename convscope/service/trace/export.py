"""A route through one picture in; the walk as one HTML file out."""

import re

from fastapi import APIRouter, Depends, Response

from convscope.service.trace.desk import Traced
from convscope.service.trace.page import whole_page
from convscope.service.trace.turns import turn
from convscope.service.trace.walk import Route, collect

router = APIRouter(dependencies=[Depends(turn)])


@router.post("/{model}/export", response_class=Response)
def export_walk(traced: Traced, route: Route) -> Response:
    """The page with every answer that a walk through one picture needs, to be opened from a disk."""
    walk = {"model": traced.served.name, "place": route.place, "answers": collect(traced, route).answers}
    name = re.sub(r"[^a-z0-9]+", "-", f"{traced.served.name} {route.img}".lower()).strip("-")
    headers = {"Content-Disposition": f'attachment; filename="{name}.html"'}
    return Response(whole_page(walk), media_type="text/html; charset=utf-8", headers=headers)
