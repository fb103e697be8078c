"""Bind pages, with their connections and uploads, to the session that they were made for.

NiceGUI identifies a page by a random id and checks no sender; ids are part of addresses, and so of every proxy's access log.
Here each request, connection and message that names a page or a connection must carry the cookie of its session.
"""

import functools
import hmac
import inspect
import re
from collections.abc import Callable
from typing import Any

from nicegui import Client, core
from starlette.requests import HTTPConnection

from extensions.page.sessions import token_of

_NAMED_IN_PATH = re.compile(r"^/_nicegui/client/([^/]+)/")


def is_own(connection: HTTPConnection) -> bool:
    """Whether a request or a websocket names no page and no connection of another session."""
    in_path = _NAMED_IN_PATH.match(connection.url.path)
    pages = [*connection.query_params.getlist("client_id"), *(in_path.groups() if in_path else ())]
    cookie = token_of(connection)
    # connections opened earlier, such as by polling
    earlier = [core.sio.environ.get(sid) for sid in connection.query_params.getlist("sid")]
    return all(_owns(page, cookie) for page in pages) and all(
        environ is None or _same(_cookie_of(environ), cookie) for environ in earlier
    )


def guard_messages() -> None:
    """Wrap NiceGUI's handlers, so that they get only messages whose page belongs to the session of their connection."""
    handlers = core.sio.handlers["/"]
    for event in ("handshake", "event", "javascript_response", "ack", "log"):
        handlers[event] = _guard(handlers[event])


def _guard(handle: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(handle)
    async def guard(sid: str, message: Any, *rest: Any) -> Any:
        if not is_own_message(sid, message):
            return False
        result = handle(sid, message, *rest)
        return await result if inspect.isawaitable(result) else result

    return guard


def is_own_message(sid: str, message: Any) -> bool:
    """Whether the page that a message names belongs to the session that opened the connection `sid`."""
    environ = core.sio.get_environ(sid)
    named = message.get("client_id") if isinstance(message, dict) else None
    return environ is not None and isinstance(named, str) and _owns(named, _cookie_of(environ))


def _owns(page: str, cookie: str) -> bool:
    client = Client.instances.get(page)
    return client is None or _same(token_of(client.request), cookie)  # for a deleted page, NiceGUI does nothing


def _cookie_of(environ: dict[str, Any]) -> str:
    return token_of(HTTPConnection(environ["asgi.scope"]))


def _same(sid: str, claimed: str) -> bool:
    return hmac.compare_digest(sid.encode(), claimed.encode())
