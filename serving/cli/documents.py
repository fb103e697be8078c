"""`sixply ingest`, `documents` and `reindex`: add documents, and embed them again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from foundation.errors import DocumentRefused, InvalidRequest, StoreInUse
from foundation.types import EVERY_TENANT, Scope
from serving.cli import terminal
from serving.cli.options import LOCAL, STACK, Groups, Json, Stack, Tenant, exit_unless, load_stack

if TYPE_CHECKING:
    from retrieval.ingest.folders import FolderChanges, FolderItems
    from retrieval.ingest.pipeline import IngestReport
    from retrieval.ingest.preparation import Item
    from serving.settings import Loaded, Settings


def ingest(
    source: Annotated[
        str | None,
        typer.Argument(metavar="SRC", help="A file or a folder (read recursively); with an extension, an address."),
    ] = None,
    *,
    retry: Annotated[bool, typer.Option("--retry", help="Retry refused documents instead of reading SRC.")] = False,
    tenant: Tenant = LOCAL,
    prune: Annotated[bool, typer.Option("--prune", help="Delete documents that are no longer in the folder.")] = False,
    groups: Groups = None,
    data_class: Annotated[
        str | None, typer.Option("--class", help="Document class; policy.toml says who may see it.")
    ] = None,
    json: Json = None,
    stack: Stack = STACK,
) -> None:
    """Add documents, or replace those with the same name."""
    from retrieval.ingest.folders import FolderItems, find_changes, list_stored
    from serving.cli.opening import find_server, open_or_ask

    if (not source) is not retry:
        raise typer.BadParameter("Name what to ingest, SRC, or --retry (in make RETRY=1), and not both.")
    loaded = load_stack(stack)
    if not source:
        exit_unless(ok=_retry(loaded, tenant=tenant, json=json))
        return
    settings = loaded.settings
    items = _read_address(settings, source, tenant) if "://" in source else _read_path(settings, source, tenant)
    folder = items if isinstance(items, FolderItems) else None
    is_served = find_server(settings) is not None
    if prune and folder is None:
        raise InvalidRequest(f"Only a folder can be kept in step, and {source} is none. Leave PRUNE out.")
    if prune and is_served:
        raise StoreInUse("A server runs on these documents, and its API does not know folders. Stop it to use PRUNE.")
    if is_served and folder is not None:
        terminal.show_note("What a server takes does not count as the folder's: a later PRUNE=1 leaves it where it is.")

    offer = partial(_with_access, groups=frozenset(groups or ()), data_class=data_class)
    count = len(items)
    if not count:
        terminal.show_note(f"No readable files in {source}. Hidden files are skipped.")
    tracked = None if is_served else folder
    with open_or_ask(loaded) as system:
        before, started = list_stored(system.retrieval.ledger, tracked) if tracked else {}, system.context.clock.now()
        try:
            with terminal.progress() as progress:
                # one after the other: a folder can be larger than the memory
                report = system.retrieval.ingestor.ingest(
                    map(offer, items), progress=lambda done: progress("ingest", done, count)
                )
        except KeyboardInterrupt:
            stored = len(list_stored(system.retrieval.ledger, tracked)) if tracked else 0
            terminal.show_note(
                f"Stopped. {stored} of {count} documents are stored. Run the same command again to continue with the others."
            )
            raise
        moved = find_changes(system.retrieval.ledger, tracked, before) if tracked else None
        cost = {} if is_served else _show_cost(system.observability.costs.totals("kind", since=started))
        for gone in moved.gone if moved and prune else ():
            system.retrieval.ingestor.delete(
                gone.source.uri, gone.source.tenant, scope=None, document_id=gone.document_id
            )
    unlisted = tracked.unlisted if tracked else {}
    exit_unless(ok=_show_report(report, json, moved, pruned=prune, unlisted=unlisted, cost=cost))


def _show_cost(totals: Any) -> dict[str, Any]:
    # what embedding cost; nothing where the embedder charges nothing
    for total in totals:
        if total.key == "embeddings":
            usd = None if total.unpriced else total.usd
            terminal.show_note(f"Embedding cost {terminal.format_price(usd)}, for {total.input_tokens} tokens.")
            return {"embedding_usd": None if usd is None else str(usd), "embedding_tokens": total.input_tokens}
    return {}


def _with_access(item: Item, groups: frozenset[str], data_class: str | None) -> Item:
    from retrieval.documents import DATA_CLASS

    attributes = {**item.source.attributes, **({DATA_CLASS: data_class} if data_class else {})}
    return replace(item, source=replace(item.source, groups=item.source.groups | groups, attributes=attributes))


def _retry(loaded: Loaded, *, tenant: str, json: Path | None) -> bool:
    from serving.cli.opening import open_or_ask

    with open_or_ask(loaded) as system, terminal.progress() as progress:
        scope, started = Scope(tenant), system.context.clock.now()
        waiting = len(system.retrieval.ledger.refusals(scope))
        report = system.retrieval.ingestor.retry(
            tenant, EVERY_TENANT, scope=None, progress=lambda done: progress("retry", done, max(waiting, done))
        )
        still_refused = len(system.retrieval.ledger.refusals(scope)) - len(report.refused)
        cost = _show_cost(system.observability.costs.totals("kind", since=started))
    if still_refused:
        terminal.show_note(
            f"The originals of {still_refused} refused documents are not stored here. Ingest them again."
        )
    return _show_report(report, json, cost=cost) and not still_refused


def _show_report(
    report: IngestReport,
    json: Path | None,
    moved: FolderChanges | None = None,
    *,
    pruned: bool = False,
    unlisted: Mapping[str, DocumentRefused] = MappingProxyType({}),
    cost: Mapping[str, Any] = MappingProxyType({}),
) -> bool:
    counts = {name: getattr(report, name) for name in ("added", "replaced", "unchanged", "seconds")}
    refused = [{"uri": f"{name}/", "reason": it.reason, "message": str(it)} for name, it in unlisted.items()]
    refused += [{"uri": it.uri, "reason": it.reason, "message": it.message} for it in report.refused]
    moves = {name: getattr(moved, name) for name in ("changed", "renamed", "removed")} if moved else {}
    if not terminal.write_json(json, {**counts, **cost, "refused": refused, **moves, "pruned": pruned}):
        terminal.show_rows([report], " | ".join(counts), "{.added} | {.replaced} | {.unchanged} | {.seconds:.1f}")
        if refused:
            terminal.show_refused(refused)
        rows = [
            (name, " is now ".join(it) if name == "renamed" else it) for name, names in moves.items() for it in names
        ]
        if rows:
            terminal.show_table(["", "document"], rows)
        if moved and moved.gone and not pruned:
            terminal.show_note(
                f"{len(moved.gone)} documents of this folder are still stored and no longer in it. PRUNE=1 takes them out."
            )
    return not refused


def _read_path(settings: Settings, source: str, tenant: str) -> FolderItems | Sequence[Item]:
    """Return the documents of a folder or of one file. Raises InvalidRequest: there is none, or it cannot be read."""
    from retrieval.documents import Source
    from retrieval.ingest.folders import read_folder, read_item
    from retrieval.ingest.refused_files import most_read

    path, max_bytes = Path(source), most_read(settings.retrieval.parsing.max_bytes)
    try:
        is_folder, is_file, exists = path.is_dir(), path.is_file(), path.exists()
    except OSError as error:
        raise InvalidRequest(
            f'"{source}" cannot be looked at: {error.strerror}. Name one that you may read: SRC=folder'
        ) from error
    if is_folder:
        return read_folder(path, tenant=tenant, max_bytes=max_bytes)
    if is_file:
        return [read_item(path, Source(uri=path.name, tenant=tenant), max_bytes=max_bytes)]
    problem = "is neither a file nor a folder" if exists else "does not exist"
    raise InvalidRequest(f'"{source}" {problem}. Name a file or a folder: SRC=folder')


def _read_address(settings: Settings, address: str, tenant: str) -> Sequence[Item]:
    from retrieval.contract import DocumentSource
    from serving.cli.opening import open_hooks

    with open_hooks(settings) as hooks:
        for service in hooks.services:
            if isinstance(service, DocumentSource) and address.startswith(service.prefixes):
                return service.read(address, tenant)
    raise InvalidRequest(
        f'No extension that is on reads documents from "{address[:80]}". Turn on one that does, make extensions lists them, or '
        "download the document and ingest that file."
    )


def documents(tenant: Tenant = LOCAL, groups: Groups = None, json: Json = None, stack: Stack = STACK) -> None:
    """List documents, and those that were refused."""
    from retrieval.ingest.parsing import count_outdated, limits_of
    from serving.cli.opening import build_ledger, open_parts

    settings, scope = load_stack(stack).settings, Scope(tenant, frozenset(groups or ()))
    with open_parts(settings) as parts:
        ledger = build_ledger(settings, parts)
        stored, refused = ledger.documents(scope), ledger.refusals(scope)
        hidden = sum(len(ledger.documents_where(tenant)) for tenant in {scope.tenant, EVERY_TENANT}) - len(stored)
    rows = [
        {"uri": it.source.uri, "title": it.source.title, "tenant": it.source.tenant, "chunks": it.chunks}
        | {"version": "superseded" if it.superseded else "in force"}
        for it in stored
    ]
    refusals = [{"uri": it.uri, "reason": it.reason, "message": it.message} for it in refused]
    outdated = count_outdated(stored, limits_of(parts.context))
    content = {"documents": rows, "refusals": refusals, "of_other_groups": hidden, "outdated": outdated}
    if not terminal.write_json(json, content):
        terminal.show_table(["uri", "title", "tenant", "chunks", "version"], [[*row.values()] for row in rows])
        show_outdated(outdated, of=len(stored))
        # a number for the owner of this machine, which the API never shows
        if hidden:
            terminal.show_note(
                f"{hidden} more can be read only by groups that were not named. GROUP=name lists those of one."
            )
        if refused:
            terminal.show_refused(refusals)


def show_outdated(outdated: Mapping[str, int], *, of: int) -> None:
    """Report how many documents an older parser read, and how to read them again."""
    if outdated:
        kinds = ", ".join(f"{count} for {version}" for version, count in outdated.items())
        terminal.show_note(
            f"{sum(outdated.values())} of {of} documents were read by an older parser: {kinds}. They are searched as they "
            f"are; make ingest of the same source reads them anew, and embeds only the passages that come out differently."
        )


def reindex(stack: Stack = STACK) -> None:
    """Chunk and embed all documents again with the configured embedder and chunker."""
    # it opens neither agent nor index, so that it works where `open_system` refuses because parts changed
    from langchain_core.embeddings import Embeddings

    from models.contract import PriceSource
    from observability.stores.costs import CostLedger
    from observability.telemetry.instrument import TracedEmbedder
    from retrieval.contract import Chunker
    from retrieval.index.lock import Ownership
    from retrieval.index.maintenance import fingerprint_of, reindex
    from serving.cli.opening import build_ledger, open_parts

    settings = load_stack(stack).settings
    with open_parts(settings) as parts, ExitStack() as opened, terminal.progress() as progress:
        owner = Ownership(settings.foundation.data_dir / "reindex.lock", what="The reindex")
        opened.callback(owner.release)
        prices = parts.part("models.prices", settings.models.prices, PriceSource)
        costs = parts.keep(CostLedger(parts.context.data_dir / "costs.sqlite", parts.context.records))
        encoder = parts.part("models.embedder", settings.models.embedder, Embeddings)
        embedder = TracedEmbedder(encoder, partial(costs.pay, prices))
        chunker = parts.part("retrieval.chunker", settings.retrieval.chunker, Chunker)
        fingerprint = fingerprint_of(settings.models.embedder.use, embedder, chunker)
        done = reindex(
            build_ledger(settings, parts),
            embedder=embedder,
            chunker=chunker,
            fingerprint=fingerprint,
            progress=partial(progress, "reindex"),
        )
    said = "A running server with the same parts reloads them; restart any other."
    terminal.console().print(f"{done} documents were chunked and embedded again. {said}")
