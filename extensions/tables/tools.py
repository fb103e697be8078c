"""Tools that answer questions to tables by a typed query: `find_tables` and `query_table`.

    [[orchestration.tools]]
    use = "tables"
    measures = "measures.toml"
    [[orchestration.tools.databases]]
    name = "shop"
    file = "shop.sqlite"                       # or: url = "postgresql://reader@host/shop"
    tables.orders = { tenant_column = "tenant", units = { total = "USD" } }

Both read as the caller: what they may not read is not there. Nothing that a model writes becomes SQL.
"""

from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

from langchain_core.runnables import RunnableConfig
from langchain_core.tools import StructuredTool, ToolException
from pydantic import Field

from extensions.tables.asking import ask
from extensions.tables.databases import Database, DatabaseOptions
from extensions.tables.documents import DocumentTables, KeptTable
from extensions.tables.measures import Measures, read_measures
from extensions.tables.query import Query
from extensions.tables.relations import Relation, Reply
from foundation.components import Context
from foundation.errors import InvalidRequest, InvalidSetting, NotFound, StoreUnavailable
from foundation.settings import BESIDE_STACK, Section
from foundation.stores.registry import Store
from foundation.types import Principal
from orchestration.actions import ToolMetadata, ToolSet
from orchestration.contract import ToolParts

# Documents whose tables a search shows, tables that it shows, and values of a column among them
DOCUMENTS, TABLES, SAMPLES = 8, 12, 3
# Passages that an answer lets the model cite
CITED = 5
FROM_PDF = "The table was read from a PDF by where its words stand, so rows can be missing: compare the page."

FIND: ToolMetadata = {
    "effect": False,
    "examples": (
        "Find the tables that have a column on this",
        "Which tables are there about deliveries?",
        "Show me the columns of the table of prices",
    ),
}
QUERY: ToolMetadata = {
    "effect": False,
    "examples": (
        "Query the table prices.csv#1 for the sum of a column",
        "Count the rows of the table sites.csv#1 by region",
        "Calculate the average of a column of the table orders",
    ),
}


class Options(Section):
    measures: Path | None = Field(default=None, json_schema_extra=BESIDE_STACK)
    databases: tuple[DatabaseOptions, ...] = ()
    decimal_mark: Literal["", ".", ","] = ""
    """Of documents whose own figures do not show it: "." where 1,200 is more than a thousand. Unset: such columns are not calculated with."""
    timeout_s: float = Field(default=5, gt=0, le=60)


class Tables:
    """The tools' functions. They act for the caller alone, whom the executor puts into the RunnableConfig."""

    def __init__(self, options: Options, context: Context) -> None:
        self._parts = context if isinstance(context, ToolParts) else None  # without a system there are no documents
        self._documents: DocumentTables | None = None
        if self._parts:
            limits: dict[str, Any] = {"mark": options.decimal_mark, "timeout_s": options.timeout_s}
            self._documents = DocumentTables(self._parts.ledger, **limits)
        beside = [
            each.model_copy(update={"file": context.stack_dir / each.file}) if each.file else each
            for each in options.databases
        ]
        self._databases = [Database(each, options.timeout_s) for each in beside]
        self._measures: Measures = read_measures(options.measures)

    def find_tables(
        self,
        about: Annotated[
            str,
            Field(min_length=1, max_length=500, description="what the table is about, in the words of the documents"),
        ],
        config: RunnableConfig,
    ) -> tuple[str, dict[str, Any]]:
        principal = _caller(config)
        tables = self._of_documents(about, principal)[:TABLES]
        lines = [_describe(table.relation, _samples(table)) + _more(table) for table in tables]
        relations = [relation for database in self._databases for relation in self._relations(database, principal)]
        lines += [_describe(relation, []) for relation in relations]
        for relation in (*(table.relation for table in tables), *relations):
            for name, measure in self._measures.of(relation, principal).items():
                about_it = f": {measure.about}" if measure.about else ""
                lines.append(f'Declared for {relation.label}: measure "{name}" ({measure.unit or "no unit"}){about_it}')
        text = "\n".join(lines) or "There is no table about this that the person may read."
        return text, {"tables": [relation.label for relation in (*(table.relation for table in tables), *relations)]}

    def query_table(self, config: RunnableConfig, **asked: Any) -> tuple[str, dict[str, Any]]:
        principal, query = _caller(config), Query(**asked)
        try:
            return self._answer(query, principal)
        except (InvalidRequest, NotFound, StoreUnavailable) as error:
            raise ToolException(str(error)) from error

    def close(self) -> None:
        if self._documents:
            self._documents.close()

    def _answer(self, query: Query, principal: Principal) -> tuple[str, dict[str, Any]]:
        for database in self._databases:
            for relation in self._relations(database, principal):
                if relation.label == query.table:
                    with database.connect() as run:
                        reply = ask(relation, query, self._declared(relation, principal), run)
                    return _show(relation, reply, "", [])
        if self._documents is None or self._parts is None:
            raise NotFound(f'There is no table "{query.table}".')
        documents = self._documents
        table = documents.find(query.table, self._parts.scope_of(principal))
        reply = ask(
            table.relation,
            query,
            self._declared(table.relation, principal),
            lambda statement, values: documents.run(table, statement, values),
        )
        if query.calculate != "value" and any(parser.startswith("pdf ") for parser in table.document.parsers):
            reply.notes.append(FROM_PDF)
        where = f" of {len(table.sheet.rows)} in {table.document.source.title}"
        return _show(table.relation, reply, where, table.passages(reply.row_numbers, CITED))

    def _declared(self, relation: Relation, principal: Principal) -> Callable[[str], Any]:
        return lambda name: self._measures.find(name, relation, principal)

    def _relations(self, database: Database, principal: Principal) -> Sequence[Relation]:
        try:
            return database.relations(principal)
        except InvalidSetting as error:
            raise ToolException(str(error)) from error

    def _of_documents(self, about: str, principal: Principal) -> list[KeptTable]:
        if self._documents is None or self._parts is None:
            return []
        scope = self._parts.scope_of(principal)
        hits = self._parts.retriever.retrieve(about, scope, limit=DOCUMENTS)
        tables = self._documents.of([*dict.fromkeys(hit.chunk.document_id for hit in hits)], scope)
        return [table for table in tables if len(table.sheet.rows) > 1] or tables


def build(options: Options, context: Context) -> ToolSet:
    tables = Tables(options, context)
    find = "Find tables in the documents and databases that the person may read: their ids, columns, units and first values."
    query = (
        "Ask one table for rows, a count, a sum, an average or an extreme, by conditions, groups and order. Whatever is calculated "
        "from a table is asked here and never worked out from passages."
    )
    return ToolSet(
        [
            StructuredTool.from_function(
                tables.find_tables,
                name="find_tables",
                description=find,
                metadata=dict(FIND),
                response_format="content_and_artifact",
            ),
            StructuredTool.from_function(
                tables.query_table,
                name="query_table",
                description=query,
                args_schema=Query,
                metadata=dict(QUERY),
                response_format="content_and_artifact",
            ),
        ],
        tables.close,
    )


def stores(options: Options) -> tuple[Store, ...]:  # noqa: ARG001 - the signature of every adapter
    """None: they read what others keep."""
    return ()


def _caller(config: RunnableConfig) -> Principal:
    principal: Principal | None = config.get("configurable", {}).get("principal")
    if principal is None:
        raise ToolException("Nobody is signed in.")
    return principal


def _samples(table: KeptTable) -> list[str]:
    rows = table.sheet.rows[:200]
    found = [
        [*dict.fromkeys(row.cells[place] for row in rows if row.cells[place])]
        for place in range(len(table.sheet.names))
    ]
    return [", ".join(value[:40] for value in values[:SAMPLES]) for values in found]


def _describe(relation: Relation, samples: Sequence[str]) -> str:
    columns = [
        f"{column.name} ({'; '.join(filter(None, ['figures' if column.number else 'text', column.unit, sample and f'such as {sample}']))})"
        for column, sample in zip(relation.fields, [*samples, *[""] * len(relation.fields)], strict=False)
    ]
    return f"Table {relation.label}: {', '.join(columns)}"


def _more(table: KeptTable) -> str:
    above = f", under {table.sheet.above}" if table.sheet.above else ""
    return f"; {len(table.sheet.rows)} rows, in {table.document.source.title}{above}"


def _show(relation: Relation, reply: Reply, where: str, passages: Sequence[str]) -> tuple[str, dict[str, Any]]:
    rows = [[show_value(value) for value in row] for row in reply.rows]
    numbered = f" (rows {', '.join(map(str, reply.row_numbers[:20]))})" if reply.row_numbers else ""
    bound = [value if isinstance(value, int | float) else str(value) for value in reply.values]
    lines = [
        f"{reply.matched} rows{where} meet the conditions{numbered}.",
        " | ".join(reply.columns),
        *(" | ".join(row) for row in rows),
        *reply.notes,
        f"Query: {reply.statement}" + (f" with {bound}" if bound else ""),
    ]
    artifact = {
        "table": relation.label,
        "rows": [dict(zip(reply.columns, row, strict=True)) for row in rows],
        "row_numbers": list(reply.row_numbers),
        "query": reply.statement,
        "values": bound,
        "passages": list(passages),
    }
    return "\n".join(lines), artifact


def show_value(value: Any) -> str:
    """Return a value as it is shown; rounding of floats is left out.

    >>> show_value(0.1 + 0.2), show_value(2.0), show_value(1e6), show_value(None)
    ('0.3', '2', '1000000', '')
    """
    if value is None:
        return ""
    if isinstance(value, float):
        rounded = round(value, 10)
        return (
            str(int(rounded)) if rounded.is_integer() else f"{rounded:.12g}" if abs(rounded) < 1e12 else repr(rounded)
        )
    return value.isoformat() if isinstance(value, date) else str(value)
