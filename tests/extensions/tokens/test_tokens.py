"""Signed tokens: who gets in by one, and what a forged, old or foreign one is told."""

import base64
import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization

from extensions.tokens import verifier
from extensions.tokens.settings import TokenSettings
from extensions.tokens.verifier import TokenVerifier
from foundation.clock import Clock, SystemClock
from foundation.errors import ConfigurationError, InvalidSetting, StoreUnavailable, Unauthenticated
from orchestration.settings import PolicySettings
from serving.access.identity import KeyStore
from serving.cli.doctor import check_start
from serving.settings import load
from tests.doubles.issuer import AUDIENCE, ISSUER, Issuer
from tests.doubles.orchestration import SetClock
from tests.doubles.stacks import stack


@pytest.fixture
def issuer(tmp_path: Path) -> Issuer:
    issuer = Issuer(tmp_path / "jwks.json")
    issuer.publish("ec")
    return issuer


def callers_of(folder: Path, clock: Clock = SystemClock(), **changes: Any) -> KeyStore:  # noqa: B008 - it holds nothing
    given = {"jwks_file": Path("jwks.json"), "issuer": ISSUER, "audience": AUDIENCE} | changes
    settings, keys = TokenSettings(**given), folder / "keys.json"
    if settings.jwks_file is None:
        return KeyStore(keys, clock)
    policy = PolicySettings(roles={"clerk": ()})
    return KeyStore(keys, clock, TokenVerifier(folder / settings.jwks_file, settings, policy, clock))


@pytest.fixture
def callers(issuer: Issuer) -> KeyStore:
    return callers_of(issuer.path.parent)


def test_a_token_gives_exactly_the_caller_of_its_claims(callers: KeyStore, issuer: Issuer) -> None:
    caller = callers.authenticate(f"Bearer {issuer.token(roles=['reader', 'clerk'])}")
    assert (caller.subject, caller.tenant) == ("ada", "north")
    assert (caller.roles, caller.groups) == ({"reader", "clerk"}, {"board"})


def test_a_key_works_beside_tokens_and_tokens_do_not_work_where_none_are_configured(
    callers: KeyStore, issuer: Issuer
) -> None:
    folder = issuer.path.parent
    key = KeyStore(folder / "keys.json", SystemClock()).create(subject="bo", tenant="north", roles=["reader"])
    assert callers.authenticate(f"Bearer {key}").subject == "bo"
    without = callers_of(folder, jwks_file=None)
    assert (callers.tokens is not None, without.tokens is not None) == (True, False)  # whether the page asks for one
    with pytest.raises(Unauthenticated, match="takes no tokens"):
        without.authenticate(f"Bearer {issuer.token()}")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"exp": int(time.time()) - 120}, "has expired"),
        ({"nbf": int(time.time()) + 86400}, "not valid yet"),
        ({"iat": int(time.time()) + 86400}, "not valid yet"),
        ({"iss": "https://elsewhere.example"}, "not from the issuer"),
        ({"aud": "another-service"}, 'not for the audience "sixply"'),
        ({"exp": None}, 'no claim "exp"'),
        ({"iss": None}, 'no claim "iss"'),
        ({"aud": None}, 'no claim "aud"'),
        ({"exp": "tomorrow"}, "cannot be read"),
        ({"sub": None}, 'claim "sub" must be a text'),
        ({"tenant": None}, 'claim "tenant" must be a text'),
        ({"tenant": ["north"]}, 'claim "tenant" must be a text'),
        ({"tenant": "no\nrth"}, 'claim "tenant" must be a text'),
        ({"tenant": "*"}, "no credential can carry"),
        ({"roles": None}, 'no role in its claim "roles"'),
        ({"roles": []}, 'no role in its claim "roles"'),
        ({"roles": {"reader": True}}, "must be a list of texts"),
        ({"roles": ["reader", 7]}, "must be a list of texts"),
        ({"roles": ["reader", "oprator"]}, 'the role "oprator".*Did you mean "operator"'),
        ({"groups": [""]}, 'claim "groups" must be a list'),
    ],
)
def test_a_token_that_does_not_fit_is_refused_with_the_reason(
    callers: KeyStore, issuer: Issuer, changes: dict, says: str
) -> None:
    with pytest.raises(Unauthenticated, match=says):
        callers.authenticate(f"Bearer {issuer.token(**changes)}")


def test_clocks_may_differ_by_the_leeway(callers: KeyStore, issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    late = issuer.token(exp=int(time.time()) - 60)
    monkeypatch.setattr(verifier, "LEEWAY_S", 600)
    assert callers.authenticate(f"Bearer {late}").subject == "ada"
    monkeypatch.setattr(verifier, "LEEWAY_S", 0)
    with pytest.raises(Unauthenticated, match="expired"):
        callers.authenticate(f"Bearer {late}")


def unsigned(header: dict, claims: dict) -> str:
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in (header, claims)]
    return ".".join([*parts, ""])


def test_a_token_without_a_signature_is_refused(callers: KeyStore, issuer: Issuer) -> None:
    claims = jwt.decode(issuer.token(), options={"verify_signature": False})
    for algorithm in ("none", "None", "NONE"):
        forged = unsigned({"alg": algorithm, "kid": "ec"}, claims)
        with pytest.raises(Unauthenticated, match="not signed by the algorithm"):
            callers.authenticate(f"Bearer {forged}")


def test_the_public_key_is_no_secret_to_sign_with(issuer: Issuer) -> None:
    """The classic confusion: HS256 with the public key, which everybody has, as its secret."""
    issuer.add_rsa("rsa")
    issuer.publish("rsa")
    pem = issuer.private["rsa"].public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )  # fmt: skip
    claims = jwt.decode(issuer.token("rsa"), options={"verify_signature": False})
    signer = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
    body = unsigned({"alg": "HS256", "kid": "rsa"}, claims).rpartition(".")[0]
    forged = f"{body}.{base64.urlsafe_b64encode(signer.sign(body.encode(), pem)).rstrip(b'=').decode()}"
    callers = callers_of(issuer.path.parent)
    assert callers.authenticate(f"Bearer {issuer.token('rsa')}").subject == "ada"
    with pytest.raises(Unauthenticated, match="not signed by the algorithm of the key that it names, RS256"):
        callers.authenticate(f"Bearer {forged}")


def test_another_key_under_a_known_name_and_a_changed_claim_are_refused(callers: KeyStore, issuer: Issuer) -> None:
    issuer.add_ec("other")
    with pytest.raises(Unauthenticated, match="signature is wrong"):
        callers.authenticate(f"Bearer {issuer.token('other', header={'kid': 'ec'})}")
    head, _, tail = issuer.token().split(".")
    body = issuer.token(tenant="south").split(".")[1]
    with pytest.raises(Unauthenticated, match="signature is wrong"):
        callers.authenticate(f"Bearer {head}.{body}.{tail}")


DEEP = base64.urlsafe_b64encode(b"[" * 9000).decode()


@pytest.mark.parametrize("token", ["a.b.c", "..", "eyJ.e30.", "\udc80.\udc80.\udc80", f"{DEEP}.e30."])
def test_what_is_no_token_at_all_is_refused(callers: KeyStore, token: str) -> None:
    with pytest.raises(Unauthenticated, match="cannot be read"):
        callers.authenticate(f"Bearer {token}")


def test_a_key_that_the_token_brings_along_is_never_used(callers: KeyStore, issuer: Issuer) -> None:
    issuer.add_ec("mine")
    brought = {"jwk": issuer.public("mine"), "jku": "https://evil.example/jwks.json", "kid": "mine"}
    with pytest.raises(Unauthenticated, match="names no key"):
        callers.authenticate(f"Bearer {issuer.token('mine', header=brought)}")
    with pytest.raises(Unauthenticated, match="cannot be read"):
        callers.authenticate(f"Bearer {issuer.token(header={'crit': ['unheard-of'], 'unheard-of': 1})}")


def test_keys_are_rotated_by_saving_the_file_anew(callers: KeyStore, issuer: Issuer) -> None:
    old = issuer.token()
    issuer.add_ec("next")
    with pytest.raises(Unauthenticated, match="names no key"):
        callers.authenticate(f"Bearer {issuer.token('next')}")
    issuer.publish("ec", "next")
    for token in (old, issuer.token("next")):
        assert callers.authenticate(f"Bearer {token}").subject == "ada"
    issuer.publish("next")
    with pytest.raises(Unauthenticated, match="names no key"):
        callers.authenticate(f"Bearer {old}")


def test_an_algorithm_that_is_not_configured_is_refused(issuer: Issuer) -> None:
    callers = callers_of(issuer.path.parent, algorithms=("RS256",))
    with pytest.raises(Unauthenticated, match="for ES256; here are taken: RS256"):
        callers.authenticate(f"Bearer {issuer.token()}")


def test_claims_have_the_configured_names_or_the_paths_to_them(issuer: Issuer) -> None:
    callers = callers_of(
        issuer.path.parent, claims={"subject": "email", "tenant": "https://double.example/org",
        "roles": "realm_access.roles", "groups": "scope"},
    )  # fmt: skip
    token = issuer.token(
        sub=None, tenant=None, roles=None, groups=None, email="ada@double.example", scope="board finance",
        realm_access={"roles": ["agent"]}, **{"https://double.example/org": "north"},
    )  # fmt: skip
    caller = callers.authenticate(f"Bearer {token}")
    assert (caller.subject, caller.tenant) == ("ada@double.example", "north")
    assert (caller.roles, caller.groups) == ({"agent"}, {"board", "finance"})


def test_only_a_file_of_public_signature_keys_lets_the_server_start(issuer: Issuer) -> None:
    callers, public = callers_of(issuer.path.parent), issuer.public("ec")
    callers.demand_any()
    issuer.add_rsa("short", bits=1024)
    private = {**public, "d": "AAAA"}
    for document, says in (
        ([], "TypeError"),
        ({}, "KeyError"),
        ({"keys": ["x"]}, "must be an object"),
        ({"keys": []}, "no key for signatures"),
        ({"keys": [{**public, "use": "enc"}]}, "no key for signatures"),
        ({"keys": [{**public, "kid": None}]}, "needs a kid of its own"),
        ({"keys": [public, public]}, "needs a kid of its own; found 'ec'"),
        ({"keys": [{"kty": "oct", "k": "c2VjcmV0", "kid": "s"}]}, '"s" is secret'),
        ({"keys": [private]}, '"ec" is secret'),
        ({"keys": [{**public, "crv": "P-0"}]}, '"ec" cannot be used'),
        ({"keys": [issuer.public("short")]}, "has 1024 bits; RSA needs 2048"),
    ):
        issuer.write(document)
        with pytest.raises(ConfigurationError, match=says):
            callers.demand_any()
    issuer.path.unlink()
    with pytest.raises(ConfigurationError, match="jwks_uri"):
        callers.demand_any()


def test_a_file_that_breaks_while_serving_is_503_and_keys_still_work(callers: KeyStore, issuer: Issuer) -> None:
    keys = KeyStore(issuer.path.with_name("keys.json"), SystemClock())
    key = keys.create(subject="bo", tenant="north", roles=["reader"])
    issuer.path.write_text("{")
    with pytest.raises(StoreUnavailable, match="cannot be checked now") as refused:
        callers.authenticate(f"Bearer {issuer.token()}")
    assert str(issuer.path) not in str(refused.value)
    assert callers.authenticate(f"Bearer {key}").subject == "bo"
    issuer.publish("ec")
    assert callers.authenticate(f"Bearer {issuer.token()}").subject == "ada"


def test_a_file_without_an_issuer_and_an_audience_is_refused_in_the_configuration(tmp_path: Path) -> None:
    stack = tmp_path / "stack.toml"
    stack.write_text('extensions = ["tokens"]\n[tokens]\njwks_file = "jwks.json"\nissuer = "https://issuer.example"\n')
    with pytest.raises(InvalidSetting, match="need an issuer and an audience"):
        load(stack)


def test_work_of_a_token_goes_on_until_it_expires_or_its_key_is_withdrawn(issuer: Issuer) -> None:
    clock = SetClock(datetime.now(UTC))
    callers = callers_of(issuer.path.parent, clock)
    caller = callers.authenticate(f"Bearer {issuer.token()}")
    assert callers.recheck(caller) == caller
    content = issuer.path.read_text()
    issuer.path.write_text("{")
    with pytest.raises(StoreUnavailable):
        callers.recheck(caller)
    issuer.add_rsa("other")
    issuer.publish("other")
    with pytest.raises(Unauthenticated, match="no longer valid"):
        callers.recheck(caller)
    issuer.path.write_text(content)
    assert callers.recheck(caller) == caller
    clock.forward(hours=1)
    with pytest.raises(Unauthenticated, match="has expired"):
        callers.recheck(caller)


def test_a_token_that_has_expired_stays_so_when_the_clock_is_set_back(issuer: Issuer) -> None:
    """The issuer's library looks at the machine's clock, which here is the one that was set back."""
    clock = SetClock(datetime.now(UTC))
    callers = callers_of(issuer.path.parent, clock)
    token = issuer.token(exp=int(time.time()) + 1800)
    caller = callers.authenticate(f"Bearer {token}")
    clock.forward(hours=1)
    clock.off = -timedelta(hours=1)
    for check in (lambda: callers.recheck(caller), lambda: callers.authenticate(f"Bearer {token}")):
        with pytest.raises(Unauthenticated, match="has expired"):
            check()


def test_a_clock_that_is_ahead_for_a_moment_ends_a_token_for_that_moment_only(issuer: Issuer) -> None:
    clock = SetClock(datetime.now(UTC))
    callers = callers_of(issuer.path.parent, clock)
    caller = callers.authenticate(f"Bearer {issuer.token()}")
    clock.off = timedelta(days=1)
    with pytest.raises(Unauthenticated, match="has expired"):
        callers.recheck(caller)
    clock.off = timedelta()
    assert callers.recheck(caller) == caller


def test_doctor_finds_that_the_file_of_keys_is_missing(tmp_path: Path) -> None:
    loaded = load(
        stack(tmp_path, '[tokens]\njwks_file = "none.json"\nissuer = "i"\naudience = "a"\n', extensions=["tokens"])
    )
    with pytest.raises(ConfigurationError, match=r"no file .*none\.json \(\[tokens\] jwks_file\)\. Save"):
        check_start(loaded)
