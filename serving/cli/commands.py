"""What the commands do. Each opens as little of the system as it needs."""

from __future__ import annotations

import asyncio
import getpass
import json as jsons
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import date
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, cast, get_args

from foundation import components
from foundation.clock import SystemClock
from foundation.components import Context
from foundation.errors import InvalidRequest, NotFound, did_you_mean
from foundation.settings import Part, make_data_dir
from foundation.types import EVERY_TENANT, Principal, Scope
from serving.cli import doctor as doctors
from serving.cli import terminal
from serving.settings import Loaded, Settings
from serving.wiring import open_system

if TYPE_CHECKING:
    from orchestration.contract import Answer, Event
    from orchestration.memory.facts import SqliteFacts
    from retrieval.contract import DocumentLedger
    from retrieval.ingest.folders import FolderChanges, FolderItems
    from retrieval.ingest.pipeline import IngestReport, Item, Refused
    from serving.access.identity import KeyStore


KEY_VARIABLE = "SIXPLY_KEY"
"""An API key in the environment: `make approve` and `make reject` then decide as whoever has it."""


def local(tenant: str, roles: Sequence[str], groups: Sequence[str] | None) -> Principal:
    """The person at the keyboard. Whoever may read the data folder needs no key."""
    return Principal(f"{getpass.getuser()}@terminal", tenant, frozenset(roles), frozenset(groups or ()))


def all_of(tenant: str, groups: Sequence[str] | None) -> Scope:
    """What the person at the keyboard may list: documents of every class."""
    return Scope(tenant, frozenset(groups or ()))


def ask(
    loaded: Loaded,
    question: str,
    principal: Principal,
    *,
    compose: str | None = None,
    thread_id: str | None = None,
    as_of: str | None = None,
    seen: Callable[[Event], None] | None = None,
) -> Answer:
    """Raises:
    InvalidRequest: an empty question, an unknown role or way to compose, something that is no day.
    """
    from orchestration.contract import AnswerRequest
    from orchestration.run import answering
    from serving.access.identity import check_roles

    settings = loaded.settings
    ways = ("auto", "extractive", "generative")
    if compose is not None and compose not in ways:
        raise InvalidRequest(f'No way to compose "{compose}". {did_you_mean(compose, ways)}')
    if not question.strip():
        raise InvalidRequest("The question is empty. Say what you want to know.")
    check_roles(principal.roles, settings.orchestration.policy)
    request = AnswerRequest(
        question=question, thread_id=thread_id, compose=cast("Any", compose), as_of=_day(as_of) if as_of else None
    )
    with open_system(loaded) as system:
        if not system.ledger.chunk_count():
            terminal.show_note("There is no document yet. Run make demo, or add yours: make ingest SRC=folder")
        return asyncio.run(answering.answer(system.agent, request, principal, seen=seen))


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise InvalidRequest(f'"{text}" is no day. Write it as year-month-day: 2025-03-31') from error


def ask_as(
    loaded: Loaded, question: str, principal: Principal, *, schema: Path, text: Path | None, json: Path | None
) -> bool:
    """Print an object of that schema; whether there is one.

    Raises:
        InvalidRequest: an empty question, or a file that holds no JSON schema of an object.
    """
    from orchestration.answers.objects import model_of

    try:
        shape = model_of(jsons.loads(schema.read_text(encoding="utf-8")))
    except ValueError as error:
        raise InvalidRequest(f"{schema} holds no JSON schema: {error}.") from error
    given = text.read_text(encoding="utf-8") if text else None
    with open_system(loaded) as system:
        made = asyncio.run(system.objects.answer_as(shape, question, principal, text=given))
    content = made.object.model_dump(mode="json") if made.object is not None else None
    if not terminal.write_json(json, {"object": content, "failure": made.failure, "written": made.written}):
        terminal.show_object(made)
    return made.object is not None


def decide(
    loaded: Loaded, approval_id: str, *, tenant: str, note: str, approve: bool, changes: Sequence[str] = ()
) -> Answer:
    """Decide as an approver of the tenant, and carry it out. `changes` are arguments to grant instead, as NAME=VALUE.

    Raises:
        Unauthenticated: SIXPLY_KEY holds no valid key.
        InvalidRequest: a change is not of that form.
    """
    from orchestration.contract import Decision
    from orchestration.run import answering

    approver = _decider(loaded.settings, tenant)
    edits = dict(_change(text) for text in changes)
    with open_system(loaded) as system:

        async def decided() -> Answer:
            asked = await system.executor.may_decide(approval_id, approver)
            arguments = {**asked.arguments, **edits} if edits else None
            decision = Decision(approval_id=approval_id, approve=approve, note=note, arguments=arguments)
            return await answering.resume(system.agent, decision, approver)

        return asyncio.run(decided())


def _decider(settings: Settings, tenant: str) -> Principal:
    """Whoever has the API key in SIXPLY_KEY; without one the person at the keyboard, as an approver of the tenant."""
    from serving.access.identity import KeyStore

    if key := os.environ.get(KEY_VARIABLE):
        return KeyStore.of(settings, SystemClock()).authenticate(f"Bearer {key}")
    return local(tenant, settings.orchestration.policy.approvers, None)


def _change(text: str) -> tuple[str, Any]:
    """`NAME=VALUE`, the value as JSON where it is JSON and as text where it is not."""
    import json

    name, given, value = text.partition("=")
    if not given or not name.strip():
        raise InvalidRequest(f'"{text}" changes no argument. Say: --set amount=120, or --set reason="as agreed".')
    try:
        return name.strip(), json.loads(value)
    except ValueError:
        return name.strip(), value


def serve(loaded: Loaded) -> None:
    """Look for callers and take the port first: both fail at once, the models take seconds."""
    from observability.telemetry import logs
    from serving.access.jwt_tokens import Callers
    from serving.server import base_url, bind, serve

    logs.set_up(loaded.settings.foundation.logging)
    http, out = loaded.settings.serving.http, terminal.console()

    def announce(url: str) -> None:
        out.print(f"Sixply answers at {url} (open it in a browser), OpenAI's clients at {url}/v1. Stop it with Ctrl-C.")

    Callers.of(loaded.settings, SystemClock()).demand_any()
    if loaded.settings.foundation.cluster.use == "ray":
        from serving.processes import ray_replicas

        ray_replicas.serve(loaded, announce)
    elif loaded.settings.serving.workers > 1:
        from serving.processes.supervisor import supervise

        with bind(http) as listening:
            supervise(loaded, listening, lambda: announce(base_url(http, listening)))
    else:
        with bind(http) as listening, open_system(loaded) as system:
            announce(base_url(http, listening))
            serve(system, listening)
    out.print("Stopped.")


def ingest(
    loaded: Loaded,
    source: str,
    *,
    tenant: str,
    groups: Sequence[str],
    data_class: str | None,
    json: Path | None,
    prune: bool = False,
) -> bool:
    """Whether every document was taken. `prune` takes out what is no longer in the folder."""
    from retrieval.ingest.folders import changes, of_folder

    folder = _folder(loaded.settings, source, tenant)
    if prune and folder is None:
        raise InvalidRequest(f"Only a folder can be kept in step, and {source} is none. Leave PRUNE out.")
    count, items = _items(loaded.settings, source, tenant, frozenset(groups), folder)
    if data_class:
        items = (_of_class(item, data_class) for item in items)
    kept = 0
    try:
        with open_system(loaded) as system, terminal.progress() as progress:
            before = of_folder(system.ledger, folder) if folder else {}
            try:
                report = system.ingestor.ingest(items, progress=lambda done: progress("ingest", done, count))
            except KeyboardInterrupt:
                kept = len(of_folder(system.ledger, folder)) if folder else 0
                raise
            found = changes(system.ledger, folder, before) if folder else None
            for one in found.gone if found and prune else ():
                system.ingestor.delete(one.source.uri, one.source.tenant, scope=None, document_id=one.document_id)
    except KeyboardInterrupt:
        terminal.show_note(
            f"Stopped. {kept} of {count} documents are stored, whole. The same command again goes on with the others."
        )
        raise
    return _ingested(report, json, found, pruned=prune, unlisted=folder.unlisted if folder else {})


def retry(loaded: Loaded, *, tenant: str, json: Path | None) -> bool:
    """Whether every refused document was taken now."""
    with open_system(loaded) as system, terminal.progress() as progress:
        scope = Scope(tenant)
        waiting = len(system.ledger.refusals(scope))
        report = system.ingestor.retry(
            tenant, EVERY_TENANT, scope=None, progress=lambda done: progress("retry", done, max(waiting, done))
        )
        left = len(system.ledger.refusals(scope)) - len(report.refused)
    if left:
        terminal.show_note(
            f"{left} refused documents are not kept here and must be ingested again. make documents lists them."
        )
    return _ingested(report, json) and not left


def _ingested(
    report: IngestReport,
    json: Path | None,
    found: FolderChanges | None = None,
    *,
    pruned: bool = False,
    unlisted: Mapping[str, Refused] = MappingProxyType({}),
) -> bool:
    counts = {name: getattr(report, name) for name in ("added", "replaced", "unchanged", "seconds")}
    refused = [
        *({"uri": f"{name}/", "reason": why.reason, "message": why.message} for name, why in unlisted.items()),
        *({"uri": one.uri, "reason": one.reason, "message": one.message} for one in report.refused),
    ]
    moves = {"changed": found.changed, "renamed": found.renamed, "removed": found.removed} if found else {}
    if not terminal.write_json(json, {**counts, "refused": refused, **moves, "pruned": pruned}):
        terminal.show_table(
            list(counts), [[f"{value:.1f}" if name == "seconds" else value for name, value in counts.items()]]
        )
        if refused:
            terminal.show_table(["refused", "reason", "what it says"], [list(one.values()) for one in refused])
        if found:
            _show_changes(found, pruned=pruned)
    return not refused


def _show_changes(found: FolderChanges, *, pruned: bool) -> None:
    rows = [
        *(("changed", one) for one in found.changed),
        *(("renamed", f"{old} is now {new}") for old, new in found.renamed),
        *(("removed", one) for one in found.removed),
    ]
    if rows:
        terminal.show_table(["", "document"], rows)
    if found.gone and not pruned:
        terminal.show_note(
            f"{len(found.gone)} documents of this folder are still stored and no longer in it. PRUNE=1 takes them out."
        )


def _folder(settings: Settings, source: str, tenant: str) -> FolderItems | None:
    """What is below `source`, if it is a folder.

    Raises:
        InvalidRequest: it cannot be looked at; or as `read_folder`.
    """
    from retrieval.ingest.fetching import is_address
    from retrieval.ingest.folders import read_folder

    if is_address(source):
        return None
    try:
        is_folder = Path(source).is_dir()
    except OSError as error:
        raise InvalidRequest(
            f'"{source}" cannot be looked at: {error.strerror}. Name one that you may read: SRC=folder'
        ) from error
    return read_folder(Path(source), tenant=tenant, max_bytes=_most_read(settings)) if is_folder else None


def _items(
    settings: Settings, source: str, tenant: str, groups: frozenset[str], folder: FolderItems | None
) -> tuple[int, Iterable[Item]]:
    """How many, and each as its turn comes: a folder's files, one file, or what an address holds; `groups` restrict them
    further.

    Raises:
        InvalidRequest: there is nothing of that name.
    """
    from dataclasses import replace

    from retrieval.contract import Source
    from retrieval.ingest.fetching import fetch, is_address
    from retrieval.ingest.folders import read_item
    from retrieval.ingest.pipeline import Item

    path = Path(source)
    if is_address(source):
        fetched = fetch(source, settings.retrieval.fetching, max_bytes=settings.retrieval.parsing.max_bytes)
        return 1, [Item(fetched.source(tenant, groups), fetched.content, fetched.name)]
    if folder is not None:
        if not len(folder):
            terminal.show_note(f"{source} holds no file that could be read. Hidden ones are not.")
        return len(folder), (
            replace(item, source=replace(item.source, groups=item.source.groups | groups)) for item in folder
        )
    if path.is_file():
        return 1, [read_item(path, Source(uri=path.name, tenant=tenant, groups=groups), max_bytes=_most_read(settings))]
    found = "is neither a file nor a folder" if path.exists() else "does not exist"
    raise InvalidRequest(f'"{source}" {found}. Name a file, a folder or an address: SRC=folder')


def _most_read(settings: Settings) -> int:
    """Bytes of a file: what is longer is neither parsed nor kept for another try."""
    parsing = settings.retrieval.parsing
    return max(parsing.max_bytes, int(parsing.keep_refused_mb * 1_000_000))


def _of_class(item: Item, data_class: str) -> Item:
    from dataclasses import replace

    from retrieval.contract import DATA_CLASS

    known = {**item.source.attributes, DATA_CLASS: data_class}
    return replace(item, source=replace(item.source, attributes=known))


def reindex(loaded: Loaded) -> None:
    """Needs no agent and no vector index, and must work where `open_system` refuses: the ledger fits the old parts. They may
    go on serving; the vector index is filled when the system next starts."""
    from langchain_core.embeddings import Embeddings

    from retrieval.contract import Chunker, DocumentLedger
    from retrieval.index.lock import Ownership
    from retrieval.index.maintenance import fingerprint_of, reindex

    settings = loaded.settings
    with ExitStack() as opened:

        def part(section: str, chosen: Part, expected: type) -> Any:
            built = components.load(section, chosen, context_of(settings), expected=expected)
            opened.callback(getattr(built, "close", bool))
            return built

        owner = Ownership(settings.foundation.data_dir / "reindex.lock", what="The reindex")
        opened.callback(owner.release)
        embedder = part("models.embedder", settings.models.embedder, Embeddings)
        chunker = part("retrieval.chunker", settings.retrieval.chunker, Chunker)
        ledger = part("retrieval.ledger", settings.retrieval.ledger, DocumentLedger)
        fingerprint = fingerprint_of(settings.models.embedder.use, embedder, chunker)
        with terminal.progress() as progress:
            done = reindex(
                ledger,
                embedder=embedder,
                chunker=chunker,
                fingerprint=fingerprint,
                progress=lambda count, total: progress("reindex", count, total),
            )
    earlier = f" {done.kept} stood there from a run that was stopped." if done.kept else ""
    terminal.console().print(
        f"{done.documents} documents were cut and embedded anew.{earlier} Start whatever serves the old ones again."
    )


def documents(loaded: Loaded, scope: Scope, json: Path | None) -> None:
    with open_ledger(loaded.settings) as ledger:
        found, refused = ledger.documents(scope), ledger.refusals(scope)
        hidden = sum(len(ledger.stored(tenant)) for tenant in {scope.tenant, EVERY_TENANT}) - len(found)
    rows = [
        (
            one.source.uri,
            one.source.title,
            one.source.tenant,
            one.chunks,
            "superseded" if one.superseded else "in force",
        )
        for one in found
    ]
    columns = ["uri", "title", "tenant", "chunks", "version"]
    content = {
        "documents": [dict(zip(columns, row, strict=True)) for row in rows],
        "refusals": [{"uri": one.uri, "reason": one.reason, "message": one.message} for one in refused],
        "of_other_groups": hidden,
    }
    if not terminal.write_json(json, content):
        terminal.show_table(columns, rows)
        if hidden:  # a number that only the owner of this machine is told
            terminal.show_note(
                f"{hidden} more can be read only by groups that were not named. GROUP=name lists those of one."
            )
        if refused:
            terminal.show_table(
                ["refused", "reason", "what it says"], [(one.uri, one.reason, one.message) for one in refused]
            )


DECIDED = 100
"""The latest decisions that a list of what waits looks at."""


def approvals(loaded: Loaded, tenant: str, json: Path | None) -> None:
    from contextlib import closing

    from orchestration.effects.approvals import SqliteApprovals, doubles

    settings = loaded.settings
    with closing(SqliteApprovals(settings.foundation.data_dir / "approvals.sqlite", SystemClock())) as store:
        waiting = asyncio.run(store.pending(tenant))
        same = doubles(waiting, asyncio.run(store.decided(tenant, limit=DECIDED)))
    if not terminal.write_json(json, [one.model_dump(mode="json") for one in waiting]):
        rows = [
            (
                one.approval_id,
                one.tool,
                terminal.told(one.arguments),
                one.requested_by,
                f"{one.expires_at:%Y-%m-%d %H:%M}",
            )
            for one in waiting
        ]
        terminal.show_table(["id", "tool", "arguments", "asked by", "until (UTC)"], rows)
        for approval_id, other in same.items():
            was = f"was approved by {other.decided_by}" if other.status == "approved" else "waits above"
            terminal.show_note(
                f"{approval_id} asks for the same as {other.approval_id}, which {was}. Both would do it twice."
            )
        done = (
            "Decide with make approve ID=... or make reject ID=..., for the same TENANT." if rows else "Nothing waits."
        )
        terminal.console().print(f"\n[dim]{done}[/]")


def person(tenant: str, subject: str | None) -> Principal:
    """The user of that name in the tenant, else the person at the keyboard."""
    return Principal(subject, tenant) if subject else local(tenant, [], None)


def list_facts(loaded: Loaded, whose: Principal, json: Path | None) -> None:
    with _facts(loaded) as facts:
        found = facts.of(whose)
    if not terminal.write_json(json, [one.model_dump(mode="json") for one in found]):
        rows = [(one.fact_id, one.text, f"{one.at:%Y-%m-%d %H:%M}", one.approved_by) for one in found]
        terminal.show_table(["id", f"remembered of {whose.subject}", "since (UTC)", "approved by"], rows)


def correct_fact(loaded: Loaded, fact_id: str, text: str, whose: Principal) -> None:
    with _facts(loaded) as facts:
        corrected = facts.correct(fact_id, text, whose)
    terminal.console().print(f"Remembered now: {terminal.plain(corrected.text)}")


def erase_facts(loaded: Loaded, fact_id: str | None, whose: Principal) -> None:
    """One, or without an id all of them."""
    with _facts(loaded) as facts:
        if fact_id is None:
            count = facts.erase_all(whose.tenant, whose.subject)
        else:
            facts.erase(fact_id, whose)
            count = 1
    terminal.console().print(f"Erased: {count}.")


def add_key(loaded: Loaded, *, subject: str, tenant: str, roles: Sequence[str], groups: Sequence[str]) -> None:
    from serving.access.identity import check_roles

    check_roles(roles, loaded.settings.orchestration.policy)
    make_data_dir(loaded.settings.foundation.data_dir)
    key = _keys(loaded).create(subject=subject, tenant=tenant, roles=roles, groups=groups)
    terminal.console().print(f"{key}\n[dim]Keep it: it is shown once and stored nowhere. Send it as a bearer token.[/]")


def list_keys(loaded: Loaded) -> None:
    rows = [
        (key.key_id, key.subject, key.tenant, ", ".join(key.roles), ", ".join(key.groups), key.created_at)
        for key in _keys(loaded).list()
    ]
    terminal.show_table(["id", "subject", "tenant", "roles", "groups", "made"], rows)


def revoke_key(loaded: Loaded, key_id: str) -> None:
    gone = _keys(loaded).revoke(key_id)
    terminal.console().print(f"The key {key_id} of {terminal.plain(gone.subject)} no longer works.")


def doctor(loaded: Loaded, json: Path | None) -> bool:
    """Whether every check passed."""
    from models import weights

    checks = [*doctors.run_checks(loaded), *(doctors.Check(*row) for row in weights.checks())]
    if not terminal.write_json(json, [vars(check) for check in checks]):
        rows = [("ok" if check.ok else "FAILED", check.name, check.found, check.advice) for check in checks]
        terminal.show_table(["", "check", "found", "what to do"], rows)
    return all(check.ok for check in checks)


def traces(loaded: Loaded, limit: int, json: Path | None, *, every: bool = False) -> None:
    from observability.reports import triage
    from observability.stores.spans import SpanStore

    found = triage.latest(SpanStore(_file(loaded, "spans.sqlite")), limit, every=every)
    if not terminal.write_json(json, [_fields(one) for one in found]):
        terminal.show_table(
            ["trace", "at (UTC)", "name", "ms", "tenant", "answer", "failed"],
            [
                (one.trace_id[:12], f"{one.at[:10]} {one.at[11:19]}", one.name, f"{one.ms:.0f}", one.tenant, one.answer,
                 one.failed)
                for one in found
            ],
        )  # fmt: skip
        if not every:
            terminal.console().print(
                "\n[dim]Without requests that only looked (GET) or were refused (4xx): ALL=1 shows them.[/]"
            )


def trace(loaded: Loaded, trace_id: str, json: Path | None) -> None:
    from observability.reports import trace_tables
    from observability.reports.layer_bill import layer_bill
    from observability.stores.spans import SpanStore
    from orchestration.effects.audit import of_trace

    store = SpanStore(_file(loaded, "spans.sqlite"))
    if trace_id == "last":
        latest = store.last_answer()
        if latest is None:
            raise NotFound('No answer has been traced yet. Ask something first: make ask Q="..."')
        trace_id = latest
    spans = store.trace(trace_id)
    with _costs(loaded) as costs:
        bill = layer_bill(spans, costs.of_trace(spans[0].trace_id))
    records = of_trace(_file(loaded, "audit.sqlite"), spans[0].trace_id)
    told = [{"at": at, **record.model_dump(mode="json")} for at, record in records]
    if not terminal.write_json(
        json, {"bill": bill.as_dict(), "spans": [_fields(span) for span in spans], "audit": told}
    ):
        terminal.show(trace_tables.trace_table(spans))
        terminal.show("")
        terminal.show(trace_tables.bill_table(bill))
        terminal.show("")
        terminal.show_table(
            ["audit (UTC)", "act", "tool", "outcome", "reason", "asked by", "decided by"],
            [
                (f"{at[:19]}", one.act, one.tool, one.outcome, one.reason, one.subject, one.decided_by or "")
                for at, one in records
            ],
        )


def slow(loaded: Loaded, limit: int, last: int, json: Path | None) -> None:
    from observability.reports import triage
    from observability.stores.spans import SpanStore

    store = SpanStore(_file(loaded, "spans.sqlite"))
    traces, layers = triage.slow(store, limit=limit, look_at=last)
    if not terminal.write_json(json, {"traces": [_fields(one) for one in traces], "layers": [*map(_fields, layers)]}):
        terminal.show_table(
            ["trace", "name", "ms", "most of it in", "ms", "longest by itself", "ms"],
            [
                (
                    one.trace_id[:12],
                    one.name,
                    f"{one.ms:.0f}",
                    one.layer,
                    f"{one.layer_ms:.0f}",
                    one.span,
                    f"{one.span_ms:.0f}",
                )
                for one in traces
            ],
        )
        terminal.show("")
        terminal.show_table(
            ["layer", "p50 ms", "p95 ms", "share"],
            [(one.layer, f"{one.p50_ms:.1f}", f"{one.p95_ms:.1f}", f"{one.share:.0%}") for one in layers],
        )
        terminal.console().print(f"\n{triage.looked_at(store, last)}")


def failures(loaded: Loaded, last: int, json: Path | None) -> None:
    from observability.reports import triage
    from observability.stores.spans import SpanStore

    store = SpanStore(_file(loaded, "spans.sqlite"))
    found, statuses = triage.failures(store, look_at=last)
    if not terminal.write_json(json, {"failures": [_fields(one) for one in found], "answers_without_one": statuses}):
        if found:
            terminal.show_table(
                ["began in", "layer", "error", "requests", "latest"],
                [(one.where, one.layer, one.error, one.traces, one.latest[:12]) for one in found],
            )
        else:
            terminal.console().print("No request failed.")
        said = ", ".join(f"{count} {status}" for status, count in statuses.items()) or "none"
        terminal.console().print(f"\nAnswers that left a person without one: {said}")
        terminal.console().print(triage.looked_at(store, last))


def costs(loaded: Loaded, by: str, json: Path | None) -> None:
    from contextlib import closing

    from observability.reports import trace_tables
    from observability.stores.costs import By, by_outcome
    from observability.stores.outcomes import OutcomeStore

    known = [*get_args(By), "outcome"]
    if by not in known:
        raise InvalidRequest(f'Costs cannot be summed by "{by}". {did_you_mean(by, known)}')
    with _costs(loaded) as ledger:
        if by == "outcome":
            with closing(OutcomeStore(_file(loaded, "outcomes.sqlite"))) as outcomes:
                totals = by_outcome(ledger, {one.answer_id: one.verdict for one in outcomes.all()})
        else:
            totals = ledger.totals(cast("By", by))
    if not terminal.write_json(json, [_fields(one) for one in totals]):
        terminal.show(trace_tables.totals_table(totals, by))


def forecast(loaded: Loaded, json: Path | None) -> None:
    from datetime import date

    from observability.reports import forecast as forecasts

    with _costs(loaded) as ledger:
        days = ledger.totals("day")
    found = forecasts.forecast(
        {date.fromisoformat(one.key): float(one.usd) for one in days},
        today=SystemClock().now().date(),
        unpriced=sum(one.unpriced for one in days),
    )
    if not terminal.write_json(json, found.as_dict()):
        terminal.show(found.table())


def drift(loaded: Loaded, days: float, json: Path | None) -> bool:
    """Whether everything is as it was."""
    import functools
    from contextlib import closing

    from foundation.machine import manifest
    from observability.evaluation import drift as drifts
    from observability.stores.outcomes import OutcomeStore
    from observability.stores.spans import SpanStore

    with _costs(loaded) as costs, closing(OutcomeStore(_file(loaded, "outcomes.sqlite"))) as outcomes:
        found = drifts.drift(
            SpanStore(_file(loaded, "spans.sqlite")),
            costs,
            outcomes.all(),
            now=SystemClock().now(),
            days=days,
            changed=functools.partial(manifest.changes, _file(loaded, manifest.FOLDER)),
        )
    if not terminal.write_json(json, found.as_dict()):
        terminal.show_table(
            ["figure", "before", "now", "99 % interval of the change", "n before", "n now", ""],
            [
                (
                    one.words,
                    _mean(one.before),
                    _mean(one.now),
                    "" if one.low is None else f"{one.low:+.4g} to {one.high:+.4g}",
                    one.n_before,
                    one.n_now,
                    one.verdict,
                )
                for one in found.figures.values()
            ],
        )
        asked, out = found.questions, terminal.console()
        chance = "" if asked.p is None else f", by chance {asked.p:.1%}"
        out.print(f"\nbefore: {found.before}; now: {found.now}")
        out.print(f"what is asked: {asked.verdict} (n = {asked.n_before} and {asked.n_now}{chance})")
        for note in found.notes:
            out.print(terminal.plain(note))
        out.print(f"[bold]{found.conclusion}[/]")
    return not found.moved


def _mean(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _fields(row: Any) -> dict[str, Any]:
    return {name: getattr(row, name) for name in type(row).__slots__}


def _keys(loaded: Loaded) -> KeyStore:
    from serving.access.identity import KeyStore

    return KeyStore.of(loaded.settings, SystemClock())


def _file(loaded: Loaded, name: str) -> Path:
    return loaded.settings.foundation.data_dir / name


@contextmanager
def _costs(loaded: Loaded) -> Iterator[Any]:
    from contextlib import closing

    from observability.stores.costs import CostLedger

    path = _file(loaded, "costs.sqlite")
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(CostLedger(path)) as ledger:
        yield ledger


@contextmanager
def _facts(loaded: Loaded) -> Iterator[SqliteFacts]:
    from contextlib import closing

    from orchestration.memory.facts import FILE, SqliteFacts

    with closing(SqliteFacts(_file(loaded, FILE), SystemClock())) as facts:
        yield facts


@contextmanager
def open_ledger(settings: Settings) -> Iterator[DocumentLedger]:
    """The document ledger alone: no model is loaded for a list."""
    from retrieval.contract import DocumentLedger

    ledger: DocumentLedger = components.load(
        "retrieval.ledger", settings.retrieval.ledger, context_of(settings), expected=DocumentLedger
    )
    try:
        yield ledger
    finally:
        ledger.close()


def context_of(settings: Settings) -> Context:
    return Context(
        data_dir=make_data_dir(settings.foundation.data_dir),
        seed=settings.foundation.seed,
        threads=settings.foundation.threads,
    )
