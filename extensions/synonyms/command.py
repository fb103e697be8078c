"""`sixply synonyms`: what people say and no document does, and the words that a person accepts for it."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from extensions.synonyms.settings import SynonymsSettings
from serving.cli import terminal
from serving.cli.options import STACK, Json, Stack, load_stack
from serving.settings import Settings, context_of

if TYPE_CHECKING:
    from extensions.synonyms.proposing import Unknown
    from foundation.types import Scope


def synonyms(
    *,
    accept: Annotated[str, typer.Option(help="Words that mean the same: guarantee=warranty.")] = "",
    tenant: Annotated[str, typer.Option(help="Whose they are; every tenant's if absent.")] = "",
    json: Json = None,
    stack: Stack = STACK,
) -> None:
    """Propose synonyms from failed questions, and accept them. Lists words that failed questions have and no document, with the nearest words of the documents."""
    from extensions.synonyms.words import add_group

    settings = load_stack(stack).settings
    file = settings.section(SynonymsSettings).place(context_of(settings).stack_dir)
    out = terminal.console()
    if accept:
        add_group(file, accept.split("="), tenant)
        out.print(terminal.plain(f"{file} has them now. A server reads it when it starts."))
        return
    found = _propose(settings, file)
    if terminal.write_json(json, [asdict(each) for each in found]):
        return
    rows = [[each.word, each.tenant, each.questions, ", ".join(each.near)] for each in found]
    if not rows:
        out.print("No failed question of the kept conversations has a word that no document has.")
        return
    terminal.show_table(["people say", "tenant", "questions", "documents may say"], rows)
    out.print("Where one of them means the same: make synonyms ACCEPT=guarantee=warranty TENANT=acme")


def _propose(settings: Settings, file: Path) -> list[Unknown]:
    from langchain_core.embeddings import Embeddings

    from extensions.synonyms.proposing import propose
    from extensions.synonyms.words import read_groups
    from serving.cli.opening import build_ledger, open_parts

    known = [group.same for group in read_groups(file)]
    failed = asyncio.run(_find_failed(settings))
    with open_parts(settings) as parts:
        ledger = build_ledger(settings, parts)
        embedder = parts.part("models.embedder", settings.models.embedder, Embeddings)
        return propose(failed, ledger, embedder, known)


async def _find_failed(settings: Settings) -> list[tuple[str, Scope]]:
    from extensions.synonyms.proposing import has_failed
    from foundation import names
    from foundation.types import Scope
    from observability.stores import history
    from orchestration.memory.conversations import read_conversation
    from serving.cli.opening import open_checkpoints, open_spans

    spans = history.between(open_spans(settings), 0, 2**63 - 1, naming=[names.CONVERSATION_ID])
    threads = {str(thread) for span in spans if (thread := span.attribute(names.CONVERSATION_ID))}
    with open_checkpoints(settings) as saver:
        conversations = [await read_conversation(saver, thread) for thread in sorted(threads)]
    return [
        (turn.question, Scope(owner.tenant, owner.groups))
        for owner, turns in conversations
        for turn in turns
        if has_failed(turn)
    ]
