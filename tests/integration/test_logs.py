"""The log of a server: which request, trace and tenant a line belongs to, and nothing of what was said."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from foundation.settings import LoggingSettings
from observability.telemetry import logs
from observability.telemetry.logs import FIELDS, of_request, set_up
from serving.access.identity import KeyStore
from serving.server import running
from serving.settings import load
from serving.wiring import System, open_system
from tests.doubles import stacks


@pytest.fixture
def out() -> Iterator[io.StringIO]:
    """What is logged; the log of the test run is put back afterwards."""
    root = logging.getLogger()
    loggers = [root, *map(logging.getLogger, logs.OURS)]
    before = [one.level for one in loggers], root.handlers[:]
    root.handlers.clear()  # so that setting up closes none of them
    written = io.StringIO()
    yield written
    root.handlers[:] = before[1]
    for one, level in zip(loggers, before[0], strict=True):
        one.setLevel(level)


def lines(out: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    with open_system(load(stacks.stack(tmp_path, "[serving.http]\nport = 0\n"))) as opened:
        yield opened


def test_each_request_is_a_line_with_its_id_trace_and_tenant_and_without_what_was_said(
    out: io.StringIO, system: System
) -> None:
    set_up(LoggingSettings(), out)
    key = KeyStore.of(system.settings, system.context.clock).create(subject="ada", tenant="north", roles=["reader"])
    headers = {"Authorization": f"Bearer {key}", "X-Request-Id": "mine-1"}
    with running(system) as url, httpx2.Client(base_url=url, timeout=60) as caller:
        given = caller.post("/v1/search", json={"query": "my card 4111 1111 1111 1111"}, headers=headers)
        assert caller.get("/v1/documents/secret-name", headers={"Authorization": f"Bearer {key}"}).status_code == 404
        assert caller.get("/v1/documents").status_code == 401
        assert caller.get("/health/live").status_code == 200
    found, missing, refused = (one for one in lines(out) if one["message"] == "request")
    assert (found["method"], found["route"], found["status"]) == ("POST", "/v1/search", 200)
    assert (found["request_id"], found["tenant"], found["level"]) == ("mine-1", "north", "info")
    assert found["trace_id"] == given.json()["trace_id"]
    assert found["ms"] > 0
    assert (missing["route"], missing["status"]) == ("/v1/documents/{document_id}", 404)
    assert missing["trace_id"] not in (None, found["trace_id"])
    assert (refused["status"], "tenant" in refused, "trace_id" in refused) == (401, False, True)
    for secret in ("4111 1111", "my card", "secret-name", key):
        assert secret not in out.getvalue()


def fail() -> None:
    """Log an error whose text and whose cause's text tell of somebody."""

    def failing() -> None:
        try:
            int("Ada lives at 5 Oak Street")
        except ValueError as error:
            raise RuntimeError("so it said Ada") from error

    try:
        failing()
    except RuntimeError:
        with of_request("r-1"):
            logging.getLogger("sixply.serving").exception("request %s failed", "r-1")


def test_an_error_is_its_class_and_its_place_and_never_its_text(out: io.StringIO) -> None:
    set_up(LoggingSettings(), out)
    fail()
    [line] = lines(out)
    assert (line["error"], line["cause"], line["request_id"]) == ("RuntimeError", "ValueError", "r-1")
    assert [place.rpartition(" ")[2] for place in line["where"]] == ["fail", "failing"]
    assert "Ada" not in out.getvalue()


def test_keys_in_a_message_are_masked_and_a_line_is_one_line(out: io.StringIO) -> None:
    set_up(LoggingSettings(), out)
    key = "sk-" + "a1B2" * 6
    logging.getLogger("some.library").warning("sent with %s\nas asked \u2028", key)
    logging.getLogger("retrieval.ingest").info("done", extra={FIELDS: {"documents": 3}})
    first, second = lines(out)
    assert key not in first["message"]
    assert "sent with" in first["message"]
    assert (second["documents"], second["logger"]) == (3, "retrieval.ingest")
    assert "request_id" not in second


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (LoggingSettings(level="warning"), ["ours warns", "theirs warns"]),
        (LoggingSettings(level="debug"), ["ours whispers", "ours", "ours warns", "theirs warns"]),
    ],
)
def test_ours_are_logged_from_the_configured_level_on_and_others_warnings(
    settings: LoggingSettings, expected: list[str], out: io.StringIO
) -> None:
    set_up(settings, out)
    ours, theirs = logging.getLogger("serving.server"), logging.getLogger("httpx")
    ours.debug("ours whispers")
    ours.info("ours")
    ours.warning("ours warns")
    theirs.info("theirs")
    theirs.warning("theirs warns")
    assert [one["message"] for one in lines(out)] == expected
