"""Where the page plugs in: its routes, the sessions of its people, and the link by which the owner of a machine signs in."""

from starlette.requests import HTTPConnection

from extensions.page.sessions import Sessions
from foundation.types import Principal
from serving.hooks import Hooks, Started
from serving.http.errors import Surface
from serving.runtime import Runtime


def plug(hooks: Hooks) -> None:
    hooks.routers.append("extensions.page.routes:router")
    hooks.server_parts.append(lambda runtime: Sessions(runtime.callers, runtime.system.serving.cache))
    # no other path accepts a cookie; those of other extensions that a person opens in a browser begin with /own/
    hooks.surfaces.append(Surface(paths=("/_nicegui/", "/_nicegui_ws/", "/own/"), identify=_identify))
    hooks.greetings.append(_greet)


async def _identify(connection: HTTPConnection) -> Principal:
    runtime: Runtime = connection.app.state.runtime
    return await runtime.part(Sessions).caller(connection)


async def _greet(started: Started) -> str:
    if not started.own_key:
        return f"The page: {started.url} (open it in a browser)"
    code = await Sessions(started.callers, started.system.serving.cache).offer(started.own_key)
    return f"To sign in, once and within an hour: {started.url}/sign-in?code={code}"
