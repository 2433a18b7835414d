"""The pages of the service and their files, all from this machine: nothing is loaded from elsewhere."""

from importlib import resources
from pathlib import Path

from fastapi import FastAPI
from starlette.responses import FileResponse
from starlette.staticfiles import StaticFiles

STATIC = Path(str(resources.files("convscope"))) / "service" / "static"
SWAGGER = Path(str(resources.files("fastapi_offline"))) / "static"


def mount(app: FastAPI) -> None:
    """Add them to the application."""

    @app.get("/docs", include_in_schema=False)
    async def docs() -> FileResponse:
        return FileResponse(STATIC / "docs" / "index.html")

    @app.get("/", include_in_schema=False)
    async def index() -> FileResponse:
        return FileResponse(STATIC / "index.html")

    app.mount("/docs/assets", StaticFiles(directory=SWAGGER))
    app.mount("/static", StaticFiles(directory=STATIC))
