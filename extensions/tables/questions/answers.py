"""Answers from tables for an agent whose model calls no tools: the question's own words are read as a typed query, or it is left alone."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from extensions.tables.asking import ask
from extensions.tables.documents import DocumentTables, KeptTable
from extensions.tables.query import Query
from extensions.tables.questions.plan import Plan, plan
from extensions.tables.questions.reading import may_ask
from extensions.tables.questions.vocabulary import Vocabulary
from extensions.tables.reading import Sheet
from extensions.tables.relations import Reply
from extensions.tables.tools import FROM_PDF, show_value
from foundation.errors import InvalidRequest
from foundation.types import Scope
from retrieval.contract import DocumentLedger
from retrieval.documents import Citation, Hit
from retrieval.grounding.citing import cite_span

# Rows that an answer cites, and rows that it lists
CITED, LISTED = 5, 20
_TIMEOUT_S = 5.0


class TableAnswers:
    """Works out what stands in no sentence: a figure of a row, the cheapest, how many, a sum, a difference."""

    def __init__(self) -> None:
        self._tables: DocumentTables | None = None

    def work_out(
        self, question: str, hits: Sequence[Hit], scope: Scope, ledger: DocumentLedger
    ) -> dict[str, Any] | None:
        """Return the text of an answer and its citations; `None`: no table, or more than one, is asked for by all words of the question."""
        if not may_ask(question):
            return None
        if self._tables is None:
            self._tables = DocumentTables(ledger, mark="", timeout_s=_TIMEOUT_S)
        tables = self._tables.of([*dict.fromkeys(hit.chunk.document_id for hit in hits)], scope)
        planned = [(table, found) for table in tables if (found := plan(question, Vocabulary(table)))]
        if len(planned) != 1:
            return None
        ((table, found),) = planned
        try:
            replies = [self._ask(table, query) for query in found.queries]
        except InvalidRequest:
            return None
        text = _say(found, replies, table)
        citations = _cite(table, [number for reply in replies for number in reply.row_numbers], hits)
        if not text or not citations:
            return None
        markers = "".join(f"[{citation.marker}]" for citation in citations)
        return {"text": f"{text} {markers}", "citations": [asdict(citation) for citation in citations]}

    def _ask(self, table: KeptTable, query: Query) -> Reply:
        tables = self._tables
        assert tables is not None
        return ask(
            table.relation, query, lambda _: None, lambda statement, values: tables.run(table, statement, values)
        )


def _say(plan: Plan, replies: Sequence[Reply], table: KeptTable) -> str:
    """Return the answer in words; empty: the rows do not answer it after all."""
    if plan.kind == "difference":
        return _say_difference(replies, table.sheet)
    (reply,), (query,) = replies, plan.queries
    if not reply.rows or len(reply.rows) > LISTED or reply.notes or not _is_clear(plan.kind, reply, table):
        return ""
    rows = "; ".join(_say_row(reply.columns, row) for row in reply.rows)
    met = " and ".join(f"{each.column} {each.compare} {each.value}" for each in query.where)
    of = f" where {met}" if met and plan.kind in ("count", "sum", "group") else ""
    is_pdf = any(parser.startswith("pdf ") for parser in table.document.parsers)
    return f"{rows}{of}.{f' {FROM_PDF}' if is_pdf and plan.kind != 'look-up' else ''}"


def _is_clear(kind: str, reply: Reply, table: KeptTable) -> bool:
    """Whether it is one row that is looked up, and rows of different names that are listed or counted."""
    if kind == "look-up":
        return reply.matched == 1
    if kind not in ("list", "count"):
        return True
    key = next(at for at, column in enumerate(table.sheet.columns) if not column.is_numeric)
    names = {table.sheet.rows[number - 1].cells[key] for number in reply.row_numbers}
    return len(names) == reply.matched > 0


def _say_row(columns: Sequence[str], row: Sequence[Any]) -> str:
    return ", ".join(f"{name}: {show_value(value)}" for name, value in zip(columns, row, strict=True) if name != "rows")


def _say_difference(replies: Sequence[Reply], sheet: Sheet) -> str:
    if any(reply.matched != 1 for reply in replies):
        return ""
    cells = [(sheet.columns[sheet.names.index(reply.columns[-1])], reply.row_numbers[0] - 1) for reply in replies]
    numbers, units = [column.numbers[row] for column, row in cells], [column.units[row] for column, row in cells]
    first, second = numbers
    if first is None or second is None or units[0] != units[1] or any(column.unclear for column, _ in cells):
        return ""
    rows = "; ".join(_say_row(reply.columns, reply.rows[0]) for reply in replies)
    return f"The difference is {show_value(float(abs(first - second)))}{f' {units[0]}' if units[0] else ''}: {rows}."


def _cite(table: KeptTable, numbers: Sequence[int], hits: Sequence[Hit]) -> list[Citation]:
    hit = next(hit for hit in hits if hit.chunk.document_id == table.document.document_id)
    found: list[Citation] = []
    for number in [*dict.fromkeys(numbers)][:CITED]:
        start = table.sheet.rows[number - 1].start
        chunk = next((chunk for chunk in table.chunks if chunk.start <= start < chunk.end), None)
        if chunk is not None:
            quote = chunk.text[start - chunk.start :].partition("\n")[0].rstrip()
            found.append(cite_span(replace(hit, chunk=chunk), len(found) + 1, start, quote))
    return found
