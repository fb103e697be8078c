"""Signed-in browsers: a person gives a key or a token once, and a cookie that scripts cannot read stands for it afterwards.

The shared cache keeps, under the digest of the cookie's random number, a key's digest or the token encrypted with that number: who reads the
cache can sign in as nobody. Key and token are looked up again with each use. The API takes no cookie: a browser would send it along with
what other sites ask.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection

from foundation.errors import Forbidden, Unauthenticated
from foundation.types import EVERY_TENANT, Principal
from serving.access.identity import Callers, KeyStore, is_token
from serving.contract import Cache

if TYPE_CHECKING:
    from cryptography.fernet import Fernet

COOKIE = "sixply_session"
TTL_S = 12 * 3600
KEY, TOKEN = b"key ", b"token "
"""Which of them a session stands for."""
SHELF = EVERY_TENANT
"""Where the cache keeps them: no credential carries this tenant, so nothing else of ours is there."""


class Sessions:
    """Who is signed in."""

    def __init__(self, keys: KeyStore, callers: Callers, cache: Cache) -> None:
        self._keys = keys
        self._callers = callers
        self._cache = cache

    @property
    def take_tokens(self) -> bool:
        return self._callers.takes_tokens

    async def begin(self, credential: str) -> str:
        """The cookie's value for whoever has this key or token. Raises Unauthenticated: it is no valid one. StoreUnavailable:
        it cannot be checked or kept now."""
        cookie = secrets.token_urlsafe(32)
        credential = credential.strip()
        if is_token(credential):
            self._callers.bearer(credential)
            value = TOKEN + _seal(cookie).encrypt(credential.encode())
        else:
            value = KEY + self._keys.digest_of(credential).encode()
        await self._cache.set(SHELF, _place(cookie), value, ttl_s=TTL_S)
        return cookie

    async def principal(self, cookie: str) -> Principal:
        """Raises Unauthenticated: the session is over, its key was revoked, or its token counts no more. StoreUnavailable: that
        cannot be said now."""
        value = await self._cache.get(SHELF, _place(cookie)) if cookie else None
        if value is not None and value.startswith(TOKEN):
            try:
                return self._callers.bearer(_open_sealed(cookie, value.removeprefix(TOKEN)))
            except Unauthenticated as error:
                raise Unauthenticated(f"You are not signed in any more. {error} Then open the page again.") from error
        principal = self._keys.known(value.removeprefix(KEY).decode()) if value else None
        if principal is None:
            raise Unauthenticated("You are not signed in any more. Open the page again and sign in.")
        return principal

    async def caller(self, connection: HTTPConnection) -> Principal:
        """Who asks for a part of the page. Raises Forbidden: as `refuse_other_sites`. Unauthenticated, StoreUnavailable: as
        `principal`."""
        refuse_other_sites(connection)
        return await self.principal(token_of(connection))

    async def end(self, cookie: str) -> None:
        await self._cache.delete(SHELF, _place(cookie))


def token_of(connection: HTTPConnection) -> str:
    """The cookie that came with a request or a websocket; empty where none did."""
    return connection.cookies.get(COOKIE, "")


def refuse_other_sites(connection: HTTPConnection) -> None:
    """A browser says which site a request or a websocket comes from. The cookie is never sent along from another one; this
    is the second lock, for browsers that do not know the first.

    Raises:
        Forbidden: the request comes from a page of another site.
    """
    origin = connection.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != connection.headers.get("host"):
        raise Forbidden("This request comes from a page of another site.")


def _place(cookie: str) -> str:
    return f"session {_digest(cookie).hex()}"


def _seal(cookie: str) -> Fernet:
    """Encrypts what only the cookie opens; its key cannot be had from the place, which is another digest."""
    from cryptography.fernet import Fernet

    return Fernet(base64.urlsafe_b64encode(_digest(f"seal {cookie}")))


def _open_sealed(cookie: str, sealed: bytes) -> str:
    """Empty, which is no token, where it was sealed with another cookie."""
    from cryptography.fernet import InvalidToken

    try:
        return _seal(cookie).decrypt(sealed).decode()
    except InvalidToken:
        return ""


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode(errors="replace")).digest()
