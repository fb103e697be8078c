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
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from langchain_core.tools import BaseTool, ToolException
from pydantic import Field

from extensions.outside_tools.declared import ForeignOptions, UnclearOutcome, foreign_tool, secret, take_over
from foundation.components import Context
from foundation.errors import InvalidSetting, MissingCredential, UpstreamDown
from foundation.types import Principal
from models.resilience.http_clients import clients
from orchestration.actions import ToolSet

if TYPE_CHECKING:
    from mcp import Client
    from mcp_types import CallToolResult, Tool

log = logging.getLogger(__name__)
# Key in the `_meta` of a call, for servers that read it
IDEMPOTENCY_KEY = "sixply/idempotency-key"
PAGES = 50
# Most characters of all tools of a server as JSON
LISTED_CHARACTERS = 2_000_000
# Most bytes of one reply over HTTP, and most seconds of silence in it
REPLY_BYTES, SILENT_S = 16 << 20, 300
# Maximum seconds to close a connection
CLOSING_S = 8


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
    sign_in_at: str = Field(default="", pattern=r"^(https?://[^/]+)?$")
    """The address at which people reach Sixply, such as https://desk.example, where each signs in to the server for themselves (OAuth).
    Empty: it wants nobody's own sign-in.
    """
    tokens_key_from: str = ""
    """Environment variable with a long secret text, with which people's tokens are encrypted."""
    client_id: str = ""
    """Of Sixply at the server that signs people in, where nobody can register by themselves."""
    client_secret_from: str = ""
    """Environment variable with the secret that belongs to it."""


def build(options: Options, context: Context) -> ToolSet:
    if bool(options.command) == bool(options.url):
        raise InvalidSetting(f'[[orchestration.tools]] "{options.name}" needs either command = [...] or url = "...".')
    if options.sign_in_at:
        return _build_for_people(options, context)
    session = Session(options)

    def make(theirs: Tool) -> BaseTool:
        described: dict[str, Any] = {"description": theirs.description or "", "schema": theirs.input_schema}
        return foreign_tool(options, theirs.name, **described, call=partial(call_tool, session, theirs.name))

    source, tools = f'The MCP server "{options.name}"', list[BaseTool]()
    with ExitStack() as failed:
        failed.callback(session.close)
        try:
            tools = take_over(options, source, {tool.name: tool for tool in session.connect()}, make)
        except InvalidSetting as error:
            # whatever a server does, or does no longer, ours starts
            log.error("%s: its tools are missing until the next start. %s", source, error)  # noqa: TRY400 - its text says all
        failed.pop_all()
    return ToolSet(tools, session.close)


def _build_for_people(options: Options, context: Context) -> ToolSet:
    from mcp_types import Tool

    from extensions.outside_tools.sign_in import BEGIN, People, open_store

    if not (options.url and options.tokens_key_from):
        raise InvalidSetting(
            f'[[orchestration.tools]] "{options.name}" has sign_in_at, and lacks url = "..." or tokens_key_from = "VARIABLE", the '
            "variable with the secret that encrypts people's tokens. Set both."
        )
    people = People(options, open_store(options, context))

    def make(theirs: Tool) -> BaseTool:
        described: dict[str, Any] = {"description": theirs.description or "", "schema": theirs.input_schema}
        return foreign_tool(options, theirs.name, **described, call=partial(people.call, theirs.name))

    listed = [Tool.model_validate(tool) for tool in people.store.listing()]
    source, tools = f'The MCP server "{options.name}"', list[BaseTool]()
    if listed:
        tools = take_over(options, source, {tool.name: tool for tool in listed}, make)
    else:
        link = f"{options.sign_in_at}{BEGIN}/{options.name}"
        log.warning("%s: its tools are known once somebody has signed in. Open %s, and start again.", source, link)
    return ToolSet(tools, people.close)


async def call_tool(
    session: Session, name: str, arguments: dict[str, Any], key: str | None, effect: bool, _: Principal | None
) -> tuple[str, Any]:
    result = await session.call(name, arguments, {IDEMPOTENCY_KEY: key} if key else None)
    text = "\n".join(item.text if item.type == "text" else f"[{item.type}]" for item in result.content)
    if not text and result.structured_content:
        text = json.dumps(result.structured_content, ensure_ascii=False)
    if result.is_error:
        raise UnclearOutcome(text) if effect else ToolException(text or f"{name} reported an error.")
    return text or "Done.", result.structured_content


class Session:
    """A connection, kept open in a thread with its own event loop, since callers run on several."""

    def __init__(
        self, options: Options, auth: Callable[[], Any] | None = None, known: list[dict[str, Any]] | None = None
    ) -> None:
        """`auth` makes what signs the requests, and `known` are its tools, as they were listed before."""
        from anyio.from_thread import start_blocking_portal

        self._options, self._auth = options, auth
        self._known: list[Any] | None = known
        self._client: Client | None = None
        self._listed: list[Tool] = []
        # connects and disconnects, one at a time: the few threads of asyncio write the stores, and a dead server takes long
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"mcp {options.name}")
        self._resources, self._connection = ExitStack(), ExitStack()
        self._portal = self._resources.enter_context(start_blocking_portal(name=f"mcp {options.name}"))

    def connect(self) -> list[Tool]:
        """Connect and return the server's tools. Raises InvalidSetting: the server cannot be started or reached, or does not speak MCP."""
        try:
            self._thread.submit(self._ensure_connected).result()
        except UpstreamDown as error:
            raise InvalidSetting(
                f'The MCP server "{self._options.name}" cannot be used: {error}. Look whether '
                f"{self._options.url or ' '.join(self._options.command)} works by itself."
            ) from error
        return self._listed

    async def call(self, name: str, arguments: dict[str, Any], meta: Any) -> CallToolResult:
        """Call a tool, from any loop. Raises ToolException: the call was certainly not made."""
        from mcp import MCPError

        try:
            client = await asyncio.get_running_loop().run_in_executor(self._thread, self._ensure_connected)
        except UpstreamDown as error:
            raise ToolException(f"{self._options.name} cannot be reached now. Nothing was done.") from error
        try:
            call = partial(client.call_tool, name, arguments, meta=meta)
            return await asyncio.wrap_future(self._portal.start_task_soon(call))
        except MCPError as error:
            if error.error.code in {-32602, -32601}:  # refused as invalid params, or unknown there
                raise ToolException(f"{name} was not called: its server does not take the arguments.") from error
            await asyncio.get_running_loop().run_in_executor(self._thread, self._disconnect, client)
            raise

    def close(self) -> None:
        self._thread.submit(self._disconnect).result()
        self._thread.shutdown()
        self._resources.close()

    def _ensure_connected(self) -> Client:
        """Return the client, after connecting again if the connection was lost. Raises UpstreamDown."""
        if self._client is not None:
            return self._client
        self._disconnect()
        try:
            opened = self._portal.wrap_async_context_manager(self._open())
            client, self._listed = self._connection.enter_context(opened)
        except MissingCredential:
            raise
        except Exception as error:
            raise UpstreamDown(f"no connection ({type(error).__name__}: {str(error)[:200]})") from error
        described = [tool.model_dump(mode="json") for tool in self._listed]
        if self._known not in (None, described):
            self._disconnect()
            raise UpstreamDown(f'the server "{self._options.name}" describes its tools otherwise than at the start')
        self._known, self._client = described, client
        return client

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[tuple[Client, list[Tool]]]:
        from mcp import Client

        stack = AsyncExitStack()
        try:
            async with asyncio.timeout(self._options.connect_timeout_s):
                client = await stack.enter_async_context(Client(await self._server(stack), cache=None))
                # with patterns of the server, in our process, without an end; nothing here reads the schema of a result
                client.session.validate_tool_result = _leave_unchecked  # type: ignore[method-assign]
                listed = await list_tools(client)
            yield client, listed
        finally:
            # also if the server has died: the next call connects again
            self._client = None
            with suppress(Exception):
                async with asyncio.timeout(CLOSING_S):
                    await stack.aclose()

    def _disconnect(self, failed: Client | None = None) -> None:
        if failed is not None and failed is not self._client:
            return  # another call has connected again since
        connection, self._connection, self._client = self._connection, ExitStack(), None
        with suppress(Exception, CancelledError):
            connection.close()

    async def _server(self, stack: AsyncExitStack) -> Any:
        from mcp import StdioServerParameters

        options = self._options
        if options.command:
            program, *arguments = options.command
            env = {**options.env, **{name: secret(ours) for name, ours in options.env_from.items()}}
            return StdioServerParameters(command=program, args=arguments, env=env)
        return await http_server(options, stack, self._auth() if self._auth else None)


async def http_server(options: Options, stack: AsyncExitStack, auth: Any = None) -> Any:
    """Return the way to a server over HTTP, for the SDK's client; `auth` signs the requests."""
    from mcp.client.streamable_http import streamable_http_client

    # the SDK's own client reads a reply whole, however long it is or becomes
    _, client = clients(connect_s=options.connect_timeout_s, read_s=SILENT_S, keep_alive=True, max_bytes=REPLY_BYTES)
    client.headers.update({header: secret(ours) for header, ours in options.headers_from.items()})
    client.auth = auth
    return streamable_http_client(options.url, http_client=await stack.enter_async_context(client))


async def _leave_unchecked(name: str, result: CallToolResult) -> None:
    pass


async def list_tools(client: Client) -> list[Tool]:
    tools: list[Tool] = []
    cursor: str | None = None
    left = LISTED_CHARACTERS
    for _ in range(PAGES):
        page = await client.list_tools(cursor=cursor)
        if (left := left - len(page.model_dump_json())) < 0:
            raise UpstreamDown(f"its tools have more than {LISTED_CHARACTERS:,} characters")
        tools += page.tools
        cursor = page.next_cursor
        if not cursor:
            return tools
    raise UpstreamDown(f"it lists more than {PAGES} pages of tools")
