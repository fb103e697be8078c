"""The page at `/`: the sign-in form, or the page in extensions/page/ for people who are signed in."""

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager, nullcontext
from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, Form, Query, Request, Response, WebSocket
from fastapi.responses import HTMLResponse, RedirectResponse
from starlette.requests import HTTPConnection
from starlette.types import Receive, Scope, Send

from extensions.page import sign_in
from extensions.page.mount import Mounted
from extensions.page.sessions import COOKIE, TTL_S, Sessions, token_of
from extensions.page.settings import brand_of
from foundation.errors import Forbidden, Overloaded, SixplyError, StoreUnavailable, Unauthenticated
from foundation.types import Principal
from serving.access.admission import Work
from serving.access.identity import anyone, refuse_other_sites
from serving.http.streams import PassedOn
from serving.runtime import Running, Runtime


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with aclosing(Mounted()) as mounted:
        app.state.page = mounted
        yield


async def signed_in(connection: HTTPConnection) -> Principal:
    """The rule of paths whose `Surface` identifies callers, requests and websockets: whom it identified."""
    principal: Principal = connection.state.principal
    return principal


router = APIRouter(include_in_schema=False, lifespan=lifespan)


# The code in a link to a shared conversation, which stays in the address while its reader signs in
Shared = Annotated[str, Query(pattern=r"^[\w-]{0,64}$")]


@router.get("/", dependencies=[Depends(anyone)])
async def show(request: Request, runtime: Running, shared: Shared = "") -> Response:
    try:
        request.state.principal = await runtime.part(Sessions).principal(token_of(request))
    except Unauthenticated:
        if (
            request.headers.get("sec-fetch-site") == "cross-site"
        ):  # a strict cookie is not sent from there, but from our own page
            return HTMLResponse('<meta http-equiv="refresh" content="0">', headers={"Cache-Control": "no-store"})
        if "text/html" in request.headers.get("accept", ""):  # a browser, not a probe
            mounted: Mounted = request.app.state.page
            mounted.prepare(brand_of(runtime.system))
        return _form(runtime, shared=shared)
    return await _page(request, work="reads")


@router.get("/sign-in", dependencies=[Depends(anyone)])
async def follow_link(
    request: Request, runtime: Running, code: Annotated[str, Query(max_length=sign_in.LONGEST)] = ""
) -> Response:
    """Sign in by the link that `make serve` prints. Who is signed in already may follow it again."""
    try:
        return _signed_in(request, await runtime.part(Sessions).redeem(code))
    except (Unauthenticated, StoreUnavailable) as error:
        try:
            await runtime.part(Sessions).principal(token_of(request))
        except (Unauthenticated, StoreUnavailable):
            return _form(runtime, error if code else None)
        return RedirectResponse("/", status_code=303)


@router.post("/sign-in", dependencies=[Depends(anyone)], max_body_size=4 * sign_in.LONGEST)
async def begin(
    key: Annotated[str, Form(max_length=sign_in.LONGEST)], request: Request, runtime: Running, shared: Shared = ""
) -> Response:
    refuse_other_sites(request)
    try:
        token = await runtime.part(Sessions).begin(key)
    except (Unauthenticated, StoreUnavailable) as error:
        return _form(runtime, error, shared=shared)
    return _signed_in(request, token, shared=shared)


@router.post("/sign-out", dependencies=[Depends(anyone)])
async def end(request: Request, runtime: Running) -> Response:
    refuse_other_sites(request)
    await runtime.part(Sessions).end(token_of(request))
    back = RedirectResponse("/", status_code=303)
    back.delete_cookie(COOKIE, httponly=True, samesite="strict")
    return back


@router.api_route("/_nicegui/{rest:path}", methods=["GET", "POST"], dependencies=[Depends(signed_in)])
@router.api_route("/_nicegui_ws/{rest:path}", methods=["GET", "POST"], dependencies=[Depends(signed_in)])
async def parts(request: Request) -> Response:
    """Serve scripts, styles and uploads, and the page's events where a proxy blocks websockets."""
    mounted: Mounted = request.app.state.page
    if not mounted.is_own(request):
        raise Forbidden("This page belongs to another session. Open the page again.")
    return await _page(request)


@router.websocket("/_nicegui_ws/{rest:path}", dependencies=[Depends(signed_in)])
async def events(socket: WebSocket) -> None:
    """Serve the page's events."""
    mounted: Mounted = socket.app.state.page
    if not mounted.is_own(socket):
        await socket.close()  # before it is accepted: 403
        return
    runtime: Runtime = socket.app.state.runtime
    try:
        with runtime.part(Sessions).pages.place(socket.state.principal):
            await (await mounted.app(brand_of(runtime.system)))(socket.scope, socket.receive, socket.send)
    except Overloaded as error:
        await socket.close(code=1013, reason=error.code)


def _signed_in(request: Request, token: str, *, shared: str = "") -> Response:
    back = RedirectResponse(
        f"/?shared={shared}" if shared else "/", status_code=303, headers={"Cache-Control": "no-store"}
    )
    over_tls = "https" in (request.url.scheme, request.headers.get("x-forwarded-proto"))
    back.set_cookie(COOKIE, token, max_age=TTL_S, httponly=True, samesite="strict", secure=over_tls)
    return back


def _form(runtime: Runtime, refused: SixplyError | None = None, *, shared: str = "") -> Response:
    brand = brand_of(runtime.system)
    text = sign_in.form(
        refused.public if refused else "", brand, tokens=runtime.callers.tokens is not None, shared=shared
    )
    return HTMLResponse(text, status_code=refused.status if refused else 200, headers=sign_in.headers(text))


async def _page(request: Request, *, work: Work | None = None) -> Response:
    mounted: Mounted = request.app.state.page
    runtime: Runtime = request.app.state.runtime
    request.state.runtime = runtime
    app = await mounted.app(brand_of(runtime.system))

    async def place(scope: Scope, receive: Receive, send: Send) -> None:
        async with runtime.place(work, request.state.principal) if work else nullcontext():
            await app(dict(scope), receive, send)  # it puts itself there, and what is around us looks for our own app

    return PassedOn(place)
