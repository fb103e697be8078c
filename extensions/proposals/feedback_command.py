"""`sixply cases-from-feedback`: golden cases from judged answers, after review by a person."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from foundation import names
from serving.cli import terminal
from serving.cli.opening import open_checkpoints, open_spans
from serving.cli.options import STACK, Stack, load_stack
from serving.judge.trial import golden_file
from serving.settings import Loaded

if TYPE_CHECKING:
    from extensions.proposals.from_feedback import Asked


def cases_from_feedback(
    *,
    to: Annotated[
        Path | None, typer.Option(help="The file for proposals; var/reports/cases.jsonl by default.", dir_okay=False)
    ] = None,
    take: Annotated[
        Path | None, typer.Option(help="A file of reviewed proposals to add.", exists=True, dir_okay=False)
    ] = None,
    golden: Annotated[
        Path | None, typer.Option(help="The golden set; by default the one in the stack.", dir_okay=False)
    ] = None,
    stack: Stack = STACK,
) -> None:
    """Turn rated answers into test cases. They join the golden set after a person's review."""
    loaded = load_stack(stack)
    golden = golden or golden_file(loaded.settings)
    if take is None:
        _propose(loaded, to or loaded.settings.foundation.data_dir / "reports" / "cases.jsonl", golden)
    else:
        _take(take, golden)


def _propose(loaded: Loaded, to: Path, golden: Path) -> None:
    from extensions.feedback.commands import open_outcomes
    from extensions.proposals import from_feedback, review
    from observability.evaluation.golden_set import read_known_cases

    with open_outcomes(loaded.settings) as store:
        judged = store.all()
    turns = asyncio.run(find_turns(loaded, {outcome.answer_id for outcome in judged}))
    cases = read_known_cases(golden)
    drafts = from_feedback.proposals(judged, turns, cases)
    out = terminal.console()
    if not drafts:
        out.print(
            f"No new case: {len(judged)} answers were judged, {len(turns)} of their conversations are kept, and the rest "
            f"are cases already. People judge answers over POST /v1/answers/ID/feedback or sixply outcome."
        )
        return
    review.write(to, drafts)
    out.print(
        f"{len(drafts)} proposals of {len(judged)} judged answers are in {to}. In each: shorten answers to the fact that must "
        f"be said, correct the rest, set reviewed to true; or be asked for each. Then: make cases-from-feedback TAKE={to}"
    )


def _take(path: Path, golden: Path) -> None:
    from extensions.proposals import review, reviewing

    reviewing.review_by_keys(review.read_proposals(path), path, golden)
    cases, waiting = review.read_reviewed(path)
    review.take_in([case for case in cases if not case.reviewed_by], golden)
    others = f" {waiting} are not reviewed yet." if waiting else ""
    out = terminal.console()
    out.print(f"{len(cases)} cases were added to {golden}.{others}")
    if cases:
        out.print("The gate's baseline is of the old set now: make gate RENEW=1")


async def find_turns(loaded: Loaded, answer_ids: set[str]) -> dict[str, Asked]:
    # an answer's span names its conversation; the outcome does not
    from extensions.proposals.from_feedback import Asked
    from observability.stores import history
    from orchestration.memory.conversations import read_conversation

    settings = loaded.settings
    spans = history.between(open_spans(settings), 0, 2**63 - 1, naming=[names.ANSWER_ID])
    threads = {
        str(span.attribute(names.CONVERSATION_ID))
        for span in spans
        if span.attribute(names.ANSWER_ID) in answer_ids and span.attribute(names.CONVERSATION_ID)
    }
    with open_checkpoints(settings) as saver:
        conversations = [await read_conversation(saver, thread) for thread in sorted(threads)]
    turns_of_people = [(turn, owner) for owner, turns in conversations for turn in turns]
    return {turn.answer_id: Asked(turn, owner) for turn, owner in turns_of_people if turn.answer_id in answer_ids}
