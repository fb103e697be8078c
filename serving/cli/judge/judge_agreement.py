"""`make judge-agreement`, which measures the judge of `make evaluate` against people."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from foundation.components import Context, load
from foundation.output.credentials import MASK, mask_values
from foundation.settings import Part
from serving.cli import terminal
from serving.cli.options import STACK, Json, Limit, Stack, exit_unless, load_stack
from serving.settings import Settings, context_of

if TYPE_CHECKING:
    from models.contract import PriceSource
    from observability.evaluation.golden_set import CaseScore, Report
    from observability.evaluation.judge import Judge, Record
    from serving.wiring import System


def judge_agreement(
    data: Annotated[
        Path, typer.Argument(help="A folder with human_judgements.jsonl and qa.jsonl.", exists=True, file_okay=False)
    ],
    limit: Limit = None,
    json: Json = None,
    stack: Stack = STACK,
) -> None:
    """Measure how well a judge model agrees with people. Exit status 1: not well enough for `evaluate` to use it."""
    from models.contract import PriceSource
    from observability.evaluation import judge as judges
    from observability.evaluation.judge_agreement import agreement, read_marked

    settings = load_stack(stack).settings
    answers = read_marked(data, limit)
    context = context_of(settings)
    prices = load("models.prices", settings.models.prices, context, expected=PriceSource)
    part = settings.observability.judge.chat or settings.models.chat
    with _open_judge(settings, part, context, prices) as judge, terminal.progress() as progress:
        at = context.clock.now().isoformat(timespec="seconds")
        measured = agreement(answers, judge, data=data.name, at=at, progress=progress, seed=settings.foundation.seed)
        record, rows = asyncio.run(measured)
    terminal.write_text(
        judges.record_file(settings.foundation.data_dir, judge), record.model_dump_json(indent=2) + "\n"
    )
    standing = judges.standing(judge, record, settings.observability.judge)
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
    from models.contract import BaseChatModel
    from models.resilience.resilient_chat import resilient
    from observability.evaluation import judge as judges

    rubric = judges.rubric_of(settings.observability.judge)
    built = load("models.chat", part, context, expected=BaseChatModel)
    with closing(resilient(built, (), settings.models.resilience, context.clock)) as chat:
        yield judges.Judge(chat, rubric, prices, context.clock, _made_of(part, context.stack_dir, local=chat.local))


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


async def add_marks(system: System, report: Report, progress: Callable[[int], None]) -> tuple[Report, dict[str, Any]]:
    """Return the report with the marks that count, and a note on the judge; unchanged without a trusted judge."""
    from observability.evaluation import judge as judges
    from observability.evaluation.golden_set import Report

    settings = system.settings.observability.judge
    if settings.chat is None:
        return report, {}
    with _open_judge(system.settings, settings.chat, system.context, system.prices) as judge:
        data = system.settings.foundation.data_dir
        record = judges.record_of(data, judge)
        rows: list[CaseScore] = []
        while True:
            # checked for each: the provider's last reply may name another model than the one that was tried
            standing = judges.standing(judge, record, settings)
            note: dict[str, Any] = {"judge": judge.model, "trusted": standing.trusted, "told": standing.told}
            if not standing.trusted:
                return report, note
            if len(rows) == len(report.rows):
                break
            rows.append(await _mark_row(system, judge, report.rows[len(rows)], standing.trusted))
            progress(len(rows))
        return Report(tuple(rows), system.context.seed), note | _spent(judge)


async def _mark_row(system: System, judge: Judge, row: CaseScore, trusted: Sequence[str]) -> CaseScore:
    """Return the row with the judge's marks. Only cited answers get some: others have nothing to be compared with."""
    if row.status != "answered" or not row.citations:
        return row
    settings = system.settings.orchestration.answers
    documents, passages = settings.evidence_documents, settings.passages_per_document
    hits = system.retriever.retrieve(row.case.question, row.case.scope, limit=documents, per_document=passages)
    evidence = [hit.chunk.text for hit in hits if hit.source.uri in row.citations]
    verdict = await judge.verdict(f"user: {row.case.question}", evidence, row.text)
    if verdict is None:
        return row
    return replace(row, measures={**row.measures, **{f"judge_{name}": getattr(verdict, name) for name in trusted}})
