"""Browser sessions: a person signs in with a key or a token, and a cookie that scripts cannot read replaces it.

The shared cache stores, under the digest of the cookie's random number, the key's digest, or the token encrypted with that number:
reading the cache lets nobody sign in. Key and token are checked again at each use. The API accepts no cookie, because browsers attach
cookies to requests of other sites.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from typing import TYPE_CHECKING

from starlette.requests import HTTPConnection

from foundation.errors import Overloaded, Unauthenticated
from foundation.types import EVERY_TENANT, Principal
from serving.access.admission import PerPerson
from serving.access.identity import KeyStore, is_token, refuse_other_sites
from serving.contract import Cache

if TYPE_CHECKING:
    from cryptography.fernet import Fernet

COOKIE = "sixply_session"
TTL_S = 12 * 3600
LINK_TTL_S = 3600
MOST_PAGES = 20
# Prefix of a session's value: the kind of its credential
KEY, TOKEN = b"key ", b"token "
# no credential has this tenant, so the partition holds sessions only
PARTITION = EVERY_TENANT


class Sessions:
    def __init__(self, callers: KeyStore, cache: Cache) -> None:
        self._callers = callers
        self._cache = cache
        self.pages = PerPerson(MOST_PAGES, too_many_pages)

    async def begin(self, credential: str) -> str:
        """Create a session and return its cookie. Raises Unauthenticated: the key or token is not valid.
        StoreUnavailable: it cannot be checked or stored now.
        """
        cookie = secrets.token_urlsafe(32)
        credential = credential.strip()
        if is_token(credential):
            self._callers.bearer(credential)
            value = TOKEN + _cipher(cookie).encrypt(credential.encode())
        else:
            value = KEY + self._callers.digest_of(credential).encode()
        await self._cache.set(PARTITION, _place(cookie), value, ttl_s=TTL_S)
        return cookie

    async def offer(self, key: str) -> str:
        """Return a code that signs in once, as the owner of the key. Raises as `begin`."""
        code = secrets.token_urlsafe(32)
        value = KEY + self._callers.digest_of(key).encode()
        await self._cache.set(PARTITION, _place_of_code(code), value, ttl_s=LINK_TTL_S)
        return code

    async def redeem(self, code: str) -> str:
        """Create the session that a code offers, and return its cookie. Raises Unauthenticated: the code was used, or is too old.
        StoreUnavailable: the session cannot be stored now.
        """
        value = await self._cache.get(PARTITION, _place_of_code(code))
        # of two at once, one finds it to delete
        if value is None or not await self._cache.delete(PARTITION, _place_of_code(code)):
            raise Unauthenticated(
                "This link has signed somebody in before, or is older than an hour. Start the server again for another one."
            )
        cookie = secrets.token_urlsafe(32)
        await self._cache.set(PARTITION, _place(cookie), value, ttl_s=TTL_S)
        return cookie

    async def principal(self, cookie: str) -> Principal:
        """Return the person of a session. Raises Unauthenticated: the session, its key or its token is no longer
        valid. StoreUnavailable: it cannot be checked now.
        """
        value = await self._cache.get(PARTITION, _place(cookie)) if cookie else None
        if value is not None and value.startswith(TOKEN):
            try:
                return self._callers.bearer(_decrypt(cookie, value.removeprefix(TOKEN)))
            except Unauthenticated as error:
                raise Unauthenticated(f"You are no longer signed in. {error} Then open the page again.") from error
        principal = self._callers.find_owner(value.removeprefix(KEY).decode()) if value else None
        if principal is None:
            raise Unauthenticated("You are no longer signed in. Open the page again and sign in.")
        return principal

    async def caller(self, connection: HTTPConnection) -> Principal:
        """Return the person who requests a part of the page. Raises as `refuse_other_sites` and `principal`."""
        refuse_other_sites(connection)
        return await self.principal(token_of(connection))

    async def end(self, cookie: str) -> None:
        await self._cache.delete(PARTITION, _place(cookie))


def too_many_pages(most: int) -> Overloaded:
    return Overloaded(f"You have {most} pages open, which is the most. Close one.", retry_after_s=5)


def token_of(connection: HTTPConnection) -> str:
    """Return the cookie of a request or a websocket; empty without one."""
    return connection.cookies.get(COOKIE, "")


def _place(cookie: str) -> str:
    return f"session {_digest(cookie).hex()}"


def _place_of_code(code: str) -> str:
    return f"code {_digest(code).hex()}"


def _cipher(cookie: str) -> Fernet:
    from cryptography.fernet import Fernet

    # not the digest of `_place`, which a reader of the cache can see
    return Fernet(base64.urlsafe_b64encode(_digest(f"seal {cookie}")))


def _decrypt(cookie: str, encrypted: bytes) -> str:
    from cryptography.fernet import InvalidToken

    try:
        return _cipher(cookie).decrypt(encrypted).decode()
    except InvalidToken:  # it was encrypted for another cookie
        return ""


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode(errors="replace")).digest()
