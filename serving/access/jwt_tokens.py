"""The second credential beside API keys: signed tokens (JWT) of an identity provider that the operator trusts.

The provider's public keys come from a file (a JWKS), never from an address that a token names. A token counts while its
signature, issuer, audience and times hold; nothing is asked of the provider, so it is good until it expires. Tenant, roles and
groups are claims of it, under configured names.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foundation.clock import Clock, SteadyTime
from foundation.errors import ConfigurationError, StoreUnavailable, Unauthenticated, did_you_mean
from foundation.stores.json_file import JsonFile, Unreadable
from foundation.types import EVERY_TENANT, Principal
from orchestration.settings import PolicySettings
from serving.access.identity import PREFIX, KeyStore, credential_of, known_roles
from serving.settings import JwtSettings, Settings

if TYPE_CHECKING:
    from jwt import PyJWK

log = logging.getLogger("sixply.serving")

TOKEN = "token "  # noqa: S105 - a word
"""Begins `Principal.credential` of a token; when it expires and the id of its key follow."""
EXPIRED = "The token has expired. Get a new one."
UNCHECKED = "Tokens cannot be checked now: the file with their issuer's keys cannot be used. API keys still work."
LEAST_RSA_BITS = 2048
LONGEST_NAME = 500
"""Of a subject, a tenant or a group."""


class Callers:
    """Whoever an Authorization header names: by an API key, or by a token where a JWKS file is configured."""

    def __init__(self, keys: KeyStore, tokens: TokenVerifier | None) -> None:
        self._keys = keys
        self._tokens = tokens

    @classmethod
    def of(cls, settings: Settings, clock: Clock) -> Callers:
        jwt = settings.serving.jwt
        tokens = None
        if jwt.jwks_file is not None:
            path = settings.foundation.data_dir / jwt.jwks_file
            tokens = TokenVerifier(path, jwt, settings.orchestration.policy, clock)
        return cls(KeyStore.of(settings, clock), tokens)

    def authenticate(self, authorization: str | None, *, basic: bool = False) -> Principal:
        """See `KeyStore.authenticate` for `basic`.

        Raises:
            Unauthenticated: neither a valid key nor a valid token.
            StoreUnavailable: it is a token, and the file with the keys to check it cannot be used.
        """
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
        """Whom a token names.

        Raises:
            Unauthenticated, StoreUnavailable: see `authenticate`.
        """
        if self._tokens is None:
            raise Unauthenticated(
                "This server takes no tokens, only API keys: Authorization: Bearer sixply_... "
                "(For tokens its operator names a JWKS file in [serving.jwt].)"
            )
        return self._tokens.principal(token)

    def demand_any(self) -> None:
        """Raises:
        ConfigurationError: nobody could call, or the JWKS file is none.
        """
        if self._tokens is None:
            self._keys.demand_one()
        else:
            self._tokens.keys()


class TokenVerifier:
    """Checks tokens against the keys in one file, which is read again when it changes: so keys are rotated."""

    def __init__(self, path: Path, settings: JwtSettings, policy: PolicySettings, clock: Clock) -> None:
        self._file = JsonFile(path, _keys_by_id)
        self._settings = settings
        self._roles = known_roles(policy)
        self._clock, self._time = clock, SteadyTime(clock)

    def principal(self, token: str) -> Principal:
        """The caller whom `token` names.

        Raises:
            Unauthenticated: with the reason. StoreUnavailable: the file of keys cannot be used now.
        """
        claims, key_id = self._check_token(token, self._keys_now())
        settings = self._settings
        subject, tenant = _name(claims, settings.subject_claim), _name(claims, settings.tenant_claim)
        if tenant == EVERY_TENANT:
            raise Unauthenticated(f'The token\'s tenant is "{EVERY_TENANT}", which no credential can carry.')
        roles = _names(claims, settings.roles_claim)
        if not roles:
            raise Unauthenticated(
                f'The token has no role in its claim "{settings.roles_claim}". {did_you_mean("", self._roles)}'
            )
        for role in roles - self._roles:
            raise Unauthenticated(f'The token has the role "{role}". {did_you_mean(role, self._roles)}')
        self._demand_unexpired(int(claims["exp"]))
        credential = f"{TOKEN}{int(claims['exp'])} {key_id}"
        return Principal(subject, tenant, roles, _names(claims, settings.groups_claim), credential=credential)

    def recheck(self, credential: str) -> None:
        """Raises:
        Unauthenticated: the token of this `Principal.credential` has expired, or its key was withdrawn.
        StoreUnavailable: the file of keys cannot be used now.
        """
        expires, _, key_id = credential.removeprefix(TOKEN).partition(" ")
        self._demand_unexpired(int(expires))
        if key_id not in self._keys_now():
            raise Unauthenticated("The key that the token is signed with counts no more.")

    def _demand_unexpired(self, expires: int) -> None:
        """A token that has expired stays so when the clock is set back."""
        now = max(self._clock.now(), self._time.now())
        if expires + self._settings.leeway_s <= now.timestamp():
            raise Unauthenticated(EXPIRED)

    def _keys_now(self) -> Mapping[str, PyJWK]:
        try:
            return self.keys()
        except ConfigurationError as error:
            log.exception("no token can be checked")
            raise StoreUnavailable(UNCHECKED, public=UNCHECKED) from error

    def keys(self) -> Mapping[str, PyJWK]:
        """The keys in the file, by their id.

        Raises:
            ConfigurationError: there is no file, or it is no set of public keys.
        """
        try:
            keys = self._file.load()
        except Unreadable as error:
            raise ConfigurationError(
                f"{self._file.path} is no JWKS of public keys ({error}). Save the provider's anew, or correct "
                f"[serving.jwt] jwks_file."
            ) from error
        if keys is None:
            raise ConfigurationError(
                f"There is no file {self._file.path} ([serving.jwt] jwks_file). Save the keys of the identity provider "
                f"there: the document at its jwks_uri."
            )
        return keys

    def _check_token(self, token: str, keys: Mapping[str, PyJWK]) -> tuple[Mapping[str, Any], str]:
        """The claims, and the id of the key that signed them."""
        import jwt

        settings = self._settings
        try:
            header = jwt.get_unverified_header(token)
            key = self._key(header, keys)
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[key.algorithm_name],  # the key's, whatever the token says of itself
                issuer=settings.issuer,
                audience=settings.audience,
                leeway=settings.leeway_s,
                options={"require": ["exp", "iss", "aud"]},
            )
        except jwt.ExpiredSignatureError as error:
            raise Unauthenticated(EXPIRED) from error
        except jwt.ImmatureSignatureError as error:
            raise Unauthenticated(
                "The token is not valid yet. Compare the clocks of its issuer and this server."
            ) from error
        except jwt.InvalidIssuerError as error:
            raise Unauthenticated(f'The token is not from the issuer "{settings.issuer}".') from error
        except jwt.InvalidAudienceError as error:
            raise Unauthenticated(f'The token is not for the audience "{settings.audience}".') from error
        except jwt.MissingRequiredClaimError as error:
            raise Unauthenticated(f'The token has no claim "{error.claim}".') from error
        except jwt.InvalidAlgorithmError as error:
            raise Unauthenticated(
                f"The token is not signed by the algorithm of the key that it names, {key.algorithm_name}."
            ) from error
        except jwt.InvalidSignatureError as error:
            raise Unauthenticated("The token's signature is wrong.") from error
        except (jwt.PyJWTError, ValueError, RecursionError) as error:  # it is read before its signature can be checked
            raise Unauthenticated(
                "The token cannot be read: it is no JWT, or its header or times are malformed."
            ) from error
        return claims, header["kid"]

    def _key(self, header: Mapping[str, Any], keys: Mapping[str, PyJWK]) -> PyJWK:
        key_id = header.get("kid")
        key = keys.get(key_id) if isinstance(key_id, str) else None
        if key is None:
            raise Unauthenticated(
                "The token names no key (kid) that this server knows. If its issuer has new keys, save them in the JWKS file."
            )
        if key.algorithm_name not in self._settings.algorithms:
            raise Unauthenticated(
                f"The token's key is for {key.algorithm_name}; here are taken: {', '.join(self._settings.algorithms)}."
            )
        return key


def is_token(credential: str) -> bool:
    """Whether it has the form of a token; else it is meant as a key."""
    return not credential.startswith(PREFIX) and credential.count(".") == 2


def _keys_by_id(document: Any) -> Mapping[str, PyJWK]:
    """The keys for signatures in a JWKS. A key with which tokens can be made has no business here and is refused."""
    import jwt
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    keys: dict[str, PyJWK] = {}
    for entry in document["keys"]:
        if not isinstance(entry, dict):
            raise TypeError("each key must be an object")
        if entry.get("use", "sig") != "sig":
            continue
        key_id = entry.get("kid")
        if not isinstance(key_id, str) or key_id in keys:
            raise ValueError(f"each key needs a kid of its own; found {key_id!r}")
        if entry.get("kty") == "oct" or "d" in entry:
            raise ValueError(f'the key "{key_id}" is secret: with it, tokens can be made. Keep the public one only')
        try:
            key = jwt.PyJWK(entry)
        except jwt.PyJWTError as error:
            raise ValueError(f'the key "{key_id}" cannot be used: {type(error).__name__}') from error
        if isinstance(key.key, RSAPublicKey) and key.key.key_size < LEAST_RSA_BITS:
            raise ValueError(f'the key "{key_id}" has {key.key.key_size} bits; RSA needs {LEAST_RSA_BITS}')
        keys[key_id] = key
    if not keys:
        raise ValueError("there is no key for signatures in it")
    return keys


def _claim(claims: Mapping[str, Any], name: str) -> Any:
    """A claim by its name, or by the path to it: `realm_access.roles`."""
    if name in claims:
        return claims[name]
    value: Any = claims
    for step in name.split("."):
        value = value.get(step) if isinstance(value, Mapping) else None
    return value


def _name(claims: Mapping[str, Any], claim: str) -> str:
    name_claimed = _claim(claims, claim)
    if not isinstance(name_claimed, str) or not _usable(name_claimed):
        raise Unauthenticated(f'The token\'s claim "{claim}" must be a text of at most {LONGEST_NAME} characters.')
    return name_claimed


def _names(claims: Mapping[str, Any], claim: str) -> frozenset[str]:
    """A list of texts, or one text with spaces between."""
    value = _claim(claims, claim)
    names: Iterable[Any] = value.split() if isinstance(value, str) else [] if value is None else value
    if not isinstance(names, list) or not all(isinstance(name, str) and _usable(name) for name in names):
        raise Unauthenticated(f'The token\'s claim "{claim}" must be a list of texts.')
    return frozenset(names)


def _usable(name: str) -> bool:
    return bool(name.strip()) and len(name) <= LONGEST_NAME and name.isprintable()
