"""The live view: load, time, money, quality and value, from the stores behind `make slow`, `costs` and `roi`."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

import numpy as np
from nicegui import html, ui

from extensions.feedback.store import Outcome, OutcomeStore, verdicts_of
from extensions.page.session import Visitor, act, alert, every, pluralise, refill, show_errors
from extensions.page.views.plots import Plot
from extensions.reports.answers import AnswerFigures, read_answers
from foundation.errors import ConfigurationError
from foundation.types import Principal
from observability.evaluation.metrics import share_interval
from serving.api.usage import UsageReport, usage
from serving.cli.terminal import format_price
from serving.hooks import Place

LOOK_AGAIN_S = 2.0
DAYS, LATEST = 14, 300
COLOURS = {"accepted": "var(--good)", "edited": "var(--mark)", "rejected": "var(--bad)", "escalated": "var(--wait)"}

USED = {
    "accepted": "Used as it is",
    "edited": "Used with changes",
    "rejected": "Wrong",
    "escalated": "Passed on",
}


class LiveView:
    """Current load, and results of the last days."""

    def __init__(self, visitor: Visitor) -> None:
        self._visitor = visitor

    def build(self) -> None:
        refusal = self._visitor.refusal("operate")
        tenant = self._visitor.seen.tenant
        with html.div().classes("sheet wide"):
            with html.div().classes("above first"):
                html.h1("Live")
                act("Look again", self._again, "outline", icon="refresh")
            # other roles see only what GET /v1/usage and GET /v1/feedback return to them
            if refusal:
                html.p("What your answers cost, and how useful your tenant's were.").classes("lead")
                alert(f"Load, time, quality and value are not shown. {refusal}", kind="note")
            else:
                lead = f"This server now; the answers of {tenant} in the last days; what extensions know is over all tenants."
                html.p(lead).classes("lead")
                Load(self._visitor).build(self)
            self._figures = html.div().classes("plots")
            self._below = html.div()

    async def refresh(self) -> None:
        operator = self._visitor.may("operate")
        caller = await self._visitor.caller("operate" if operator else "ask")
        system = self._visitor.system
        days = usage(caller, self._visitor.runtime, days=30, of="tenant" if operator else "me")
        outcomes = await asyncio.to_thread(system.hooks.service(OutcomeStore).all, tenant=caller.tenant)
        answers = await asyncio.to_thread(self._load_answers, caller, outcomes) if operator else []
        with refill(self._figures):
            if operator:
                _time(answers, self._visitor)
            _money(days)
            if operator:
                _answers(answers, system.context.clock.now().astimezone(UTC).date())
            _feedback(outcomes)
        with refill(self._below):
            if operator:
                await self._show_panels()

    async def _again(self) -> None:
        with show_errors():
            await self.refresh()

    def _load_answers(self, caller: Principal, outcomes: Sequence[Outcome]) -> list[AnswerFigures]:
        system = self._visitor.system
        # else the spans of the latest answers are still in memory
        system.observability.telemetry.flush()
        now = system.context.clock.now()
        since = now - timedelta(days=DAYS)
        return read_answers(
            system.observability.spans,
            system.observability.costs,
            verdicts_of(outcomes),
            since=since,
            until=now,
            tenant=caller.tenant,
        )

    async def _show_panels(self) -> None:
        for panel in self._visitor.system.hooks.panels:
            if panel.place is not Place.LIVE:
                continue
            html.h2(panel.name).classes("section")
            try:
                rows = await asyncio.to_thread(panel.read, "")
            except ConfigurationError as error:
                alert(f"Unknown. {error}", kind="note")
                continue
            with html.div().classes("tiles"):
                for row in rows:
                    Tile(row["title"]).show(row["value"], row["note"])


class Load:
    """Running, waiting and rejected requests, refreshed while the view is open."""

    def __init__(self, visitor: Visitor) -> None:
        self._visitor = visitor

    def build(self, view: LiveView) -> None:
        with html.div().classes("tiles").props('role=group aria-label="Load of this server"'):
            self._tiles = {work: Tile(work.capitalize()) for work in self._visitor.runtime.admission}
        every(LOOK_AGAIN_S, self.look, while_at=(self._visitor, view))

    async def look(self) -> None:
        await self._visitor.caller("operate")
        for work, tile in self._tiles.items():
            here = self._visitor.runtime.admission[work]
            tile.show(
                f"{here.running} at work", f"{here.waiting} waiting · {here.limit} places · {here.shed} turned away"
            )


class Tile:
    def __init__(self, title: str) -> None:
        with html.div().classes("tile"):
            html.span(title).classes("dim")
            self._figure = ui.label("…").classes("figure")
            self._more = ui.label("").classes("dim")

    def show(self, figure: str, more: str = "") -> None:
        self._figure.text, self._more.text = figure, more


def _time(answers: Sequence[AnswerFigures], visitor: Visitor) -> None:
    latest = answers[-LATEST:]
    seconds = [answer.values["seconds"] or 0.0 for answer in latest]
    says = "no answer yet"
    if seconds:
        middle, late = np.percentile(seconds, [50, 95])
        says = f"half within {middle:.2f} s, 95 of 100 within {late:.2f} s, {pluralise(len(seconds), 'answer')}"
    moments = [visitor.when(_moment(row.at_ns)) for row in latest]
    Plot("Seconds to an answer").show(moments, {"": ("var(--orchestration)", seconds)}, says=says)


def _money(report: UsageReport) -> None:
    by_day = {row.key: float(row.usd) for row in report.by_day}
    first_day = report.since.date()
    days = [first_day + timedelta(days=number) for number in range(30)]
    total = report.total
    unpriced = f", {total.unpriced} calls unpriced" if total.unpriced else ""
    whose = "yours" if report.subject else "your tenant's"
    says = f"{format_price(total.usd)} in 30 days, {pluralise(total.calls, 'call')}{unpriced}; {whose}"
    series = {"": ("var(--serving)", [by_day.get(day.isoformat(), 0.0) for day in days])}
    Plot("US dollars a day").show([f"{day:%d %b}" for day in days], series, says=says)


def _answers(answers: Sequence[AnswerFigures], today: date) -> None:
    days = [today - timedelta(days=DAYS - 1 - number) for number in range(DAYS)]
    kinds = {"answered": "var(--good)", "abstained": "var(--wait)", "failed": "var(--bad)"}
    counts = Counter(
        (_moment(answer.at_ns).date(), kind) for answer in answers for kind in kinds if answer.values[kind]
    )
    words = {"answered": "answered", "abstained": "not answered or refused", "failed": "failed"}
    says = "no answer yet"
    if answers:
        share = sum(counts[day, "answered"] for day in days) / len(answers)
        low, high = share_interval(share, len(answers))
        says = f"{share:.0%} of {pluralise(len(answers), 'question')} answered, 95 % between {low:.0%} and {high:.0%}"
    series = {words[kind]: (colour, [counts[day, kind] for day in days]) for kind, colour in kinds.items()}
    Plot("Answers a day").show([f"{day:%d %b}" for day in days], series, says=says)


def _feedback(outcomes: Sequence[Outcome]) -> None:
    counts: Counter[str] = Counter(outcome.verdict for outcome in outcomes)
    judged = f"{pluralise(len(outcomes), 'answer')} judged by people"
    series = {
        USED[verdict]: (colour, [counts[verdict] if column == verdict else 0 for column in COLOURS])
        for verdict, colour in COLOURS.items()
    }
    says = judged if outcomes else "unknown: nobody has said anything yet"
    Plot("How useful answers were").show([""] * len(series), series, says=says)


def _moment(at_ns: int) -> datetime:
    return datetime.fromtimestamp(at_ns / 1e9, UTC)
