"""Tokens as an extension: on they let in whom they name, off and forged ones open nothing."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from extensions.tokens.settings import CLAIMS, TokenSettings
from foundation.errors import InvalidSetting, UnknownSetting
from serving.cli.govern.erasure import stores_of
from serving.settings import load
from tests.doubles.issuer import AUDIENCE, ISSUER, Issuer
from tests.doubles.serving import World, world
from tests.doubles.stacks import stack
from tests.integration.test_api_access import EXTENSIONS, demand_closed, opened

TRUSTED = TokenSettings(jwks_file=Path("issuer.json"), issuer=ISSUER, audience=AUDIENCE)


@pytest.fixture
def issuer(tmp_path: Path) -> Issuer:
    issuer = Issuer(tmp_path / "issuer.json")
    issuer.publish("ec")
    return issuer


@pytest.fixture
def given(tmp_path: Path) -> World:
    return world(tmp_path, extensions=(*EXTENSIONS, "tokens"), sections={"tokens": TRUSTED})


async def test_c25_no_forged_token_opens_any_route(given: World, issuer: Issuer) -> None:
    head, claims, _ = issuer.token().split(".")
    nothing = base64.urlsafe_b64encode(b'{"alg":"none","kid":"ec"}').rstrip(b"=").decode()
    async for caller in opened(given):
        assert (await caller.call("GET /v1/usage", issuer.token())).status_code == 200
        for forged in (
            f"{head}.{claims}.", f"{nothing}.{claims}.", issuer.token(exp=1), issuer.token(aud="another"), issuer.token(tenant="*"),
        ):  # fmt: skip
            await demand_closed(caller, {"Authorization": f"Bearer {forged}"})


async def test_off_a_token_opens_nothing(tmp_path: Path, issuer: Issuer) -> None:
    async for caller in opened(world(tmp_path)):
        refused = await caller.api.get("/v1/usage", headers={"Authorization": f"Bearer {issuer.token()}"})
        assert (refused.status_code, "takes no tokens" in refused.text) == (401, True)


def test_the_file_of_the_issuers_keys_is_claimed_under_whatever_name(given: World) -> None:
    stores, _ = stores_of(given.system.settings)
    assert any(store.claims(Path("issuer.json")) for store in stores)


def test_a_claim_that_is_none_is_refused_and_others_lie_over_the_defaults(tmp_path: Path) -> None:
    def read(text: str) -> TokenSettings:
        return load(stack(tmp_path, text, extensions=["tokens"])).settings.section(TokenSettings)

    with pytest.raises(UnknownSetting, match=r'"tokens\.claims\.role".*Did you mean "roles"\?'):
        read('[tokens.claims]\nrole = "r"')
    with pytest.raises(InvalidSetting, match=r'"tokens\.claims\.roles" .* at least 1 character'):
        read('[tokens.claims]\nroles = ""')
    assert read('[tokens]\nclaims.roles = "realm_access.roles"').claims == {**CLAIMS, "roles": "realm_access.roles"}
