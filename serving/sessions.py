"""Signed-in browsers: a person gives the API key once, and a cookie that scripts cannot read stands for it afterwards.

The cookie is a random number. What it stands for, the digest of the key, lies in the shared cache for half a day, under the
digest of the number. So several workers know it, who reads the cache can sign in as nobody, and a key that is revoked ends
its sessions with the next request. The API itself takes no cookie: a browser would send it along with what other sites ask.
"""

from __future__ import annotations

import hashlib
import secrets
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection

from foundation.errors import Forbidden, Unauthenticated
from foundation.types import EVERY_TENANT, Principal
from serving.contract import Cache
from serving.identity import KeyStore

COOKIE = "sixply_session"
TTL_S = 12 * 3600
SHELF = EVERY_TENANT
"""Where the cache keeps them: no credential carries this tenant, so nothing else of ours is there."""


class Sessions:
    """Who is signed in."""

    def __init__(self, keys: KeyStore, cache: Cache) -> None:
        self._keys = keys
        self._cache = cache

    async def begin(self, key: str) -> str:
        """The cookie's value for whoever has `key`.

        Raises:
            Unauthenticated: no such key.
        """
        digest = self._keys.digest_of(key)
        token = secrets.token_urlsafe(32)
        await self._cache.set(SHELF, _place(token), digest.encode(), ttl_s=TTL_S)
        return token

    async def principal(self, token: str) -> Principal:
        """Raises:
        Unauthenticated: the session is over, or its key was revoked.
        """
        digest = await self._cache.get(SHELF, _place(token)) if token else None
        found = self._keys.known(digest.decode()) if digest else None
        if found is None:
            raise Unauthenticated("You are not signed in any more. Open the page again and give your key.")
        return found

    async def end(self, token: str) -> None:
        await self._cache.delete(SHELF, _place(token))


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


def _place(token: str) -> str:
    return f"session {hashlib.sha256(token.encode(errors='replace')).hexdigest()}"
