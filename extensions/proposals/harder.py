"""Harder questions, made of what the documents say: over two documents, as a follow-up, and over the rows of a table.

A rule's question needs no language. A chat model that writes puts it into the words of a person.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace

from pydantic import BaseModel

from extensions.proposals.from_documents import GAP, Draft, case_id, cells_of, sentences_of
from extensions.proposals.review import Proposal
from extensions.structured.generating import Ask, generate_object, object_from
from foundation.errors import ComponentError
from observability.evaluation.golden_set import GoldenCase
from observability.evaluation.leaks import DocumentText
from observability.evaluation.metrics import contains, tokens
from orchestration.prompts.files import Prompt

# Fewest rows of a table among which a largest value says something
ROWS = 4

REWORD = Prompt(
    "golden_reworded", "1",
    "You write questions that test a question-answering system. The question below was put together by a program. Ask the same in the "
    "words of a person, in the language of the evidence, as one short message. Keep every code, name and figure, and add none. Do not "
    "say the answer.",
)  # fmt: skip


class Reworded(BaseModel):
    """The question in the words of a person."""

    question: str


def follow_ups(text: DocumentText) -> Iterator[Draft]:
    """Yield questions for one more cell of a row that was asked about before, without the name of the thing."""
    for sentence in sentences_of(text):
        cells = cells_of(sentence)
        # what was asked about has a name: a row without one begins with a figure or a time
        if len(cells) > 2 and any(char.isalpha() for char in cells[0][1]):
            subject, (first, said), (second, value) = cells[0][1], cells[1], cells[-1]
            before = ((f"{subject}: {first}?", said.strip()),)
            yield Draft(text, f"{second}?", value.strip().rstrip("."), sentence, second, "follow_up", before)


def extremes(text: DocumentText) -> Iterator[Draft]:
    """Yield questions for the row with the largest or smallest value of a column, where one row alone has it."""
    tables: defaultdict[tuple[str, ...], list[tuple[str, list[str]]]] = defaultdict(list)
    for sentence in sentences_of(text):
        if cells := cells_of(sentence):
            tables[tuple(name for name, _ in cells)].append((sentence, [value.strip() for _, value in cells]))
    for names, rows in tables.items():
        if len(rows) >= ROWS:
            yield from _extremes_of(text, names, rows)


def _extremes_of(text: DocumentText, names: Sequence[str], rows: Sequence[tuple[str, list[str]]]) -> Iterator[Draft]:
    for column in range(1, len(names)):
        figures = [_figure_of(cells[column]) for _, cells in rows]
        values = [figure for figure in figures if figure is not None]
        counts = Counter(values)
        for word, best in (("max.", max(values, default=0.0)), ("min.", min(values, default=0.0))):
            if len(values) == len(rows) and counts[best] == 1 and len(counts) > 1:
                sentence, cells = rows[figures.index(best)]
                yield Draft(text, f"{names[0]}: {word} {names[column]}?", cells[0].rstrip("."), sentence, "", "table")


def _figure_of(cell: str) -> float | None:
    try:
        return float("".join(tokens(cell)).replace("¦", "."))
    except ValueError:
        return None


def over_two_documents(accepted: Sequence[Proposal], known: set[str]) -> Iterator[Proposal]:
    """Yield pairs of accepted questions of different documents as one question. What the texts themselves ask comes first."""
    cases = [GoldenCase(**proposal.case) for proposal in accepted if proposal.case["kind"] == "answerable"]
    left = sorted(cases, key=lambda case: GAP in case.question)
    while left:
        first = left.pop(0)
        second = next(
            (it for it in left if it.scope == first.scope and it.gold_documents != first.gold_documents), None
        )
        if second is None:
            continue
        left.remove(second)
        question = f"{first.question} {second.question}"
        if question.casefold() not in known:
            known.add(question.casefold())
            case = GoldenCase(
                id=case_id(question),
                question=question,
                kind="two_documents",
                tenant=first.tenant,
                groups=first.groups,
                gold_documents=(*first.gold_documents, *second.gold_documents),
                answers_all=(first.answers, second.answers),
                answerable=True,
                evidence=f"{first.evidence} {second.evidence}",
            )
            yield Proposal(case=case.model_dump(mode="json", exclude_defaults=True))


async def reword(draft: Draft, ask: Ask, left_out: Counter[str]) -> Draft:
    """Return the draft in the words of a person. A question that says the answer, and a failed call, change nothing; both are counted."""
    try:
        written = await generate_object(Reworded, object_from(REWORD, draft.question, draft.evidence, {}), ask)
    except ComponentError as error:
        left_out[f"the chat model failed: {error.code}"] += 1
        return draft
    question = written.question.strip()
    if not question or contains(question, [draft.answer]):
        left_out["the chat model's words said the answer, so the rule's stay"] += 1
        return draft
    return replace(draft, question=question)
