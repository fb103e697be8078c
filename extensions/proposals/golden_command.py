"""`sixply golden`: questions with answers, proposed from your own documents and accepted by you, one key each."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from foundation.errors import InvalidRequest
from foundation.types import EVERY_TENANT
from serving.cli import terminal
from serving.cli.options import LOCAL, STACK, Stack, Tenant, load_stack

if TYPE_CHECKING:
    from extensions.proposals.from_documents import Checks
    from extensions.proposals.review import Proposal
    from observability.evaluation.leaks import DocumentText
    from serving.wiring import System


def golden(
    source: Annotated[Path, typer.Argument(metavar="SRC", help="The folder of your documents.", file_okay=False)],
    n: Annotated[int, typer.Option("--n", min=1, help="Number of questions to propose.")] = 20,
    out: Annotated[
        Path | None, typer.Option(help="The golden set; by default the one beside these documents.", dir_okay=False)
    ] = None,
    *,
    yes: Annotated[
        bool, typer.Option("--yes", help="Accept all, for scripts; they are marked as not reviewed.")
    ] = False,
    tenant: Tenant = LOCAL,
    stack: Stack = STACK,
) -> None:
    """Propose golden questions from your documents. Accept or reject each with one key."""
    from extensions.proposals import review, reviewing
    from observability.evaluation.golden_set import NOBODY

    out = out or _golden_set_of(source, stack)
    waiting_at = out.with_suffix(".proposals.jsonl")
    if not waiting_at.exists():
        _propose(stack, source, tenant=tenant, n=n, out=out, to=waiting_at)
    drafts = review.read_proposals(waiting_at)
    waits = sum(draft.waits for draft in drafts)
    terminal.console().print(f"{waits} of {len(drafts)} proposals in {waiting_at} wait for you.")
    if yes:
        reviewing.accept_proposals(drafts, waiting_at, out, by=NOBODY)
        terminal.show_note(
            f"YES=1: nobody has reviewed these {waits} cases, and each says so. Read them before you trust a score."
        )
    elif not reviewing.review_by_keys(drafts, waiting_at, out):
        terminal.show_note("There is no terminal to ask you at. Run the same in one, or YES=1 takes all unreviewed.")
    if out.exists():
        terminal.show(f"To score them: make ingest SRC={source} TENANT={tenant}, then make evaluate GOLDEN={out}")


def _golden_set_of(source: Path, stack: Path) -> Path:
    data = load_stack(stack).settings.observability.golden_set
    if source.resolve().is_relative_to((data / "corpus").resolve()):
        return data / "golden.jsonl"
    raise InvalidRequest(
        f"{source} is not in {data / 'corpus'}, of which golden_set of [observability] asks. Say where the questions go: OUT=folder/golden.jsonl"
    )


def _propose(stack: Path, source: Path, *, tenant: str, n: int, out: Path, to: Path) -> None:
    from extensions.proposals import review
    from extensions.proposals.from_documents import Checks
    from observability.evaluation.golden_set import read_known_cases
    from retrieval.ingest.folders import read_folder
    from serving.judge.trial import empty_system

    files = read_folder(source, tenant=tenant)
    with empty_system(lambda overrides: load_stack(stack, overrides)) as (system, _), terminal.progress() as progress:
        system.retrieval.ingestor.ingest(files, progress=lambda done: progress("read", done, len(files)))
        texts = _texts(system, files.tenants, tenant)
        if not texts:
            raise InvalidRequest(f"{source} holds no document that could be read. make ingest SRC={source} says why.")
        known_questions = {case.searched.strip().casefold() for case in read_known_cases(out)}
        checks = Checks(texts, system.retriever.retrieve, known_questions)
        drafts = _propose_all(system, checks, n, progress)
    if left_out := "; ".join(f"{count}: {why}" for why, count in checks.left_out.most_common()):
        terminal.show_note(f"Left out of what was proposed: {left_out}.")
    if not drafts:
        raise InvalidRequest(
            f"Nothing could be proposed from {source}. The rules know sentences with figures, rows of tables, and questions that a text "
            "answers itself; with a chat model that writes ([models.chat], docs/your-own.md) any text will do."
        )
    review.write(to, drafts)


def _texts(system: System, tenants: Iterable[str], asker: str) -> list[DocumentText]:
    from observability.evaluation.leaks import DocumentText

    # whatever their groups: the folder belongs to the person at the keyboard
    documents = [document for tenant in sorted(tenants) for document in system.retrieval.ledger.documents_where(tenant)]
    texts = []
    for document in documents:
        if entry := system.retrieval.ledger.entry(document.document_id):
            owner = asker if entry.source.tenant == EVERY_TENANT else entry.source.tenant
            texts.append(DocumentText(entry.source.uri, owner, entry.source.groups, entry.parsed.text))
    return texts


def _propose_all(
    system: System, checks: Checks, n: int, progress: Callable[[str, int, int], None]
) -> Sequence[Proposal]:
    from extensions.proposals.priced_chat import PricedChat
    from extensions.proposals.proposing import Proposing
    from models.pricing import is_local

    writer = (
        None
        if is_local(system.models.chat)
        else PricedChat(system.models.chat, system.models.prices, system.context.clock)
    )
    proposing = Proposing(checks, n, progress, writer.ask if writer else None)
    asyncio.run(proposing.propose())
    if writer:
        cost = writer.cost_usd
        terminal.show_note(f"{writer.model} proposed for {'no known price' if cost is None else f'${cost:.4f}'}.")
    return proposing.accepted
