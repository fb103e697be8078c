"""Who calls, and what they may do: API keys, and the one rule that each route declares. Tokens: serving/access/jwt_tokens.py.

A key is `sixply_` and 256 random bits, shown once. The keys file keeps its SHA-256 only: a slow hash protects what can be guessed, and this cannot.
Tenant, roles and groups come from the key's entry alone, never from what a request says.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from opentelemetry import trace
from starlette.requests import HTTPConnection

from foundation import names
from foundation.clock import Clock
from foundation.components import load_removable
from foundation.errors import (
    ConfigurationError,
    InvalidRequest,
    NotFound,
    StoreUnavailable,
    Unauthenticated,
    did_you_mean,
)
from foundation.stores.json_file import JsonFile, Unreadable
from foundation.types import EVERY_TENANT, Principal
from orchestration.settings import PolicySettings
from serving.http.replies import end_if_answered
from serving.settings import Settings

PREFIX = "sixply_"
KEY = "key "
"""Begins `Principal.credential` of a key; its digest follows."""
TOKEN = "token "  # noqa: S105 - a word
"""Begins `Principal.credential` of a token; when it expires and the id of its key follow."""
CREATE_ONE = "Create one: sixply keys add --subject you --tenant your-tenant --role reader"

ROLES: Mapping[str, str] = {
    "reader": "asks and searches in its tenant",
    "agent": "also adds and deletes its tenant's documents, and may use the tools that its list allows",
    "approver": "also decides its tenant's approvals",
    "operator": "also writes documents for every tenant and reads /metrics and /docs",
}

Permission = Literal["ask", "write", "decide", "operate"]


def permissions(policy: PolicySettings) -> dict[Permission, frozenset[str] | None]:
    """Which roles hold which permission; `None`: whoever has a key. Not listed means not allowed."""
    return {
        "ask": None,
        "write": frozenset({"agent", "operator"}),
        "decide": frozenset(policy.approvers),
        "operate": frozenset({"operator"}),
    }


def check_roles(roles: Iterable[str], policy: PolicySettings) -> None:
    """Refuse a role that would silently allow nothing. Raises InvalidRequest: a role that neither the API nor the tool policy
    knows."""
    roles_known = known_roles(policy)
    for role in roles:
        if role not in roles_known:
            raise InvalidRequest(f'No role "{role}". {did_you_mean(role, roles_known)}')


def known_roles(policy: PolicySettings) -> frozenset[str]:
    """Those of the API and of the tool policy."""
    return frozenset({*ROLES, *policy.roles, *policy.approvers})


@dataclass(frozen=True, slots=True)
class Key:
    """One entry of the keys file."""

    sha256: str
    subject: str
    tenant: str
    roles: tuple[str, ...]
    groups: tuple[str, ...]
    created_at: str

    @property
    def key_id(self) -> str:
        """A short name for lists and for revoking; it says nothing about the key."""
        return self.sha256[:12]

    @property
    def principal(self) -> Principal:
        roles, groups = frozenset(self.roles), frozenset(self.groups)
        return Principal(self.subject, self.tenant, roles, groups, credential=KEY + self.sha256)


class KeyStore:
    """The keys file, readable by its owner only. Another process may change it at any time; the next call sees it."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self.path = path
        self._clock = clock
        self._file = JsonFile(path, _parse)

    @classmethod
    def of(cls, settings: Settings, clock: Clock) -> KeyStore:
        return cls(settings.foundation.data_dir / settings.serving.keys_file, clock)

    def create(self, *, subject: str, tenant: str, roles: Iterable[str], groups: Iterable[str] = ()) -> str:
        """Add an entry and return its key, which can be read nowhere afterwards. Raises InvalidRequest: no subject, no role, or
        a tenant that a credential cannot carry."""
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
        """Raises ConfigurationError: the file is not one that this class wrote."""
        try:
            return self._file.load() or ()
        except Unreadable as error:
            raise ConfigurationError(
                f"{self.path} is no keys file ({error}). Restore it, or delete it. {CREATE_ONE}"
            ) from error

    def revoke(self, key_id: str) -> Key:
        """Take the entry out; the key stops working with the next request. Raises NotFound: no entry of that id."""
        with self._file.exclusive():
            keys = self.list()
            gone = next((key for key in keys if key.key_id == key_id), None)
            if gone is None:
                raise NotFound(f'No key "{key_id}". {did_you_mean(key_id, (key.key_id for key in keys))}')
            self._write(key for key in keys if key is not gone)
        return gone

    def authenticate(self, authorization: str | None, *, basic: bool = False) -> Principal:
        """The caller behind an Authorization header.

        `basic` also takes the key as the password of HTTP Basic, which is what a browser can send for a page. It must
        stay off wherever something is changed: a browser sends it along with requests that other sites make.

        Raises:
            Unauthenticated: no header, another scheme, or a key that is not in the file.
        """
        principal = self.known(_digest(credential_of(authorization or "", basic=basic)))
        if principal is None:
            raise Unauthenticated("No valid API key. Send it as: Authorization: Bearer sixply_...")
        return principal

    def digest_of(self, key: str) -> str:
        """What the file keeps of `key`. Raises Unauthenticated: it is not in the file."""
        digest = _digest(key.strip())
        if self.known(digest) is None:
            raise Unauthenticated("That is no valid API key.")
        return digest

    def known(self, digest: str) -> Principal | None:
        """Whoever has the key of this digest."""
        match = None
        for key in self.list():  # all of them, whatever matched: the time taken says nothing
            if hmac.compare_digest(key.sha256, digest):
                match = key
        return match.principal if match else None

    def recheck(self, principal: Principal) -> Principal:
        """The caller of an earlier request as the entry of their key is now. Raises Unauthenticated: the key was revoked.
        StoreUnavailable: there is no file to tell by, or it cannot be read."""
        try:
            current = self.known(principal.credential.removeprefix(KEY))
        except ConfigurationError as error:
            raise StoreUnavailable(str(error)) from error
        if current is None and not self.path.exists():
            raise StoreUnavailable(
                f"{self.path} is missing, so nobody can say which keys count. Restore it. {CREATE_ONE}"
            )
        if current is None or (current.subject, current.tenant) != (principal.subject, principal.tenant):
            raise Unauthenticated("The API key was revoked.")
        return current

    def demand_one(self) -> None:
        """Raises ConfigurationError: there is no key at all, so nobody could call."""
        if not self.list():
            raise ConfigurationError(f"There is no API key in {self.path}, so nobody could call the API. {CREATE_ONE}")

    def _write(self, keys: Iterable[Key]) -> None:
        self._file.write([asdict(key) for key in keys])


def _parse(entries: Any) -> tuple[Key, ...]:
    return tuple(Key(**entry | {name: tuple(entry[name]) for name in ("roles", "groups")}) for entry in entries)


class Callers:
    """Whoever an Authorization header names: by an API key, or by a token where a JWKS file is configured."""

    def __init__(self, keys: KeyStore, tokens: Any) -> None:
        """`tokens` is a `serving.access.jwt_tokens.TokenVerifier`, or `None` where no token is taken."""
        self._keys = keys
        self._tokens = tokens

    @classmethod
    def of(cls, settings: Settings, clock: Clock) -> Callers:
        jwt = settings.serving.jwt
        tokens = None
        if jwt.jwks_file is not None:
            path = settings.foundation.data_dir / jwt.jwks_file
            verifier = load_removable("serving.access.jwt_tokens").TokenVerifier
            tokens = verifier(path, jwt, settings.orchestration.policy, clock)
        return cls(KeyStore.of(settings, clock), tokens)

    def authenticate(self, authorization: str | None, *, basic: bool = False) -> Principal:
        """See `KeyStore.authenticate` for `basic`. Raises Unauthenticated: neither a valid key nor a valid token.
        StoreUnavailable: it is a token, and the file with the keys to check it cannot be used."""
        credential = credential_of(authorization or "", basic=basic)
        if not is_token(credential):
            return self._keys.authenticate(authorization, basic=basic)
        return self.bearer(credential)

    def recheck(self, principal: Principal) -> Principal:
        """The caller of an earlier request as their credential stands now: of a key its entry, of a token what it said, for as
        long as it has not expired and its issuer's key is here.

        Raises:
            Unauthenticated: it counts no more. StoreUnavailable: that cannot be said now.
        """
        if not principal.credential.startswith(TOKEN):
            return self._keys.recheck(principal)
        if self._tokens is None:
            raise Unauthenticated("This server takes no tokens any more.")
        self._tokens.recheck(principal.credential)
        return principal

    @property
    def takes_tokens(self) -> bool:
        return self._tokens is not None

    def bearer(self, token: str) -> Principal:
        """Whom a token names. Raises Unauthenticated, StoreUnavailable: see `authenticate`."""
        if self._tokens is None:
            raise Unauthenticated(
                "This server takes no tokens, only API keys: Authorization: Bearer sixply_... "
                "(For tokens its operator names a JWKS file in [serving.jwt].)"
            )
        caller: Principal = self._tokens.principal(token)
        return caller

    def demand_any(self) -> None:
        """Raises ConfigurationError: nobody could call, or the JWKS file is none."""
        if self._tokens is None:
            self._keys.demand_one()
        else:
            self._tokens.keys()


def is_token(credential: str) -> bool:
    """Whether it has the form of a token; else it is meant as a key."""
    return not credential.startswith(PREFIX) and credential.count(".") == 2


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", errors="replace")).hexdigest()


def credential_of(authorization: str, *, basic: bool) -> str:
    """What a header carries; empty where it is of another scheme."""
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if basic and scheme.lower() == "basic":
        try:
            return base64.b64decode(value, validate=True).decode("utf-8").partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            return ""
    return ""


_BEARER = HTTPBearer(
    auto_error=False, description="An API key, sixply_..., or a token of the configured issuer."
)  # for the OpenAPI document only


@dataclass(frozen=True)
class Access:
    """The rule of a route: `Depends(Access("write"))` gives the caller, or refuses them."""

    permission: Permission

    async def __call__(
        self, request: Request, _: Annotated[HTTPAuthorizationCredentials | None, Security(_BEARER)] = None
    ) -> Principal:
        """Raises Forbidden: the key has none of the roles that hold the permission. Stopped: an operator has stopped the
        caller's tenant. FirstReply: the request came before, under the same Idempotency-Key."""
        principal: Principal = request.state.principal
        request.app.state.runtime.demand(self.permission, principal)
        end_if_answered(request)
        current = trace.get_current_span()
        current.set_attribute(names.LAYER, "serving")
        current.set_attribute(names.TENANT, principal.tenant)
        return principal


async def anyone() -> None:
    """The rule of a public route. Its path must stand in `PUBLIC_PATHS` too, or it stays closed."""


async def signed_in(connection: HTTPConnection) -> Principal:
    """The rule of `PAGE_PATHS`, requests and websockets: whoever is signed in to the page."""
    principal: Principal = connection.state.principal
    return principal


PUBLIC_PATHS = frozenset({"/", "/sign-in", "/sign-out", "/health/live", "/health/ready"})
PAGE_PATHS = ("/_nicegui/", "/_nicegui_ws/")
"""What the page itself asks for, as whom its cookie says. No other path takes a cookie."""

Asker = Annotated[Principal, Depends(Access("ask"))]
Writer = Annotated[Principal, Depends(Access("write"))]
Decider = Annotated[Principal, Depends(Access("decide"))]
Operator = Annotated[Principal, Depends(Access("operate"))]
