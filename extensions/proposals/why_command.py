"""`sixply why`: where a bad answer was lost, and a case of it, so that it is not lost again."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from foundation import names
from foundation.errors import InvalidRequest
from serving.cli import terminal
from serving.cli.opening import open_spans
from serving.cli.options import STACK, Json, Stack, load_stack, user_name
from serving.judge.trial import ask_case, golden_file

if TYPE_CHECKING:
    from observability.evaluation.golden_set import GoldenCase
    from serving.settings import Loaded


def why(
    case_id: Annotated[str, typer.Argument(metavar="ID", help="A golden case, an answer that was given, or last.")],
    *,
    doc: Annotated[
        list[str] | None, typer.Option(help="Of an answer: the document that has the right one, as it is cited.")
    ] = None,
    answer: Annotated[
        list[str] | None, typer.Option(help="Of an answer: the fact that it should have said, in a few words.")
    ] = None,
    case: Annotated[bool, typer.Option("--case", help="Add the question to the golden set.")] = False,
    golden: Annotated[
        Path | None, typer.Option(help="The golden set; by default the one in the stack.", dir_okay=False)
    ] = None,
    json: Json = None,
    stack: Stack = STACK,
) -> None:
    """Say where a bad answer was lost: read, cut, found, shown, said. It asks the question once more."""
    from extensions.proposals import review
    from extensions.proposals.trail import follow
    from observability.evaluation.golden_set import GOLDEN_SET, ask_one, read_known_cases
    from observability.evaluation.leaks import LeakFinder
    from serving.wiring import open_system

    loaded = load_stack(stack)
    golden = golden or golden_file(loaded.settings)
    known = {one.id: one for one in read_known_cases(golden)}
    asked = known.get(case_id) or _of_answer(loaded, case_id, doc or [], answer or [])
    with asyncio.Runner() as loop, open_system(loaded) as system:
        scored = loop.run(ask_one(asked, lambda one: ask_case(system, one, GOLDEN_SET), leaks=LeakFinder([])))
        # an effect that it asked for waits, and nobody would ever decide it
        system.orchestration.approvals.erase(asked.tenant, GOLDEN_SET)
        stages = list(follow(system, scored))
    lost = next((stage for stage in stages if not stage.kept), None)
    added = case and asked.id not in known
    if added:
        review.take_in([asked], golden)
    report = {
        "case": asked.model_dump(mode="json", exclude_defaults=True),
        "stages": [asdict(stage) for stage in stages],
        "lost": lost and asdict(lost),
        "status": scored.status,
        "answer": scored.answer and scored.answer.text,
        "added_to": str(golden) if added else None,
    }
    if terminal.write_json(json, report):
        return
    terminal.show(f"[bold]{terminal.plain(asked.question)}[/]\n")
    if asked.id not in known and not asked.answerable:
        terminal.show("Neither DOC= nor ANSWER= was given, so it is taken as a question that no document answers.\n")
    for stage in stages:
        terminal.show(f"  {'✓' if stage.kept else '✗'} {stage.name:<9} {terminal.plain(stage.told)}")
    terminal.show(f'\nLost in {lost.layer}, at "{lost.name}".' if lost else "\nNothing was lost: today it is right.")
    if added:
        terminal.show(f"It is a case of {golden} now. The gate's baseline is of the old set: make gate RENEW=1")
    elif asked.id not in known:
        terminal.show("To make it a case of the golden set: the same with CASE=1")


def _of_answer(loaded: Loaded, answer_id: str, documents: list[str], answers: list[str]) -> GoldenCase:
    """Make a case of an answer that was given. Raises InvalidRequest: it is not kept, or the person did not say what is right."""
    from extensions.proposals.feedback_command import find_turns
    from extensions.redaction.personal_data import redact
    from observability.evaluation.golden_set import GoldenCase

    wanted = _traced_answers(loaded) if answer_id == "last" else [answer_id]
    kept = asyncio.run(find_turns(loaded, {*wanted}))
    found = next((kept[one] for one in reversed(wanted) if one in kept), None)
    if found is None:
        raise InvalidRequest(
            f'"{answer_id}" is neither a golden case nor an answer whose conversation is kept. An answer tells its id in `answer_id`, '
            "and make traces (extension reports) lists the latest."
        )
    if bool(documents) != bool(answers):
        raise InvalidRequest("Give both, or neither if no document answers it: DOC=returns.md ANSWER='30 days'")
    return GoldenCase(
        id=f"f-{found.turn.answer_id[:12]}",
        question=redact(found.turn.question).strip(),
        kind="two_documents" if len(documents) > 1 else "answerable" if documents else "unanswerable",
        tenant=found.owner.tenant,
        groups=tuple(sorted(found.owner.groups)),
        gold_documents=tuple(documents),
        answers=tuple(answers) if len(documents) < 2 else (),
        answers_all=tuple((fact,) for fact in answers) if len(documents) > 1 else (),
        answerable=bool(documents),
        reviewed_by=user_name(),
    )


def _traced_answers(loaded: Loaded) -> list[str]:
    """Return the ids of all answers that were traced, the latest last."""
    from observability.stores import history

    spans = history.between(open_spans(loaded.settings), 0, 2**63 - 1, naming=[names.ANSWER_ID])
    return [str(found) for span in spans if (found := span.attribute(names.ANSWER_ID))]
