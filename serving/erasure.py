"""Erase what is kept of one person, and what is older than its class may be (`[foundation.retention]`).

Every store is asked by name, so that the report says of each what was taken out, and what stays and why. No model is loaded.
"""

from __future__ import annotations

import asyncio
import getpass
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from foundation import components
from foundation.clock import Clock, SystemClock
from foundation.components import Context
from foundation.settings import Loaded
from foundation.types import Principal
from serving import terminal

STAYS = {
    "audit": "who did what, without a word that was said: the law asks for it, and a chain cannot lose a link",
    "effects": "that an effect was carried out, so that it is never carried out twice",
    "costs": "amounts and token counts by tenant, no person",
    "documents": "they belong to the tenant: delete them by name",
}


@dataclass(frozen=True, slots=True)
class Erased:
    """What was taken out of one store."""

    store: str
    what: str
    count: int


def erase(loaded: Loaded, tenant: str, subject: str, json: Path | None) -> None:
    """Everything that is kept of what one person said, asked and was told.

    Raises:
        StoreUnavailable: a store cannot be written; what was erased before is erased, so do it again.
    """
    person, by = Principal(subject, tenant), f"{getpass.getuser()}@terminal"
    found = asyncio.run(_erase(loaded, person, by, SystemClock()))
    told = {"subject": subject, "tenant": tenant, "erased": [asdict(one) for one in found], "stays": STAYS}
    if terminal.write_json(json, told):
        return
    terminal.show_table(["store", "erased", "n"], [(one.store, one.what, one.count) for one in found])
    terminal.show("")
    terminal.show_table(["what stays", "why"], STAYS.items())


async def _erase(loaded: Loaded, person: Principal, by: str, clock: Clock) -> list[Erased]:
    from observability.outcomes import OutcomeStore
    from observability.spans import SpanStore
    from orchestration import conversations
    from orchestration.approvals import SqliteApprovals
    from orchestration.audit import SqliteAudit
    from orchestration.contract import AuditRecord
    from orchestration.facts import FILE, SqliteFacts
    from serving.idempotency import IdempotencyStore
    from serving.identity import KeyStore

    settings = loaded.settings
    data = settings.foundation.data_dir
    with ExitStack() as opened:
        keys = KeyStore.of(settings, clock)
        theirs = [key for key in keys.list() if (key.tenant, key.subject) == (person.tenant, person.subject)]
        for key in theirs:  # first, so that nothing new is said meanwhile
            keys.revoke(key.key_id)
        saver = _checkpoints(loaded, opened)
        threads = await conversations.begun_by(saver, person)
        answers = [turn.answer_id for thread in threads for turn in (await conversations.told(saver, thread))[1]]
        approvals = opened.enter_context(closing(SqliteApprovals(data / "approvals.sqlite", clock)))
        facts = opened.enter_context(closing(SqliteFacts(data / FILE, clock)))
        outcomes = opened.enter_context(closing(OutcomeStore(data / "outcomes.sqlite")))
        replies = opened.enter_context(closing(IdempotencyStore(data / "idempotency.sqlite", clock)))
        spans = SpanStore(data / "spans.sqlite")
        found = [
            Erased("keys", "API keys", len(theirs)),
            Erased("spans", "traces of their conversations", spans.erase_conversations(threads)),
            Erased(
                "approvals", "what they asked for, with its arguments", approvals.erase(person.tenant, person.subject)
            ),
            Erased("outcomes", "notes, and who wrote them; the verdicts stay", outcomes.erase(answers, person.subject)),
            Erased("facts", "what was remembered of them", facts.erase_all(person.tenant, person.subject)),
            Erased("idempotency", "replies that were kept for a day", replies.erase(conversations.mark(person))),
        ]
        for thread in threads:  # last: they say which the others are
            await saver.adelete_thread(thread)
        audit = opened.enter_context(closing(SqliteAudit(data / "audit.sqlite", clock)))
        reason = f"everything that was said by {person.subject}"
        record = AuditRecord(
            act="erasure", tenant=person.tenant, subject=by, run_id="erasure", outcome="done", reason=reason
        )
        await audit.record(record)
    return [*found, Erased("conversations", "questions, answers and quotes", len(threads))]


def retain(loaded: Loaded, json: Path | None) -> None:
    """Take out what is older than its class may be."""
    found = asyncio.run(_retain(loaded, SystemClock()))
    if not terminal.write_json(json, {"erased": [asdict(one) for one in found]}):
        terminal.show_table(["store", "erased", "n"], [(one.store, one.what, one.count) for one in found])


async def _retain(loaded: Loaded, clock: Clock) -> list[Erased]:
    from foundation import manifest
    from observability.spans import SpanStore
    from orchestration import conversations
    from orchestration.approvals import SqliteApprovals
    from orchestration.audit import SqliteAudit

    settings = loaded.settings
    data, kept, now = settings.foundation.data_dir, settings.foundation.retention, clock.now()
    found = []
    with ExitStack() as opened:
        if kept.spans_days is not None:
            before, spans = now - timedelta(days=kept.spans_days), SpanStore(data / "spans.sqlite")
            count = spans.erase_before(int(before.timestamp() * 1e9))
            found.append(Erased("spans", f"older than {kept.spans_days:g} days", count))
            audit = opened.enter_context(closing(SqliteAudit(data / "audit.sqlite", clock)))
            named = spans.manifests() | await audit.manifests()
            count = manifest.prune(data / manifest.FOLDER, named, before)
            found.append(Erased("manifests", "as old, and named by no span and no audit record", count))
        if kept.conversations_days is not None:
            saver = _checkpoints(loaded, opened)
            old = await conversations.untouched_since(saver, now - timedelta(days=kept.conversations_days))
            for thread in old:
                await saver.adelete_thread(thread)
            found.append(Erased("conversations", f"silent for {kept.conversations_days:g} days", len(old)))
        if kept.approvals_days is not None:
            approvals = opened.enter_context(closing(SqliteApprovals(data / "approvals.sqlite", clock)))
            count = approvals.erase_before(now - timedelta(days=kept.approvals_days))
            found.append(Erased("approvals", f"asked for {kept.approvals_days:g} days ago, and over", count))
    return found


def _checkpoints(loaded: Loaded, opened: ExitStack) -> Any:
    settings = loaded.settings
    context = Context(data_dir=settings.foundation.data_dir)
    saver: Any = components.load("orchestration.checkpoints", settings.orchestration.checkpoints, context)
    if hasattr(saver, "close"):
        opened.callback(saver.close)
    return saver
