"""`sixply ask`: ask one question."""

import asyncio
from datetime import date
from typing import Annotated, Any, cast

import typer

from foundation.errors import InvalidRequest, did_you_mean
from serving.cli import terminal
from serving.cli.options import LOCAL, STACK, Groups, Json, Stack, Tenant, load_stack, local


def ask(
    question: Annotated[str, typer.Argument(help="The question.")],
    *,
    tenant: Tenant = LOCAL,
    roles: Annotated[list[str] | None, typer.Option("--role", help="A role. Repeatable; reader by default.")] = None,
    groups: Groups = None,
    compose: Annotated[
        str | None, typer.Option(help="extractive (quotes), generative (the model writes), auto.")
    ] = None,
    thread: Annotated[
        str | None, typer.Option(help="Continue this conversation, or resume a question that was interrupted.")
    ] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Show each step as it runs, and the plan.")] = False,
    as_of: Annotated[
        str | None, typer.Option(help="Answer from the versions in force on this day, such as 2025-03-31.")
    ] = None,
    json: Json = None,
    stack: Stack = STACK,
) -> None:
    """Ask a question and print the answer with its sources."""
    from orchestration.requests import AnswerRequest
    from orchestration.run import answering
    from serving.access.identity import check_roles
    from serving.cli.opening import open_or_ask

    loaded, caller = load_stack(stack), local(tenant, roles or ["reader"], groups)
    ways = ("auto", "extractive", "generative")
    if compose is not None and compose not in ways:
        raise InvalidRequest(f'No way to compose "{compose}". {did_you_mean(compose, ways)}')
    if not question.strip():
        raise InvalidRequest("The question is empty.")
    check_roles(caller.roles, loaded.settings.orchestration.policy)
    try:
        day = date.fromisoformat(as_of) if as_of else None
    except ValueError as error:
        raise InvalidRequest(f'"{as_of}" is not a date. Write year-month-day, such as 2025-03-31.') from error
    request = AnswerRequest(question=question, thread_id=thread, compose=cast("Any", compose), as_of=day)
    seen = terminal.make_step_printer() if plan and str(json) != "-" else None
    with open_or_ask(loaded) as system:
        if not system.retrieval.ledger.chunk_count():
            terminal.show_note("There are no documents yet. Add yours: make ingest SRC=folder")
        answer = asyncio.run(answering.answer(system.agent, request, caller, seen=seen))
    if not terminal.write_json(json, answer.model_dump(mode="json")):
        terminal.show_answer(answer, plan=plan)
