"""`sixply outcome` and `outcomes`: what became of answers, and what they cost."""

from __future__ import annotations

import json as jsons
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from foundation.clock import SystemClock
from foundation.errors import NotFound
from serving.cli import terminal
from serving.cli.opening import open_costs, open_hooks
from serving.cli.options import STACK, Json, Stack, load_stack, local

if TYPE_CHECKING:
    from extensions.feedback.store import OutcomeStore
    from observability.stores.costs import CostLedger, Total
    from serving.settings import Settings


def outcome(
    answer_id: Annotated[str, typer.Argument(metavar="ANSWER", help="The id of the answer.")],
    verdict: Annotated[str, typer.Argument(help="accepted, edited, rejected or escalated.")],
    *,
    minutes: Annotated[float | None, typer.Option(help="Minutes a person spent on the case.")] = None,
    edit: Annotated[str, typer.Option(help="For edited: the text that was sent.")] = "",
    reason: Annotated[str, typer.Option(help="Why it was rejected or escalated.")] = "",
    stack: Stack = STACK,
) -> None:
    """Record the outcome of an answer."""
    from extensions.feedback.store import Outcome

    settings = load_stack(stack).settings
    with open_outcomes(settings) as store, open_costs(settings) as costs:
        if not costs.of_answer(answer_id):
            raise NotFound(
                f'No answer "{answer_id}" was charged in {settings.foundation.data_dir}, so nothing is recorded of it. Give the whole id that the '
                "answer shows."
            )
        by = local("", [], None).subject
        recorded = Outcome(
            answer_id, cast("Any", verdict), SystemClock().now(), "production", by, minutes, edit or reason
        )
        store.record(recorded)
    terminal.show(f"Recorded: {terminal.plain(answer_id)} was {terminal.plain(verdict)}.")


def outcomes(json: Json = None, stack: Stack = STACK) -> None:
    """What answers cost, by their outcome: such as what the rejected ones cost."""
    from extensions.feedback.store import verdicts_of
    from observability.reports import trace_tables

    settings = load_stack(stack).settings
    with open_outcomes(settings) as store, open_costs(settings) as ledger:
        totals = sum_by_outcome(ledger, verdicts_of(store.all()))
    if not terminal.write_json(json, [asdict(row) for row in totals]):
        terminal.show(trace_tables.totals_table(totals, "outcome"))


def sum_by_outcome(ledger: CostLedger, verdicts: Mapping[str, str]) -> list[Total]:
    """Return the costs of answers by outcome, the most expensive first; `unknown` without an outcome, `golden set` of an
    evaluation. Charges without an answer, such as those of an ingest, are under `no answer`.
    """
    from observability.stores.costs import FIGURES

    return ledger.sum_up(
        "CASE WHEN coalesce(answer_id, '') = '' THEN 'no answer' WHEN verdict IS NOT NULL THEN verdict "  # noqa: S608 - own names
        "WHEN subject = 'golden set' THEN subject ELSE 'unknown' END, "
        f"{FIGURES} FROM charges LEFT JOIN (SELECT key AS answer_id, value AS verdict FROM json_each(?)) AS verdicts USING (answer_id)",
        jsons.dumps(dict(verdicts)),
    )


@contextmanager
def open_outcomes(settings: Settings) -> Iterator[OutcomeStore]:
    """Yield the store, without a system."""
    from extensions.feedback.store import OutcomeStore

    with open_hooks(settings) as hooks:
        yield hooks.service(OutcomeStore)
