"""The measuring commands: they join the running system to what layer 6 computes."""

from __future__ import annotations

import asyncio
import json as jsons
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from foundation import names
from foundation.clock import SystemClock
from foundation.errors import InvalidRequest
from foundation.settings import make_data_dir
from foundation.types import Principal, Scope
from orchestration.contract import Answer, AnswerRequest
from orchestration.run import answering
from serving.cli import terminal
from serving.cli.judging import judged
from serving.settings import Loaded, Settings
from serving.wiring import System, open_system

if TYPE_CHECKING:
    from observability.evaluation.golden_set import GoldenCase, Report
    from observability.evaluation.leaks import DocumentText
    from observability.stores.costs import CostLedger
    from observability.stores.outcomes import OutcomeStore
    from observability.value.outcome_contract import OutcomeContract
    from observability.value.roi import ValueReport

WORLD = Path("examples/support_desk/corpus")
GOLDEN_SET = "golden set"
"""Who asks its questions."""
Configure = Callable[[dict[str, object]], Loaded]
Count = Callable[[int], None]


async def golden_report(system: System, cases: list[GoldenCase], progress: Count | None = None) -> Report:
    """Ask every case through the product's own answer path, as an agent of the case's tenant, and score it.

    An effect that a case asks for stops and waits; it is taken out of what waits for the people of the tenant afterwards.
    """
    from observability.evaluation.golden_set import evaluate_golden

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
    from observability.evaluation.datasets import evenly
    from observability.evaluation.golden_set import load_golden
    from observability.stores.outcomes import outcomes_of

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


def calibrate(
    configure: Configure, data: Path | None, foreign: Path | None, limit: int | None, json: Path | None
) -> None:
    """Which `min_evidence` the questions of `data` speak for; without it, those of the golden set."""
    from observability.evaluation.calibration import Graded, calibrate
    from observability.evaluation.datasets import TENANT, evenly, foreign_questions, items_of, read_questions
    from observability.evaluation.golden_set import load_golden
    from observability.evaluation.trials import golden_documents
    from observability.stores.spans import SpanStore

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
        show_figures(figures, None)
        terminal.show_table(list(at[0]), [tuple(format_share(value) for value in one.values()) for one in at])


def format_share(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def business_case(loaded: Loaded, json: Path | None) -> None:
    from observability.value import business_case as before
    from observability.value.outcome_contract import load_contract

    case = before.business_case(load_contract(loaded.settings.observability.outcomes_file))
    if not terminal.write_json(json, case.as_dict()):
        terminal.show(case.table())


def record_outcome(loaded: Loaded, answer_id: str, verdict: str, *, minutes: float | None, note: str) -> None:
    from foundation.errors import NotFound
    from observability.stores.costs import CostLedger
    from observability.stores.outcomes import Outcome
    from serving.cli.commands import local

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
    from observability.value import value_page

    contract, report = _worth(loaded)
    path = html or loaded.settings.foundation.data_dir / "reports" / "value.html"
    terminal.write_text(path, value_page.page([(contract, report)], written=SystemClock().now()))
    if not terminal.write_json(json, report.as_dict()):
        terminal.show(report.table())
        terminal.console().print(f"The page: {terminal.plain(path)}")


def _worth(loaded: Loaded) -> tuple[OutcomeContract, ValueReport]:
    from observability.stores.costs import CostLedger

    with _outcomes(loaded) as store, closing(CostLedger(loaded.settings.foundation.data_dir / "costs.sqlite")) as costs:
        return worth(loaded.settings, store, costs)


def worth(settings: Settings, outcomes: OutcomeStore, costs: CostLedger) -> tuple[OutcomeContract, ValueReport]:
    """The contract, and what recorded outcomes were worth against it; where there are none, the stand-ins.

    Raises:
        InvalidSetting, UnknownSetting: there is no contract, or it does not fit.
    """
    from observability.value import roi
    from observability.value.outcome_contract import load_contract

    contract = load_contract(settings.observability.outcomes_file)
    recorded = outcomes.all(origin="production")
    stand_ins = outcomes.all(origin="evaluation")
    answers = costs.answers()
    evaluated = {one.answer_id for one in stand_ins}
    # questions that an evaluation asked are no traffic, and traffic is no evaluation
    answers = {answer: cost for answer, cost in answers.items() if (answer in evaluated) is not bool(recorded)}
    report = roi.value_report(
        contract, recorded or stand_ins, answers, measured=_measured(settings), seed=settings.foundation.seed
    )
    return contract, report


@contextmanager
def empty_system(
    configure: Configure, more: Mapping[str, object] | None = None
) -> Iterator[tuple[System, dict[str, str]]]:
    """A system of its own in an empty folder: a benchmark neither sees nor leaves any document of yours."""
    with own_folder(configure, more) as loaded, open_system(loaded) as system:
        yield system, {key: value for key, value, _ in loaded.rows() if key.endswith(".use")}


@contextmanager
def own_folder(configure: Configure, more: Mapping[str, object] | None = None) -> Iterator[Loaded]:
    """The configuration on an empty folder that is gone afterwards."""
    home = configure({}).settings.foundation.data_dir
    home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=home) as folder:
        yield configure({"foundation": {"data_dir": folder}, **(more or {})})


_NOT_SHOWN = {"rows", "foreign_rows", "rounds", "stack", "intervals_95", "risk_coverage"}


def show_figures(figures: Mapping[str, Any], json: Path | None) -> None:
    if not terminal.write_json(json, figures):
        rows = [(name, f"{value:.4g}" if isinstance(value, float) else value) for name, value in figures.items()]
        terminal.show_table(["figure", ""], [row for row in rows if row[0] not in _NOT_SHOWN])


def texts_of(system: System, cases: list[GoldenCase]) -> list[DocumentText]:
    """Every stored text of the cases' tenants, for finding what an answer should not have shown."""
    from observability.evaluation.leaks import DocumentText

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
    from observability.stores.outcomes import OutcomeStore

    with closing(OutcomeStore(make_data_dir(loaded.settings.foundation.data_dir) / "outcomes.sqlite")) as store:
        yield store
