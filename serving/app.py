"""The ASGI application: middleware around requests, and the routers of `api/` and of extensions."""

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from importlib import import_module
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.routing import iter_route_contexts
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.types import ASGIApp

from foundation.errors import InvalidSetting
from foundation.extensions import resolve
from foundation.machine.manifest import product_version
from serving.hooks import Hooks
from serving.http import errors
from serving.http.bodies import BodyLimits
from serving.http.middleware import Authentication, Envelope
from serving.http.quotas import QuotaGate
from serving.http.rules import list_public_paths, list_upload_paths
from serving.runtime import Runtime
from serving.wiring import System

# Modules with a router. A router brings what must run while it is served.
ROUTES = (
    "serving.api.answers",
    "serving.api.search",
    "serving.api.conversations",
    "serving.api.usage",
    "serving.api.documents",
    "serving.api.approvals",
    "serving.api.health",
    "serving.api.docs",
)
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


class Api(FastAPI):
    """FastAPI inside our envelope, which must also cover responses of FastAPI's own outermost middleware."""

    def build_middleware_stack(self) -> ASGIApp:
        runtime: Runtime = self.state.runtime
        return Envelope(super().build_middleware_stack(), runtime.unwatched)

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            document = super().openapi()
            hooks: Hooks = self.state.runtime.system.hooks
            for middleware in hooks.middleware:
                middleware.declare(document)
            errors.declare(document, hooks.surfaces)
        return super().openapi()


def create_app(system: System) -> FastAPI:
    """Create the application for a wired system. Raises ConfigurationError: there is neither an API key nor an
    issuer of tokens, so nobody could call it.
    """
    settings = system.settings
    runtime = Runtime.of(system)
    runtime.callers.demand_any()
    routers = [*(import_module(module).router for module in ROUTES), *map(_find_router, system.hooks.routers)]
    app = Api(
        title=settings.serving.brand.name,
        version=product_version(),
        lifespan=partial(_lifespan, routers),
        openapi_url=None,  # ours need a key: serving/api/docs.py
        max_body_size=settings.serving.http.max_body_bytes,
        # FastAPI would trace requests itself; messages of failed validation can quote what a user wrote
        telemetry={
            "operation_spans": False,
            "logs": False,
            "exclude": lambda scope: str(scope["path"]).startswith(runtime.unwatched),
        },
    )
    app.state.runtime = runtime
    for router in routers:  # include_router would build each route a second time, a tenth of a second for all
        app.router.routes.extend(router.routes)
    _demand_one_route_each(app)
    _add_middleware(app, runtime)
    errors.install(app)
    return app


def _find_router(reference: str) -> APIRouter:
    """Raises InvalidSetting: an extension names something else."""
    router = resolve(reference) if isinstance(reference, str) else None
    if isinstance(router, APIRouter):
        return router
    raise InvalidSetting(
        f'An extension appended {reference!r} to hooks.routers, which names no APIRouter. Name one as "extensions.acme.routes:router".'
    )


def _add_middleware(app: FastAPI, runtime: Runtime) -> None:
    """Wrap the routes; each one that is added wraps those before it."""
    system, http = runtime.system, runtime.system.settings.serving.http
    for middleware in system.hooks.middleware:
        app.add_middleware(middleware.wrap)
    app.add_middleware(BodyLimits, http=http, uploads=list_upload_paths(app), below=runtime.identity_paths)
    app.add_middleware(QuotaGate, quotas=system.serving.quotas)
    public = list_public_paths(app)
    app.add_middleware(Authentication, callers=runtime.callers, public=public, erasures=system.erasures)
    # other names come from pages that rebind theirs to this machine
    allowed = [*LOOPBACK, http.host, *http.allowed_hosts]
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=allowed, www_redirect=False)


def _demand_one_route_each(app: FastAPI) -> None:
    """Raises InvalidSetting: two routes answer the same request, of which one would never be reached."""
    routes = iter_route_contexts(app.routes)
    answered = Counter(f"{method} {route.path}" for route in routes for method in route.methods or ())
    if twice := [request for request, times in answered.items() if times > 1]:
        raise InvalidSetting(f"There are two routes {twice[0]}. Turn off one of the extensions that bring them.")


@asynccontextmanager
async def _lifespan(routers: Sequence[APIRouter], app: FastAPI) -> AsyncIterator[None]:
    runtime = app.state.runtime
    async with AsyncExitStack() as opened:
        for lifespan in runtime.system.hooks.lifespans:
            await opened.enter_async_context(lifespan(runtime))
        for router in routers:
            await opened.enter_async_context(router.lifespan_context(app))
        yield
