"""All routes of the trace, under one prefix."""

from fastapi import APIRouter

from convscope.service.trace import export, reads

router = APIRouter(prefix="/v1/trace", tags=["trace"])
router.include_router(reads.router)
router.include_router(export.router)
