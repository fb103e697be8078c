"""`make judge-agreement`, which measures a judge against people, and `make judge-evaluation`, which asks it for marks as far as they agree."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from extensions.judge.settings import JudgeSettings
from foundation.components import Context, load
from foundation.errors import InvalidRequest
from foundation.output.credentials import MASK, mask_values
from foundation.settings import Part
from observability.evaluation.metrics import estimate
from serving.cli import terminal
from serving.cli.opening import open_or_ask
from serving.cli.options import STACK, Golden, Json, Limit, Stack, exit_unless, load_stack
from serving.judge.trial import evaluation_file, golden_file
from serving.settings import Settings, context_of

if TYPE_CHECKING:
    from extensions.datasets.reading import Progress
    from extensions.judge.correction import PassRate
    from extensions.judge.marking import Judge, Record, Standing
    from models.contract import PriceSource
    from observability.evaluation.golden_set import GoldenCase
    from serving.wiring import System


def judge_agreement(
    data: Annotated[
        Path, typer.Argument(help="A folder with human_judgements.jsonl and qa.jsonl.", exists=True, file_okay=False)
    ],
    limit: Limit = None,
    json: Json = None,
    stack: Stack = STACK,
) -> None:
    """Measure how well a judge model agrees with people. Exit status 1: not well enough for `judge-evaluation` to use it."""
    from extensions.judge import marking
    from extensions.judge.agreement import agreement, read_marked
    from models.contract import PriceSource

    settings = load_stack(stack).settings
    answers = read_marked(data, limit)
    context = context_of(settings)
    prices = load("models.prices", settings.models.prices, context, expected=PriceSource)
    part = settings.section(JudgeSettings).chat or settings.models.chat
    with _open_judge(settings, part, context, prices) as judge, terminal.progress() as progress:
        at = context.clock.now().isoformat(timespec="seconds")
        measured = agreement(answers, judge, data=data.name, at=at, progress=progress, seed=settings.foundation.seed)
        record, rows = asyncio.run(measured)
    terminal.write_text(
        marking.record_file(settings.foundation.data_dir, judge), record.model_dump_json(indent=2) + "\n"
    )
    standing = marking.standing(judge, record, settings.section(JudgeSettings))
    content = record.model_dump() | {"trusted": standing.trusted, "told": standing.told} | _spent(judge)
    if not terminal.write_json(json, {**content, "rows": rows}):
        _show(record)
        terminal.show(f"\n{terminal.plain(standing.told)}")
    exit_unless(ok=bool(standing.trusted))


def _show(record: Record) -> None:
    columns = "mark|weighted kappa, 95 %|people themselves|same mark"
    rows = []
    for name, mark in record.marks.items():
        kappa, people = ("-" if it is None else f"{it:.3f}" for it in (mark.kappa, mark.people))
        rows.append((name, f"{kappa} [{mark.low:.3f}, {mark.high:.3f}]", people, f"{mark.exact:.3f}"))
    terminal.show_table(columns.split("|"), rows)
    terminal.show(f"\n{record.n} answers, {record.valid:.3f} of them with a valid verdict")


def _spent(judge: Judge) -> dict[str, Any]:
    usd = judge.cost_usd
    return {"failures": dict(judge.failures), "usd": None if usd is None else float(usd)}


@contextmanager
def _open_judge(settings: Settings, part: Part, context: Context, prices: PriceSource) -> Iterator[Judge]:
    from extensions.judge import marking
    from models.contract import BaseChatModel
    from models.resilience.resilient_chat import resilient

    rubric = marking.rubric_of(settings.section(JudgeSettings))
    built = load("models.chat", part, context, expected=BaseChatModel)
    with closing(resilient(built, (), settings.models.resilience, context.clock)) as chat:
        yield marking.Judge(chat, rubric, prices, context.clock, _made_of(part, context.stack_dir, local=chat.local))


def _made_of(part: Part, stack_dir: Path, *, local: bool) -> dict[str, str]:
    """Return adapter, endpoint and options without secrets, and the digests of local weights."""
    from foundation.machine.manifest import digest_of_files
    from models import weights

    options = {key: str(value) for key, value in mask_values(part.model_dump()).items() if value != MASK}
    if "adapter" in options:
        options["adapter_weights"] = digest_of_files([stack_dir / options["adapter"]])
    if "path" in options:
        return options | {"weights": digest_of_files([stack_dir / options["path"]])}
    return options | (weights.digests() if local else {})


def judge_evaluation(*, golden: Golden = None, json: Json = None, stack: Stack = STACK) -> None:
    """Mark the answers of the latest evaluation that cite something, by a judge model that agrees with people."""
    from observability.evaluation.golden_set import load_golden
    from serving.cli.judge.gate import read_json

    loaded = load_stack(stack)
    settings, part = loaded.settings, loaded.settings.section(JudgeSettings).chat
    if part is None:
        raise InvalidRequest("No judge is named, so nobody marks. Name a chat model: [judge] chat = { use = ... }")
    evaluated = evaluation_file(settings)
    if not evaluated.exists():
        raise InvalidRequest("There is no evaluation yet, so nothing can be marked. Do: make evaluate")
    cases = {case.id: case for case in load_golden(golden or golden_file(settings))}
    answered = [row for row in read_json(evaluated)["rows"] if row["status"] == "answered" and row["citations"]]
    if unknown := sorted({row["id"] for row in answered} - cases.keys()):
        raise InvalidRequest(
            f"The evaluation has a case that this golden set has not: {unknown[0]}. Name its set: GOLDEN=file"
        )
    asked = [(cases[row["id"]], row) for row in answered]
    with (
        open_or_ask(loaded, ["agent"]) as system,
        _open_judge(settings, part, system.context, system.models.prices) as judge,
        terminal.progress() as progress,
    ):
        marked, standing = asyncio.run(_mark(system, judge, asked, progress))
    figures = {
        name: estimate((row[name] for row in marked), seed=system.context.seed, share=False)
        for name in standing.trusted
    }
    rates = _pass_rates(system, judge, standing, marked)
    content = {"judge": judge.model, "trusted": standing.trusted, "told": standing.told} | _spent(judge)
    content |= {
        "marks": {n: asdict(it) for n, it in figures.items()},
        "passing": {n: asdict(it) for n, it in rates.items()},
    }
    terminal.show_note(standing.told)
    if not terminal.write_json(json, content | {"rows": marked}):
        rows = [
            (n, it, f"{rates[n].judged:.3f}" if n in rates else "-", rates.get(n, "-"), it.n)
            for n, it in figures.items()
        ]
        terminal.show_table(
            ["mark, 1 to 4", "mean, 95 % interval", "pass, as judged", "pass, corrected by its errors", "n"], rows
        )


def _pass_rates(
    system: System, judge: Judge, standing: Standing, marked: Sequence[Mapping[str, Any]]
) -> dict[str, PassRate]:
    """The share of answers with one of the two upper marks, corrected by the errors of the judge's record."""
    from extensions.judge import marking
    from extensions.judge.correction import pass_rate

    record = marking.record_of(system.context.data_dir, judge)
    if record is None:
        return {}
    known = {name: record.marks[name].outcomes for name in standing.trusted}
    return {
        name: pass_rate([row[name] for row in marked if row[name] is not None], counts, seed=system.context.seed)
        for name, counts in known.items()
        if counts is not None
    }


async def _mark(
    system: System, judge: Judge, answered: Sequence[tuple[GoldenCase, Mapping[str, Any]]], progress: Progress
) -> tuple[list[dict[str, Any]], Standing]:
    from extensions.judge import marking

    record, trust = marking.record_of(system.context.data_dir, judge), system.settings.section(JudgeSettings)
    standing = marking.standing(judge, record, trust)
    rows: list[dict[str, Any]] = []
    for done, (case, row) in enumerate(answered, 1):
        if not standing.trusted:
            break
        verdict = await judge.verdict(
            _conversation_of(case), _read_evidence(system, case, row["citations"]), row["answer"]
        )
        rows.append({"id": case.id, **{name: verdict and getattr(verdict, name) for name in standing.trusted}})
        # for each: the provider's last reply may name another model than the one that was tried
        standing = marking.standing(judge, record, trust)
        progress("judge", done, len(answered))
    return rows if standing.trusted else [], standing


def _conversation_of(case: GoldenCase) -> str:
    before = [f"user: {question}\nassistant: {answer}" for question, answer in case.history]
    return "\n".join([*before, f"user: {case.question}"])


def _read_evidence(system: System, case: GoldenCase, cited: Sequence[str]) -> list[str]:
    settings = system.settings.orchestration.answers
    documents, passages = settings.evidence_documents, settings.passages_per_document
    hits = system.retriever.retrieve(case.searched, case.scope, limit=documents, per_document=passages)
    return [hit.chunk.text for hit in hits if hit.source.uri in cited]
