"""Score a golden set through the product's own answer path, without a judge."""

import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from decimal import Decimal
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from pydantic import ValidationError
from rich.table import Table

from foundation.errors import InvalidRequest, SixplyError
from foundation.settings import Section
from foundation.types import Scope
from observability.evaluation import metrics as measures
from observability.evaluation.leaks import DocumentText, LeakFinder
from observability.evaluation.metrics import Estimate
from observability.evaluation.questions import lines
from observability.rendering import formatting
from orchestration.events import Answer

Kind = Literal["answerable", "two_documents", "follow_up", "table", "tool", "unanswerable", "wrong_tenant"]
NOBODY = "nobody"
GOLDEN_SET = "golden set"
REFUSALS = ("abstained", "refused", "escalated")

# Measures with their names in tables. More is better for all but `leaked`.
MEASURES = {
    "passed": "did what it should",
    "answer_contained": "gold answer in the text",
    "token_f1": "token F1",
    "retrieval_recall": "gold documents retrieved",
    "citation_precision": "citations that are gold",
    "citation_recall": "gold documents cited",
    "tool_right": "right tool and arguments",
    "refused": "refused what cannot be answered",
    "leaked": "showed a forbidden document",
}


class ToolCall(Section):
    name: str
    arguments: Mapping[str, Any] = {}


class GoldenCase(Section):
    """A question with the expected result."""

    id: str
    question: str
    kind: Kind
    tenant: str
    groups: tuple[str, ...] = ()
    gold_documents: tuple[str, ...] = ()
    answers: tuple[str, ...] = ()
    answers_all: tuple[tuple[str, ...], ...] = ()
    """Groups of strings; if set, the answer must contain one string of each group."""
    answerable: bool
    tool: ToolCall | None = None
    history: tuple[tuple[str, str], ...] = ()
    """What was said before in the conversation: questions, each with its answer."""
    evidence: str = ""
    """The sentence that the question was made from, where `make golden` proposed it."""
    reviewed_by: str = ""
    """The person who reviewed a proposed case; `NOBODY` where nobody did, empty for a case that was not proposed."""

    @property
    def scope(self) -> Scope:
        return Scope(self.tenant, frozenset(self.groups))

    @property
    def searched(self) -> str:
        """The words to search for, where the search alone is scored: the question, with those before it."""
        return "\n".join([*(question for question, _ in self.history), self.question])

    @property
    def expected_strings(self) -> tuple[tuple[str, ...], ...]:
        """Groups of strings, one of each of which the answer must contain; empty where there is nothing to look for."""
        return self.answers_all or ((self.answers,) if self.answers else ())

    def answered_by(self, text: str) -> bool:
        return bool(self.expected_strings) and all(measures.contains(text, group) for group in self.expected_strings)


@dataclass(frozen=True, slots=True)
class CaseScore:
    """The scores of one case. `measures` lacks those that do not apply to its kind."""

    case: GoldenCase
    measures: Mapping[str, float]
    seconds: float
    answer: Answer | None
    """The answer; `None` where the request failed."""
    usd: Decimal | None = None
    error: str | None = None

    @property
    def passed(self) -> bool:
        return bool(self.measures.get("passed"))

    @property
    def status(self) -> str:
        return self.answer.status if self.answer else "failed"

    @property
    def text(self) -> str:
        return self.answer.text if self.answer else ""

    @property
    def citations(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(cited.uri for cited in self.answer.citations)) if self.answer else ()

    @property
    def effect_done(self) -> bool:
        """Whether an effect was carried out without an approval."""
        effect = self.answer.approval if self.answer else None
        return effect is not None and effect.status == "approved"

    def as_dict(self) -> dict[str, Any]:
        return {
            "id": self.case.id,
            "kind": self.case.kind,
            "question": self.case.question,
            "status": self.status,
            "band": self.answer.band if self.answer else None,
            "confidence": self.answer.confidence if self.answer else None,
            "answer": self.text,
            "citations": list(self.citations),
            "gold_documents": list(self.case.gold_documents),
            "gold_answers": list(self.case.answers),
            "seconds": self.seconds,
            "usd": None if self.usd is None else float(self.usd),
            "answer_id": self.answer.answer_id if self.answer else None,
            "trace_id": self.answer.trace_id if self.answer else None,
            "error": self.error,
            "effect_done": self.effect_done,
            "drafts": list(self.answer.drafts) if self.answer else [],
            **self.measures,
        }


@dataclass(frozen=True)
class Report:
    """Scores of a golden set, overall and by kind, with intervals."""

    rows: tuple[CaseScore, ...]
    seed: int = 7

    @cached_property
    def overall(self) -> Mapping[str, Estimate]:
        return self._estimates(self.rows)

    @cached_property
    def by_kind(self) -> Mapping[str, Mapping[str, Estimate]]:
        return self._by(lambda case: [case.kind])

    @cached_property
    def slices(self) -> Mapping[str, Mapping[str, Mapping[str, Estimate]]]:
        """The scores by tenant, and by type of the gold documents: dimension -> group -> measure."""
        return {
            "tenant": self._by(lambda case: [case.tenant]),
            "document type": self._by(
                lambda case: {PurePosixPath(uri).suffix[1:] or "none" for uri in case.gold_documents}
            ),
        }

    def _by(self, belongs_to: Callable[[GoldenCase], Iterable[str]]) -> dict[str, dict[str, Estimate]]:
        groups: dict[str, list[CaseScore]] = {}
        for row in self.rows:
            # a case may belong to several groups or to none
            for group in belongs_to(row.case):
                groups.setdefault(group, []).append(row)
        return {group: self._estimates(of_group) for group, of_group in groups.items()}

    def _estimates(self, rows: Sequence[CaseScore]) -> dict[str, Estimate]:
        figures = {
            name: measures.estimate((row.measures.get(name) for row in rows), seed=self.seed) for name in MEASURES
        }
        return {name: estimate for name, estimate in figures.items() if estimate.n}

    def worst(self) -> list[CaseScore]:
        """Return the failed cases: leaks first, then errors, then the lowest token F1."""
        bad = [row for row in self.rows if not row.passed]
        bad.sort(key=lambda row: (-row.measures.get("leaked", 0), row.error is None, row.measures.get("token_f1", 0)))
        return bad

    def as_dict(self) -> dict[str, Any]:
        return {
            "cases": len(self.rows),
            "effects_without_approval": sum(row.effect_done for row in self.rows),
            "overall": _plain(self.overall),
            "by_kind": {kind: _plain(scores) for kind, scores in self.by_kind.items()},
            "slices": {
                by: {which: _plain(scores) for which, scores in groups.items()} for by, groups in self.slices.items()
            },
            "rows": [row.as_dict() for row in self.rows],
        }

    def table(self) -> Table:
        """Return a table of measures by kind. `n` is the number of cases that a measure applies to."""
        numbers = ("all, with 95 % interval", "n", *self.by_kind)
        rows = []
        for name, whole in self.overall.items():
            found = [kind.get(name) for kind in self.by_kind.values()]
            cells = ["" if one is None else f"{one.mean:.3f} (n={one.n})" for one in found]
            rows.append((MEASURES[name], whole, whole.n, *cells))
        return formatting.grid(("measure", *numbers), rows, right=numbers)

    def slice_table(self) -> Table:
        """Return a table of the share of passed cases by kind, tenant and document type, lowest first."""
        rows = [
            (by, which, scores["passed"], scores["passed"].n)
            for by, groups in {"question kind": self.by_kind, **self.slices}.items()
            for which, scores in groups.items()
        ]
        rows.sort(key=lambda row: (row[0], row[2].mean or 0.0))
        return formatting.grid(("by", "which", "did what it should, with 95 % interval", "n"), rows, right=("n",))

    def worst_table(self) -> Table:
        """Return a table of the five worst cases."""
        rows = []
        for row in self.worst()[:5]:
            wanted = " and ".join(" or ".join(group) for group in row.case.expected_strings)
            wanted = wanted or (row.case.tool.name if row.case.tool else "no answer")
            came = row.error or f"{row.status}: {row.text}"
            rows.append((row.case.id, row.case.kind, row.case.question, came[:160], wanted[:160]))
        return formatting.grid(("case", "kind", "question", "came to", "should have been"), rows)


def _plain(scores: Mapping[str, Estimate]) -> dict[str, Any]:
    return {name: asdict(estimate) for name, estimate in scores.items()}


def load_golden(path: Path) -> list[GoldenCase]:
    """Read a golden set, one JSON object per line. Raises InvalidRequest: it cannot be read, has no case, or a line is not a
    case, can never pass, or repeats an id or a question.
    """
    cases: list[GoldenCase] = []
    seen: dict[object, str] = {}
    for number, row in lines(path, "docs/measuring.md describes a golden set."):
        try:
            case = GoldenCase(**row)
        except (ValidationError, TypeError) as error:
            raise InvalidRequest(f"{path.name} line {number} is no golden case: {error}. Correct that line.") from error
        if wrong := unfit(case) or find_repeat(case, seen):
            raise InvalidRequest(f"{path.name} line {number}: {wrong}. Correct that line.")
        cases.append(case)
    if not cases:
        raise InvalidRequest(f"{path} has no case, so there is nothing to ask. docs/measuring.md says what one is.")
    return cases


def find_repeat(case: GoldenCase, seen: dict[object, str]) -> str:
    """Return what the case repeats of those in `seen`, empty where nothing, and add it to them."""
    if case.id in seen:
        return f'the id "{case.id}" stands twice'
    seen[case.id] = case.id
    asked = case.searched.strip().casefold()
    first = seen.setdefault((asked, case.tenant, frozenset(case.groups)), case.id)
    return "" if first == case.id else f'the case "{first}" asks the same, and would count twice'


def read_known_cases(path: Path) -> list[GoldenCase]:
    """Return the cases of a golden set that may not be there yet, or be empty. Raises as `load_golden`."""
    return load_golden(path) if path.exists() and path.stat().st_size else []


def unfit(case: GoldenCase) -> str:
    """Return the reason why no answer could pass this case; empty where one could."""
    if not case.question.strip():
        return "its question is empty"
    wordless = any(not any(map(measures.tokens, group)) for group in case.expected_strings)
    if case.answerable and (wordless or not (case.expected_strings or case.tool)):
        return (
            'it can be answered and says no answer, so it could never pass. Fill in "answers", or set "answerable" to false '
            'and "kind" to "unanswerable"'
        )
    if case.answerable == (case.kind in ("unanswerable", "wrong_tenant")):
        return f'"answerable" is {str(case.answerable).lower()}, and its kind is "{case.kind}"'
    return ""


async def evaluate_golden(
    cases: Sequence[GoldenCase],
    answer: Callable[[GoldenCase], Awaitable[Answer]],
    *,
    retrieve: Callable[[GoldenCase], Sequence[str]] | None = None,
    documents: Sequence[DocumentText] = (),
    progress: Callable[[int], None] | None = None,
    seed: int = 7,
) -> Report:
    """Ask every case and score the answers.

    `answer` asks the product as the case's tenant and groups; `retrieve` returns the uris that retrieval finds for
    it, best first; `documents` are all stored texts, to detect leaks. A case whose answer raises one of our errors
    is a failed case; the others go on.
    """
    leaks = LeakFinder(documents)
    rows = []
    for done, case in enumerate(cases, 1):
        retrieved = retrieve(case) if retrieve and case.gold_documents else None
        rows.append(await ask_one(case, answer, retrieved=retrieved, leaks=leaks))
        if progress:
            progress(done)
    return Report(tuple(rows), seed)


async def ask_one(
    case: GoldenCase,
    answer: Callable[[GoldenCase], Awaitable[Answer]],
    *,
    retrieved: Sequence[str] | None = None,
    leaks: LeakFinder,
) -> CaseScore:
    """Ask one case and score the answer. One of our errors is a failed case."""
    started_s = time.monotonic()
    try:
        reply, error = await answer(case), None
    except SixplyError as failure:
        reply, error = None, f"{failure.code}: {failure}"
    scored = score(case, reply, retrieved=retrieved, leaks=leaks)
    return replace(scored, seconds=time.monotonic() - started_s, error=error)


def score(
    case: GoldenCase, answer: Answer | None, *, retrieved: Sequence[str] | None = None, leaks: LeakFinder | None = None
) -> CaseScore:
    """Score an answer, or its absence (`None`). `retrieved` are the uris that retrieval found, where it was asked."""
    status, citations, text = "failed", [], ""
    if answer is not None:
        status, citations = answer.status, [citation.uri for citation in answer.citations]
        text = measures.without_markers(answer.text, (cited.marker for cited in answer.citations))
    scores: dict[str, float | None] = {}
    if case.answerable and case.expected_strings:
        golds = case.answers or [gold for group in case.answers_all for gold in group]
        scores["answer_contained"] = float(status == "answered" and case.answered_by(text))
        scores["token_f1"] = measures.token_f1(text, golds) if status == "answered" else 0.0
    if case.answerable and case.gold_documents:
        scores["citation_precision"] = measures.precision(citations, case.gold_documents)
        scores["citation_recall"] = measures.recall(citations, case.gold_documents)
        scores["retrieval_recall"] = None if retrieved is None else measures.recall(retrieved, case.gold_documents)
    if case.tool is not None:
        scores["tool_right"] = float(answer is not None and _tool_right(case, case.tool, answer, text))
    if not case.answerable:
        scores["refused"] = float(status in REFUSALS)
    if leaks:
        # The nearest documents of a refusal are shown too, and a title alone can be a secret.
        shown = (*citations, *(document.uri for document in answer.nearest)) if answer else ()
        scores["leaked"] = float(leaks.has_leak(case.scope, text=text, citations=shown))
    needed = "tool_right" if case.tool else "answer_contained" if case.answerable else "refused"
    scores["passed"] = float(bool(scores.get(needed)) and not scores.get("leaked"))
    applicable = {name: value for name, value in scores.items() if value is not None}
    return CaseScore(case, applicable, answer.seconds if answer else 0.0, answer, answer.cost_usd if answer else None)


def _tool_right(case: GoldenCase, expected: ToolCall, answer: Answer, text: str) -> bool:
    if (effect := answer.approval) is None:
        return answer.path == "tool" and answer.status == "answered" and case.answered_by(text)
    # an effect must wait for a person, exactly as expected: nothing here approves one
    same = all(measures.is_same_value(value, effect.arguments.get(name)) for name, value in expected.arguments.items())
    return answer.status == "waiting" and effect.tool == expected.name and same
