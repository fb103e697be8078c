"""What a person is told when the model's provider fails: the whole system over HTTP, a provider over HTTP that fails on
command. B10 to B15 and B17 of the fault matrix; the wrapper alone is tested in tests/unit/models/test_resilience.py.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from models.resilience import attempts
from serving.access.identity import KeyStore
from serving.server import running
from serving.settings import load
from serving.wiring import System, open_system
from tests.doubles import stacks
from tests.doubles.provider import Behaviour, FaultyProvider, cut, garbage, hang, ok, reset, stall, status

CHAT = """
use = "openai_compatible"
model = "gpt-4o-mini"
provider = "openai"
base_url = "{provider}/v1"
"""
MORE = """
[models.resilience]
{limits}
[orchestration.agent]
{agent}
writes = true
[[orchestration.tools]]
use = "tests.doubles.desk:build"
[orchestration.policy.roles]
agent = ["find_order", "refund"]
[serving.http]
port = 0
grace_s = 4
"""
FALLBACK = """
[[models.fallbacks]]
use = "openai_compatible"
model = "gpt-4o"
provider = "openai"
base_url = "{provider}/v1"
"""
FACT = "The moon lamp runs for nine hours."
QUESTION = "How long does the moon lamp run?"
PATIENCE_S = 60.0


def until(holds: Callable[[], bool]) -> None:
    """Wait for something that must come; the limit only keeps a failure from hanging."""
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.01)


@dataclass
class Desk:
    """A running server, somebody who asks it, and the providers that it depends on."""

    system: System
    caller: httpx2.Client
    provider: FaultyProvider

    def ask(self, question: str = QUESTION, compose: str = "generative", **more: Any) -> httpx2.Response:
        return self.caller.post("/v1/answers", json={"question": question, "compose": compose, **more})

    def last_event(self) -> dict[str, Any]:
        asked = {"question": QUESTION, "compose": "generative"}
        response = self.caller.post("/v1/answers", json=asked, headers={"Accept": "text/event-stream"})
        lines = [line for line in response.text.splitlines() if line.startswith("data: ")]
        return dict(json.loads(lines[-1].removeprefix("data: ")))

    def ask_and_keep_the_socket(self, accept: str) -> socket.socket:
        body = json.dumps({"question": QUESTION, "compose": "generative"})
        url = self.caller.base_url
        connection = socket.create_connection((url.host, url.port or 0), timeout=PATIENCE_S)
        connection.sendall(
            f"POST /v1/answers HTTP/1.1\r\nHost: {url.host}\r\nAccept: {accept}\r\nContent-Type: application/json\r\n"
            f"Authorization: {self.caller.headers['authorization']}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
        )
        return connection

    def charged(self) -> list[Any]:
        return [row for row in self.system.observability.costs.all() if row.kind == "chat"]


Open = Callable[..., Desk]


@pytest.fixture
def open_desk(tmp_path: Path) -> Iterator[Open]:
    with ExitStack() as opened:

        def open_(
            *behaviours: Behaviour,
            limits: str = "",
            agent: str = 'use = "quoting"',
            extensions: Sequence[str] = (),
            fallback: Behaviour | None = None,
        ) -> Desk:
            provider = opened.enter_context(FaultyProvider(*behaviours))
            second = opened.enter_context(FaultyProvider(fallback)) if fallback else None
            chat = CHAT.format(provider=provider.url) + (FALLBACK.format(provider=second.url) if second else "")
            stack = stacks.stack(tmp_path, MORE.format(limits=limits, agent=agent), chat=chat, extensions=extensions)
            system = opened.enter_context(open_system(load(stack)))
            keys = KeyStore.of(system.settings, system.context.clock)
            key = keys.create(subject="ada", tenant="north", roles=("agent",))
            url = opened.enter_context(running(system))
            headers = {"Authorization": f"Bearer {key}"}
            caller = opened.enter_context(httpx2.Client(base_url=url, headers=headers, timeout=PATIENCE_S))
            added = caller.post("/v1/documents", files={"file": ("moon.md", f"# Moon lamp\n\n{FACT}\n".encode())})
            assert added.status_code == 201, added.text
            return Desk(system, caller, provider)

        yield open_


def problem(response: httpx2.Response, status: int, code: str) -> dict[str, Any]:
    assert (response.status_code, response.json()["code"]) == (status, code), response.text
    return dict(response.json())


# -- B10: asked to slow down -------------------------------------------------------------------------------------------


def test_asked_to_wait_a_moment_we_wait_and_the_person_gets_an_answer(open_desk: Open) -> None:
    desk = open_desk(status(429, {"Retry-After": "0"}), ok(f"{FACT} [1]"))
    answer = desk.ask().json()
    assert (answer["status"], answer["path"], answer["degraded"]) == ("answered", "generative", [])
    assert len(desk.provider.requests) == 2
    assert len(desk.charged()) == 1


def test_asked_to_wait_for_long_the_person_is_told_for_how_long_and_can_ask_again(open_desk: Open) -> None:
    desk = open_desk(ok(f"{FACT} [1]"), status(429, {"Retry-After": "60"}), ok(f"{FACT} [1]"))
    thread_id = desk.ask().json()["thread_id"]
    question = "How many hours does the moon lamp run?"
    limited = desk.ask(question, thread_id=thread_id)
    told = problem(limited, 503, "upstream_limited")
    assert (limited.headers["retry-after"], told["retryable"]) == ("60", True)
    assert len(desk.provider.requests) == 2
    assert desk.ask(question, thread_id=thread_id).json()["status"] == "answered"


# -- B11: down ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [status(500), reset()], ids=["500", "reset"])
def test_a_provider_that_is_down_is_left_alone_while_search_and_quotes_go_on(
    fault: Behaviour, open_desk: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempts, "BREAKER_FAILURES", 2)
    desk = open_desk(fault, limits="attempts = 2")
    assert problem(desk.ask(), 503, "upstream_down")["retryable"]
    assert len(desk.provider.requests) == 2
    spared = desk.ask()
    problem(spared, 503, "upstream_down")
    assert int(spared.headers["retry-after"]) >= 1
    found = desk.caller.post("/v1/search", json={"query": QUESTION})
    assert found.json()["hits"]
    quoted = desk.ask(compose="auto").json()
    assert (quoted["status"], quoted["path"]) == ("answered", "extractive")
    assert FACT in quoted["text"]
    assert quoted["degraded"] == ["language model unavailable: upstream_down"]
    assert len(desk.provider.requests) == 2
    assert desk.charged() == []


def test_the_fallback_model_answers_and_the_answer_says_so(open_desk: Open) -> None:
    desk = open_desk(status(500), fallback=ok(f"{FACT} [1]"), limits="attempts = 1")
    answer = desk.ask().json()
    assert answer["path"] == "generative"
    assert answer["degraded"] == ["answered by the fallback model gpt-4o"]
    assert [row.model for row in desk.charged()] == ["gpt-4o"]


# -- B12, B13: silence -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "limit"), [(hang(), "first_token_s = 1"), (stall("The moon"), "gap_s = 1"), (hang(), "timeout_s = 1")]
)  # fmt: skip
def test_a_provider_that_falls_silent_is_left_and_the_person_told(
    fault: Behaviour, limit: str, open_desk: Open
) -> None:
    desk = open_desk(fault, limits=limit)
    assert problem(desk.ask(), 504, "upstream_timeout")["retryable"]
    assert desk.provider.left.wait(PATIENCE_S)
    last = desk.last_event()
    assert (last["kind"], last["code"], last["retryable"]) == ("error", "upstream_timeout", True)


# -- B14: nonsense -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [garbage(), garbage(b"\xff\xfe\x00", "text/event-stream"), garbage(b"data: {not json\n\n", "text/event-stream")],
    ids=["page", "bytes", "event"],
)
def test_a_reply_that_is_none_is_an_error_of_the_provider(fault: Behaviour, open_desk: Open) -> None:
    desk = open_desk(fault, limits="attempts = 1")
    assert problem(desk.ask(), 503, "upstream_malformed")["retryable"]


# -- B15: cut off ------------------------------------------------------------------------------------------------------


def test_where_not_even_a_sentence_came_it_is_an_error_that_says_to_try_again(open_desk: Open) -> None:
    desk = open_desk(cut(FACT))
    last = desk.last_event()
    assert (last["kind"], last["code"], last["retryable"]) == ("error", "upstream_down", True)


def test_where_quoting_may_take_over_it_does(open_desk: Open) -> None:
    desk = open_desk(cut(f"{FACT} [1] It also glows in the", events=9))
    answer = desk.ask(compose="auto").json()
    assert (answer["path"], answer["stop_reason"]) == ("extractive", "complete")
    assert answer["degraded"] == ["language model unavailable: upstream_down"]


# -- B17: the caller leaves --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("accept", ["application/json", "text/event-stream"])
@pytest.mark.parametrize("fault", [hang(), stall("The moon lamp")], ids=["before", "in the middle"])
def test_a_caller_who_leaves_ends_the_call_of_the_provider_which_is_paid_for(
    fault: Behaviour, accept: str, open_desk: Open
) -> None:
    desk = open_desk(fault)
    leaving = desk.ask_and_keep_the_socket(accept)
    until(lambda: len(desk.provider.requests) == 1)
    leaving.close()
    assert desk.provider.left.wait(PATIENCE_S)
    until(lambda: len(desk.charged()) == 1)
    assert "estimated" in desk.charged()[0].basis
    assert desk.ask(compose="extractive").json()["status"] == "answered"
