"""Authentication by API key, and the access rule that each route declares. What takes tokens, too, is an extension's.

A key is `sixply_` and 256 random bits, shown once. Tenant, roles and groups come from its entry, never from a request.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from opentelemetry import trace
from pydantic import ConfigDict, TypeAdapter
from starlette.requests import HTTPConnection

from foundation import names
from foundation.clock import Clock
from foundation.errors import (
    ConfigurationError,
    Forbidden,
    InvalidRequest,
    NotFound,
    StoreUnavailable,
    Unauthenticated,
    did_you_mean,
)
from foundation.stores.json_file import JsonFile, Unreadable
from foundation.types import EVERY_TENANT, Principal
from orchestration.settings import PolicySettings
from serving.settings import Settings

PREFIX = "sixply_"
KEYS_FILE = "keys.json"
# Prefix of `Principal.credential` for a key, before its digest
KEY = "key "
# Prefix of `Principal.credential` for a token, before its expiry and the id of its signing key
TOKEN = "token "  # noqa: S105 - a word
CREATE_ONE = "Create one: .venv/bin/sixply keys add --subject you --tenant local --role agent (local: what you ingest)"

ROLES: Mapping[str, str] = {
    "reader": "asks and searches in its tenant",
    "agent": "also adds and deletes its tenant's documents, and may use the tools that its list allows",
    "approver": "also decides its tenant's approvals",
    "operator": "also writes documents for every tenant and reads /metrics and /docs",
}

Permission = Literal["ask", "write", "decide", "operate"]


def permissions(
    policy: PolicySettings, approver_roles: frozenset[str] = frozenset()
) -> dict[Permission, frozenset[str] | None]:
    """Return the roles that hold each permission; `None`: every caller. A role that is not listed has no permission."""
    return {
        "ask": None,
        "write": frozenset({"agent", "operator"}),
        "decide": frozenset(policy.approvers) | approver_roles,
        "operate": frozenset({"operator"}),
    }


def check_roles(roles: Iterable[str], policy: PolicySettings) -> None:
    """Raises InvalidRequest: neither the API nor the tool policy knows a role. A misspelt one would allow nothing."""
    roles_known = known_roles(policy)
    for role in roles:
        if role not in roles_known:
            raise InvalidRequest(f'No role "{role}". {did_you_mean(role, roles_known)}')


def known_roles(policy: PolicySettings) -> frozenset[str]:
    return frozenset({*ROLES, *policy.roles, *policy.approvers})


@dataclass(frozen=True, slots=True)
class Key:
    """One entry of the keys file."""

    __pydantic_config__ = ConfigDict(extra="forbid")  # an ignored member could be mistaken for a limit

    sha256: str
    subject: str
    tenant: str
    roles: tuple[str, ...]
    groups: tuple[str, ...]
    created_at: str

    @property
    def key_id(self) -> str:
        """Short id for lists and for revoking, which does not reveal the key."""
        return self.sha256[:12]

    @property
    def principal(self) -> Principal:
        roles, groups = frozenset(self.roles), frozenset(self.groups)
        return Principal(self.subject, self.tenant, roles, groups, credential=KEY + self.sha256)


class Tokens(ABC):
    """What checks tokens, which are taken beside keys where an extension offers it."""

    @abstractmethod
    def principal(self, token: str) -> Principal:
        """Return the caller named by a token. Raises Unauthenticated: it is not valid. StoreUnavailable: it cannot be checked."""

    @abstractmethod
    def recheck(self, credential: str) -> None:
        """Raises Unauthenticated: the token of this `Principal.credential` is no longer valid. StoreUnavailable: as `principal`."""

    @abstractmethod
    def demand_usable(self) -> None:
        """Raises ConfigurationError: no token can be checked."""


class KeyStore:
    """The keys file, readable by its owner only. Changes by other processes take effect at the next call."""

    def __init__(self, path: Path, clock: Clock, tokens: Tokens | None = None) -> None:
        self.path = path
        self.tokens = tokens
        self._clock = clock
        self._file = JsonFile(path, TypeAdapter(tuple[Key, ...]).validate_python)

    @classmethod
    def of(cls, settings: Settings, clock: Clock, services: Iterable[object] = ()) -> KeyStore:
        """Return what authenticates callers: the keys file, and tokens where one of the `services` checks them."""
        tokens = next((service for service in services if isinstance(service, Tokens)), None)
        return cls(settings.foundation.data_dir / KEYS_FILE, clock, tokens)

    def create(self, *, subject: str, tenant: str, roles: Iterable[str], groups: Iterable[str] = ()) -> str:
        """Add an entry and return its key, which is stored nowhere. Raises InvalidRequest: no subject, no role, or a
        tenant that no credential can carry.
        """
        if not subject.strip() or not tenant.strip() or tenant == EVERY_TENANT:
            raise InvalidRequest(f'A key needs a subject and a tenant of its own; found "{subject}" and "{tenant}".')
        roles = tuple(sorted(set(roles)))
        if not roles:
            raise InvalidRequest(f"A key needs a role. {did_you_mean('', ROLES)}")
        key = PREFIX + secrets.token_urlsafe(32)
        created_at = self._clock.now().isoformat(timespec="seconds")
        entry = Key(_digest(key), subject, tenant, roles, tuple(sorted(set(groups))), created_at)
        with self._file.exclusive():
            self._write((*self.list(), entry))
        return key

    def list(self) -> tuple[Key, ...]:
        """Return all entries. Raises ConfigurationError: the file is no keys file."""
        try:
            return self._file.load() or ()
        except Unreadable as error:
            raise ConfigurationError(
                f"{self.path} is no keys file ({error}). Restore it, or delete it. {CREATE_ONE}"
            ) from error

    def revoke(self, key_id: str) -> Key:
        """Remove the entry; its key stops working at the next request. Raises NotFound: no entry has this id."""
        with self._file.exclusive():
            keys = self.list()
            gone = next((key for key in keys if key.key_id == key_id), None)
            if gone is None:
                raise NotFound(f'No key "{key_id}". {did_you_mean(key_id, (key.key_id for key in keys))}')
            self._write(key for key in keys if key is not gone)
        return gone

    def authenticate(self, authorization: str | None, *, basic: bool = False) -> Principal:
        """Return the caller for an Authorization header. `basic` also accepts the key as the password of HTTP Basic, for
        pages in a browser. Raises Unauthenticated: no header, another scheme, or an unknown key. As `bearer`.
        """
        # keep `basic` off for what changes something: browsers attach it to requests that other sites make
        credential = credential_of(authorization or "", basic=basic)
        if is_token(credential):
            return self.bearer(credential)
        principal = self.find_owner(_digest(credential))
        if principal is None:
            raise Unauthenticated("No valid API key. Send it as: Authorization: Bearer sixply_...")
        return principal

    def bearer(self, token: str) -> Principal:
        """Return the caller named by a token. Raises Unauthenticated: it is not valid, or no tokens are taken here.
        StoreUnavailable: it cannot be checked.
        """
        if self.tokens is None:
            raise Unauthenticated("This server takes no tokens, only API keys: Authorization: Bearer sixply_...")
        return self.tokens.principal(token)

    def recheck(self, principal: Principal) -> Principal:
        """Return the caller of an earlier request with their current rights: a key's current entry, or a token's claims.

        Raises Unauthenticated: the credential is no longer valid. StoreUnavailable: it cannot be checked now.
        """
        if principal.credential.startswith(TOKEN):
            if self.tokens is None:
                raise Unauthenticated("This server no longer takes tokens.")
            self.tokens.recheck(principal.credential)
            return principal
        try:
            current = self.find_owner(principal.credential.removeprefix(KEY))
        except ConfigurationError as error:
            raise StoreUnavailable(str(error)) from error
        if current is None and not self.path.exists():
            raise StoreUnavailable(
                f"{self.path} is missing, so nobody can say which keys count. Restore it. {CREATE_ONE}"
            )
        if current is None or (current.subject, current.tenant) != (principal.subject, principal.tenant):
            raise Unauthenticated("The API key was revoked.")
        return current

    def demand_any(self) -> None:
        """Raises ConfigurationError: there is no key, or no token can be checked, so nobody could call."""
        if self.tokens is not None:
            self.tokens.demand_usable()
        elif not self.list():
            raise ConfigurationError(f"There is no API key in {self.path}, so nobody could call the API. {CREATE_ONE}")

    def digest_of(self, key: str) -> str:
        """Return the stored digest of `key`. Raises Unauthenticated: the key is not in the file."""
        digest = _digest(key.strip())
        if self.find_owner(digest) is None:
            raise Unauthenticated("That is no valid API key.")
        return digest

    def find_owner(self, digest: str) -> Principal | None:
        # all keys, even after a match, so that the time does not reveal which one matched
        matches = [key.principal for key in self.list() if hmac.compare_digest(key.sha256, digest)]
        return matches[0] if matches else None

    def _write(self, keys: Iterable[Key]) -> None:
        self._file.write([asdict(key) for key in keys])


def is_token(credential: str) -> bool:
    """Whether `credential` has the form of a token; anything else is treated as a key."""
    return not credential.startswith(PREFIX) and credential.count(".") == 2


def _digest(key: str) -> str:
    # slow hashes protect secrets that can be guessed, and a key cannot be
    return hashlib.sha256(key.encode("utf-8", errors="replace")).hexdigest()


def credential_of(authorization: str, *, basic: bool) -> str:
    """Return the credential in a header; empty for another scheme."""
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if basic and scheme.lower() == "basic":
        try:
            return base64.b64decode(value, validate=True).decode("utf-8").partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            return ""
    return ""


# for the OpenAPI document only
_BEARER = HTTPBearer(auto_error=False, description="An API key, sixply_..., or a token of the configured issuer.")


@dataclass(frozen=True)
class Access:
    """The access rule of a route: `Depends(Access("write"))` returns the caller, or refuses the request."""

    permission: Permission

    async def __call__(
        self, request: Request, _: Annotated[HTTPAuthorizationCredentials | None, Security(_BEARER)] = None
    ) -> Principal:
        """Return the caller. Raises Forbidden: none of their roles holds the permission. Stopped: an operator has
        stopped their tenant. What middleware left at `request.state.first_reply`: the request was answered before.
        """
        principal: Principal = request.state.principal
        request.app.state.runtime.demand(self.permission, principal)
        if (first_reply := getattr(request.state, "first_reply", None)) is not None:
            raise first_reply
        current = trace.get_current_span()
        current.set_attribute(names.LAYER, "serving")
        current.set_attribute(names.TENANT, principal.tenant)
        return principal


def refuse_other_sites(connection: HTTPConnection) -> None:
    """Raises Forbidden: the request or websocket comes from a page of another site."""
    origin = connection.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != connection.headers.get("host"):
        raise Forbidden("This request comes from a page of another site.")


async def anyone() -> None:
    """The rule of a public route, which requires no credential."""


Asker = Annotated[Principal, Depends(Access("ask"))]
Writer = Annotated[Principal, Depends(Access("write"))]
Decider = Annotated[Principal, Depends(Access("decide"))]
Operator = Annotated[Principal, Depends(Access("operate"))]
