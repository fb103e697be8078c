"""Signed tokens (JWT) of a trusted identity provider, the alternative to API keys.

The provider's public keys come from a file (a JWKS), never from an address in a token. A token is valid while its
signature, issuer, audience and times are; the provider is not asked, so a token cannot be revoked before it expires.
Tenant, roles and groups are claims under configured names.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from extensions.tokens.settings import TokenSettings
from foundation.clock import Clock, SteadyTime
from foundation.errors import ConfigurationError, StoreUnavailable, Unauthenticated, did_you_mean
from foundation.stores.json_file import JsonFile, Unreadable
from foundation.types import EVERY_TENANT, Principal
from orchestration.settings import PolicySettings
from serving.access.identity import TOKEN, Tokens, known_roles

if TYPE_CHECKING:
    from jwt import PyJWK

log = logging.getLogger("sixply.serving")

EXPIRED = "The token has expired. Get a new one."
UNCHECKED = "Tokens cannot be checked now: the file with their issuer's keys cannot be used. API keys still work."
LEAST_RSA_BITS = 2048
# Most seconds by which the clocks of the provider and this server may differ
LEEWAY_S = 30.0
LONGEST_NAME = 500


class TokenVerifier(Tokens):
    """Checks tokens against the public keys in a file, which is read again when it changes: so keys are rotated."""

    def __init__(self, path: Path, settings: TokenSettings, policy: PolicySettings, clock: Clock) -> None:
        self._file = JsonFile(path, _keys_by_id)
        self._settings = settings
        self._roles = known_roles(policy)
        self._clock, self._time = clock, SteadyTime(clock)

    def principal(self, token: str) -> Principal:
        """Return the caller named by `token`. Raises Unauthenticated: the token is not valid, with the reason.
        StoreUnavailable: the file of keys is unusable.
        """
        claims, key_id = self._check_token(token, self._keys_now())
        places = self._settings.claims
        subject, tenant = _name(claims, places["subject"]), _name(claims, places["tenant"])
        if tenant == EVERY_TENANT:
            raise Unauthenticated(f'The token\'s tenant is "{EVERY_TENANT}", which no credential can carry.')
        roles = _names(claims, places["roles"])
        if not roles:
            raise Unauthenticated(
                f'The token has no role in its claim "{places["roles"]}". {did_you_mean("", self._roles)}'
            )
        for role in roles - self._roles:
            raise Unauthenticated(f'The token has the role "{role}". {did_you_mean(role, self._roles)}')
        self._demand_unexpired(int(claims["exp"]))
        credential = f"{TOKEN}{int(claims['exp'])} {key_id}"
        return Principal(subject, tenant, roles, _names(claims, places["groups"]), credential=credential)

    def recheck(self, credential: str) -> None:
        """Raises Unauthenticated: the token of this `Principal.credential` has expired, or its key was withdrawn.
        StoreUnavailable: the file of keys is unusable.
        """
        expires, _, key_id = credential.removeprefix(TOKEN).partition(" ")
        self._demand_unexpired(int(expires))
        if key_id not in self._keys_now():
            raise Unauthenticated("The key that the token is signed with is no longer valid.")

    def _demand_unexpired(self, expires: int) -> None:
        # the later of both: setting the clock back does not make it valid again
        now = max(self._clock.now(), self._time.now())
        if expires + LEEWAY_S <= now.timestamp():
            raise Unauthenticated(EXPIRED)

    def _keys_now(self) -> Mapping[str, PyJWK]:
        try:
            return self.keys()
        except ConfigurationError as error:
            log.exception("no token can be checked")
            raise StoreUnavailable(UNCHECKED, public=UNCHECKED) from error

    def demand_usable(self) -> None:
        self.keys()

    def keys(self) -> Mapping[str, PyJWK]:
        """Return the keys in the file, by id. Raises ConfigurationError: it is missing, or no set of public keys."""
        try:
            keys = self._file.load()
        except Unreadable as error:
            raise ConfigurationError(
                f"{self._file.path} is no JWKS of public keys ({error}). Save the provider's again, or correct "
                f"[tokens] jwks_file."
            ) from error
        if keys is None:
            raise ConfigurationError(
                f"There is no file {self._file.path} ([tokens] jwks_file). Save the keys of the identity provider "
                f"there: the document at its jwks_uri."
            )
        return keys

    def _check_token(self, token: str, keys: Mapping[str, PyJWK]) -> tuple[Mapping[str, Any], str]:
        import jwt

        settings = self._settings
        key: PyJWK | None = None
        try:
            header = jwt.get_unverified_header(token)
            key = self._key(header, keys)
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                # the key's algorithm, whatever the token claims: else a public key would do as the secret of HS256
                algorithms=[key.algorithm_name],
                issuer=settings.issuer,
                audience=settings.audience,
                leeway=LEEWAY_S,
                options={"require": ["exp", "iss", "aud"]},
            )
        except (jwt.PyJWTError, ValueError, RecursionError) as error:  # parsed before its signature can be checked
            algorithm = key and key.algorithm_name
            reasons = {
                jwt.ExpiredSignatureError: EXPIRED,
                jwt.ImmatureSignatureError: "The token is not valid yet. Compare the clocks of its issuer and this server.",
                jwt.InvalidIssuerError: f'The token is not from the issuer "{settings.issuer}".',
                jwt.InvalidAudienceError: f'The token is not for the audience "{settings.audience}".',
                jwt.MissingRequiredClaimError: f'The token has no claim "{getattr(error, "claim", "")}".',
                jwt.InvalidAlgorithmError: f"The token is not signed by the algorithm of the key that it names, {algorithm}.",
                jwt.InvalidSignatureError: "The token's signature is wrong.",
            }
            unreadable = "The token cannot be read: it is no JWT, or its header or times are malformed."
            raise Unauthenticated(reasons.get(type(error), unreadable)) from error
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


def _keys_by_id(document: Any) -> Mapping[str, PyJWK]:
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
        # a secret key in this file would let its readers forge tokens
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
    # the whole name first: some providers use names with dots, such as https://example.com/roles
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
    value = _claim(claims, claim)
    # one text with spaces between is how OAuth sends scopes
    names: Iterable[Any] = value.split() if isinstance(value, str) else [] if value is None else value
    if not isinstance(names, list) or not all(isinstance(name, str) and _usable(name) for name in names):
        raise Unauthenticated(f'The token\'s claim "{claim}" must be a list of texts.')
    return frozenset(names)


def _usable(name: str) -> bool:
    return bool(name.strip()) and len(name) <= LONGEST_NAME and name.isprintable()
