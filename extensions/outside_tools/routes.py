"""Where people sign in to servers of tools, in their browser: to the server that signs in, back, and the end."""

import html
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from extensions.outside_tools.sign_in import BACK, BEGIN, END, SignIns
from serving.access.identity import Asker, anyone
from serving.api.schemas import Identifier
from serving.runtime import Running

router = APIRouter(include_in_schema=False)
Long = Annotated[str, Query(max_length=4_000)]


@router.get(BEGIN + "/{name}")
async def begin(name: Identifier, caller: Asker, runtime: Running) -> Response:
    """Send the person to where they sign in."""
    address = await runtime.part(SignIns).begin(name, caller)
    return RedirectResponse(address, status_code=303) if address else _page(f"You are signed in to {name}.")


@router.get(BACK, dependencies=[Depends(anyone)])
async def back(state: Long, code: Long = "", iss: Long = "", error: Long = "") -> Response:
    """Come back from there. A browser that was sent here by another site sends no cookie, but it does from this page on."""
    if not code:
        return _page(f"You were not signed in: {error or 'nothing was told'}. Begin again.")
    ending = f"{END}?{urlencode({'state': state, 'code': code, 'iss': iss})}"
    return _page("One moment.", f'<meta http-equiv="refresh" content="0;url={html.escape(ending)}">')


@router.get(END)
async def end(state: Long, code: Long, caller: Asker, runtime: Running, iss: Long = "") -> Response:
    """End it, and keep what the server gave to this person."""
    name = await runtime.part(SignIns).end(state, code, iss or None, caller)
    return _page(f"You are signed in to {name}. Close this window, and ask again.")


def _page(text: str, head: str = "") -> Response:
    headers = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
    return HTMLResponse(
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Sign in</title>{head}</head>'
        f"<body><p>{html.escape(text)}</p></body></html>",
        headers=headers,
    )
