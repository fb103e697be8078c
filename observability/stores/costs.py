"""The cost ledger: every charge, exact and permanent, whether or not spans are recorded."""

from __future__ import annotations

import sqlite3
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from decimal import Context, Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from foundation.output.money import Usd
from foundation.stores import erasures
from foundation.stores.sqlite_file import Open, SqliteFile, SqliteStore
from foundation.types import EVERY_TENANT, Usage

if TYPE_CHECKING:
    from models.contract import Call, PriceSource
    from orchestration.events import Charge

SCHEMA = """
CREATE TABLE IF NOT EXISTS charges (
  id INTEGER PRIMARY KEY,
  at TEXT NOT NULL,
  tenant TEXT NOT NULL,
  layer TEXT NOT NULL,
  kind TEXT NOT NULL,
  part TEXT NOT NULL,
  model TEXT NOT NULL,
  input_tokens INTEGER,
  output_tokens INTEGER,
  cached_input_tokens INTEGER,
  reasoning_tokens INTEGER,
  seconds REAL NOT NULL,
  usd TEXT,
  basis TEXT NOT NULL,
  answer_id TEXT,
  trace_id TEXT,
  subject TEXT NOT NULL DEFAULT '',
  cache_write_tokens INTEGER
);
CREATE INDEX IF NOT EXISTS charges_by_trace ON charges (trace_id);
CREATE INDEX IF NOT EXISTS charges_by_answer ON charges (answer_id);
CREATE INDEX IF NOT EXISTS charges_by_time ON charges (at);
"""


STORE = SqliteStore(
    name="costs",
    file="costs.sqlite",
    schema=SCHEMA,
    erase_rows=lambda connection, person: (
        connection.execute(
            "UPDATE charges SET subject = '' WHERE tenant = ? AND subject = ?", (person.tenant, person.subject)
        ).rowcount
    ),
    erased="whose request caused which cost",
    stays="amounts, token counts and times by tenant and by the random id of an answer: what was spent must add up",
    shared=True,
)

# Enough digits for any sum of prices; decimal's default of 28 would round a long one
EXACT = Context(prec=60)

# without a price a charge counts as unpriced, never as zero
# Columns of a `Total` after its key
FIGURES = (
    "exact_sum(usd), count(*), count(*) - count(usd), coalesce(sum(seconds), 0.0), "
    "CAST(coalesce(sum(input_tokens), 0) AS BIGINT), CAST(coalesce(sum(output_tokens), 0) AS BIGINT)"
)

By = Literal["tenant", "model", "layer", "kind", "day"]
# by this table alone: what stands in a statement must never come from a caller
KEY_OF: dict[By, str] = {by: by for by in get_args(By)} | {"day": "substr(at, 1, 10)"}


@dataclass(frozen=True, slots=True)
class Total:
    """The costs of one tenant, model, layer, kind or day (UTC)."""

    key: str
    usd: Usd
    """US dollars of the priced calls."""
    calls: int
    unpriced: int
    """Calls of unknown price among them, with which `usd` is a lower bound."""
    seconds: float
    input_tokens: int
    output_tokens: int


class CostLedger:
    """Charges. Thread-safe."""

    def __init__(self, path: Path, records: Open = SqliteFile) -> None:
        """Raises StoreUnavailable: the file cannot be opened or written."""
        self.path = path
        self._file = records(
            path,
            STORE,
            make_folder=False,
            set_up=lambda connection: connection.create_aggregate("exact_sum", 1, _ExactSum),
        )

    def record(self, charge: Charge) -> None:
        """Store a charge; it is committed when this returns.
        Raises StorageFull, StoreUnavailable: it was not stored. The caller decides whether work may continue.
        """
        from observability.telemetry import metrics

        row: dict[str, Any] = asdict(charge)
        row |= row.pop("usage")
        row["at"] = charge.at.astimezone(UTC).isoformat()
        # as text: a REAL column would round it
        row["usd"] = None if charge.usd is None else str(charge.usd)
        statement = f"INSERT INTO charges ({', '.join(row)}) VALUES (:{', :'.join(row)})"  # noqa: S608 - own names

        def insert(connection: sqlite3.Connection) -> None:
            # money counts, even if the person was erased meanwhile
            subject = "" if erasures.is_erased() else charge.subject
            connection.execute(statement, row | {"subject": subject})

        self._file.run_now(insert, of_nobody=True)
        metrics.domain().count_charge(charge)

    def pay(self, prices: PriceSource, call: Call) -> None:
        """Charge a call of an embedder outside of a run, to the tenant of `on_behalf_of`. Raises as `record`."""
        from models.embedding import served_tenant
        from orchestration.events import Charge, charge_details

        details = charge_details(call, prices.price(call))
        tenant = served_tenant.get() or EVERY_TENANT
        self.record(Charge(kind="embeddings", part=call.provider, tenant=tenant, answer_id=None, **details))

    def of_trace(self, trace_id: str) -> list[Charge]:
        return self._charges("trace_id = ?", trace_id)

    def of_answer(self, answer_id: str) -> list[Charge]:
        return self._charges("answer_id = ?", answer_id)

    def all(self) -> list[Charge]:
        return self._charges("? = ''", "")

    def totals(
        self, by: By = "tenant", *, since: datetime | None = None, tenant: str | None = None, subject: str | None = None
    ) -> list[Total]:
        """Return sums by `by`, the most expensive first, of charges since `since`, of one tenant or of one person."""
        return self.sum_up(
            f"{KEY_OF[by]}, {FIGURES} FROM charges "
            "WHERE at >= ? AND tenant = coalesce(?, tenant) AND subject = coalesce(?, subject)",
            since.astimezone(UTC).isoformat() if since else "",
            tenant,
            subject,
        )

    def close(self) -> None:
        self._file.close()

    def sum_up(self, columns_and_rows: str, *parameters: Any) -> list[Total]:
        """Return the groups of a key and `FIGURES`, the most expensive first. `columns_and_rows` must be text of our own."""
        rows = self.select(f"SELECT {columns_and_rows} GROUP BY 1", *parameters)
        totals = [Total(key, Decimal(usd), *figures) for key, usd, *figures in rows]
        return sorted(totals, key=lambda total: (-total.usd, -total.calls, total.key))

    def _charges(self, condition: str, value: str) -> list[Charge]:
        rows = self.select(f"SELECT * FROM charges WHERE {condition} ORDER BY id", value)  # noqa: S608 - own names
        return [_charge(dict(row)) for row in rows]

    def select(self, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        return self._file.read_now(lambda connection: connection.execute(statement, parameters).fetchall())


class _ExactSum:
    # an aggregate of our own, because SQLite's sum uses floating point
    def __init__(self) -> None:
        self._sum = Decimal(0)

    def step(self, value: str | None) -> None:
        if value is not None:
            self._sum = EXACT.add(self._sum, Decimal(value))

    def finalize(self) -> str:
        return str(self._sum)


def _charge(row: dict[str, Any]) -> Charge:
    from orchestration.events import Charge  # imports frameworks, and sums must be fast

    usage = Usage(**{name: row.pop(name) for name in Usage.__dataclass_fields__})
    _, usd, at = row.pop("id"), row.pop("usd"), datetime.fromisoformat(row.pop("at"))
    return Charge(**row, usage=usage, at=at, usd=None if usd is None else Decimal(usd))
