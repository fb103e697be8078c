"""`sixply corpus`, `export` and `import`: the documents as a whole. None of them loads a model."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from foundation.clock import SystemClock
from foundation.components import search_of
from foundation.types import Scope
from serving.cli import terminal
from serving.cli.documents import show_outdated
from serving.cli.opening import build_ledger, open_parts
from serving.cli.options import LOCAL, STACK, Groups, Json, Stack, Tenant, load_stack

if TYPE_CHECKING:
    from extensions.library.export import Transfer


def corpus(
    *,
    tenant: Tenant = LOCAL,
    groups: Groups = None,
    days: Annotated[
        int, typer.Option(min=0, help="Days without a change after which a document counts as stale.")
    ] = 365,
    similarity: Annotated[
        float, typer.Option(min=0.1, max=1, help="Minimum overlap that counts as a duplicate.")
    ] = 0.8,
    json: Json = None,
    stack: Stack = STACK,
) -> None:
    """Show the size, sources, age and duplicates of the documents."""
    from extensions.library import corpus_report
    from retrieval.ingest.parsing import limits_of

    scope = Scope(tenant, frozenset(groups or ()))
    settings, today = load_stack(stack).settings, SystemClock().now().date()
    with open_parts(settings) as parts, terminal.progress() as progress:
        ledger = build_ledger(settings, parts)
        documents, refusals = ledger.documents(scope), ledger.refusals(scope)

        def count(done: int) -> None:
            progress("compare", done, len(documents))

        alike = corpus_report.find_near_duplicates(ledger, documents, scope, threshold=similarity, progress=count)
        fingerprint = ledger.fingerprint()
        used, chunks = settings.retrieval, ledger.chunk_count()
        index = {
            **{name: getattr(fingerprint, name, None) for name in ("embedder", "dimensions", "chunker")},
            "chunks_in_ledger": chunks,
            "changes": ledger.sequence(),
            "word_search": search_of("retrieval.ledger", used.ledger, chunks),
            "vector_search": search_of("retrieval.vectors", used.vectors, chunks),
        }
    content = {
        "statistics": corpus_report.compute_statistics(documents, refusals, limits_of(parts.context)),
        "index": index,
        "sources": [
            asdict(replace(row, origin=row.origin or "uploads and single files"))
            for row in corpus_report.summarise_sources(documents)
        ],
        "stale": [asdict(row) for row in corpus_report.find_stale(documents, today=today, after_days=days)],
        "superseded": [
            {name: getattr(document.source, name) for name in ("uri", "series", "effective_from", "tenant")}
            for document in documents
            if document.superseded
        ],
        "near_duplicates": [asdict(row) for row in alike],
    }
    if not terminal.write_json(json, content):
        _show(content, days)


def export_ledger(
    file: Annotated[
        Path, typer.Argument(metavar="TO", help="The file to write; compressed if it ends in .gz.", dir_okay=False)
    ],
    json: Json = None,
    stack: Stack = STACK,
) -> None:
    """Export all documents of all tenants, with passages and vectors, to one file."""
    from extensions.library import export

    settings = load_stack(stack).settings
    with open_parts(settings) as parts, terminal.progress() as progress:
        ledger = build_ledger(settings, parts)
        chunks = ledger.chunk_count()
        done = export.export_ledger(ledger, file, progress=lambda count: progress("export", count, chunks))
    _show_transfer("Written to", file, done, json)


def import_ledger(
    file: Annotated[Path, typer.Argument(metavar="FROM", help="A file that `export` wrote.", dir_okay=False)],
    json: Json = None,
    stack: Stack = STACK,
) -> None:
    """Import an exported file, after checking it. Nothing is embedded again."""
    from extensions.library import export
    from retrieval.contract import VectorIndex
    from retrieval.index.maintenance import catch_up

    settings = load_stack(stack).settings
    with open_parts(settings) as parts, terminal.progress() as progress:
        index = parts.part("retrieval.vectors", settings.retrieval.vectors, VectorIndex)
        ledger = build_ledger(settings, parts)
        chunks = export.verify(file).chunks
        done = export.import_ledger(ledger, file, progress=lambda count: progress("import", count, chunks))
        # at once: the vectors are in the file, so it needs no model
        catch_up(ledger, index)
    _show_transfer("Read from", file, done, json)


def _show(content: dict[str, Any], days: int) -> None:
    figures = content["statistics"] | content["index"]
    terminal.show_table(
        ["figure", ""], [(name, "unknown" if value is None else value) for name, value in figures.items()]
    )
    show_outdated(content["statistics"]["outdated"], of=content["statistics"]["documents"])
    stale, alike, old = content["stale"], content["near_duplicates"], content["superseded"]
    for title, rows, columns, cells in (
        ("Where they come from", content["sources"], "source | documents | passages | characters | latest (UTC)",
         "{[origin]} | {[documents]} | {[chunks]} | {[characters]} | {[latest]:%Y-%m-%d %H:%M}"),
        (f"{len(stale)} in force that did not change for {days} days", stale, "document | dated | days | review on",
         "{[uri]} | {[dated]} | {[days]} | {[review_on]}"),
        (f"{len(old)} superseded, kept for questions about earlier days", old, "document | series | from",
         "{[uri]} | {[series]} | {[effective_from]}"),
        (f"{len(alike)} pairs that say nearly the same", alike, "one | the other | shared | versions",
         "{[a]} | {[b]} | {[similarity]:.0%} | {[same_series]}"),
    ):  # fmt: skip
        terminal.show(f"\n[bold]{title}[/]")
        if rows:
            terminal.show_rows(rows, columns, cells)


def _show_transfer(what: str, file: Path, done: Transfer, json: Path | None) -> None:
    if not terminal.write_json(json, {"file": str(file), **asdict(done)}):
        text = f"{what} {file}: {done.documents} documents, {done.chunks} passages, {done.bytes / 1e6:.1f} MB"
        extra = f", {done.unchanged} of them known already" if done.unchanged else ""
        terminal.console().print(terminal.plain(f"{text}{extra}. Digest {done.digest[:16]}."))
