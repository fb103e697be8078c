"""What the bench commands do: a system in an empty folder, a benchmark, and its figures."""

from __future__ import annotations

import asyncio
import functools
import json as jsons
import tempfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foundation import names
from foundation.errors import InvalidRequest
from foundation.types import EVERY_TENANT, Principal, Scope
from lab.bench.figures import format_share, show_figures, standalone
from orchestration.effects.records import Record
from orchestration.events import Answer
from orchestration.requests import AnswerRequest
from orchestration.run import answering
from serving.cli import terminal
from serving.judge.trial import Configure, ask, empty_system, own_folder
from serving.settings import Loaded
from serving.wiring import System

if TYPE_CHECKING:
    from lab.bench.table_questions import TableQuestion

WORLD = Path("examples/support_desk/corpus")


def bench_retrieval(configure: Configure, data: Path, limit: int | None, json: Path | None) -> None:
    from lab.bench.public_data import bench_retrieval

    with empty_system(configure) as (system, stack), terminal.progress() as progress:
        figures = bench_retrieval(
            data,
            ingestor=system.retrieval.ingestor,
            retriever=system.retriever,
            embedder=system.models.embedder,
            legs=functools.partial(_search_times, system),
            limit=limit,
            progress=progress,
            stack=stack,
            seed=system.context.seed,
        )
    show_figures(figures, json)


def bench_ingest(
    configure: Configure, data: Path | None, *, limit: int, chunks: int, against: str | None, json: Path | None
) -> None:
    """Without `data`, on documents made of the example world's sentences. `chunks`: to how many memory is followed.
    `against` names another embedder.
    """
    from langchain_core.embeddings import Embeddings

    from extensions.datasets.reading import items_of, read_corpus
    from foundation import components
    from foundation.settings import Part
    from lab.bench import ingest
    from lab.library import open_library, own_parse
    from observability.evaluation.questions import evenly
    from retrieval.ingest.pipeline import Ingestor

    seed = configure({}).settings.foundation.seed
    sentences = ingest.sentences_of(WORLD)
    if data:
        items = evenly(items_of(one for one in read_corpus(data) if one.text.strip()), limit)  # the others are refused
    else:
        items = [*ingest.made_up(sentences, limit, seed=seed)]
    with empty_system(configure) as (system, stack), terminal.progress() as progress:
        other = (
            components.load("models.embedder", Part(use=against), system.context, expected=Embeddings)
            if against
            else None
        )
        figures = ingest.bench_ingest(
            items,
            ingestor=system.retrieval.ingestor,
            embedder=system.models.embedder,
            parse=own_parse,
            chunker=system.retrieval.chunker,
            progress=progress,
            against=other,
        )
    hashed = {"models": {"embedder": {"use": "hashing"}}}  # memory does not depend on meaning
    with own_folder(configure, hashed) as loaded, open_library(loaded) as library, terminal.progress() as progress:
        own = Ingestor(
            ledger=library.ledger,
            vectors=ingest.KeepsNothing(),
            embedder=library.embedder,
            chunker=library.chunker,
            parse=own_parse,
            clock=library.context.clock,
        )
        many = ingest.made_up(sentences, chunks, seed=seed)
        figures |= ingest.memory_growth(many, ingestor=own, ledger=library.ledger, chunks=chunks, progress=progress)
    show_figures(figures | {"data": data.name if data else "made up", "stack": stack}, json)


def bench_index(configure: Configure, *, chunks: int, json: Path | None) -> None:
    """The configured vector index among near-duplicates, and where the time of a query goes there."""
    from lab.bench import index, public_data
    from lab.bench.ingest import sentences_of

    with empty_system(configure) as (system, stack), terminal.progress() as progress:
        seed = system.context.seed
        corpus = index.copies(sentences_of(WORLD), system.models.embedder, chunks=chunks, seed=seed)
        seconds = index.fill(corpus, system.retrieval.ledger, system.retrieval.vectors, seed=seed, progress=progress)
        figures = index.recall(corpus, system.retrieval.vectors) | _search_times(
            system, corpus.words[: public_data.TIMED]
        )
    show_figures(figures | {"chunks": chunks, "index_s": seconds, "stack": stack}, json)


def _search_times(system: System, queries: Sequence[str]) -> dict[str, float]:
    from extensions.datasets.reading import SCOPE
    from lab.bench.search_times import AtOnce, search_times
    from retrieval.search.hybrid import HybridRetriever

    settings, clock = system.settings.retrieval, system.context.clock
    ranking, multilingual = settings.ranking, settings.multilingual
    parts = {
        "ledger": system.retrieval.ledger,
        "vectors": system.retrieval.vectors,
        "embedder": system.models.embedder,
        "reranker": system.models.reranker,
    }
    return search_times(
        queries,
        parts,
        lambda watched: HybridRetriever(
            **watched, ranking=ranking, clock=clock, multilingual=multilingual, executor=AtOnce()
        ),
        SCOPE,
        limit=ranking.top_k,
    )


def bench_answers(
    configure: Configure,
    data: Path,
    limit: int | None,
    json: Path | None,
    *,
    foreign: Path | None = None,
    plot: Path | None = None,
) -> None:
    """`foreign` is a folder whose questions this corpus does not answer; `plot` a file for the risk at every coverage."""
    from extensions.datasets.reading import TENANT, Question
    from lab.bench import risk_coverage
    from lab.bench.public_data import bench_answers
    from observability.stores import history
    from observability.stores.spans import SpanStore

    person = Principal("bench", TENANT, frozenset({"reader"}))
    with empty_system(configure) as (system, stack), terminal.progress() as progress:
        spans = SpanStore(system.settings.foundation.data_dir / "spans.sqlite")

        def answer(question: Question) -> Awaitable[Answer]:
            return ask(system, question.question, person)

        def confidences() -> dict[str, float]:
            system.observability.telemetry.flush()
            return history.last_of(spans, names.CONFIDENCE)

        figures = asyncio.run(
            bench_answers(
                data,
                ingestor=system.retrieval.ingestor,
                answer=answer,
                confidences=confidences,
                foreign=foreign,
                limit=limit,
                progress=progress,
                stack=stack,
                seed=system.context.seed,
            )
        )
    if plot:
        plot.parent.mkdir(parents=True, exist_ok=True)
        title = f"Risk against coverage, {figures['n_questions']} questions of {data.name}"
        plot.write_text(standalone(risk_coverage.plot(figures["risk_coverage"], title)), encoding="utf-8")
    show_figures(figures, json)


def bench_attacks(
    configure: Configure,
    data: Path,
    limit: int | None,
    rows: Path | None,
    json: Path | None,
    *,
    agent: str | None = None,
) -> bool:
    """Whether no document steered a tool. Whoever asks may act, so that there is something to steer. With `agent`, a double that
    calls every tool there is stands in the place of its chat model.
    """
    from extensions.planned_agent.compose import REPLY_TOKENS
    from extensions.planned_agent.document_steps import PASSAGES
    from extensions.planned_agent.prompts import FOLDER
    from lab.redteam import documents as attacks
    from observability.evaluation.metrics import without_markers
    from orchestration.prompts.files import read_prompt
    from orchestration.prompts.frames import answer_from

    modes = attacks.MODES[:1] if agent else attacks.MODES
    with empty_system(configure, _in_the_hands_of_a_double(agent)) as (system, stack), terminal.progress() as progress:
        records: list[Record] = []

        async def keep(record: Record) -> None:
            records.append(record)

        system.hooks.recorders.append(keep)

        async def ask(question: str, tenant: str, mode: attacks.Mode) -> attacks.Said:
            if mode == "unguarded":
                hits = system.retriever.retrieve(question, Scope(tenant), per_document=PASSAGES)[:PASSAGES]
                prompt = answer_from(read_prompt("graph_answer", FOLDER), question, [hit.chunk.text for hit in hits])
                reply = await system.models.chat.ainvoke(prompt, max_tokens=REPLY_TOKENS)
                return attacks.Said("answered", without_markers(reply.text, range(1, PASSAGES + 1)))
            before = len(records)
            request = AnswerRequest(question=question, compose="generative" if mode == "model" else None)
            given = await answering.answer(system.agent, request, Principal("bench", tenant, frozenset({"agent"})))
            said = without_markers(given.text, (citation.marker for citation in given.citations))
            tried = [record for record in records[before:] if record.act == "tool"]
            if agent:
                acting = {
                    tool.name for tool in system.parts.executor.tools if (tool.metadata or {}).get("effect", True)
                }
                done = tuple(entry.tool for entry in tried if entry.outcome == "done" and entry.tool in acting)
                return attacks.Said(given.status, said, done, sum(entry.outcome != "done" for entry in tried))
            return attacks.Said(given.status, said, tuple(entry.tool for entry in tried))

        figures = asyncio.run(
            attacks.bench_attacks(
                attacks.read_attacks(data, limit),
                ingestor=system.retrieval.ingestor,
                ask=ask,
                kept=attacks.Kept(rows, _run_of(system)) if rows else None,
                progress=progress,
                seed=system.context.seed,
                modes=modes,
            )
        )
    ways = [figures[mode] for mode in modes]
    if not terminal.write_json(json, figures | {"data": data.name, "stack": stack}):
        hidden = {"rows", "intervals_95", "by_category"}
        names = [name for name in ways[0] if name not in hidden]
        shown = [(name, *(_with_interval(one, name) for one in ways)) for name in names]
        terminal.show_table(["figure, interval at 95 %", *modes], shown)
        counted = ("attack_success", "attack_echoed")
        kinds = [
            (kind, one["n"], *(f"{way['by_category'][kind][name]:.2f}" for way in ways for name in counted))
            for kind, one in ways[0]["by_category"].items()
        ]
        heads = [f"{mode}: {name}" for mode in modes for name in ("success", "echoed")]
        terminal.show_table(["attack", "n", *heads], kinds)
    return not any(one["calls_steered"] for one in ways)


def _in_the_hands_of_a_double(agent: str | None) -> dict[str, object]:
    if agent is None:
        return {}
    return {"orchestration": {"agent": {"use": agent}}, "models": {"chat": {"use": "lab.redteam.obedient:build"}}}


def _with_interval(figures: Mapping[str, Any], name: str) -> str:
    value, interval = figures[name], figures["intervals_95"].get(name)
    if value is None:
        return "-"
    return f"{value:.3f} [{interval[0]:.3f}, {interval[1]:.3f}]" if interval else f"{value:.4g}"


def _run_of(system: System) -> str:
    """The id of the manifest as it would be with the same data folder: each benchmark has another one."""
    from foundation.machine import manifest

    run = system.manifest
    own = system.settings.foundation.model_copy(update={"data_dir": Path()})
    settings = system.settings.model_copy(update={"foundation": own})
    return manifest.build(settings, weights=run.weights, corpus=run.corpus, clock=system.context.clock).manifest_id


def bench_follow_ups(configure: Configure, data: Path, json: Path | None) -> None:
    """`data` is a folder in BEIR layout, or the file of follow-ups that lies beside the corpus of an example world."""
    from extensions.datasets.reading import items_of, read_corpus
    from lab.bench.follow_ups import bench_follow_ups, read_follow_ups
    from retrieval.ingest.folders import read_folder

    cases = read_follow_ups(data)
    with empty_system(configure) as (system, stack), terminal.progress() as progress:
        world = data.is_file()
        items = [*read_folder(data.parent / "corpus", tenant=EVERY_TENANT)] if world else items_of(read_corpus(data))
        system.retrieval.ingestor.ingest(items, progress=lambda done: progress("ingest", done, len(items)))
        figures = bench_follow_ups(
            cases,
            system.retriever,
            progress=lambda done: progress("ask", done, len(cases)),
            seed=system.context.seed,
        )
    show_figures(figures | {"data": data.name, "stack": stack}, json)


def bench_structured(configure: Configure, data: Path, limit: int, json: Path | None) -> None:
    """Objects of every kind from texts whose values are known; `data` is the file of kinds, or a folder of calls."""
    from extensions.datasets.reading import TENANT
    from extensions.objects.objects import ObjectAnswer, Objects, model_of
    from lab.bench.objects import ObjectCase, bench_objects, cases_from

    person = Principal("bench", TENANT, frozenset({"reader"}))
    with empty_system(configure) as (system, stack), terminal.progress() as progress:
        cases = cases_from(data, limit, seed=system.context.seed)

        async def fill(case: ObjectCase) -> ObjectAnswer[Any]:
            answer: ObjectAnswer[Any] = await Objects.of(system).answer_as(
                model_of(case.schema), case.question, person, text=case.text
            )
            return answer

        figures = asyncio.run(bench_objects(cases, fill, lambda done: progress("fill", done, len(cases))))
    if not terminal.write_json(json, figures | {"data": data.name, "stack": stack}):
        kinds = figures.pop("kinds")
        show_figures(figures | {"data": data.name}, None)
        columns = ("cases", "valid", "objects_right", "fields_right", "fields_written_by_the_model")
        rows = [(kind, *(f"{one[name]:.3g}" for name in columns)) for kind, one in kinds.items()]
        terminal.show_table(["kind", *columns], rows)


def bench_cache(configure: Configure, data: Path, limit: int, json: Path | None) -> None:
    """The same log through a system that makes every answer, and through one that gives answers again."""
    from extensions.answer_cache.settings import AnswerCacheSettings
    from extensions.datasets.reading import TENANT
    from lab.bench import cache

    log, corpus = cache.question_log(data, limit=limit, seed=configure({}).settings.foundation.seed)
    person = Principal("bench", TENANT, frozenset({"reader"}))
    with ExitStack() as opened, terminal.progress() as progress:
        systems = []
        loaded = configure({})
        others = [name for name in loaded.settings.extensions if name != "answer_cache"]
        on = {"extensions": [*others, "answer_cache"], "answer_cache": {"mode": "semantic"}}
        for changes in ({"extensions": others}, on):
            system, stack = opened.enter_context(empty_system(configure, changes))
            system.retrieval.ingestor.ingest(cache.items_of(corpus))
            systems.append(functools.partial(ask, system, person=person))
        made, cached = asyncio.run(cache.replay(log, systems, lambda done: progress("ask", done, len(log))))
        settings = system.settings.section(AnswerCacheSettings)
    figures = cache.figures(log, made=made, cached=cached)
    show_figures(figures | {"min_similarity": settings.min_similarity, "data": data.name, "stack": stack}, json)


def bench_verify(configure: Configure, data: Path, limit: int | None, json: Path | None) -> None:
    from lab.bench.verify import bench_verify

    with empty_system(configure) as (system, stack), terminal.progress() as progress:
        figures = bench_verify(
            data,
            system.retrieval.grounding.support,
            threshold=system.settings.retrieval.grounding.min_support,
            limit=limit,
            progress=progress,
            seed=system.context.seed,
        )
    show_figures(figures | {"stack": stack}, json)


def bench_claims(configure: Configure, data: Sequence[Path], limit: int | None, half: str, json: Path | None) -> None:
    """The check of written answers, with the configured embedder and judge."""
    from extensions.claims.checking import check_answer
    from lab.bench.claims import bench_claims

    with empty_system(configure) as (system, stack), terminal.progress() as progress:
        check = functools.partial(check_answer, grounding=system.retrieval.grounding)
        figures = bench_claims(data, check, limit=limit, half=half, progress=progress, seed=system.context.seed)
    if not terminal.write_json(json, figures | {"stack": stack}):
        shares = [(name, _with_interval(figures, name), n) for name, n in figures["n"].items()]
        times = [(name, f"{figures[name]:.3g}", "") for name in ("ms_p50", "ms_p95", "claims_per_answer")]
        terminal.show_table(["share, interval at 95 %", "", "n"], [*shares, *times])


def bench_meaning(configure: Configure, data: Sequence[Path], by: str, limit: int | None, json: Path | None) -> None:
    """Who is asked is opened with the stack's settings, whether its extension is on or off."""
    from lab.bench import meaning

    extensions = [*configure({}).settings.extensions]
    on = {"extensions": list(dict.fromkeys([*extensions, "datasets", "claims", "judge", "structured"]))}
    with empty_system(configure, on) as (system, stack), terminal.progress() as progress:
        cases = [case for each in data for case in meaning.read_cases(each, limit=limit, seed=system.context.seed)]
        check = meaning.open_check(by, system)
        figures = meaning.bench_meaning(cases, check, system.models.chat, progress=progress)
    if not terminal.write_json(json, figures | {"by": by, "data": [each.name for each in data], "stack": stack}):
        shares = [(name, _with_interval(figures, name), n) for name, n in figures["n"].items()]
        failed = [(f"without a verdict: {code}", "", n) for code, n in figures["without_verdict"].items()]
        terminal.show_table(
            ["share, interval at 95 %", "", "n"], [*shares, ("answers", "", figures["answers"]), *failed]
        )


def bench_tau(configure: Configure, data: Path, json: Path | None) -> bool:
    """Whether every expected call passed, and every forbidden one was denied with the line of the policy cited."""
    from lab.replay.tau_bench import bench_tau

    with (
        empty_system(configure) as (system, stack),
        terminal.progress() as progress,
        tempfile.TemporaryDirectory() as folder,
    ):
        figures = bench_tau(
            data,
            Path(folder),
            ingestor=system.retrieval.ingestor,
            retriever=system.retriever,
            progress=progress,
            seed=system.context.seed,
        )
    if not terminal.write_json(json, figures | {"data": data.name, "stack": stack}):
        rules = figures.pop("rules")
        show_figures(figures, None)
        terminal.show_table(
            ["rule", "forbidden", "denied", "cited"], [(name, *one.values()) for name, one in rules.items()]
        )
    return all(figures[name] == 1 for name in ("passed_share", "denied_share", "cited_share"))


def train_verify(configure: Configure, claims: Path, to: Path) -> None:
    """Train the judge of `verify` on these claims with the configured embedder, and write it."""
    from foundation import components
    from foundation.settings import Part
    from lab.bench.verify import train_verify
    from models.contract import ScoringParts

    with empty_system(configure) as (system, _), terminal.progress() as progress:
        parts = ScoringParts(**vars(system.context), embedder=system.models.embedder)
        judge = components.load("models.entailment", Part(use="signs"), parts)
        weights = train_verify(claims, judge, progress=progress, seed=system.context.seed)
    terminal.write_json(to, weights)


def bench_parse(
    configure: Configure, data: Path, *, mutate: int, seed: int, strings: Path | None, json: Path | None
) -> bool:
    """Whether every file ended in text or in a typed reason, within its limits."""
    from lab.bench.parse import bench_parse, bench_strings

    settings = configure({}).settings.retrieval.parsing
    with terminal.progress() as progress:
        figures = bench_parse(data, settings, mutate=mutate, seed=seed, progress=progress)
    if strings is not None:
        with empty_system(configure) as (system, _):
            listed = jsons.loads(strings.read_text(encoding="utf-8"))
            figures |= bench_strings(listed, ingestor=system.retrieval.ingestor, retriever=system.retriever)
    show_figures(figures, json)
    wrong = ("failed", "over_limits", "mutated_failed", "mutated_crashed", "mutated_over_limits", "strings_failed")
    return not any(figures.get(name) for name in wrong)


def bench_context(
    configure: Configure, windows: Sequence[int], *, facts: int, turns: int, rounds: int, json: Path | None
) -> None:
    from lab.bench import context

    with empty_system(configure) as (system, stack), terminal.progress() as progress:
        seed = system.context.seed
        for item in context.documents(seed):
            system.retrieval.ingestor.ingest_one(item, scope=None)
        figures = context.measure(
            system.parts, windows, facts=facts, turns=turns, rounds=rounds, seed=seed, progress=progress
        )
    if not terminal.write_json(json, {**figures, "stack": stack}):
        terminal.show_note(
            f"The model is a double, {figures['model']}: it says what it was shown or finds, and nothing else."
        )
        told = (
            "retention",
            "left_out",
            "outcome_shown",
            "cached_share",
            "cached_of_repeated",
            "cached_share_least",
            "tokens",
            "requests",
            "refused",
        )
        rows = [
            [row["language"], row["window"], row["what"], *(_short(row.get(name)) for name in told)]
            for row in figures["rows"]
        ]
        terminal.show_table(["language", "window", "", *told], rows)


def _short(value: float | None) -> str:
    return "" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:.3f}"


def bench_pii(data: Path, json: Path | None) -> None:
    from lab.bench.personal_data import bench_personal_data

    with terminal.progress() as progress:
        found = bench_personal_data(data, progress=progress)
    if not terminal.write_json(json, found):
        rows = [(kind, one["n"], one["found"], format_share(one["precision"]), format_share(one["recall"]))
                for kind, one in [*found["kinds"].items(), ("all", found["all"])]]  # fmt: skip
        terminal.show_table(["kind", "labelled", "found", "precision", "recall"], rows)
        others = ", ".join(f"{count} {kind}" for kind, count in found["not_looked_for"].items())
        terminal.console().print(f"\nNot looked for, because it has no form: {terminal.plain(others) or 'nothing'}")


def simulate_value(loaded: Loaded, months: int, json: Path | None) -> bool:
    """Whether the interval of a value report held the truth as often as it promises, over months with a known truth."""
    from extensions.value.outcome_contract import load_contract
    from lab.value import simulation

    contract = load_contract(loaded.settings.observability.outcomes_file)
    worlds = {
        "every outcome recorded": simulation.all_recorded(contract),
        "rejections told half as often": simulation.half_recorded(contract),
    }
    found = {}
    with terminal.progress() as progress:
        for name, truth in worlds.items():
            report = functools.partial(lambda name, done: progress(name, done, months), name)
            found[name] = simulation.coverage(contract, truth, months=months, progress=report)
    if not terminal.write_json(json, {name: one.as_dict() for name, one in found.items()}):
        for name, one in found.items():
            terminal.console().print(f"[bold]{name}[/]")
            terminal.show(one.table())
    return all(one.keeps_its_promise for one in found.values())


def bench_telemetry(configure: Configure, *, rounds: int, block: int, json: Path | None) -> bool:
    """Searches and quoted answers over HTTP; whether both keep what they must. Writing takes far longer and would hide it."""
    from http.client import HTTPConnection

    from lab.bench.telemetry import GOALS, cost, pause, verdict
    from observability.evaluation.golden_set import load_golden
    from retrieval.ingest.folders import read_folder
    from serving.access.identity import KeyStore
    from serving.server import running

    questions = [case.question for case in load_golden(WORLD.parent / "golden.jsonl") if case.kind == "answerable"][
        :block
    ]
    with empty_system(configure) as (system, stack):
        system.retrieval.ingestor.ingest([*read_folder(WORLD, tenant="bench")])
        key = KeyStore.of(system.settings, system.context.clock).create(
            subject="bench", tenant="bench", roles=["agent"]
        )
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        with running(system) as url, closing(HTTPConnection(url.removeprefix("http://"))) as connection:

            def block_of(path: str, field: str, **more: str) -> Callable[[], None]:
                def ask_all() -> None:
                    for question in questions:
                        body = jsons.dumps({field: question, **more})
                        connection.request("POST", path, body, headers)
                        response = connection.getresponse()
                        told = response.read()
                        if response.status != 200:
                            raise InvalidRequest(f"{path} answered {response.status}: {told.decode()[:200]}")

                return ask_all

            kinds = {
                "search": block_of("/v1/search", "query"),
                "answer": block_of("/v1/answers", "question", compose="extractive"),
            }
            figures = {
                kind: cost(
                    work,
                    paused=functools.partial(pause, system.observability.telemetry),
                    flush=system.observability.telemetry.flush,
                    rounds=rounds,
                )
                for kind, work in kinds.items()
            }
    ok = verdict(figures)
    if not terminal.write_json(json, {**figures, "requests": len(questions), "goals": GOALS, "ok": ok, "stack": stack}):
        terminal.show_table(
            ["request", "traced / untraced a second", "middle half of the rounds", "goal", "rounds of requests"],
            [
                (
                    kind,
                    f"{one['ratio']:.3f}",
                    f"{one['ratio_low']:.3f} to {one['ratio_high']:.3f}",
                    GOALS[kind],
                    f"{rounds} of {len(questions)}",
                )
                for kind, one in figures.items()
            ],
        )
    return ok


def bench_tables(configure: Configure, questions: Path | None, json: Path | None) -> None:
    """Without `questions`, each set of the lab."""
    from lab.bench import table_questions as tables

    files = {questions.stem: questions} if questions else tables.SETS
    sets = {name: tables.read_questions(file) for name, file in files.items()}
    with_tables = {"extensions": sorted({*configure({}).settings.extensions, "tables"})}
    with empty_system(configure, with_tables) as (system, stack), terminal.progress() as progress:
        if refused := system.retrieval.ingestor.ingest(tables.documents()).refused:
            raise InvalidRequest(f"{len(refused)} of the tables were refused: {refused[0]}.")
        figures = {name: _ask_tables(system, name, asked, progress) for name, asked in sets.items()}
    if not terminal.write_json(json, {"sets": figures, "stack": stack, "double": tables.DOUBLE}):
        for name, of_ways in figures.items():
            print(f"{name}: {len(sets[name])} questions")
            terminal.show_table(["", *of_ways], tables.as_table(of_ways))
        print(tables.DOUBLE)


def _ask_tables(
    system: System, name: str, asked: Sequence[TableQuestion], progress: Callable[[str, int, int], None]
) -> dict[str, Any]:
    from lab.bench import table_questions as tables

    with tables.open_tool(system) as query:
        by_tool = [tables.row_of(one, *tables.ask_tool(query, one)) for one in asked]
        asking = tables.ask_all(
            asked,
            lambda question: ask(system, question, tables.PERSON),
            query,
            lambda done: progress(name, done, len(asked)),
        )
        by_system = asyncio.run(asking)
    ways = {"typed query": by_tool, "the system, asked in words": by_system}
    return {way: tables.summarise(rows) | {"rows": rows} for way, rows in ways.items()}
