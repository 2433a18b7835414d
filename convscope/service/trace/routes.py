"""All routes of the trace, under one prefix."""

from fastapi import APIRouter

from convscope.service.trace import arrivals, export, reads

router = APIRouter(
    prefix="/v1/trace", include_in_schema=False
)  # the page's own, not part of the API that others build on
router.include_router(reads.router)
router.include_router(arrivals.router)
router.include_router(export.router)
