"""All routes of the trace, under one prefix."""

from fastapi import APIRouter, Depends

from convscope.service.trace import export, reads
from convscope.service.trace.turns import turn

# the page's own, not part of the API that others build on
router = APIRouter(prefix="/v1/trace", include_in_schema=False, dependencies=[Depends(turn)])
router.include_router(reads.router)
router.include_router(export.router)
