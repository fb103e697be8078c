"""With redaction on, personal data reach neither the log nor a stored note nor a span with content; without it, they do."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from opentelemetry import trace

from extensions.feedback.store import Outcome, OutcomeStore
from foundation import names
from foundation.settings import LoggingSettings
from observability.telemetry import logs
from serving.settings import load
from serving.wiring import open_system
from tests.doubles import stacks

WRITTEN = "write to ada@example.org"
CONTENT_ON = "[observability]\ncapture_content = true\n"
AT = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """What this process logs; its handlers are put back afterwards."""
    root = logging.getLogger()
    loggers = [root, *map(logging.getLogger, logs.OURS)]
    handlers, levels = root.handlers[:], [logger.level for logger in loggers]
    root.handlers.clear()  # so that setting up closes none of them
    written = io.StringIO()
    logs.set_up(LoggingSettings(), written)
    yield written
    root.handlers[:] = handlers
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


@pytest.mark.parametrize("on", [True, False])
def test_personal_data_are_kept_only_while_it_is_off(tmp_path: Path, log: io.StringIO, on: bool) -> None:
    stack = stacks.stack(tmp_path, CONTENT_ON, extensions=["feedback", *["redaction"] * on])
    with open_system(load(stack)) as system:
        logging.getLogger("some.library").warning("to %s", WRITTEN)
        note = system.hooks.service(OutcomeStore).record(Outcome("a-1", "rejected", AT, note=WRITTEN)).note
        trace.get_tracer("someone's").start_span("chat", attributes={names.CONTENT[0]: WRITTEN}).end()
        system.observability.telemetry.flush()
        spans = str([span.attributes for span in system.observability.spans.recent(10)])
    expected = "write to [EMAIL]" if on else WRITTEN
    assert note == expected
    assert expected in log.getvalue()
    assert expected in spans
    assert ("ada@example.org" in note + log.getvalue() + spans) is not on


def test_the_log_of_a_process_is_as_before_once_the_system_is_closed(tmp_path: Path, log: io.StringIO) -> None:
    with open_system(load(stacks.stack(tmp_path, extensions=["redaction"]))):
        pass
    logging.getLogger("some.library").warning("to %s", WRITTEN)
    assert WRITTEN in log.getvalue()


def test_a_key_is_masked_before_another_finding_could_cut_it(tmp_path: Path, log: io.StringIO) -> None:
    with open_system(load(stacks.stack(tmp_path, extensions=["redaction"]))):
        logging.getLogger("some.library").warning("postgresql://ada:s3cret@mail.example.org/x")
    assert "s3cret" not in log.getvalue()
