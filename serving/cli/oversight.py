"""For whoever answers for the system: the audit, and the kill switches."""

from __future__ import annotations

import asyncio
import getpass
import logging
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from foundation.errors import InvalidRequest, Stopped, StorageFull, StoreUnavailable
from foundation.kill_switches import Kind, Stop, Stops
from foundation.settings import flatten, make_data_dir
from serving.cli import terminal
from serving.settings import Loaded

if TYPE_CHECKING:
    from orchestration.contract import AuditLog, AuditRecord
    from orchestration.effects.audit import Head, Verification

log = logging.getLogger("sixply.serving")

AGAIN_S = 1.0
IN_MEMORY = (
    "It is in force in the process that answered, and is written as soon as there is room on the disk. Until then no other process "
    "of this data folder knows of it, and a restart forgets it. Free some space, then send it again."
)
UNRECORDED = (
    "It is in force, in every process. The audit could not be written; its record follows as soon as there is room."
)
NOBODY = "-"
"""The tenant of an audit record that concerns all of them."""


async def stop(stops: Stops, audit: AuditLog, kind: Kind, name: str, *, by: str, why: str) -> list[str]:
    """Switch off, then put it into the audit: stopping must not wait for a record. Gives what could not be written meanwhile, a
    sentence each; it is written as soon as there is room.

    Raises:
        StorageFull: it is in force in this process, and other processes cannot be told.
    """
    done = stops.add(kind, name, by=by, why=why)
    stops.unrecorded.append((done, by))
    recorded = await settle(stops, audit)
    if stops.pending:
        raise StorageFull("The file of switches cannot be written.", public=IN_MEMORY)
    return [] if recorded else [UNRECORDED]


async def settle(stops: Stops, audit: AuditLog) -> bool:
    """Write the stops and their records that a disk had no room for. Whether nothing is left to be written."""
    stops.write_pending()
    while stops.unrecorded:
        switch, by = stops.unrecorded.popleft()
        try:
            await audit.record(_record_of(switch, "stopped", by=by))
        except StoreUnavailable:
            log.exception("a stop is not in the audit yet")
            stops.unrecorded.appendleft((switch, by))
            return False
    return not stops.pending


@asynccontextmanager
async def tended(stops: Stops, audit: AuditLog) -> AsyncIterator[None]:
    """While this is open, what could not be written of a stop is tried again."""

    async def tend() -> None:
        while True:
            await asyncio.sleep(AGAIN_S)
            if stops.pending or stops.unrecorded:
                with suppress(Stopped):  # the file cannot be read: everything is stopped
                    await settle(stops, audit)

    task = asyncio.create_task(tend())
    try:
        yield
    finally:
        task.cancel()


async def lift(stops: Stops, audit: AuditLog, kind: Kind, name: str, *, by: str) -> Stop:
    """Put it into the audit, then switch on again.

    Raises:
        NotFound: it is not stopped. StorageFull, StoreUnavailable: it stays stopped, because that cannot be written.
    """
    gone = stops.find(kind, name)
    await audit.record(_record_of(gone, "lifted", by=by))
    return stops.lift(kind, name)


def _record_of(switch: Stop, outcome: Literal["stopped", "lifted"], *, by: str) -> AuditRecord:
    from orchestration.contract import AuditRecord

    tenant = switch.name if switch.kind == "tenant" else NOBODY
    return AuditRecord(act="stop", tenant=tenant, subject=by, run_id=str(switch), outcome=outcome, reason=switch.why)


def audit_verify(loaded: Loaded, head: str | None, json: Path | None) -> bool:
    """Whether the audit is whole, as far as its chain and the heads of it that were kept can tell."""
    from orchestration.effects import audit

    found = verified_audit(loaded.settings.foundation.data_dir, known=audit.Head.parse(head) if head else None)
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


def verified_audit(data: Path, *, known: Head | None = None) -> Verification:
    """What `audit.verify` finds, with the heads that stored spans carry, and whether other stores tell of acts where an audit
    is empty.

    Raises:
        StoreUnavailable: there is no audit, or one that cannot be read.
    """
    from foundation import names
    from observability.stores.spans import SpanStore
    from orchestration.effects import audit

    carried = SpanStore(data / "spans.sqlite").last_of(names.AUDIT_HEAD)  # before the chain, which may go on meanwhile
    witnesses = [audit.Head.parse(str(head)) for head in carried.values()]
    found = audit.verify(data / "audit.sqlite", known=known, witnesses=witnesses)
    acts = sum(_count_rows(data / f"{store}.sqlite", store) for store in ("approvals", "effects"))
    if found.records or not acts:
        return found
    what = f"The audit is empty, and other stores know {acts} approvals and effects that it should tell of."
    return replace(found, problems=(*found.problems, audit.Problem(1, "truncated", what)))


def _count_rows(path: Path, table: str) -> int:
    if not path.exists():
        return 0
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            return int(database.execute(f"SELECT count(*) FROM {table}").fetchone()[0])  # noqa: S608 - our own names
    except sqlite3.Error:
        return 0  # no witness, then


def switch(loaded: Loaded, what: str, *, why: str | None) -> None:
    """Stop `what` and say why; with no reason given, let it work again. Opens neither a model nor a store of documents."""
    from foundation import kill_switches as switches
    from foundation.clock import SystemClock
    from orchestration.effects.audit import SqliteAudit

    kind, name = switches.parse(what)
    data, clock, by = make_data_dir(loaded.settings.foundation.data_dir), SystemClock(), f"{getpass.getuser()}@terminal"
    stops = Stops(data / "stops.json", clock)
    if why is not None:  # before the audit is opened, which a full disk can prevent
        stops.add(kind, name, by=by, why=why)
        if stops.pending:
            raise StorageFull(
                f"{stops.path} cannot be written, so nothing was stopped. Free some space, and try again."
            )
    audit = SqliteAudit(data / "audit.sqlite", clock)
    try:
        if why is None:
            asyncio.run(lift(stops, audit, kind, name, by=by))
        else:
            for sentence in asyncio.run(stop(stops, audit, kind, name, by=by, why=why)):
                terminal.show_note(sentence)
    finally:
        audit.close()
    show_stops(loaded, None)


def policy(
    loaded: Loaded,
    json: Path | None,
    *,
    roles: Sequence[str] = (),
    tenant: str | None = None,
    tool: str | None = None,
    model: str | None = None,
    data_class: str | None = None,
) -> None:
    """What the policy makes of a tool, a model or a class of documents, and by which rule; of none: its rules.

    Raises:
        InvalidRequest: a role that nobody knows, or a case without what it is about.
    """
    from dataclasses import asdict
    from functools import partial

    from foundation.types import Principal
    from orchestration.effects.policy import Policy
    from orchestration.settings import EVERYBODY
    from serving.access.identity import check_roles

    settings = loaded.settings.orchestration.policy
    check_roles(roles, settings)
    rules, caller = Policy(settings), Principal("anybody", tenant or EVERYBODY, frozenset(roles))
    rulings = {
        name: ruling(asked)
        for name, asked, ruling in (
            ("tool", tool, partial(rules.tool, principal=caller)),
            ("model", model, partial(rules.model, tenant=caller.tenant)),
            ("data_class", data_class, partial(rules.data, principal=caller)),
        )
        if asked is not None
    }
    if rulings:
        told = {name: asdict(ruling) for name, ruling in rulings.items()}
        asked = {"roles": sorted(roles), "tenant": caller.tenant, "rulings": told}
        if not terminal.write_json(json, asked):
            for ruling in rulings.values():
                verdict = "[green]allowed[/]" if ruling.allowed else "[red]denied[/]"
                terminal.console().print(f"{verdict} by {ruling.rule}: {terminal.plain(ruling.why)}")
        return
    if roles or tenant:
        raise InvalidRequest("Say what it is about: TOOL=refund, MODEL=name or CLASS=confidential.")
    rows = [
        (rule, value, loaded.origins.get(f"orchestration.policy.{rule}", "default"))
        for rule, value in flatten(settings.model_dump(mode="json"))
    ]
    if not terminal.write_json(json, {rule: {"value": value, "from": origin} for rule, value, origin in rows}):
        terminal.show_table(["rule", "value", "from"], [(rule, _listed(value), origin) for rule, value, origin in rows])


def _listed(value: object) -> str:
    return ", ".join(map(str, value)) or "none" if isinstance(value, list) else str(value)


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
