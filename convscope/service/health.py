"""Whether the service stands, whether its models answer, and its numbers."""

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST

from convscope.service.openapi import problems
from convscope.service.problems import Problem
from convscope.service.schemas import Health

router = APIRouter(tags=["health"])


@router.get("/health/live", responses=problems(503))
async def live() -> Health:
    """The process stands and its loop turns; no key needed."""
    return Health(status="live")


@router.get("/health/ready", responses=problems(503))
async def ready(request: Request) -> Health:
    """Every model has answered its warm-up; until then a 503 that names those that have not. No key needed."""
    if missing := request.app.state.models.missing:
        raise Problem(503, "not_ready", f"not ready: {', '.join(missing)}")
    return Health(status="ready")


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **problems(401, 503)},
)
async def metrics(request: Request) -> Response:
    """Requests, latency, queues, batches, predicted classes and confidence, for Prometheus."""
    return Response(request.app.state.work.metrics.text(), media_type=CONTENT_TYPE_LATEST)
