"""What reports, retention and erasure ask of the stores of spans and costs, beyond one trace and one sum."""

import json
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from foundation.stores.sqlite_file import SqliteFile
from observability.stores.costs import CostLedger
from observability.stores.spans import PARENTS_FIRST, STORE, SpanRow, SpanStore


def between(store: SpanStore, since_ns: int, until_ns: int, *, naming: Sequence[str]) -> list[SpanRow]:
    """Return spans that began in a period (ns since 1970) and have one of the attributes `naming`, by start. Spans that
    mention such an attribute in a value may be included.
    """
    # a look at the text first: reading JSON takes most of the time
    named = " OR ".join(["instr(attributes, ?)"] * len(naming))
    period = f"WHERE start_ns >= ? AND start_ns < ? AND ({named}) ORDER BY {PARENTS_FIRST}"
    return store.rows(period, since_ns, until_ns, *naming)


def last_of(store: SpanStore, attribute: str) -> dict[str, Any]:
    """Return, by trace, this attribute's value in the last span that has it."""
    having = "SELECT trace_id, attributes FROM spans WHERE attributes LIKE ? ORDER BY start_ns, id"
    rows = store.select(having, f"%{attribute}%")
    values = ((trace, json.loads(attributes).get(attribute)) for trace, attributes in rows)
    return {trace: value for trace, value in values if value is not None}


def manifests(store: SpanStore) -> set[str]:
    """Return the run manifests of all stored spans."""
    return {manifest_id for (manifest_id,) in store.select("SELECT DISTINCT manifest_id FROM spans") if manifest_id}


def erase_before(store: SpanStore, before_ns: int) -> int:
    """Delete every span that ended before then; return how many."""
    if not store.path.exists():
        return 0
    with closing(SqliteFile(store.path, STORE)) as file:
        statement = "DELETE FROM spans WHERE end_ns < ?"
        count = file.run_now(lambda connection: connection.execute(statement, (before_ns,)).rowcount)
        file.compact()
    return count


@dataclass(frozen=True, slots=True)
class AnswerCost:
    usd: Decimal | None
    """`None` where one of its charges has no known price."""
    tenant: str
    at: datetime
    """Time of its first charge, UTC."""
    subject: str = ""
    """Who asked; empty once the person is erased."""


def answers(ledger: CostLedger, *, since: datetime | None = None) -> dict[str, AnswerCost]:
    """Return the cost of each answer, in the order of their first charges."""
    rows = ledger.select(
        "SELECT answer_id, exact_sum(usd), count(*) - count(usd), min(tenant), min(at), max(subject) FROM charges "
        "WHERE answer_id IS NOT NULL AND at >= ? GROUP BY 1 ORDER BY min(id)",
        since.astimezone(UTC).isoformat() if since else "",
    )
    return {
        answer_id: AnswerCost(None if unpriced else Decimal(usd), tenant, datetime.fromisoformat(at), subject)
        for answer_id, usd, unpriced, tenant, at, subject in rows
    }


def runs_of(ledger: CostLedger, tenant: str, subject: str) -> list[tuple[str, str]]:
    """Return answer id and trace id of everything charged for a person; empty strings where a charge has none."""
    ids = (
        "SELECT DISTINCT coalesce(answer_id, ''), coalesce(trace_id, '') FROM charges WHERE tenant = ? AND subject = ?"
    )
    return ledger.select(ids, tenant, subject)
