"""Whether the audit is whole: its chain against its heads, and against what other stores know."""

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from extensions.audit import log
from extensions.audit.log import Head, Verification
from extensions.audit.span_names import AUDIT_HEAD
from foundation.stores.sqlite_file import connect_to_read
from observability.stores import history
from observability.stores.spans import SpanStore


def verify_audit(data: Path, *, known: Head | None = None) -> Verification:
    """Verify the audit against its heads in spans and against other stores. Raises StoreUnavailable."""
    # before the chain is read, which may grow meanwhile
    carried = history.last_of(SpanStore(data / "spans.sqlite"), AUDIT_HEAD)
    witnesses = [Head.parse(str(head)) for head in carried.values()]
    result = log.verify(data / log.FILE, known=known, witnesses=witnesses)
    acts = sum(_count_rows(data / f"{store}.sqlite", store) for store in ("approvals", "effects"))
    if result.records or not acts:
        return result
    what = f"The audit is empty, and other stores know {acts} approvals and effects that it should tell of."
    return replace(result, problems=(*result.problems, log.Problem(1, "truncated", what)))


def _count_rows(path: Path, table: str) -> int:
    if not path.exists():
        return 0
    try:
        with closing(connect_to_read(path)) as database:
            return int(database.execute(f"SELECT count(*) FROM {table}").fetchone()[0])  # noqa: S608 - our own names
    except sqlite3.Error:
        return 0  # an unreadable store is no evidence


def sum_up(data: Path) -> Mapping[str, Any]:
    """Return what the system card says of the audit. Raises StoreUnavailable."""
    if not (data / log.FILE).is_file():
        return {"records": 0}
    verified = verify_audit(data)
    return {"records": verified.records, "whole": verified.ok, "head": str(verified.head)}
