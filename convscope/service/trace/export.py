"""A route through one picture in; the walk as one HTML file out."""

import re
from threading import Event

from fastapi import APIRouter, Response

from convscope.service.trace.desk import Traced
from convscope.service.trace.page import whole_page
from convscope.service.trace.tracer import Tracer
from convscope.service.trace.turns import InTurn
from convscope.service.trace.walk import Route, collect

router = APIRouter()


@router.post("/{model}/export", response_class=Response)
async def export_walk(turn: InTurn, traced: Traced, route: Route) -> Response:
    """The page with every answer that a walk through one picture needs, to be opened from a disk."""
    return await turn.compute(lambda given_up: exported(traced, route, given_up))


def exported(traced: Tracer, route: Route, given_up: Event) -> Response:
    """The same, broken off once `given_up` is set."""
    walk = {"model": traced.served.name, "place": route.place, "answers": collect(traced, route, given_up).answers}
    name = re.sub(r"[^a-z0-9]+", "-", f"{traced.served.name} {route.img}".lower()).strip("-")
    headers = {"Content-Disposition": f'attachment; filename="{name}.html"'}
    return Response(whole_page(walk), media_type="text/html; charset=utf-8", headers=headers)
