"""Propose golden cases from feedback, for review. Personal data is redacted first: a golden set has many readers."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from extensions.feedback.store import Outcome
from extensions.proposals.review import Proposal
from extensions.redaction.personal_data import redact
from foundation.types import Principal
from observability.evaluation import metrics
from observability.evaluation.golden_set import REFUSALS, GoldenCase
from orchestration.events import Turn


@dataclass(frozen=True, slots=True)
class Asked:
    """A turn of a conversation and its owner."""

    turn: Turn
    owner: Principal


def proposals(
    outcomes: Iterable[Outcome], answers: Mapping[str, Asked], golden: Sequence[GoldenCase] = ()
) -> list[Proposal]:
    """Return a proposal for each outcome whose conversation is kept and whose question is no case yet."""
    questions = {case.question.strip().casefold() for case in golden}
    drafts: dict[str, Proposal] = {}
    for outcome in outcomes:
        answer = answers.get(outcome.answer_id)
        if answer is None:
            continue
        question = redact(answer.turn.question).strip()
        if question.casefold() not in questions:
            drafts[question.casefold()] = _proposal(outcome, answer, question, redact)
    return list(drafts.values())


def _proposal(outcome: Outcome, answer: Asked, question: str, redact: Callable[[str], str]) -> Proposal:
    turn = answer.turn
    text = redact(metrics.without_markers(turn.text, (cited.marker for cited in turn.citations)))
    text = text.replace(" .", ".").strip()
    answerable = turn.status not in REFUSALS or bool(outcome.note and outcome.verdict == "edited")
    gold = {"edited": outcome.note, "accepted": text}.get(outcome.verdict, "") if answerable else ""
    documents = (
        dict.fromkeys(cited.uri for cited in turn.citations) if outcome.verdict in ("accepted", "edited") else {}
    )
    return Proposal(
        case={
            "id": f"f-{outcome.answer_id[:12]}",
            "question": question,
            "kind": "answerable" if answerable else "unanswerable",
            "tenant": answer.owner.tenant,
            "groups": sorted(answer.owner.groups),
            "gold_documents": list(documents),
            "answers": [gold] if gold else [],
            "answerable": answerable,
        },
        verdict=outcome.verdict,
        note=outcome.note,
        said=text,
        status=turn.status,
    )
