"""Erase the data of one person, and data past its retention (`[foundation.retention]`)."""

import asyncio
import html
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, nullcontext
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from foundation import components, extensions
from foundation.clock import Clock, SystemClock
from foundation.settings import flatten
from foundation.stores import erasures
from foundation.stores.erasures import Erasures
from foundation.stores.registry import Person, Store
from foundation.stores.sqlite_file import Open, SqliteFile, SqliteStore
from foundation.types import Principal
from serving.cli import terminal
from serving.cli.opening import open_checkpoints, open_hooks, open_recorders
from serving.cli.options import STACK, Json, Stack, Tenant, exit_unless, load_stack, user_name
from serving.settings import Settings, configured_parts, context_of

CONVERSATIONS = "conversations"
# Ports of parts that may keep what a person said or asked
KEEPING = (
    "retrieval.ledger", "retrieval.vectors", "serving.cache", "orchestration.checkpoints", "observability.exporters",
    "orchestration.tools",
)  # fmt: skip
# Seconds in which every replica has read that somebody is being erased: shared_records.LOOK_S
NOTICED_S = 2.0
TOKENS_STAY = "none of their keys; a token works until its issuer ends it"
# reports shorten ids; with fewer digits, other people's would be taken for theirs
SHOWN = 12
REPORTS = "reports"
ERASED = ("store | erased | n", "{.store} | {.what} | {.count}")


@dataclass(frozen=True, slots=True)
class Erased:
    """The entries erased from one store, and what stays."""

    store: str
    what: str
    count: int
    stays: str = ""


@dataclass(frozen=True)
class Report:
    """The result of an erasure."""

    erased: Sequence[Erased]
    unclaimed: Sequence[str]
    """Files of the data folder that no store claims."""
    unsaid: Sequence[str]
    """Parts of others that do not declare what they keep."""
    cut_off_before: bool
    """Whether an earlier erasure of this person was interrupted."""


def erase(
    *,
    user: Annotated[str, typer.Option(help="The person, as `sixply keys` lists them.")],
    tenant: Tenant,
    json: Json = None,
    stack: Stack = STACK,
) -> None:
    """Erase everything stored about one person, and report for each store what was erased and what remains."""
    report = asyncio.run(_erase(load_stack(stack).settings, Principal(user, tenant), SystemClock()))
    if not terminal.write_json(json, {"subject": user, "tenant": tenant, **asdict(report)}):
        if report.cut_off_before:
            terminal.show("An earlier erasure of this person was cut off. This one has done all of it again.\n")
        terminal.show_rows((row for row in report.erased if row.what), *ERASED)
        terminal.show("")
        terminal.show_rows((row for row in report.erased if row.stays), "what stays | why", "{.store} | {.stays}")
        if not any(row.count for row in report.erased):
            terminal.show(
                f'\nNothing is kept of "{terminal.plain(user)}" in "{terminal.plain(tenant)}". Names must match letter by letter: sixply keys.'
            )
        for part in report.unsaid:
            terminal.show(f"\n{part} does not say what it stores of people. Add stores(options): docs/governance.md.")
        if report.unclaimed:
            files = terminal.plain(", ".join(report.unclaimed))
            terminal.show(f"\nNo store says what these files hold, so nothing was erased from them: {files}")
    exit_unless(ok=not report.unclaimed)


async def _erase(settings: Settings, principal: Principal, clock: Clock) -> Report:
    from serving.access.identity import KeyStore

    context, keys = context_of(settings), KeyStore.of(settings, clock)
    data = context.data_dir
    by = f"{user_name()}@terminal"
    # first of all, so that nothing about them is written meanwhile
    records: Any = context.records
    shared = records is not SqliteFile
    with closing(records) if shared else nullcontext(), Erasures(data, records).erasing(principal) as before:
        await asyncio.sleep(NOTICED_S if shared else 0)
        theirs = [key for key in keys.list() if (key.tenant, key.subject) == (principal.tenant, principal.subject)]
        for key in theirs:
            keys.revoke(key.key_id)
        rows = [Erased("keys", "API keys", len(theirs), TOKENS_STAY)]
        rows += await _forget_answers(settings, principal.tenant)
        stores, unsaid = stores_of(settings)
        person = await _ids_of(settings, principal, stores)
        # only now: `_ids_of` reads the conversations
        threads = await _delete_threads(settings, principal)
        for store in stores:
            count = store.erase(data, person) if store.erase else 0
            if shared and isinstance(store, SqliteStore) and store.shared:
                count += store.erase_now(data, person, records)
            rows.append(Erased(store.name, store.erased, count + threads * (store.name == CONVERSATIONS), store.stays))
        with open_recorders(settings) as recorders:
            reason = f"everything that was said by {principal.subject}"
            whose = {"tenant": principal.tenant, "subject": by}
            await recorders.record(act="erasure", run_id="erasure", outcome="done", reason=reason, **whose)
    files = [path.relative_to(data) for path in data.rglob("*") if path.is_file()]
    unclaimed = sorted(str(file) for file in files if not any(store.claims(file) for store in stores))
    return Report(erased=rows, unclaimed=unclaimed, unsaid=unsaid, cut_off_before=before.running)


def stores_of(settings: Settings) -> tuple[list[Store], list[str]]:
    """Return every store, those of extensions too, on or off, and the parts of others that declare none."""
    from observability.stores import costs, spans
    from orchestration.effects import approvals, effect_log
    from orchestration.run import spending
    from retrieval.ingest import refused_files

    parts = [(port.partition("[")[0], part) for port, part in configured_parts(settings)]
    by_part = {
        f'[{port}] use = "{part.use}"': components.stores_of(port, part) for port, part in parts if port in KEEPING
    }
    fixed: list[Store] = [
        refused_files.STORE,
        spending.STORE,
        approvals.STORE,
        spans.STORE,
        _REPORTS,
    ]
    of_parts = [store for stores in by_part.values() for store in stores or ()]
    # stores of runs come before those that know whose run it was
    last: list[Store] = [effect_log.STORE, costs.STORE, *_without_people(settings)]
    stores = {(store.name, store.files): store for store in (*extensions.stores(), *fixed, *of_parts, *last)}
    return list(stores.values()), [name for name, stores in by_part.items() if stores is None]


def _without_people(settings: Settings) -> tuple[Store, ...]:
    from serving.access.identity import KEYS_FILE

    files = [KEYS_FILE, erasures.FILE]
    beside = [str(Path(name).with_suffix(end)) for name in files for end in (".lock", ".new")]
    # such as the public keys of an issuer of tokens
    named = [str(value) for _, value in flatten(settings.model_dump(mode="python")) if isinstance(value, Path)]
    return (
        Store(
            name="erasures",
            files=(*files, *beside, *named),
            stays="that somebody with this hash was erased, so that nothing is written late",
        ),
        Store(
            name="versions and models",
            files=(
                "manifests/*",
                "weights*.json*",
                "models/*",
                "reindex.lock",
                "server.lock",
                "machine.key",
            ),
            stays="what ran, with which settings; no person",
        ),
    )


def _erase_reports(data: Path, person: Person) -> int:
    ids = {identifier[:SHOWN] for identifier in (*person.threads, *person.answers, *person.traces)}
    named = [re.escape(text) for text in sorted(ids)]
    named += [re.escape(f'"{person.subject}"'), re.escape(f">{html.escape(person.subject)}<")]
    wanted = re.compile("|".join(named).encode(errors="surrogatepass"))
    theirs = [file for file in (data / REPORTS).rglob("*") if file.is_file() and wanted.search(file.read_bytes())]
    for file in theirs:
        file.unlink()
    return len(theirs)


_REPORTS = Store(
    name=REPORTS,
    files=(f"{REPORTS}/*",),
    erase=_erase_reports,
    erased="reports that name them or show what they asked; make them anew",
)


async def _forget_answers(settings: Settings, tenant: str) -> list[Erased]:
    from serving.contract import AnswerStores, Cache

    what = "answers of the whole tenant, which are made again when asked for"
    # a server that keeps them in its own memory deletes them itself, when it sees the erasure
    with open_hooks(settings) as hooks:
        cache = hooks.assembly.part("serving.cache", settings.serving.cache, Cache)
        stores = [service for service in hooks.services if isinstance(service, AnswerStores)]
        return [Erased("answer cache", what, await store.forget(cache, tenant)) for store in stores]


async def _ids_of(settings: Settings, principal: Principal, stores: Iterable[Store]) -> Person:
    from observability.stores import history
    from observability.stores.costs import CostLedger
    from orchestration.effects.effect_log import SqliteEffects
    from orchestration.memory import conversations

    data = settings.foundation.data_dir
    threads, effects = set[str](), set[str]()
    # the id of each answer, and its trace
    runs = set[tuple[str, str]]()
    with open_checkpoints(settings) as saver:
        for thread in await conversations.begun_by(saver, principal):
            threads.add(thread)
            turns = (await conversations.read_conversation(saver, thread))[1]
            runs.update((turn.answer_id, turn.trace_id or "") for turn in turns)
    for store in stores:
        runs.update(store.runs_of(data, principal) if store.runs_of else ())
    for costs in _open_each(settings, "costs.sqlite", CostLedger):
        runs.update(history.runs_of(costs, principal.tenant, principal.subject))
    for carried_out in _open_each(settings, "effects.sqlite", SqliteEffects):
        effects.update(await carried_out.keys_of(principal))
    return Person(
        tenant=principal.tenant,
        subject=principal.subject,
        threads=frozenset(threads),
        answers=frozenset(answer for answer, _ in runs if answer),
        traces=frozenset(trace for _, trace in runs if trace),
        effects=frozenset(effects),
    )


def _open_each(settings: Settings, name: str, open_store: Callable[[Path, Open], Any]) -> Iterator[Any]:
    """Yield a store as its file has it, where there is one, and as the database has it that replicas share."""
    file, records = settings.foundation.data_dir / name, context_of(settings).records
    for place in [SqliteFile] * file.exists() + [records] * (records is not SqliteFile):
        with closing(open_store(file, place)) as store:
            yield store


async def _delete_threads(settings: Settings, principal: Principal) -> int:
    from orchestration.memory import conversations

    count = 0
    with open_checkpoints(settings) as saver:
        # takes the writers' lock once: one that did not see the note of the erasure ends before we look
        await saver.adelete_thread("none")
        while threads := await conversations.begun_by(saver, principal):
            for thread in threads:
                await saver.adelete_thread(thread)
            count += len(threads)
    return count


def retention(json: Json = None, stack: Stack = STACK) -> None:
    """Delete records older than [foundation.retention] allows; for a daily timer."""
    erased = asyncio.run(_retain(load_stack(stack).settings, SystemClock()))
    if not terminal.write_json(json, {"erased": [asdict(row) for row in erased]}):
        terminal.show_rows(erased, *ERASED)


async def _retain(settings: Settings, clock: Clock) -> list[Erased]:
    from foundation.machine import manifest
    from observability.stores import history
    from observability.stores.spans import SpanStore
    from orchestration.effects.approvals import SqliteApprovals
    from orchestration.memory import conversations

    data, limits, now = settings.foundation.data_dir, settings.foundation.retention, clock.now()
    erased = []
    if days := limits["spans_days"]:
        before, spans = now - timedelta(days=days), SpanStore(data / "spans.sqlite")
        count = history.erase_before(spans, int(before.timestamp() * 1e9))
        erased.append(Erased("spans", f"older than {days:g} days", count))
        named = history.manifests(spans)
        named = named.union(*(store.manifests(data) for store in stores_of(settings)[0] if store.manifests))
        count = manifest.prune(data / manifest.FOLDER, named, before)
        erased.append(Erased("manifests", "as old, and named by no span and no record", count))
    if days := limits["conversations_days"]:
        with open_checkpoints(settings) as saver:
            old = await conversations.untouched_since(saver, now - timedelta(days=days))
            for thread in old:
                await saver.adelete_thread(thread)
            for store in components.stores_of("orchestration.checkpoints", settings.orchestration.checkpoints) or ():
                if old and isinstance(store, SqliteStore):
                    store.compact_now(data)
        erased.append(Erased(CONVERSATIONS, f"silent for {days:g} days", len(old)))
    if days := limits["approvals_days"]:
        both = _open_each(settings, "approvals.sqlite", lambda file, place: SqliteApprovals(file, clock, place))
        count = sum(approvals.erase_before(now - timedelta(days=days)) for approvals in both)
        erased.append(Erased("approvals", f"asked for {days:g} days ago, and over", count))
    return erased
