"""`sixply ask`: ask one question."""

from __future__ import annotations

import asyncio
import json as jsons
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from foundation.components import load_removable
from foundation.errors import InvalidRequest, did_you_mean
from foundation.types import Principal
from serving.cli import terminal
from serving.cli.options import LOCAL, STACK, Groups, Json, Stack, Tenant, exit_unless, load_stack, local

if TYPE_CHECKING:
    from serving.settings import Loaded


def ask(
    question: Annotated[str, typer.Argument(help="What you want to know.")],
    *,
    tenant: Tenant = LOCAL,
    roles: Annotated[list[str] | None, typer.Option("--role", help="May be repeated; reader if absent.")] = None,
    groups: Groups = None,
    compose: Annotated[
        str | None, typer.Option(help="extractive (quotes), generative (the model writes), auto.")
    ] = None,
    thread: Annotated[
        str | None, typer.Option(help="Continue this conversation, or the same question that was cut off in it.")
    ] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Show each step as it is done, and the plan.")] = False,
    as_of: Annotated[str | None, typer.Option(help="From the versions in force on that day, e.g. 2025-03-31.")] = None,
    schema: Annotated[
        Path | None, typer.Option(help="Answer as an object of this JSON schema.", exists=True, dir_okay=False)
    ] = None,
    text: Annotated[
        Path | None,
        typer.Option(help="With --schema: read it from this text, not the documents.", exists=True, dir_okay=False),
    ] = None,
    json: Json = None,
    stack: Stack = STACK,
) -> None:
    """Ask one question, as a person of a tenant."""
    from orchestration.requests import AnswerRequest
    from orchestration.run import answering
    from serving.access.identity import check_roles
    from serving.cli.served import open_or_ask

    if text is not None and schema is None:
        raise InvalidRequest("--text is what an object is read from. Give its JSON schema with --schema.")
    loaded, caller = load_stack(stack), local(tenant, roles or ["reader"], groups)
    if schema is not None:
        exit_unless(ok=_ask_for_object(loaded, question, caller, schema=schema, text=text, json=json))
        return
    ways = ("auto", "extractive", "generative")
    if compose is not None and compose not in ways:
        raise InvalidRequest(f'No way to compose "{compose}". {did_you_mean(compose, ways)}')
    if not question.strip():
        raise InvalidRequest("The question is empty. Say what you want to know.")
    check_roles(caller.roles, loaded.settings.orchestration.policy)
    request = AnswerRequest(
        question=question, thread_id=thread, compose=cast("Any", compose), as_of=_day(as_of) if as_of else None
    )
    seen = terminal.watching() if plan and str(json) != "-" else None
    with open_or_ask(loaded) as system:
        if not system.ledger.chunk_count():
            terminal.show_note("There is no document yet. Run make demo, or add yours: make ingest SRC=folder")
        answer = asyncio.run(answering.answer(system.agent, request, caller, seen=seen))
    if not terminal.write_json(json, answer.model_dump(mode="json")):
        terminal.show_answer(answer, plan=plan)


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise InvalidRequest(f'"{text}" is no day. Write it as year-month-day: 2025-03-31') from error


def _ask_for_object(
    loaded: Loaded, question: str, principal: Principal, *, schema: Path, text: Path | None, json: Path | None
) -> bool:
    """Print an object of that schema. Return whether there is one.

    Raises:
        InvalidRequest: an empty question, or a file without a JSON schema of an object.
    """
    from serving.cli.served import open_or_ask

    objects = load_removable("orchestration.answers.objects")
    try:
        shape = objects.model_of(jsons.loads(schema.read_text(encoding="utf-8")))
    except ValueError as error:
        raise InvalidRequest(f"{schema} holds no JSON schema: {error}.") from error
    given = text.read_text(encoding="utf-8") if text else None
    with open_or_ask(loaded) as system:
        answer = asyncio.run(system.objects.answer_as(shape, question, principal, text=given))
    content = answer.object.model_dump(mode="json") if answer.object is not None else None
    if not terminal.write_json(json, {"object": content, "failure": answer.failure, "written": answer.written}):
        terminal.show_object(answer)
    return answer.object is not None
