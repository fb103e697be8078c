"""The local span store: its table, which `exporters/sqlite.py` writes, the layer of each span, and traces as trees."""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, fields
from operator import attrgetter
from pathlib import Path
from typing import Any, cast

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind

from foundation import names
from foundation.errors import InvalidRequest, NotFound, StoreUnavailable
from foundation.stores.registry import Person
from foundation.stores.sqlite_file import SqliteStore, connect
from foundation.types import LAYERS, Layer

SCHEMA = """
CREATE TABLE IF NOT EXISTS spans (
  id INTEGER PRIMARY KEY,
  trace_id TEXT NOT NULL,
  span_id TEXT NOT NULL,
  parent_id TEXT,
  name TEXT NOT NULL,
  layer TEXT,
  status TEXT NOT NULL,
  start_ns INTEGER NOT NULL,
  end_ns INTEGER NOT NULL,
  manifest_id TEXT,
  attributes TEXT NOT NULL,
  UNIQUE (trace_id, span_id)
);
CREATE INDEX IF NOT EXISTS spans_by_time ON spans (start_ns);
"""
# Spans are stored when they end, parents after children, so that this holds where a coarse clock starts both at once.
PARENTS_FIRST = "start_ns, id DESC"
# json.dumps would make an encoder for each span
_encode = json.JSONEncoder(ensure_ascii=False, default=str).encode

# Layers by operation of the conventions; those we do not emit come from other instrumentors
LAYER_OF_OPERATION: Mapping[str, Layer] = {
    names.CHAT: "models",
    "generate_content": "models",
    "text_completion": "models",
    names.EMBEDDINGS: "models",
    names.RERANK: "models",
    names.ENTAILMENT: "models",
    names.RETRIEVAL: "retrieval",
    names.INGEST: "retrieval",
    names.PLAN: "orchestration",
    names.INVOKE_AGENT: "orchestration",
    "create_agent": "orchestration",
    names.INVOKE_WORKFLOW: "orchestration",
    names.EXECUTE_TOOL: "orchestration",
}


def _erase(connection: sqlite3.Connection, person: Person) -> int:
    theirs = {
        "mark": person.mark,
        "traces": json.dumps(sorted(person.traces)),
        "threads": json.dumps(sorted(person.threads)),
    }
    rows = connection.execute(
        f"""
        SELECT DISTINCT trace_id FROM spans
        WHERE trace_id IN (SELECT value FROM json_each(:traces))
        OR attributes ->> '$."{names.USER_HASH}"' = :mark
        OR attributes ->> '$."{names.CONVERSATION_ID}"' IN (SELECT value FROM json_each(:threads))
        """,  # noqa: S608 - own names
        theirs,
    ).fetchall()
    # whole traces: a span of a tool or a search says as much of the person as their own
    connection.executemany("DELETE FROM spans WHERE trace_id = ?", [(row[0],) for row in rows])
    return len(rows)


STORE = SqliteStore(
    name="spans",
    file="spans.sqlite",
    schema=SCHEMA,
    synchronous="NORMAL",
    erase_rows=_erase,
    erased="traces of their requests",
)


@dataclass(frozen=True, slots=True)
class SpanRow:
    """An ended span. Times are nanoseconds since 1970; ids are hexadecimal."""

    trace_id: str
    span_id: str
    parent_id: str | None
    name: str
    start_ns: int
    end_ns: int
    status: str = "unset"
    """unset, ok or error."""
    layer: Layer | None = None
    """`None` where unknown; the bill then uses the parent's layer."""
    manifest_id: str | None = None
    attributes: Mapping[str, Any] | None = None

    @property
    def ms(self) -> float:
        return (self.end_ns - self.start_ns) / 1e6

    def attribute(self, name: str) -> Any:
        return (self.attributes or {}).get(name)


COLUMNS = tuple(field.name for field in fields(SpanRow))
_first_values = attrgetter(*COLUMNS[:-1])


@dataclass(frozen=True, slots=True)
class SpanNode:
    """A span with its child spans, by start time."""

    span: SpanRow
    children: tuple[SpanNode, ...] = ()

    def walk(self, depth: int = 0) -> Iterator[tuple[int, SpanRow]]:
        """Yield (depth, span), parents before children."""
        yield depth, self.span
        for child in self.children:
            yield from child.walk(depth + 1)


def layer_of(span: ReadableSpan) -> Layer | None:
    """Return the layer of a span: its own attribute, else its operation's layer, else `None`."""
    attributes = span.attributes or {}
    label = attributes.get(names.LAYER)
    if label in LAYERS:
        return label
    if layer := LAYER_OF_OPERATION.get(str(attributes.get(names.OPERATION))):
        return layer
    scope = span.instrumentation_scope
    return "serving" if span.kind is SpanKind.SERVER or (scope is not None and scope.name == "fastapi") else None


def row_of(span: ReadableSpan) -> SpanRow:
    """Convert an ended SDK span to a row."""
    context = span.get_span_context()
    if context is None or span.start_time is None or span.end_time is None:
        raise InvalidRequest(f'The span "{span.name}" has not ended or has no id, so it cannot be stored.')
    return SpanRow(
        trace_id=f"{context.trace_id:032x}",
        span_id=f"{context.span_id:016x}",
        parent_id=f"{span.parent.span_id:016x}" if span.parent else None,
        name=span.name,
        start_ns=span.start_time,
        end_ns=span.end_time,
        status=span.status.status_code.name.lower(),
        layer=layer_of(span),
        manifest_id=cast("str | None", span.resource.attributes.get(names.MANIFEST_ID)),
        attributes=dict(span.attributes or {}),
    )


def values_of(row: SpanRow) -> tuple[Any, ...]:
    """Return a row's values in the order of `COLUMNS`."""
    return (*_first_values(row), _encode(row.attributes or {}))


def tree(rows: Sequence[SpanRow]) -> list[SpanNode]:
    """Return a node per root. A span whose parent is missing, such as a remote caller, is a root."""
    children: dict[str | None, list[SpanRow]] = defaultdict(list)
    span_ids = {row.span_id for row in rows}
    for row in sorted(rows, key=lambda row: (row.start_ns, -row.end_ns)):
        children[row.parent_id if row.parent_id in span_ids else None].append(row)

    def node(row: SpanRow) -> SpanNode:
        return SpanNode(row, tuple(node(child) for child in children[row.span_id]))

    return [node(row) for row in children[None]]


class SpanStore:
    """Reads the local spans. A missing file is an empty store: the sqlite exporter may not be configured."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def trace(self, trace_id: str) -> list[SpanRow]:
        """Return all spans of a trace, by start time. `trace_id` may be any prefix of a single trace. Raises NotFound: no
        such trace is stored. InvalidRequest: several traces have this prefix, or it is no hexadecimal number.
        """
        prefix = trace_id.lower().strip()
        if not prefix or set(prefix) - set("0123456789abcdef"):
            raise InvalidRequest(f'"{trace_id}" is no trace id. Give its first hexadecimal digits, e.g. 3fa85f64.')
        # "g" sorts after every hexadecimal digit
        begin_so = "SELECT DISTINCT trace_id FROM spans WHERE trace_id >= ? AND trace_id < ?"
        trace_ids = [row[0] for row in self.select(begin_so, prefix, prefix + "g")]
        if not trace_ids:
            recent = ", ".join(root.trace_id[:12] for root in self.recent(5)) or "none"
            raise NotFound(f'No stored trace begins with "{trace_id}". Recent: {recent}.')
        if len(trace_ids) > 1:
            raise InvalidRequest(
                f'{len(trace_ids)} traces begin with "{trace_id}": {", ".join(trace_ids[:5])}. Give more digits.'
            )
        return self.rows(f"WHERE trace_id = ? ORDER BY {PARENTS_FIRST}", trace_ids[0])

    def recent(self, limit: int = 20, only: str = "") -> list[SpanRow]:
        """Return root spans, newest first; `only` is a further condition of SQL, of our own text."""
        parent = "SELECT 1 FROM spans p WHERE p.trace_id = spans.trace_id AND p.span_id = spans.parent_id"
        return self.rows(f"WHERE NOT EXISTS ({parent}) {only} ORDER BY start_ns DESC LIMIT ?", limit)

    def last_answer(self) -> str | None:
        """Return the trace in which an agent worked last, even if it resumed an older request."""
        agents = "SELECT trace_id FROM spans WHERE name LIKE ? ORDER BY start_ns DESC LIMIT 1"
        return next((trace_id for (trace_id,) in self.select(agents, f"{names.INVOKE_AGENT}%")), None)

    def rows(self, clause: str, *parameters: Any) -> list[SpanRow]:
        """Return the spans of a clause of SQL. It must be text of our own."""
        rows = self.select(f"SELECT {', '.join(COLUMNS)} FROM spans {clause}", *parameters)  # noqa: S608 - our own text
        return [SpanRow(**{**dict(zip(COLUMNS, row, strict=True)), "attributes": json.loads(row[-1])}) for row in rows]

    def select(self, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Return what a statement reads. Raises StoreUnavailable: the file cannot be read."""
        if not self.path.exists():
            return []
        try:
            with closing(connect(self.path, STORE)) as database:
                return database.execute(statement, parameters).fetchall()
        except (sqlite3.Error, OSError) as error:
            raise StoreUnavailable(
                f"The span store {self.path} cannot be read: {error}. If the file is damaged, delete it: "
                f"it holds traces only, and a new one is made."
            ) from error
