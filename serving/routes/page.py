"""The page at `/`."""

from __future__ import annotations

from fastapi import APIRouter, Depends
from fastapi.responses import HTMLResponse

from serving import page
from serving.identity import anyone

router = APIRouter(include_in_schema=False)


@router.get("/", dependencies=[Depends(anyone)])
async def show() -> HTMLResponse:
    html, policy = page.load()
    return HTMLResponse(html, headers={"Content-Security-Policy": policy})
