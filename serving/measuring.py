"""The measuring commands: they join the running system to what layer 6 computes."""

from __future__ import annotations

import asyncio
import functools
import json as jsons
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from foundation import names
from foundation.clock import SystemClock
from foundation.errors import InvalidRequest
from foundation.settings import Loaded, Settings, made_data_dir
from foundation.types import EVERY_TENANT, Principal, Scope
from orchestration import answering
from orchestration.contract import Answer, AnswerRequest
from serving import terminal
from serving.judging import judged
from serving.wiring import System, open_system

if TYPE_CHECKING:
    from observability.evaluation import GoldenCase, Report
    from observability.leaks import DocumentText
    from observability.ledger import CostLedger
    from observability.outcome_contract import OutcomeContract
    from observability.outcomes import OutcomeStore
    from observability.value import ValueReport

WORLD = Path("examples/support_desk/corpus")
GOLDEN_SET = "golden set"
"""Who asks its questions."""
Configure = Callable[[dict[str, object]], Loaded]
Count = Callable[[int], None]


async def golden_report(system: System, cases: list[GoldenCase], progress: Count | None = None) -> Report:
    """Ask every case through the product's own answer path, as an agent of the case's tenant, and score it.

    An effect that a case asks for stops and waits; it is taken out of what waits for the people of the tenant afterwards.
    """
    from observability.evaluation import evaluate_golden

    async def answer(case: GoldenCase) -> Answer:
        person = Principal(GOLDEN_SET, case.tenant, frozenset({"agent"}), frozenset(case.groups))
        return await ask(system, case.question, person)

    def retrieve(case: GoldenCase) -> list[str]:
        return list(dict.fromkeys(hit.source.uri for hit in system.retriever.retrieve(case.question, case.scope)))

    try:
        return await evaluate_golden(
            cases,
            answer,
            retrieve=retrieve,
            documents=texts_of(system, cases),
            progress=progress,
            seed=system.context.seed,
        )
    finally:
        for tenant in {case.tenant for case in cases}:
            system.approvals.erase(tenant, GOLDEN_SET)


async def ask(system: System, question: str, person: Principal) -> Answer:
    return await answering.answer(system.agent, AnswerRequest(question=question), person)


def golden_file(settings: Settings) -> Path:
    return settings.observability.golden_set / "golden.jsonl"


def evaluate(loaded: Loaded, golden: Path | None, limit: int | None, json: Path | None) -> None:
    """Print the scores, keep them for `roi`, and record the verdicts as stand-ins for people's."""
    from observability.bench import evenly
    from observability.evaluation import load_golden
    from observability.outcomes import outcomes_of

    golden = golden or golden_file(loaded.settings)
    cases = cast("list[GoldenCase]", evenly(cast("Any", load_golden(golden)), limit))
    with open_system(loaded) as system, terminal.progress() as progress:
        if lost := _not_stored(system, cases):
            terminal.show_note(
                f"Not in the ledger, so that their cases cannot pass: {', '.join(lost[:5])}"
                f"{f' and {len(lost) - 5} more' if len(lost) > 5 else ''}. Ingest them, or name them as `make documents` does."
            )
        report = asyncio.run(golden_report(system, cases, lambda done: progress("ask", done, len(cases))))
        report, judge = asyncio.run(judged(system, report, lambda done: progress("judge", done, len(cases))))
    figures = report.as_dict() | ({"judge": judge} if judge else {})
    terminal.write_json(evaluation_file(loaded.settings), figures)
    with _outcomes(loaded) as store:
        for outcome in outcomes_of(report, at=SystemClock().now()):
            store.record(outcome)
    if judge:
        terminal.show_note(judge["told"])
    if not terminal.write_json(json, figures):
        terminal.show(report.table())
        terminal.show("")
        terminal.show(report.slice_table())
        if report.worst():
            terminal.show("")
            terminal.show(report.worst_table())


def bench_retrieval(configure: Configure, data: Path, limit: int | None, json: Path | None) -> None:
    from observability.bench import bench_retrieval

    with empty_system(configure) as (system, stack), terminal.progress() as progress:
        figures = bench_retrieval(
            data,
            ingestor=system.ingestor,
            retriever=system.retriever,
            embedder=system.embedder,
            legs=functools.partial(_search_times, system),
            limit=limit,
            progress=progress,
            stack=stack,
            seed=system.context.seed,
        )
    _figures(figures, json)


def bench_ingest(
    configure: Configure, data: Path | None, *, limit: int, chunks: int, against: str | None, json: Path | None
) -> None:
    """Without `data`, on documents made of the example world's sentences. `chunks`: to how many memory is followed.
    `against` names another embedder."""
    from langchain_core.embeddings import Embeddings

    from foundation import components
    from foundation.settings import Part
    from observability import ingest_bench
    from observability.bench import evenly, items_of, read_corpus
    from retrieval.ingest import Ingestor
    from serving.library import open_library, own_parse

    seed = configure({}).settings.foundation.seed
    sentences = ingest_bench.sentences_of(WORLD)
    if data:
        items = evenly(items_of(one for one in read_corpus(data) if one.text.strip()), limit)  # the others are refused
    else:
        items = [*ingest_bench.made_up(sentences, limit, seed=seed)]
    with empty_system(configure) as (system, stack), terminal.progress() as progress:
        other = (
            components.load("models.embedder", Part(use=against), system.context, expected=Embeddings)
            if against
            else None
        )
        figures = ingest_bench.bench_ingest(
            items,
            ingestor=system.ingestor,
            embedder=system.embedder,
            parse=own_parse,
            chunker=system.chunker,
            progress=progress,
            against=other,
        )
    hashed = {"models": {"embedder": {"use": "hashing"}}}  # memory does not depend on meaning
    with _folder(configure, hashed) as loaded, open_library(loaded) as library, terminal.progress() as progress:
        own = Ingestor(
            ledger=library.ledger,
            vectors=ingest_bench.KeepsNothing(),
            embedder=library.embedder,
            chunker=library.chunker,
            parse=own_parse,
            clock=library.context.clock,
        )
        many = ingest_bench.made_up(sentences, chunks, seed=seed)
        figures |= ingest_bench.memory_growth(
            many, ingestor=own, ledger=library.ledger, chunks=chunks, progress=progress
        )
    _figures(figures | {"data": data.name if data else "made up", "stack": stack}, json)


def bench_index(configure: Configure, *, chunks: int, json: Path | None) -> None:
    """The configured vector index among near-duplicates, and where the time of a query goes there."""
    from observability import bench, index_bench
    from observability.ingest_bench import sentences_of

    with empty_system(configure) as (system, stack), terminal.progress() as progress:
        seed = system.context.seed
        corpus = index_bench.copies(sentences_of(WORLD), system.embedder, chunks=chunks, seed=seed)
        seconds = index_bench.fill(corpus, system.ledger, system.vectors, seed=seed, progress=progress)
        figures = index_bench.recall(corpus, system.vectors) | _search_times(system, corpus.words[: bench.TIMED])
    _figures(figures | {"chunks": chunks, "index_s": seconds, "stack": stack}, json)


def _search_times(system: System, queries: Sequence[str]) -> dict[str, float]:
    from observability.bench import SCOPE
    from observability.search_times import AtOnce, search_times
    from retrieval.retriever import HybridRetriever

    ranking, clock = system.settings.retrieval.ranking, system.context.clock
    parts = {
        "ledger": system.ledger,
        "vectors": system.vectors,
        "embedder": system.embedder,
        "reranker": system.reranker,
    }
    return search_times(
        queries,
        parts,
        lambda watched: HybridRetriever(**watched, ranking=ranking, clock=clock, beside=AtOnce()),
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
    from observability import plots, risk_coverage
    from observability.bench import TENANT, Question, bench_answers
    from observability.spans import SpanStore

    person = Principal("bench", TENANT, frozenset({"reader"}))
    with empty_system(configure) as (system, stack), terminal.progress() as progress:
        spans = SpanStore(system.settings.foundation.data_dir / "spans.sqlite")

        def answer(question: Question) -> Awaitable[Answer]:
            return ask(system, question.question, person)

        def confidences() -> dict[str, float]:
            system.telemetry.flush()
            return spans.last_of(names.CONFIDENCE)

        figures = asyncio.run(
            bench_answers(
                data,
                ingestor=system.ingestor,
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
        plot.write_text(plots.standalone(risk_coverage.plot(figures["risk_coverage"], title)), encoding="utf-8")
    _figures(figures, json)


def calibrate(
    configure: Configure, data: Path | None, foreign: Path | None, limit: int | None, json: Path | None
) -> None:
    """Which `min_evidence` the questions of `data` speak for; without it, those of the golden set."""
    from observability.bench import TENANT, evenly, foreign_questions, items_of, read_questions
    from observability.calibration import Graded, calibrate
    from observability.evaluation import load_golden
    from observability.spans import SpanStore
    from observability.trials import golden_documents

    with (
        empty_system(configure, {"retrieval": {"grounding": {"min_evidence": 0.0}}}) as (system, stack),
        terminal.progress() as progress,
    ):
        if data is None:
            golden = golden_file(system.settings)
            every = load_golden(golden)
            cases = [case for case in evenly(every, limit) if case.tool is None]
            items = golden_documents(golden.parent, every)
            asked = [
                (
                    case.question,
                    Principal("bench", case.tenant, frozenset({"reader"}), frozenset(case.groups)),
                    case.answerable,
                )
                for case in cases
            ]
        else:
            questions, corpus = read_questions(data)
            items = items_of(corpus)
            person = Principal("bench", TENANT, frozenset({"reader"}))
            asked = [(one.question, person, one.answerable) for one in evenly(questions, limit)]
        others = evenly(foreign_questions(foreign), limit) if foreign else []
        rows = [(*one, False) for one in asked] + [(one.question, asked[0][1], False, True) for one in others]
        system.ingestor.ingest(items, progress=lambda done: progress("ingest", done, len(items)))

        async def ask_all() -> list[str | None]:
            traces = []
            for done, (question, person, *_) in enumerate(rows, 1):
                traces.append((await ask(system, question, person)).trace_id)
                progress("ask", done, len(rows))
            return traces

        traces = asyncio.run(ask_all())
        system.telemetry.flush()
        known = SpanStore(system.settings.foundation.data_dir / "spans.sqlite").last_of(names.CONFIDENCE)
        graded = [
            Graded(known[trace], answerable, other)
            for trace, (_, _, answerable, other) in zip(traces, rows, strict=True)
            if trace in known
        ]
        figures = calibrate(graded, seed=system.context.seed)
    figures |= {"n_not_graded": len(rows) - len(graded), "data": data.name if data else "golden set", "stack": stack}
    if not terminal.write_json(json, figures):
        at = figures.pop("at")
        _figures(figures, None)
        terminal.show_table(list(at[0]), [tuple(_share(value) for value in one.values()) for one in at])


def bench_attacks(configure: Configure, data: Path, limit: int | None, rows: Path | None, json: Path | None) -> bool:
    """Whether no document steered a tool. Whoever asks may act, so that there is something to steer."""
    from observability import bench_attacks as attacks
    from observability.measures import without_markers
    from orchestration.composing import REPLY_TOKENS
    from orchestration.prompts import answer_from
    from orchestration.steps import PASSAGES

    with empty_system(configure) as (system, stack), terminal.progress() as progress:

        async def ask(question: str, tenant: str, mode: attacks.Mode) -> attacks.Said:
            if mode == "unguarded":
                hits = system.retriever.retrieve(question, Scope(tenant), per_document=PASSAGES)[:PASSAGES]
                prompt = answer_from(question, [hit.chunk.text for hit in hits])
                reply = await system.chat.ainvoke(prompt, max_tokens=REPLY_TOKENS)
                return attacks.Said("answered", without_markers(reply.text, range(1, PASSAGES + 1)))
            before = len(await system.audit.entries(tenant))
            request = AnswerRequest(question=question, compose="generative" if mode == "model" else None)
            given = await answering.answer(system.agent, request, Principal("bench", tenant, frozenset({"agent"})))
            entries = (await system.audit.entries(tenant))[before:]
            said = without_markers(given.text, (citation.marker for citation in given.citations))
            return attacks.Said(given.status, said, tuple(entry.tool for _, entry in entries if entry.act == "tool"))

        figures = asyncio.run(
            attacks.bench_attacks(
                attacks.read_attacks(data, limit),
                ingestor=system.ingestor,
                ask=ask,
                kept=attacks.Kept(rows, _run_of(system)) if rows else None,
                progress=progress,
                seed=system.context.seed,
            )
        )
    modes = [figures[mode] for mode in attacks.MODES]
    if not terminal.write_json(json, figures | {"data": data.name, "stack": stack}):
        hidden = {"rows", "intervals_95", "by_category"}
        names = [name for name in modes[0] if name not in hidden]
        shown = [(name, *(_with_interval(one, name) for one in modes)) for name in names]
        terminal.show_table(["figure, interval at 95 %", *attacks.MODES], shown)
        counted = ("attack_success", "attack_echoed")
        kinds = [
            (kind, one["n"], *(f"{mode['by_category'][kind][name]:.2f}" for mode in modes for name in counted))
            for kind, one in modes[0]["by_category"].items()
        ]
        heads = [f"{mode}: {name}" for mode in attacks.MODES for name in ("success", "echoed")]
        terminal.show_table(["attack", "n", *heads], kinds)
    return not any(one["calls_steered"] for one in modes)


def _with_interval(figures: Mapping[str, Any], name: str) -> str:
    value, interval = figures[name], figures["intervals_95"].get(name)
    if value is None:
        return "-"
    return f"{value:.3f} [{interval[0]:.3f}, {interval[1]:.3f}]" if interval else f"{value:.4g}"


def _run_of(system: System) -> str:
    """The id of the manifest as it would be with the same data folder: each benchmark has another one."""
    from foundation import manifest

    run = system.manifest
    own = system.settings.foundation.model_copy(update={"data_dir": Path()})
    settings = system.settings.model_copy(update={"foundation": own})
    return manifest.build(settings, weights=run.weights, corpus=run.corpus, clock=system.context.clock).manifest_id


def bench_follow_ups(configure: Configure, data: Path, json: Path | None) -> None:
    """`data` is a folder in BEIR layout, or the file of follow-ups that lies beside the corpus of an example world."""
    from observability.bench import items_of, read_corpus
    from observability.follow_up_bench import bench_follow_ups, read_follow_ups
    from retrieval.folders import read_folder

    cases = read_follow_ups(data)
    with empty_system(configure) as (system, stack), terminal.progress() as progress:
        world = data.is_file()
        items = [*read_folder(data.parent / "corpus", tenant=EVERY_TENANT)] if world else items_of(read_corpus(data))
        system.ingestor.ingest(items, progress=lambda done: progress("ingest", done, len(items)))
        figures = bench_follow_ups(
            cases,
            system.retriever,
            progress=lambda done: progress("ask", done, len(cases)),
            seed=system.context.seed,
        )
    _figures(figures | {"data": data.name, "stack": stack}, json)


def bench_structured(configure: Configure, data: Path, limit: int, json: Path | None) -> None:
    """Objects of every kind from texts whose values are known; `data` is the file of kinds, or a folder of calls."""
    from observability.bench import TENANT
    from observability.bench_objects import ObjectCase, bench_objects, cases_from
    from orchestration.objects import ObjectAnswer, model_of

    person = Principal("bench", TENANT, frozenset({"reader"}))
    with empty_system(configure) as (system, stack), terminal.progress() as progress:
        cases = cases_from(data, limit, seed=system.context.seed)

        async def fill(case: ObjectCase) -> ObjectAnswer[Any]:
            return await system.objects.answer_as(model_of(case.schema), case.question, person, text=case.text)

        figures = asyncio.run(bench_objects(cases, fill, lambda done: progress("fill", done, len(cases))))
    if not terminal.write_json(json, figures | {"data": data.name, "stack": stack}):
        kinds = figures.pop("kinds")
        _figures(figures | {"data": data.name}, None)
        columns = ("cases", "valid", "objects_right", "fields_right", "fields_written_by_the_model")
        rows = [(kind, *(f"{one[name]:.3g}" for name in columns)) for kind, one in kinds.items()]
        terminal.show_table(["kind", *columns], rows)


def bench_cache(configure: Configure, data: Path, limit: int, json: Path | None) -> None:
    """The same log through a system that makes every answer, and through one that gives answers again."""
    from observability import cache_bench
    from observability.bench import TENANT

    log, corpus = cache_bench.question_log(data, limit=limit, seed=configure({}).settings.foundation.seed)
    person = Principal("bench", TENANT, frozenset({"reader"}))
    with ExitStack() as opened, terminal.progress() as progress:
        systems = []
        for mode in ("off", "semantic"):
            system, stack = opened.enter_context(empty_system(configure, {"serving": {"answer_cache": {"mode": mode}}}))
            system.ingestor.ingest(cache_bench.items_of(corpus))
            systems.append(functools.partial(ask, system, person=person))
        made, cached = asyncio.run(cache_bench.replay(log, systems, lambda done: progress("ask", done, len(log))))
        settings = system.settings.serving.answer_cache
    figures = cache_bench.figures(log, made=made, cached=cached)
    _figures(figures | {"min_similarity": settings.min_similarity, "data": data.name, "stack": stack}, json)


def bench_verify(configure: Configure, data: Path, limit: int | None, json: Path | None) -> None:
    from observability.verify_bench import bench_verify

    with empty_system(configure) as (system, stack), terminal.progress() as progress:
        figures = bench_verify(
            data,
            system.grounding.checks,
            threshold=system.settings.retrieval.grounding.min_support,
            limit=limit,
            progress=progress,
            seed=system.context.seed,
        )
    _figures(figures | {"stack": stack}, json)


def bench_tau(configure: Configure, data: Path, json: Path | None) -> bool:
    """Whether every expected call passed, and every forbidden one was denied with the line of the policy cited."""
    from observability.tau_bench import bench_tau

    with (
        empty_system(configure) as (system, stack),
        terminal.progress() as progress,
        tempfile.TemporaryDirectory() as folder,
    ):
        figures = bench_tau(
            data,
            Path(folder),
            ingestor=system.ingestor,
            retriever=system.retriever,
            progress=progress,
            seed=system.context.seed,
        )
    if not terminal.write_json(json, figures | {"data": data.name, "stack": stack}):
        rules = figures.pop("rules")
        _figures(figures, None)
        terminal.show_table(
            ["rule", "forbidden", "denied", "cited"], [(name, *one.values()) for name, one in rules.items()]
        )
    return all(figures[name] == 1 for name in ("passed_share", "denied_share", "cited_share"))


def train_verify(configure: Configure, claims: Path, to: Path) -> None:
    """Train the judge of `verify` on these claims with the configured embedder, and write it."""
    from observability.verify_bench import train_verify

    with empty_system(configure) as (system, _), terminal.progress() as progress:
        judge = train_verify(claims, system.embedder, progress=progress, seed=system.context.seed)
    terminal.write_json(to, judge)


def bench_parse(
    configure: Configure, data: Path, *, mutate: int, seed: int, strings: Path | None, json: Path | None
) -> bool:
    """Whether every file ended in text or in a typed reason, within its limits."""
    from observability.parse_bench import bench_parse, bench_strings

    settings = configure({}).settings.retrieval.parsing
    with terminal.progress() as progress:
        figures = bench_parse(data, settings, mutate=mutate, seed=seed, progress=progress)
    if strings is not None:
        with empty_system(configure) as (system, _):
            listed = jsons.loads(strings.read_text(encoding="utf-8"))
            figures |= bench_strings(listed, ingestor=system.ingestor, retriever=system.retriever)
    _figures(figures, json)
    wrong = ("failed", "over_limits", "mutated_failed", "mutated_crashed", "mutated_over_limits", "strings_failed")
    return not any(figures.get(name) for name in wrong)


def bench_pii(data: Path, json: Path | None) -> None:
    from observability.bench_personal_data import bench_personal_data

    with terminal.progress() as progress:
        found = bench_personal_data(data, progress=progress)
    if not terminal.write_json(json, found):
        rows = [(kind, one["n"], one["found"], _share(one["precision"]), _share(one["recall"]))
                for kind, one in [*found["kinds"].items(), ("all", found["all"])]]  # fmt: skip
        terminal.show_table(["kind", "labelled", "found", "precision", "recall"], rows)
        others = ", ".join(f"{count} {kind}" for kind, count in found["not_looked_for"].items())
        terminal.console().print(f"\nNot looked for, because it has no form: {terminal.plain(others) or 'nothing'}")


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def business_case(loaded: Loaded, json: Path | None) -> None:
    from observability import business_case as before
    from observability.outcome_contract import load_contract

    case = before.business_case(load_contract(loaded.settings.observability.outcomes_file))
    if not terminal.write_json(json, case.as_dict()):
        terminal.show(case.table())


def record_outcome(loaded: Loaded, answer_id: str, verdict: str, *, minutes: float | None, note: str) -> None:
    from foundation.errors import NotFound
    from observability.ledger import CostLedger
    from observability.outcomes import Outcome
    from serving.commands import local

    data = loaded.settings.foundation.data_dir
    with _outcomes(loaded) as store, closing(CostLedger(data / "costs.sqlite")) as costs:
        if not costs.of_answer(answer_id):
            raise NotFound(
                f'No answer "{answer_id}" was charged in {data}, so nothing is recorded of it. Give the whole id that the '
                "answer shows."
            )
        by = local("", [], None).subject
        given = Outcome(answer_id, cast("Any", verdict), SystemClock().now(), "production", by, minutes, note)
        store.record(given)
    terminal.console().print(f"Recorded: {terminal.plain(answer_id)} was {terminal.plain(verdict)}.")


def roi(loaded: Loaded, json: Path | None) -> None:
    """From what people recorded; only where nobody has yet, from the stand-ins of an evaluation, which it says."""
    _, report = _worth(loaded)
    if not terminal.write_json(json, report.as_dict()):
        terminal.show(report.table())


def write_value_report(loaded: Loaded, html: Path | None, json: Path | None) -> None:
    """One page for those who pay."""
    from observability import value_page

    contract, report = _worth(loaded)
    path = html or loaded.settings.foundation.data_dir / "reports" / "value.html"
    terminal.write_text(path, value_page.page([(contract, report)], written=SystemClock().now()))
    if not terminal.write_json(json, report.as_dict()):
        terminal.show(report.table())
        terminal.console().print(f"The page: {terminal.plain(path)}")


def simulate_value(loaded: Loaded, months: int, json: Path | None) -> bool:
    """Whether the interval of a value report held the truth as often as it promises, over months with a known truth."""
    from observability import simulation
    from observability.outcome_contract import load_contract

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


def _worth(loaded: Loaded) -> tuple[OutcomeContract, ValueReport]:
    from observability.ledger import CostLedger

    with _outcomes(loaded) as store, closing(CostLedger(loaded.settings.foundation.data_dir / "costs.sqlite")) as costs:
        return worth(loaded.settings, store, costs)


def worth(settings: Settings, outcomes: OutcomeStore, costs: CostLedger) -> tuple[OutcomeContract, ValueReport]:
    """The contract, and what recorded outcomes were worth against it; where there are none, the stand-ins.

    Raises:
        InvalidSetting, UnknownSetting: there is no contract, or it does not fit.
    """
    from observability import value
    from observability.outcome_contract import load_contract

    contract = load_contract(settings.observability.outcomes_file)
    recorded = outcomes.all(origin="production")
    stand_ins = outcomes.all(origin="evaluation")
    answers = costs.answers()
    evaluated = {one.answer_id for one in stand_ins}
    # questions that an evaluation asked are no traffic, and traffic is no evaluation
    answers = {answer: cost for answer, cost in answers.items() if (answer in evaluated) is not bool(recorded)}
    report = value.value_report(
        contract, recorded or stand_ins, answers, measured=_measured(settings), seed=settings.foundation.seed
    )
    return contract, report


@contextmanager
def empty_system(
    configure: Configure, more: Mapping[str, object] | None = None
) -> Iterator[tuple[System, dict[str, str]]]:
    """A system of its own in an empty folder: a benchmark neither sees nor leaves any document of yours."""
    with _folder(configure, more) as loaded, open_system(loaded) as system:
        yield system, {key: value for key, value, _ in loaded.rows() if key.endswith(".use")}


def bench_telemetry(configure: Configure, *, rounds: int, block: int, json: Path | None) -> bool:
    """Searches and quoted answers over HTTP; whether both keep what they must. Writing takes far longer and would hide it."""
    from http.client import HTTPConnection

    from observability.evaluation import load_golden
    from observability.telemetry_bench import GOALS, cost, verdict
    from retrieval.folders import read_folder
    from serving.identity import KeyStore
    from serving.server import running

    questions = [case.question for case in load_golden(WORLD.parent / "golden.jsonl") if case.kind == "answerable"][
        :block
    ]
    with empty_system(configure) as (system, stack):
        system.ingestor.ingest([*read_folder(WORLD, tenant="bench")])
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
                kind: cost(work, paused=system.telemetry.paused, flush=system.telemetry.flush, rounds=rounds)
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


@contextmanager
def _folder(configure: Configure, more: Mapping[str, object] | None = None) -> Iterator[Loaded]:
    """The configuration on an empty folder that is gone afterwards."""
    home = configure({}).settings.foundation.data_dir
    home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=home) as folder:
        yield configure({"foundation": {"data_dir": folder}, **(more or {})})


_NOT_SHOWN = {"rows", "foreign_rows", "rounds", "stack", "intervals_95", "risk_coverage"}


def _figures(figures: Mapping[str, Any], json: Path | None) -> None:
    if not terminal.write_json(json, figures):
        rows = [(name, f"{value:.4g}" if isinstance(value, float) else value) for name, value in figures.items()]
        terminal.show_table(["figure", ""], [row for row in rows if row[0] not in _NOT_SHOWN])


def texts_of(system: System, cases: list[GoldenCase]) -> list[DocumentText]:
    """Every stored text of the cases' tenants, for finding what an answer should not have shown."""
    from observability.leaks import DocumentText

    groups = frozenset(group for case in cases for group in case.groups)
    found = {}
    for tenant in sorted({case.tenant for case in cases}):
        scope = Scope(tenant, groups)
        for document in system.ledger.documents(scope):
            text = system.ledger.text(document.document_id, scope) or ""
            source = document.source
            found[document.document_id] = DocumentText(source.uri, source.tenant, source.groups, text)
    if not found:
        tenants = ", ".join(sorted({case.tenant for case in cases}))
        raise InvalidRequest(
            f"The ledger holds no document that these questions may read; they are asked for tenant {tenants}. Run "
            "make ingest SRC=folder TENANT=..., or make ingest SRC=folder TENANT='*' for documents that all tenants may read."
        )
    return list(found.values())


def _not_stored(system: System, cases: list[GoldenCase]) -> list[str]:
    stored = {text.uri for text in texts_of(system, cases)}
    return sorted({uri for case in cases for uri in case.gold_documents} - stored)


def evaluation_file(settings: Settings) -> Path:
    return settings.foundation.data_dir / "reports" / "evaluation.json"


def _measured(settings: Settings) -> dict[str, float | None]:
    """What the last evaluation found for the floors of the outcome contract; nothing where there was none."""
    try:
        report = jsons.loads(evaluation_file(settings).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return {name: found["mean"] for name, found in report["overall"].items()} | {
        "effects_without_approval": float(report["effects_without_approval"])
    }


@contextmanager
def _outcomes(loaded: Loaded) -> Iterator[OutcomeStore]:
    from observability.outcomes import OutcomeStore

    with closing(OutcomeStore(made_data_dir(loaded.settings) / "outcomes.sqlite")) as store:
        yield store
