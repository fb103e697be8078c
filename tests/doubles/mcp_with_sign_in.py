"""A real MCP server over HTTP that wants a person's own sign-in, and the server beside it that signs in: whoever comes is `person`."""

from __future__ import annotations

import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from mcp.server import MCPServer
from mcp.server.auth.middleware.auth_context import get_access_token
from mcp.server.auth.provider import (
    AccessToken,
    AuthorizationCode,
    AuthorizationParams,
    RefreshToken,
    construct_redirect_uri,
)
from mcp.server.auth.settings import AuthSettings, ClientRegistrationOptions
from mcp.shared.auth import OAuthClientInformationFull, OAuthToken


@dataclass
class SigningIn:
    """The server that signs in; it asks nobody for a password."""

    person: str = "ada"
    lasts_s: int = 3600
    clients: dict[str, OAuthClientInformationFull] = field(default_factory=dict)
    codes: dict[str, AuthorizationCode] = field(default_factory=dict)
    tokens: dict[str, AccessToken] = field(default_factory=dict)
    refreshes: dict[str, RefreshToken] = field(default_factory=dict)
    whose: dict[str, str] = field(default_factory=dict)

    async def get_client(self, client_id: str) -> OAuthClientInformationFull | None:
        return self.clients.get(client_id)

    async def register_client(self, client_info: OAuthClientInformationFull) -> None:
        self.clients[client_info.client_id or ""] = client_info

    async def authorize(self, client: OAuthClientInformationFull, params: AuthorizationParams) -> str:
        code = AuthorizationCode(
            code=secrets.token_urlsafe(32),
            scopes=params.scopes or [],
            expires_at=time.time() + 60,
            client_id=client.client_id or "",
            code_challenge=params.code_challenge,
            redirect_uri=params.redirect_uri,
            redirect_uri_provided_explicitly=params.redirect_uri_provided_explicitly,
            resource=params.resource,
        )
        self.codes[code.code], self.whose[code.code] = code, self.person
        return construct_redirect_uri(str(params.redirect_uri), code=code.code, state=params.state)

    async def load_authorization_code(
        self, client: OAuthClientInformationFull, authorization_code: str
    ) -> AuthorizationCode | None:
        return self.codes.get(authorization_code)

    async def exchange_authorization_code(
        self, client: OAuthClientInformationFull, authorization_code: AuthorizationCode
    ) -> OAuthToken:
        del self.codes[authorization_code.code]
        return self._give(client.client_id or "", self.whose[authorization_code.code], authorization_code.resource)

    async def load_refresh_token(self, client: OAuthClientInformationFull, refresh_token: str) -> RefreshToken | None:
        return self.refreshes.get(refresh_token)

    async def exchange_refresh_token(
        self, client: OAuthClientInformationFull, refresh_token: RefreshToken, scopes: list[str]
    ) -> OAuthToken:
        return self._give(client.client_id or "", self.whose[refresh_token.token], None)

    async def load_access_token(self, token: str) -> AccessToken | None:
        known = self.tokens.get(token)
        return known if known and (known.expires_at or 0) > time.time() else None

    async def revoke_token(self, token: Any) -> None:
        self.tokens.pop(token.token, None)

    def revoke_all(self) -> None:
        self.tokens.clear()
        self.refreshes.clear()

    def _give(self, client_id: str, person: str, resource: str | None) -> OAuthToken:
        access, refresh = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
        ends = int(time.time()) + self.lasts_s
        self.tokens[access] = AccessToken(
            token=access, client_id=client_id, scopes=[], expires_at=ends, resource=resource
        )
        self.refreshes[refresh] = RefreshToken(token=refresh, client_id=client_id, scopes=[])
        self.whose |= {access: person, refresh: person}
        return OAuthToken(access_token=access, refresh_token=refresh, expires_in=self.lasts_s)


@contextmanager
def running() -> Iterator[tuple[str, SigningIn]]:
    """Yield the address of the server's tools, and the server that signs in."""
    signing_in, listening = SigningIn(), socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    auth = AuthSettings(
        issuer_url=url,  # type: ignore[arg-type]
        resource_server_url=f"{url}/mcp",  # type: ignore[arg-type]
        client_registration_options=ClientRegistrationOptions(enabled=True),
        validate_token_resource=False,
    )
    server: MCPServer[Any] = MCPServer(name="mail", log_level="ERROR", auth_server_provider=signing_in, auth=auth)

    @server.tool()
    def whose_mail() -> str:
        """Say whose mail this is."""
        token = get_access_token()
        return f"The mail of {signing_in.whose[token.token] if token else 'nobody'}."

    web = uvicorn.Server(uvicorn.Config(server.streamable_http_app(), log_level="error", lifespan="on"))
    thread = threading.Thread(target=web.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        while not web.started:
            time.sleep(0.01)
        yield f"{url}/mcp", signing_in
    finally:
        web.should_exit = True
        thread.join()
