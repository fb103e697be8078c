"""Tools of an MCP server, called through the executor like all others.

    [[orchestration.tools]]
    use = "mcp"
    name = "files"
    command = ["npx", "some-mcp-server", "/srv/files"]      # or: url = "https://.../mcp"
    [orchestration.tools.tools.read_file]
    effect = false                                          # what is not declared is an effect and needs an approval

A server that describes its tools otherwise after a lost connection is no longer called: an operator must look first.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING, Any

from langchain_core.tools import BaseTool, ToolException
from pydantic import Field

from foundation.components import Context
from foundation.errors import InvalidSetting, MissingCredential, UpstreamDown
from orchestration.effects.audit import canonical
from orchestration.effects.foreign_tools import (
    ForeignOptions,
    ToolSet,
    UnclearOutcome,
    foreign_tool,
    is_effect,
    secret,
    take_over,
)

if TYPE_CHECKING:
    from mcp import Client
    from mcp_types import CallToolResult, Tool

# Key in a call's `_meta`, for servers that heed it
IDEMPOTENCY_KEY = "sixply/idempotency-key"
PAGES = 50


class Options(ForeignOptions):
    command: tuple[str, ...] = ()
    """A server program to start, with its arguments; it talks over standard input and output."""
    env: Mapping[str, str] = {}
    """Environment variables for that program, besides the few that it inherits."""
    env_from: Mapping[str, str] = {}
    """Environment variables copied from ours: their name -> ours."""
    url: str = Field(default="", pattern=r"^(https?://.+)?$")
    """Or the address of a server (streamable HTTP)."""
    connect_timeout_s: float = Field(default=20, gt=0)


def build(options: Options, context: Context) -> ToolSet:
    del context
    if bool(options.command) == bool(options.url):
        raise InvalidSetting(f'[[orchestration.tools]] "{options.name}" needs either command = [...] or url = "...".')
    session = _Session(options)
    try:
        listed = {tool.name: tool for tool in session.connect()}
    except BaseException:
        session.close()
        raise

    def make(name: str) -> BaseTool:
        call = _caller(session, name, effect=is_effect(options, name))
        theirs = listed[name]
        return foreign_tool(options, name, description=theirs.description or "", schema=theirs.input_schema, call=call)

    return take_over(options, list(listed), f'The MCP server "{options.name}"', make, session.close)


def _caller(session: _Session, name: str, *, effect: bool) -> Any:
    async def call(arguments: dict[str, Any], told: Any) -> tuple[str, Any]:
        key = told.get("idempotency_key")
        result = await session.call(name, arguments, {IDEMPOTENCY_KEY: key} if key else None)
        text = _text(result)
        if result.is_error:
            raise UnclearOutcome(text) if effect else ToolException(text or f"{name} reported an error.")
        return text or "Done.", result.structured_content

    return call


def _text(result: CallToolResult) -> str:
    parts = [item.text if item.type == "text" else f"[{item.type}]" for item in result.content]
    text = "\n".join(parts)
    return text or (json.dumps(result.structured_content, ensure_ascii=False) if result.structured_content else "")


class _Session:
    """A connection, kept open in its own thread."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"mcp {options.name}", daemon=True)
        self._client: Client | None = None
        self._open: asyncio.Task[None] | None = None
        self._stop = asyncio.Event()
        self._connecting = asyncio.Lock()
        self._known = ""
        self._thread.start()

    def connect(self) -> list[Tool]:
        """Connect and return the server's tools. Raises InvalidSetting: the server cannot be started or reached, or does not speak MCP."""
        try:
            client = self._do(self._ensure_connected()).result(self._options.connect_timeout_s + 5)
            listed: list[Tool] = self._do(_list_tools(client)).result(self._options.connect_timeout_s)
        except (UpstreamDown, TimeoutError) as error:
            raise InvalidSetting(
                f'The MCP server "{self._options.name}" cannot be used: {error}. Look whether '
                f"{self._options.url or ' '.join(self._options.command)} works by itself."
            ) from error
        return listed

    async def call(self, name: str, arguments: dict[str, Any], meta: Any) -> CallToolResult:
        """Call a tool, from any loop. Raises ToolException: the call was certainly not made."""

        async def there() -> CallToolResult:
            from mcp import MCPError

            try:
                client = await self._ensure_connected()
            except UpstreamDown as error:
                raise ToolException(f"{self._options.name} cannot be reached now. Nothing was done.") from error
            try:
                return await client.call_tool(name, arguments, meta=meta)
            except MCPError as error:
                if error.error.code in {-32602, -32601}:  # refused as invalid params, or unknown there
                    raise ToolException(f"{name} was not called: its server does not take the arguments.") from error
                await self._disconnect()
                raise

        return await asyncio.wrap_future(self._do(there()))

    def close(self) -> None:
        if self._loop.is_closed():
            return
        with suppress(Exception):
            self._do(self._disconnect()).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def _do(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    async def _ensure_connected(self) -> Client:
        async with self._connecting:
            if self._client is None or self._open is None or self._open.done():
                await self._connect()
        assert self._client is not None
        return self._client

    async def _connect(self) -> None:
        # one task enters and leaves the connection, as anyio requires
        ready: asyncio.Future[Client] = self._loop.create_future()
        self._stop = asyncio.Event()
        self._open = self._loop.create_task(self._hold_open(ready, self._stop))
        try:
            async with asyncio.timeout(self._options.connect_timeout_s):
                client = await ready
                fingerprint = canonical([tool.model_dump(mode="json") for tool in await _list_tools(client)])
        except MissingCredential:
            raise
        except Exception as error:
            await self._disconnect()
            raise UpstreamDown(f"no connection ({type(error).__name__}: {str(error)[:200]})") from error
        if self._known and fingerprint != self._known:
            await self._disconnect()
            raise UpstreamDown(f'the server "{self._options.name}" describes its tools otherwise than at the start')
        self._known, self._client = fingerprint, client

    async def _hold_open(self, ready: asyncio.Future[Client], stop: asyncio.Event) -> None:
        from mcp import Client

        try:
            async with AsyncExitStack() as stack:
                client = await stack.enter_async_context(Client(self._server(), cache=None))
                ready.set_result(client)
                await stop.wait()
        except BaseException as error:
            if not ready.done():
                ready.set_exception(error if isinstance(error, Exception) else UpstreamDown("it ended at once"))

    def _server(self) -> Any:
        from mcp import StdioServerParameters

        options = self._options
        if options.command:
            program, *arguments = options.command
            env = {**options.env, **{name: secret(ours) for name, ours in options.env_from.items()}}
            return StdioServerParameters(command=program, args=arguments, env=env)
        if not options.headers_from:
            return options.url
        import httpx2
        from mcp.client.streamable_http import streamable_http_client

        headers = {header: secret(ours) for header, ours in options.headers_from.items()}
        timeout = httpx2.Timeout(options.connect_timeout_s, read=300)
        return streamable_http_client(options.url, http_client=httpx2.AsyncClient(headers=headers, timeout=timeout))

    async def _disconnect(self) -> None:
        self._stop.set()
        task, self._open, self._client = self._open, None, None
        if task is not None:
            with suppress(Exception, asyncio.CancelledError):
                await asyncio.wait_for(task, 8)


async def _list_tools(client: Client) -> list[Tool]:
    tools: list[Tool] = []
    cursor: str | None = None
    for _ in range(PAGES):
        page = await client.list_tools(cursor=cursor)
        tools += page.tools
        cursor = page.next_cursor
        if not cursor:
            return tools
    raise UpstreamDown(f"it lists more than {PAGES} pages of tools")
