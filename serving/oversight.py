"""For whoever answers for the system: the audit, and the kill switches."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from foundation.settings import Loaded
from foundation.stops import Kind, Stop, Stops
from serving import terminal

if TYPE_CHECKING:
    from orchestration.contract import AuditLog

NOBODY = "-"
"""The tenant of an audit record that concerns all of them."""


async def stop(stops: Stops, audit: AuditLog, kind: Kind, name: str, *, by: str, why: str) -> Stop:
    """Switch off, then put it into the audit: stopping must not wait for a record."""
    done = stops.add(kind, name, by=by, why=why)
    await _record(audit, done, "stopped", by=by)
    return done


async def lift(stops: Stops, audit: AuditLog, kind: Kind, name: str, *, by: str) -> Stop:
    """Put it into the audit, then switch on again.

    Raises:
        NotFound: it is not stopped.
    """
    gone = stops.find(kind, name)
    await _record(audit, gone, "lifted", by=by)
    return stops.lift(kind, name)


async def _record(audit: AuditLog, one: Stop, outcome: Literal["stopped", "lifted"], *, by: str) -> None:
    from orchestration.contract import AuditRecord

    tenant = one.name if one.kind == "tenant" else NOBODY
    await audit.record(
        AuditRecord(act="stop", tenant=tenant, subject=by, run_id=str(one), outcome=outcome, reason=one.why)
    )


def audit_verify(loaded: Loaded, head: str | None, json: Path | None) -> bool:
    """Whether the audit is whole, as far as its chain and the heads of it that were kept can tell."""
    from orchestration import audit

    path = loaded.settings.foundation.data_dir / "audit.sqlite"
    found = audit.verify(path, known=audit.Head.parse(head) if head else None)
    if terminal.write_json(json, found.as_dict()):
        return found.ok
    if found.problems:
        terminal.show_table(
            ["record", "problem", "what it says"], [(one.number, one.kind, one.what) for one in found.problems]
        )
    verdict = "whole" if found.ok else "NOT whole"
    out = terminal.console()
    out.print(f"{found.records} records, {verdict}. Head: {found.head}")
    if found.after_the_kept_head:
        out.print(
            f"{found.after_the_kept_head} of them came after the kept head; a crash leaves one, an intruder more."
        )
    out.print(
        "[dim]Whoever rewrites the chain and every copy of its head is not seen. Keep a head elsewhere, and compare: "
        "make audit-verify HEAD=count:hash[/]"
    )
    return found.ok


def switch(loaded: Loaded, what: str, *, why: str | None) -> None:
    """Stop `what` and say why; with no reason given, let it work again. Opens neither a model nor a store of documents."""
    import asyncio

    from foundation import stops as switches
    from foundation.clock import SystemClock
    from orchestration.audit import SqliteAudit

    kind, name = switches.parse(what)
    data, clock, by = loaded.settings.foundation.data_dir, SystemClock(), f"{getpass.getuser()}@terminal"
    stops = Stops(data / "stops.json", clock)
    data.mkdir(parents=True, exist_ok=True)
    audit = SqliteAudit(data / "audit.sqlite", clock)
    try:
        if why is None:
            asyncio.run(lift(stops, audit, kind, name, by=by))
        else:
            asyncio.run(stop(stops, audit, kind, name, by=by, why=why))
    finally:
        audit.close()
    show_stops(loaded, None)


def show_stops(loaded: Loaded, json: Path | None) -> None:
    """What is stopped, by whom and why."""
    from dataclasses import asdict

    from foundation.clock import SystemClock

    found = Stops(loaded.settings.foundation.data_dir / "stops.json", SystemClock()).list()
    if terminal.write_json(json, {"stops": [asdict(one) for one in found]}):
        return
    if found:
        terminal.show_table(["stopped", "by", "since", "why"], [(str(one), one.by, one.at, one.why) for one in found])
    else:
        terminal.console().print("Nothing is stopped.")
