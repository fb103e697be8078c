"""Sessions of the page: what ends them, and what whoever reads the cache can do with them."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from extensions.page.sessions import PARTITION, Sessions, too_many_pages
from extensions.tokens import verifier as jwt_tokens
from extensions.tokens.settings import TokenSettings
from extensions.tokens.verifier import TokenVerifier
from foundation.clock import SystemClock
from foundation.errors import Overloaded, Unauthenticated
from foundation.types import Principal
from orchestration.settings import PolicySettings
from serving.access.admission import PerPerson
from serving.access.identity import KeyStore
from serving.caches.memory import MemoryCache
from tests.doubles.issuer import AUDIENCE, ISSUER, Issuer

ADA = Principal("ada", "north", frozenset({"reader"}), frozenset({"board"}))


class SpyCache(MemoryCache):
    """A cache that tells what it was given to keep."""

    kept: list[tuple[str, bytes]]

    async def set(self, tenant: str, key: str, value: bytes, *, ttl_s: float, only_new: bool = False) -> bool:
        self.kept = [*getattr(self, "kept", []), (key, value)]
        return await super().set(tenant, key, value, ttl_s=ttl_s, only_new=only_new)


@pytest.fixture
def cache() -> SpyCache:
    return SpyCache(SystemClock())


@pytest.fixture
def issuer(tmp_path: Path) -> Issuer:
    issuer = Issuer(tmp_path / "jwks.json")
    issuer.publish("ec")
    return issuer


def sessions(folder: Path, cache: MemoryCache, *, tokens: bool = True) -> Sessions:
    keys = KeyStore(folder / "keys.json", SystemClock())
    jwt = TokenSettings(jwks_file=folder / "jwks.json", issuer=ISSUER, audience=AUDIENCE)
    verifier = TokenVerifier(folder / "jwks.json", jwt, PolicySettings(), SystemClock())
    return Sessions(KeyStore(keys.path, SystemClock(), verifier) if tokens else keys, cache)


async def test_a_link_signs_in_once_also_where_two_follow_it_at_once(tmp_path: Path, cache: SpyCache) -> None:
    here = sessions(tmp_path, cache, tokens=False)
    key = KeyStore(tmp_path / "keys.json", SystemClock()).create(subject="bo", tenant="north", roles=["reader"])
    code = await here.offer(key)
    assert not any(secret in f"{place} {value!r}" for place, value in cache.kept for secret in (code, key))
    first, second = await asyncio.gather(here.redeem(code), here.redeem(code), return_exceptions=True)
    cookie, refused = (first, second) if isinstance(first, str) else (second, first)
    assert (await here.principal(str(cookie))).subject == "bo"
    assert isinstance(refused, Unauthenticated)
    with pytest.raises(Unauthenticated, match="older than an hour"):
        await here.redeem("")


async def test_a_token_signs_in_as_whom_it_names(tmp_path: Path, cache: SpyCache, issuer: Issuer) -> None:
    here = sessions(tmp_path, cache)
    cookie = await here.begin(f" {issuer.token()}\n")
    assert await here.principal(cookie) == ADA
    await here.end(cookie)
    with pytest.raises(Unauthenticated, match="no longer signed in"):
        await here.principal(cookie)


async def test_a_session_ends_when_its_token_expires(
    tmp_path: Path, cache: SpyCache, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Less lateness is borne afterwards, as if time had passed: nothing waits here."""
    here = sessions(tmp_path, cache)
    monkeypatch.setattr(jwt_tokens, "LEEWAY_S", 600)
    cookie = await here.begin(issuer.token(exp=int(time.time()) - 5))
    assert await here.principal(cookie) == ADA
    monkeypatch.setattr(jwt_tokens, "LEEWAY_S", 0)
    with pytest.raises(Unauthenticated, match=r"The token has expired. .* open the page again"):
        await here.principal(cookie)


async def test_a_session_ends_when_the_issuers_key_is_withdrawn(
    tmp_path: Path, cache: SpyCache, issuer: Issuer
) -> None:
    here = sessions(tmp_path, cache)
    cookie = await here.begin(issuer.token())
    issuer.add_ec("next")
    issuer.publish("next")
    with pytest.raises(Unauthenticated, match="names no key"):
        await here.principal(cookie)


async def test_who_reads_the_cache_finds_no_credential_in_it(tmp_path: Path, cache: SpyCache, issuer: Issuer) -> None:
    here, token = sessions(tmp_path, cache), issuer.token()
    key = KeyStore(tmp_path / "keys.json", SystemClock()).create(subject="bo", tenant="north", roles=["reader"])
    cookies = [await here.begin(token), await here.begin(key)]
    for place, value in cache.kept:
        for secret in (token, key, *cookies, token.split(".")[1]):
            assert secret not in place
            assert secret.encode() not in value
    (encrypted, _) = (value for _, value in cache.kept)
    place_of_other = cache.kept[1][0]
    await cache.set(
        PARTITION, place_of_other, encrypted, ttl_s=60
    )  # to sign in as another, whoever writes it needs the cookie
    with pytest.raises(Unauthenticated):
        await here.principal(cookies[1])


async def test_without_an_issuer_a_token_is_refused_and_a_key_is_not(
    tmp_path: Path, cache: SpyCache, issuer: Issuer
) -> None:
    here = sessions(tmp_path, cache, tokens=False)
    with pytest.raises(Unauthenticated, match="takes no tokens"):
        await here.begin(issuer.token())
    key = KeyStore(tmp_path / "keys.json", SystemClock()).create(subject="bo", tenant="north", roles=["reader"])
    assert (await here.principal(await here.begin(key))).subject == "bo"


def test_a_person_holds_at_most_so_many_and_others_are_not_touched() -> None:
    pages = PerPerson(2, too_many_pages)
    ada, bob = Principal("ada", "north"), Principal("bob", "north")
    with pages.place(ada), pages.place(ada):
        with pytest.raises(Overloaded, match="2 pages open"), pages.place(ada):
            pass
        with pages.place(bob), pages.place(Principal("ada", "south")):
            pass
    with pages.place(ada):
        assert pages._held.total() == 1
    assert not pages._held
