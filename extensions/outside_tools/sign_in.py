"""People's own sign-ins to an MCP server, by OAuth: under way in a browser, and in the calls of its tools.

The MCP SDK does the protocol: it finds the server that signs in, registers, and renews what has run out. Each person has tokens of their own.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from langchain_core.tools import ToolException

from extensions.outside_tools.declared import secret
from extensions.outside_tools.mcp import Options, Session, call_tool, http_server, list_tools
from extensions.outside_tools.tokens import SignInStore
from foundation.components import Context
from foundation.errors import InvalidRequest, NotFound, UpstreamDown
from foundation.types import Principal

if TYPE_CHECKING:
    from mcp.client.auth import AuthorizationCodeResult, OAuthClientProvider
    from mcp.shared.auth import OAuthClientInformationFull, OAuthToken
    from mcp_types import Tool

log = logging.getLogger(__name__)
# Paths in a browser: where a sign-in begins, where the server sends people back to, and where it ends
BEGIN, BACK, END = "/own/sign-ins", "/sign-ins/back", "/own/signed-in"
# Seconds in which a person has to sign in, and the sign-ins under way of one process
PATIENCE_S, MOST = 600, 100
# The latest people's connections that stay open
OPEN = 32


class NotSignedIn(Exception):
    """The server wants the person, who is not there."""


@dataclass
class PersonStorage:
    """What the SDK keeps of one person, and what it found out about their server."""

    store: SignInStore
    person: Principal
    options: Options

    async def get_tokens(self) -> OAuthToken | None:
        from mcp.shared.auth import OAuthToken

        kept = self._kept().get("tokens")
        return OAuthToken.model_validate(kept) if kept else None

    async def set_tokens(self, tokens: OAuthToken) -> None:
        ends = time.time() + tokens.expires_in if tokens.expires_in else None
        self._keep(tokens=tokens.model_dump(mode="json"), ends=ends)

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        from mcp.shared.auth import OAuthClientInformationFull

        kept = self._kept().get("client")
        if kept is None and self.options.client_id:
            named = secret(self.options.client_secret_from) if self.options.client_secret_from else None
            kept = {
                "client_id": self.options.client_id,
                "client_secret": named,
                "redirect_uris": [self.options.sign_in_at + BACK],
            }
        return OAuthClientInformationFull.model_validate(kept) if kept else None

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self._keep(client=client_info.model_dump(mode="json"))

    def provider(
        self, ask: Callable[[str], Awaitable[None]], hear: Callable[[], Awaitable[AuthorizationCodeResult]]
    ) -> OAuthClientProvider:
        """Return the SDK's authentication of this person. `ask` is given an address to open, `hear` waits for what comes back."""
        from mcp.client.auth import OAuthClientProvider
        from mcp.shared.auth import OAuthClientMetadata, OAuthMetadata, ProtectedResourceMetadata

        back: Any = [self.options.sign_in_at + BACK]
        described = OAuthClientMetadata(client_name="Sixply", redirect_uris=back, application_type="web")
        provider = OAuthClientProvider(self.options.url, described, self, ask, hear)
        kept, context = self._kept(), provider.context
        # or it could not renew what has run out without asking the person again
        context.token_expiry_time = kept.get("ends")
        if found := kept.get("found"):
            context.oauth_metadata = OAuthMetadata.model_validate(found["server"]) if found["server"] else None
            resource = found["resource"]
            context.protected_resource_metadata = (
                ProtectedResourceMetadata.model_validate(resource) if resource else None
            )
        return provider

    def keep_found(self, provider: OAuthClientProvider) -> None:
        """Keep what the SDK found out about the server that signs in."""
        found = {"server": provider.context.oauth_metadata, "resource": provider.context.protected_resource_metadata}
        self._keep(
            found={name: it.model_dump(mode="json", exclude_none=True) if it else None for name, it in found.items()}
        )

    def _kept(self) -> dict[str, Any]:
        return self.store.get(self.person)

    def _keep(self, **more: Any) -> None:
        self.store.put(self.person, self._kept() | more)


def open_store(options: Options, context: Context) -> SignInStore:
    return SignInStore(
        context.data_dir, f"{options.name} {options.url}", secret(options.tokens_key_from), context.records
    )


class People:
    """A connection for each person who has signed in."""

    def __init__(self, options: Options, store: SignInStore) -> None:
        self._options, self.store = options, store
        self._sessions = OrderedDict[tuple[str, str], Session]()
        self._at_work = Counter[tuple[str, str]]()

    async def call(
        self, name: str, arguments: dict[str, Any], key: str | None, effect: bool, person: Principal | None
    ) -> tuple[str, Any]:
        """Call a tool as the person. Raises ToolException: they have not signed in, or no longer; nothing was done then."""
        if person is None or not await self._knows(person):
            raise ToolException(self._wanted(name))
        whose = (person.tenant, person.subject)
        session = self._sessions.get(whose) or self._open(person)
        self._sessions[whose] = session
        self._sessions.move_to_end(whose)
        self._at_work[whose] += 1
        over: list[tuple[str, str]] = []
        try:
            return await call_tool(session, name, arguments, key, effect, person)
        except Exception as error:
            if await self._knows(person):
                raise
            over.append(whose)
            raise ToolException(self._wanted(name)) from error
        finally:
            self._at_work[whose] -= 1
            if len(self._sessions) > OPEN:  # one in which another call is under way stays
                over += [it for it in self._sessions if not self._at_work[it]][:1]
            for closed in filter(None, (self._sessions.pop(each, None) for each in over)):
                await asyncio.to_thread(closed.close)

    async def _knows(self, person: Principal) -> bool:
        return "found" in await asyncio.to_thread(self.store.get, person)

    def close(self) -> None:
        while self._sessions:
            self._sessions.popitem()[1].close()

    def _open(self, person: Principal) -> Session:
        async def ask(address: str) -> None:
            del address
            await asyncio.to_thread(self.store.forget, person)
            raise NotSignedIn

        async def hear() -> AuthorizationCodeResult:
            raise NotSignedIn

        storage = PersonStorage(self.store, person, self._options)
        return Session(self._options, lambda: storage.provider(ask, hear), self.store.listing())

    def _wanted(self, name: str) -> str:
        return (
            f"{name} was not called: {self._options.name} wants the person's own sign-in. They open "
            f"{self._options.sign_in_at}{BEGIN}/{self._options.name} in the browser in which they use this page, sign in there, and ask again."
        )


@dataclass
class _UnderWay:
    """A sign-in that waits for its person."""

    name: str
    person: Principal
    address: asyncio.Future[str] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    heard: asyncio.Future[AuthorizationCodeResult] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )
    task: asyncio.Task[None] | None = None

    async def ask(self, address: str) -> None:
        self.address.set_result(address)

    async def hear(self) -> AuthorizationCodeResult:
        return await self.heard


class SignIns:
    """The sign-ins under way in this process, by their `state`, which the server that signs in gives back."""

    def __init__(self, servers: dict[str, Options], context: Context) -> None:
        self._servers, self._context = servers, context
        self._under_way: dict[str, _UnderWay] = {}

    async def begin(self, name: str, person: Principal) -> str:
        """Return the address at which the person signs in; empty: they are signed in. Raises NotFound: there is no such server.
        UpstreamDown: it cannot be reached, or signs nobody in. InvalidRequest: too many are under way.
        """
        if name not in self._servers:
            raise NotFound(f'No server of tools "{name}" wants a sign-in of yours.')
        if len(self._under_way) >= MOST:
            raise InvalidRequest("Many people are signing in just now. Try again in ten minutes.")
        for earlier in self._under_way.values():
            if earlier.task and (earlier.name, earlier.person) == (name, person):
                earlier.task.cancel()
        under_way = _UnderWay(name, person)
        under_way.task = asyncio.create_task(self._sign_in(under_way))
        either: set[asyncio.Future[Any]] = {under_way.task, under_way.address}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not under_way.address.done():
            await self._result_of(under_way)
            return ""
        address = under_way.address.result()
        state = parse_qs(urlsplit(address).query)["state"][0]
        self._under_way[state] = under_way
        under_way.task.add_done_callback(partial(self._forget, state))
        return address

    async def end(self, state: str, code: str, issuer: str | None, person: Principal) -> str:
        """Finish a sign-in that this person has begun, and return the server's name. Raises InvalidRequest: they have begun none, or it
        took too long. UpstreamDown: the server that signs in did not accept it.
        """
        from mcp.client.auth import AuthorizationCodeResult

        under_way = self._under_way.get(state)
        begun_by_them = under_way and (under_way.person.tenant, under_way.person.subject) == (
            person.tenant,
            person.subject,
        )
        if under_way is None or not begun_by_them or under_way.heard.done():
            raise InvalidRequest("You have begun no such sign-in, or more than ten minutes ago. Begin it again.")
        under_way.heard.set_result(AuthorizationCodeResult(code=code, state=state, iss=issuer))
        await self._result_of(under_way)
        return under_way.name

    def close(self) -> None:
        for under_way in self._under_way.values():
            if under_way.task:
                under_way.task.cancel()

    def _forget(self, state: str, task: asyncio.Task[None]) -> None:
        self._under_way.pop(state, None)
        if not task.cancelled() and (error := task.exception()):  # most of them: nobody came back in time
            log.info("A sign-in was not finished: %s", str(error) or type(error).__name__)

    async def _result_of(self, under_way: _UnderWay) -> None:
        try:
            if under_way.task:
                await under_way.task
        except Exception as error:
            raise UpstreamDown(
                f'"{under_way.name}" did not sign you in: {str(error)[:200]}. Begin again, or ask who runs it.'
            ) from error

    async def _sign_in(self, under_way: _UnderWay) -> None:
        options = self._servers[under_way.name]
        store = open_store(options, self._context)
        storage = PersonStorage(store, under_way.person, options)
        provider = storage.provider(under_way.ask, under_way.hear)
        async with asyncio.timeout(PATIENCE_S), AsyncExitStack() as stack:
            tools = await _listed(options, provider, stack)
        store.keep_listing([tool.model_dump(mode="json") for tool in tools])
        storage.keep_found(provider)


async def _listed(options: Options, provider: OAuthClientProvider, stack: AsyncExitStack) -> list[Tool]:
    from mcp import Client

    return await list_tools(
        await stack.enter_async_context(Client(await http_server(options, stack, provider), cache=None))
    )
