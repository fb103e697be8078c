"""The API's own documentation, from files of an installed package: no CDN. A browser sends the key as HTTP Basic."""

from importlib.resources import files
from pathlib import Path

from fastapi import APIRouter, Request, Response
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import FileResponse, JSONResponse

from foundation.errors import NotFound
from serving.access.identity import Operator
from serving.runtime import admit

router = APIRouter(include_in_schema=False, dependencies=[admit("reads")])

ASSETS = {"swagger-ui-bundle.js": "text/javascript", "swagger-ui.css": "text/css", "favicon.png": "image/png"}
# Swagger's page starts itself with an inline script; nothing of it comes from another origin.
POLICY = "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'"


@router.get("/openapi.json")
async def schema(request: Request, _: Operator) -> JSONResponse:
    return JSONResponse(request.app.openapi())


@router.get("/docs")
async def docs(request: Request, _: Operator) -> Response:
    page = get_swagger_ui_html(
        openapi_url="/openapi.json",
        title=f"{request.app.title} API",
        swagger_js_url="/docs/swagger-ui-bundle.js",
        swagger_css_url="/docs/swagger-ui.css",
        swagger_favicon_url="/docs/favicon.png",
    )
    page.headers["Content-Security-Policy"] = POLICY
    return page


@router.get("/docs/{name}")
async def asset(name: str, _: Operator) -> FileResponse:
    if name not in ASSETS:
        raise NotFound(f'No file "{name}" here.')
    return FileResponse(Path(str(files("fastapi_offline") / "static" / name)), media_type=ASSETS[name])
