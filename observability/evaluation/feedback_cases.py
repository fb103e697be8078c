"""From what people said of answers to golden cases, with a person's review in between.

A proposal is one line of JSON: the case as far as it can be filled in, and what it was made from. A person sets `reviewed` to
true, shortens `answers` to the fact that must be said, and corrects the rest; only then is it taken in. Questions and notes
pass the redaction of personal data first, because a golden set is committed and read by many.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from foundation.errors import InvalidRequest
from foundation.types import Principal
from observability.evaluation import metrics
from observability.evaluation.golden_set import REFUSALS, GoldenCase, load_golden, unfit
from observability.stores.outcomes import Outcome
from observability.telemetry import personal_data
from orchestration.contract import Turn


class Proposal(BaseModel):
    """One line of the file that a person goes through."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    reviewed: bool = False
    case: dict[str, Any]
    verdict: str
    note: str = ""
    said: str
    """What the system had answered."""
    status: str


@dataclass(frozen=True, slots=True)
class Asked:
    """A turn of a conversation, and whose it was."""

    turn: Turn
    owner: Principal


def proposals(
    outcomes: Iterable[Outcome], answers: Mapping[str, Asked], golden: Sequence[GoldenCase] = ()
) -> list[Proposal]:
    """A proposal for each judged answer of production whose conversation is still kept, and which is not a case yet."""
    questions = {case.question for case in golden}
    drafts: dict[str, Proposal] = {}
    for outcome in outcomes:
        answer = answers.get(outcome.answer_id)
        if outcome.origin != "production" or answer is None:
            continue
        question = personal_data.redact(answer.turn.question)
        if question not in questions:
            drafts[question] = _proposal(outcome, answer, question)
    return list(drafts.values())


def _proposal(outcome: Outcome, answer: Asked, question: str) -> Proposal:
    turn = answer.turn
    text = personal_data.redact(metrics.without_markers(turn.text, (cited.marker for cited in turn.citations)))
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


def write(path: Path, drafts: Sequence[Proposal]) -> None:
    """Raises:
    InvalidRequest: the file is there already: somebody may have begun to review it.
    """
    try:
        with path.open("x", encoding="utf-8") as file:
            file.writelines(json.dumps(draft.model_dump(), ensure_ascii=False) + "\n" for draft in drafts)
    except FileExistsError as error:
        raise InvalidRequest(f"{path} is there already, perhaps with a review in it. Name another file: TO=") from error


def read_reviewed(path: Path) -> tuple[list[GoldenCase], int]:
    """The cases that a person has let through, and how many are still to be looked at.

    Raises:
        InvalidRequest: a line is no proposal, or a reviewed case cannot be scored; the text names the line.
    """
    cases, waiting = [], 0
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"{path} cannot be read: {error}. TAKE names the file that a person reviewed.") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            proposal = Proposal(**json.loads(line))
            if not proposal.reviewed:
                waiting += 1
                continue
            case = GoldenCase(**proposal.case)
        except (ValidationError, ValueError, TypeError) as error:
            raise InvalidRequest(
                f"{path.name} line {number}: {error}. Correct that line; nothing was taken in."
            ) from error
        if wrong := unfit(case):
            raise InvalidRequest(f"{path.name} line {number}: {wrong}. Nothing was taken in.")
        cases.append(case)
    return cases, waiting


def take_in(cases: Sequence[GoldenCase], golden: Path) -> None:
    """Append the cases to a golden set, all of them or none.

    Raises:
        InvalidRequest: an id is taken.
    """
    case_ids = {case.id for case in load_golden(golden)} if golden.exists() else set()
    for case in cases:
        if case.id in case_ids:
            raise InvalidRequest(
                f'{golden.name} has a case "{case.id}" already. Give it another id; nothing was taken in.'
            )
        case_ids.add(case.id)
    before = golden.read_text(encoding="utf-8") if golden.exists() else ""
    if before and not before.endswith("\n"):
        before += "\n"
    temporary = golden.with_suffix(".new")
    temporary.write_text(before + "".join(case.model_dump_json() + "\n" for case in cases), encoding="utf-8")
    temporary.replace(golden)
