"""`sixply audit-verify`: check that the audit is complete and unchanged."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from foundation import names
from foundation.stores.sqlite_file import connect_to_read
from serving.cli import terminal
from serving.cli.options import STACK, Json, Stack, exit_unless, load_stack

if TYPE_CHECKING:
    from orchestration.effects.audit import Head, Verification


def audit_verify(
    *,
    head: Annotated[str | None, typer.Option(help="A head kept elsewhere, as count:hash.")] = None,
    json: Json = None,
    stack: Stack = STACK,
) -> None:
    """Is the audit whole? Finds an edited, dropped or reordered record."""
    from orchestration.effects import audit

    result = verify_audit(
        load_stack(stack).settings.foundation.data_dir, known=audit.Head.parse(head) if head else None
    )
    if not terminal.write_json(json, result.as_dict()):
        if result.problems:
            terminal.show_rows(result.problems, "record | problem | what it says", "{.number} | {.kind} | {.what}")
        terminal.show(f"{result.records} records, {'whole' if result.ok else 'NOT whole'}. Head: {result.head}")
        if later := result.after_the_kept_head:
            terminal.show(f"{later} of them came after the kept head; a crash leaves one, an intruder more.")
        terminal.show(
            "[dim]A rewritten chain with every copy of its head is not noticed. Keep a head elsewhere, and compare: "
            "make audit-verify HEAD=count:hash[/]"
        )
    exit_unless(ok=result.ok)


def verify_audit(data: Path, *, known: Head | None = None) -> Verification:
    """Verify the audit against its heads in spans and against other stores. Raises StoreUnavailable."""
    from observability.stores import history
    from observability.stores.spans import SpanStore
    from orchestration.effects import audit

    # before the chain is read, which may grow meanwhile
    carried = history.last_of(SpanStore(data / "spans.sqlite"), names.AUDIT_HEAD)
    witnesses = [audit.Head.parse(str(head)) for head in carried.values()]
    result = audit.verify(data / "audit.sqlite", known=known, witnesses=witnesses)
    acts = sum(_count_rows(data / f"{store}.sqlite", store) for store in ("approvals", "effects"))
    if result.records or not acts:
        return result
    what = f"The audit is empty, and other stores know {acts} approvals and effects that it should tell of."
    return replace(result, problems=(*result.problems, audit.Problem(1, "truncated", what)))


def _count_rows(path: Path, table: str) -> int:
    if not path.exists():
        return 0
    try:
        with closing(connect_to_read(path)) as database:
            return int(database.execute(f"SELECT count(*) FROM {table}").fetchone()[0])  # noqa: S608 - our own names
    except sqlite3.Error:
        return 0  # an unreadable store is no evidence
