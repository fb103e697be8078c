"""The server's log: one JSON object per line, with the request, trace and tenant that it belongs to."""

import json
import logging
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import IO, Any

from foundation.output.credentials import mask_text
from foundation.settings import LoggingSettings
from foundation.tracing import trace_id

OURS = ("sixply", "foundation", "models", "retrieval", "orchestration", "observability", "serving", "extensions")
# Key of `extra` for further fields of a line: `log.info("...", extra={FIELDS: {...}})`
FIELDS = "fields"

_request: ContextVar[dict[str, str] | None] = ContextVar("request", default=None)


@contextmanager
def of_request(request_id: str) -> Iterator[None]:
    """Add `request_id` to everything logged inside."""
    token = _request.set({"request_id": request_id})
    try:
        yield
    finally:
        _request.reset(token)


def belongs_to(tenant: str) -> None:
    """Add the caller's tenant to the log of the current request."""
    fields = _request.get()
    if fields is not None:
        fields["tenant"] = tenant


class JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": mask_text(record.getMessage()),
        }
        if trace := trace_id():
            line["trace_id"] = trace
        line |= _request.get() or {}
        extra: Mapping[str, Any] = getattr(record, FIELDS, {})
        line |= extra
        if record.exc_info and record.exc_info[1]:
            line |= _error(record.exc_info[1])
        return json.dumps(line, ensure_ascii=True, default=str)


def _error(error: BaseException) -> dict[str, Any]:
    # the class and the lines of code alone: the text of an error may quote a person
    frames = traceback.extract_tb(error.__traceback__)
    return {
        "error": type(error).__name__,
        "cause": type(error.__cause__).__name__ if error.__cause__ else None,
        "where": [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames],
    }


def set_up(settings: LoggingSettings, out: IO[str] | None = None) -> None:
    """Send all logs of this process to standard error: ours from the configured level, others' from warnings on."""
    handler = logging.StreamHandler(out or sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    for name in OURS:
        logging.getLogger(name).setLevel(settings.level.upper())
