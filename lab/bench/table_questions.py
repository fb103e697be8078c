"""`sixply bench-tables`: questions to tables, whose results are known; some can't be answered and have to be refused.

Each is asked in two ways. By the tool: a scripted double that fills in the right typed query stands for a strong model, so the engine is
measured and not whether a model finds the query. And by the system as it is configured, which gets the question alone. The worst
outcome is a figure that is asserted and wrong.

The set "second" was written before any failure of "first" was looked at: what is mended by the first is measured on it. "third" was
written, with tables of its own, before the reading of questions was made stricter, and asked once afterwards.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

from langchain_core.tools import BaseTool, ToolException

from extensions.tables.figures import read_figure
from extensions.tables.tools import Options, build
from foundation.errors import InvalidRequest
from foundation.text.lexical import words
from foundation.types import Principal, Scope
from lab.bench.made_tables import write_tables
from observability.evaluation.metrics import share_interval
from orchestration.contract import ToolParts
from orchestration.events import Answer
from retrieval.documents import Source
from retrieval.ingest.preparation import Item
from serving.wiring import System

HERE = Path(__file__).parent / "tables"
QUESTIONS, DOCUMENTS = HERE / "questions.jsonl", HERE / "documents"
SETS = {
    "earlier": QUESTIONS,
    "first": HERE / "first.jsonl",
    "second": HERE / "second.jsonl",
    "third": HERE / "third.jsonl",
}
# In a condition: the result of the query before
_FOUND = "$1"
DESK = Path("examples/support_desk/corpus")
OF_THE_DESK = ("data/price-list-2026.csv", "data/spare-parts.csv", "data/error-codes.csv", "data/supported-regions.csv")
TENANT, OTHER = "alder-clinics", "bexley-schools"
PERSON = Principal("bench", TENANT, frozenset({"reader"}), frozenset({"staff"}))
DOUBLE = "The typed queries are a scripted double's, in place of a strong model's: they measure what the tool does with them."
MOST_ASSERTED_WRONG = 0.01
"""Of what is asserted."""

_MARKER = re.compile(r"\[\d+\]")
Outcome = Literal["right", "refused", "wrong"]


@dataclass(frozen=True, slots=True)
class TableQuestion:
    question_id: str
    kind: str
    question: str
    queries: Sequence[Mapping[str, Any]]
    """What a strong model fills in: one query; two of whose figures the difference is asked; or one and another that has its
    result as `$1`."""
    expected: Sequence[str] | None
    """`None`: it cannot be answered."""


def read_questions(file: Path = QUESTIONS) -> list[TableQuestion]:
    """Raises InvalidRequest: a line is no such question."""
    rows = file.read_text(encoding="utf-8").splitlines()
    try:
        return [_question(json.loads(row)) for row in rows if row.strip()]
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidRequest(
            f"{file} has a line that is no question: {error!r}. Each has id, kind, question, queries and expected."
        ) from error


def _question(row: Mapping[str, Any]) -> TableQuestion:
    return TableQuestion(row["id"], row["kind"], row["question"], row["queries"], row["expected"])


def documents() -> list[Item]:
    """Return the tables of the questions: made-up ones, and the desk's. Another tenant's are among them."""
    files = [(DOCUMENTS, file.name, TENANT) for file in sorted(DOCUMENTS.iterdir())]
    files += [(DESK, name, TENANT) for name in OF_THE_DESK]
    files += [(DESK, f"tenants/{tenant}/sites.csv", tenant) for tenant in (TENANT, OTHER)]
    items = [Item(Source(name, tenant), (folder / name).read_bytes(), name) for folder, name, tenant in files]
    return items + [Item(Source(name, TENANT), content, name) for name, content in write_tables()]


@contextmanager
def open_tool(system: System) -> Iterator[BaseTool]:
    """Yield `query_table` over the documents of a system, which need not have it on."""
    parts = ToolParts(
        **vars(system.context),
        ledger=system.retrieval.ledger,
        retriever=system.retriever,
        scope_of=lambda person: Scope(person.tenant, person.groups),
    )
    with closing(build(Options(), parts)) as tools:
        yield next(tool for tool in tools if tool.name == "query_table")


def ask_tool(tool: BaseTool, question: TableQuestion) -> tuple[Outcome, str]:
    """Ask the typed queries of a question. Returns what came of it, and the answer or the refusal."""
    try:
        values = _run_queries(tool, question.queries)
    except ToolException as refusal:
        return "refused", str(refusal)
    return ("right" if _are_the_same(values, question.expected) else "wrong"), ", ".join(values)


def _run_queries(tool: BaseTool, queries: Sequence[Mapping[str, Any]]) -> list[str]:
    first, *others = queries
    values = _call(tool, first)
    for query in others:
        if any(condition["value"] == _FOUND for condition in query["where"]):
            where = [
                {**each, "value": values[0] if each["value"] == _FOUND else each["value"]} for each in query["where"]
            ]
            values = _call(tool, {**query, "where": where})
        else:
            values = [_difference(values, _call(tool, query))]
    return values


def _call(tool: BaseTool, query: Mapping[str, Any]) -> list[str]:
    request = {"type": "tool_call", "id": "1", "name": tool.name, "args": dict(query)}
    rows = tool.invoke(request, {"configurable": {"principal": PERSON}}).artifact["rows"]
    return [[*row.values()][-1] for row in rows]


def _difference(minuend: Sequence[str], subtrahend: Sequence[str]) -> str:
    (more,), (less,) = minuend, subtrahend
    return f"{_number(more) - _number(less):.10g}"


def _number(value: str) -> Decimal:
    """Return the number of a cell as the person who asks for a difference reads it: without its unit."""
    figure = read_figure(value)
    number = figure.value(".") if figure else None
    if number is None:
        raise ToolException(f'"{value}" is no number, so there is no difference.')
    return number


def _are_the_same(values: Sequence[str], expected: Sequence[str] | None) -> bool:
    return expected is not None and Counter(map(_plain, values)) == Counter(map(_plain, expected))


def _plain(value: str) -> str:
    try:
        return f"{float(value):.10g}"
    except ValueError:
        return " ".join(words(value))


def judge_answer(answer: Answer, expected: Sequence[str] | None, others: Iterable[str] = ()) -> Outcome:
    """Say what came of an answer: right where all that is expected stands in what it asserts, and none of `others`."""
    if answer.status != "answered" or answer.band in ("closest", "not_found"):
        return "refused"
    said = f" {' '.join(words(_MARKER.sub('', answer.text)))} "

    def says(value: str) -> bool:
        return f" {' '.join(words(value))} " in said

    is_right = bool(expected) and all(map(says, expected or ())) and not any(map(says, others))
    return "right" if is_right else "wrong"


def other_rows(tool: BaseTool, question: TableQuestion) -> list[str]:
    """Return what a list of rows must not have: the values of its column in the other rows."""
    if question.kind not in ("list", "superlative") or question.expected is None:
        return []
    query = question.queries[-1]
    values = _call(tool, {"table": query["table"], "columns": query["columns"]})
    return [value for value in dict.fromkeys(values) if _plain(value) not in map(_plain, question.expected)]


async def ask_all(
    questions: Sequence[TableQuestion],
    ask: Callable[[str], Awaitable[Answer]],
    tool: BaseTool,
    progress: Callable[[int], None] = lambda _: None,
) -> list[dict[str, Any]]:
    """Ask the questions as a person does; return a row for each."""
    rows = []
    for done, question in enumerate(questions, 1):
        answer = await ask(question.question)
        outcome = judge_answer(answer, question.expected, other_rows(tool, question))
        rows.append(row_of(question, outcome, answer.text))
        progress(done)
    return rows


def row_of(question: TableQuestion, outcome: Outcome, said: str) -> dict[str, Any]:
    return {
        "id": question.question_id,
        "kind": question.kind,
        "outcome": outcome,
        "said": said,
        "expected": question.expected,
    }


def summarise(rows: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the shares with their 95 % intervals, as a whole and by kind."""
    all_rows = [*rows]
    answerable = [row for row in all_rows if row["expected"] is not None]
    others = [row for row in all_rows if row["expected"] is None]
    asserted = [row for row in all_rows if row["outcome"] != "refused"]
    kinds = dict.fromkeys(row["kind"] for row in all_rows)
    return {
        "right": _share(answerable, "right"),
        "refused": _share(answerable, "refused"),
        "wrong": _share(answerable, "wrong"),
        "refused_unanswerable": _share(others, "refused"),
        "asserted_wrong": _share(asserted, "wrong"),
        "kinds": {kind: dict(Counter(row["outcome"] for row in all_rows if row["kind"] == kind)) for kind in kinds},
    }


def _share(rows: Sequence[Mapping[str, Any]], outcome: Outcome) -> dict[str, Any]:
    count = sum(row["outcome"] == outcome for row in rows)
    share = count / len(rows) if rows else None
    low, high = share_interval(share, len(rows)) if share is not None else (None, None)
    return {"share": share, "low": low, "high": high, "count": count, "of": len(rows)}


SHARES = {
    "right": "right", "refused": "refused", "wrong": "plausible but wrong", "refused_unanswerable": "refused, of those without an answer",
    "asserted_wrong": "wrong, of all that is asserted",
}  # fmt: skip


def as_table(figures: Mapping[str, Mapping[str, Any]]) -> list[list[str]]:
    """Return a row for each share, with a column for each way of asking."""
    return [[label, *(_format_share(of_way[share]) for of_way in figures.values())] for share, label in SHARES.items()]


def _format_share(share: Mapping[str, Any]) -> str:
    if share["share"] is None:
        return "of none"
    return f"{share['share']:.3f} ({share['low']:.3f} to {share['high']:.3f}), {share['count']} of {share['of']}"
