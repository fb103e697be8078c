"""A person's own sign-in to an MCP server: a real one over HTTP with OAuth, the whole system before it, and a browser."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from contextlib import contextmanager
from html import unescape
from pathlib import Path

import httpx2
import pytest

from extensions.outside_tools.tokens import FILE, STORE, SignInStore
from foundation.clock import SystemClock
from foundation.extensions import find, installed
from foundation.stores.registry import Person
from foundation.types import Principal
from serving.access.identity import KeyStore
from serving.server import running
from serving.settings import load
from serving.wiring import System, open_system
from tests.doubles import mcp_with_sign_in, stacks

ADA, BEN = (Principal(name, "north", frozenset({"agent"})) for name in ("ada", "ben"))
ADDRESS = "https://desk.example"
TOOL = """
[[orchestration.tools]]
use = "mcp"
name = "mail"
url = "{url}"
sign_in_at = "{address}"
tokens_key_from = "SIGN_INS_KEY"
[orchestration.tools.tools.whose_mail]
effect = false
[orchestration.policy]
roles = {{ agent = ["mail_whose_mail"] }}
"""


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[str, mcp_with_sign_in.SigningIn]]:
    with mcp_with_sign_in.running() as made:
        yield made


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("SIGN_INS_KEY", "a long secret text")
    return "a long secret text"


@contextmanager
def opened(folder: Path, url: str, *extensions: str) -> Iterator[System]:
    path = stacks.stack(folder, TOOL.format(url=url, address=ADDRESS), extensions=["outside_tools", *extensions])
    with open_system(load(path)) as system:
        yield system


@contextmanager
def browser(base: str, key: str) -> Iterator[httpx2.Client]:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    with httpx2.Client(base_url=base, headers=headers, timeout=60, trust_env=False) as client:
        yield client


def come_back(client: httpx2.Client) -> str:
    """Begin, sign in over there, and come back; gives where the browser is then sent."""
    begun = client.get("/own/sign-ins/mail")
    assert begun.status_code == 303, begun.text
    there = httpx2.get(begun.headers["Location"], trust_env=False).headers["Location"]
    assert there.startswith(f"{ADDRESS}/sign-ins/back?")
    # as after a redirect of another site: without any credential
    page = httpx2.get(f"{client.base_url}{there.removeprefix(ADDRESS)}", trust_env=False)
    return unescape(re.search(r'url=([^"]+)', page.text)[1])  # type: ignore[index]


def call(system: System, person: Principal) -> str:
    given = {"principal": person, "run_id": person.subject, "thread_id": "t-1", "step": 1}
    return asyncio.run(system.parts.executor.call("mail_whose_mail", {}, **given)).content


def sign_in(folder: Path, url: str) -> None:
    with opened(folder, url) as system:
        keys = KeyStore.of(system.settings, SystemClock())
        made = [keys.create(subject=it.subject, tenant=it.tenant, roles=["agent"]) for it in (ADA, BEN)]
        with running(system) as base, browser(base, made[0]) as ada, browser(base, made[1]) as ben:
            ending = come_back(ada)
            other = ben.get(ending)
            assert (other.status_code, "begun no such sign-in" in other.text) == (422, True)
            assert "signed in to mail" in ada.get(ending).text
            assert ada.get(ending).status_code == 422, "once"
            assert "You are signed in to mail." in ada.get("/own/sign-ins/mail").text
            assert ada.get("/own/sign-ins/other").status_code == 404


def test_each_person_signs_in_and_has_tools_that_are_theirs_alone(
    tmp_path: Path, server: tuple[str, mcp_with_sign_in.SigningIn], key: str, caplog: pytest.LogCaptureFixture
) -> None:
    url, signing_in = server
    sign_in(tmp_path, url)
    assert f"Open {ADDRESS}/own/sign-ins/mail" in caplog.text
    for file in (tmp_path / "var").glob(f"{FILE}*"):
        assert not any(token.encode() in file.read_bytes() for token in (*signing_in.tokens, *signing_in.refreshes))
    with opened(tmp_path, url) as system:
        assert call(system, ADA) == "The mail of ada."
        refused = call(system, BEN)
        assert "wants the person's own sign-in" in refused
        assert f"{ADDRESS}/own/sign-ins/mail" in refused
        # what has run out is renewed, without the person
        store = SignInStore(tmp_path / "var", f"mail {url}", key)
        store.put(ADA, {**store.get(ADA), "ends": 1.0})
    signing_in.tokens.clear()
    with opened(tmp_path, url) as system:
        assert call(system, ADA) == "The mail of ada."
        signing_in.revoke_all()
        assert "own sign-in" in call(system, ADA)
        assert "own sign-in" in call(system, ADA)
    assert store.get(ADA) == {}


def test_a_sign_in_is_erased_with_its_person_and_is_nothing_with_another_key(tmp_path: Path) -> None:
    store = SignInStore(tmp_path, "mail", "one")
    store.put(ADA, {"tokens": {}})
    assert SignInStore(tmp_path, "mail", "another").get(ADA) == {}
    assert SignInStore(tmp_path, "calendar", "one").get(ADA) == {}
    assert store.get(BEN) == {}
    assert STORE.erase_now(tmp_path, Person(tenant="north", subject="ada")) == 1
    assert store.get(ADA) == {}


if "page" in installed():

    def test_the_page_brings_its_person_by_the_cookie(
        tmp_path: Path, server: tuple[str, mcp_with_sign_in.SigningIn], key: str
    ) -> None:
        with opened(tmp_path, server[0], "page", *find("page").requires) as system:
            made = KeyStore.of(system.settings, SystemClock()).create(subject="ada", tenant="north", roles=["agent"])
            with running(system) as base, browser(base, "") as client:
                assert client.get("/own/sign-ins/mail").status_code == 401
                client.post("/sign-in", data={"key": made})
                assert "signed in to mail" in client.get(come_back(client)).text


@pytest.mark.parametrize("lacks", ['url = "{url}"', 'tokens_key_from = "SIGN_INS_KEY"'])
def test_what_a_sign_in_needs_is_told_at_the_start(tmp_path: Path, lacks: str, key: str) -> None:
    text = TOOL.replace(lacks, 'command = ["x"]' if "url" in lacks else "").format(
        url="http://127.0.0.1:9/mcp", address=ADDRESS
    )
    path = stacks.stack(tmp_path, text, extensions=["outside_tools"])
    with pytest.raises(Exception, match="has sign_in_at, and lacks"), open_system(load(path)):
        pass
