"""Is it worth it? The outcome contract, what would have to be true, and what the records say.

`business_case` computes from the assumptions of `outcomes.toml` alone. `value_report` joins recorded outcomes to the
cost ledger. Both compare with the work done by hand; neither counts an answer as value that nobody accepted.
"""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, Self, cast, get_args

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from rich.markup import escape
from rich.table import Table

from foundation.errors import InvalidSetting, UnknownSetting, did_you_mean
from observability.evaluation import Report
from observability.measures import RESAMPLES
from observability.outcomes import Outcome, Verdict

Decision = Literal["ship", "hold", "stop"]
PRODUCTION = "from production"
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Process(Section):
    """The work as it is done today."""

    name: str
    volume_per_month: float = Field(gt=0)
    minutes_per_case: float = Field(gt=0)
    usd_per_hour: float = Field(gt=0)
    error_rate: float = Field(ge=0, le=1)
    usd_per_error: float = Field(ge=0)


class Resolved(Section):
    """What counts as done, and the minutes that a person still spends."""

    definition: str
    minutes_accepted: float = Field(ge=0)
    minutes_edited: float = Field(ge=0)
    minutes_rejected: float = Field(ge=0)
    minutes_escalated: float = Field(ge=0)
    error_rate_assisted: float = Field(ge=0, le=1)


class Expected(Section):
    """Shares of outcomes and cost of an answer, as assumed before anything was measured."""

    accepted: float = Field(ge=0, le=1)
    edited: float = Field(ge=0, le=1)
    rejected: float = Field(ge=0, le=1)
    escalated: float = Field(ge=0, le=1)
    usd_per_answer: float = Field(ge=0)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        total = self.accepted + self.edited + self.rejected + self.escalated
        if abs(total - 1) > 1e-6:
            raise ValueError(f"accepted, edited, rejected and escalated add up to {total:g}, not to 1")
        return self


class Costs(Section):
    usd_build: float = Field(ge=0)
    months_to_earn_it_back: float = Field(gt=0)
    usd_run_per_month: float = Field(ge=0)


class Floors(Section):
    """Limits of quality (`_min`) and risk (`_max`). A floor that was not measured is not met."""

    answer_contained_min: float = Field(ge=0, le=1)
    citation_precision_min: float = Field(ge=0, le=1)
    refused_min: float = Field(ge=0, le=1)
    leaked_max: float = Field(ge=0, le=1)
    effects_without_approval_max: int = Field(ge=0)


class Rule(Section):
    rule: str
    ship_if_usd_per_month_above: float
    min_outcomes: int = Field(ge=1)


class Signature(Section):
    role: str
    name: str
    on: date


class OutcomeContract(Section):
    """`outcomes.toml`."""

    process: Process
    resolved: Resolved
    expected: Expected
    costs: Costs
    floors: Floors
    decision: Rule
    signed: tuple[Signature, ...] = Field(min_length=1)

    @property
    def fixed_usd_per_month(self) -> float:
        """Running it, and a month's part of having built it."""
        return self.costs.usd_run_per_month + self.costs.usd_build / self.costs.months_to_earn_it_back

    def usd_saved(self, verdict: Verdict) -> float:
        """Worth of one case against the work by hand, before the cost of the answer; negative when it made work."""
        minutes: float = getattr(self.resolved, f"minutes_{verdict}")
        work = (self.process.minutes_per_case - minutes) / 60 * self.process.usd_per_hour
        sent = verdict in ("accepted", "edited")
        errors = (
            (self.process.error_rate - self.resolved.error_rate_assisted) * self.process.usd_per_error if sent else 0.0
        )
        return work + errors


def load_contract(path: Path) -> OutcomeContract:
    """Read `outcomes.toml`.

    Raises:
        InvalidSetting: the file is missing, is not TOML, or a value does not fit.
        UnknownSetting: a key that the contract does not know; the text names it and the nearest.
    """
    try:
        return OutcomeContract(**tomllib.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise InvalidSetting(
            f"No outcome contract at {path}. Write one before you build: copy outcomes.toml of the repository and put "
            f"your own figures in."
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidSetting(f"{path} is not valid TOML: {error}. Correct that line.") from error
    except ValidationError as error:
        raise _explained(error, path) from error


def _explained(error: ValidationError, path: Path) -> UnknownSetting | InvalidSetting:
    # a misspelt key is unknown and leaves the right one missing: the first says more
    first = min(error.errors(include_url=False), key=lambda found: found["type"] != "extra_forbidden")
    where = [str(step) for step in first["loc"]]
    key = ".".join(where)
    if first["type"] == "extra_forbidden":
        return UnknownSetting(f'{path.name} has an unknown key "{key}". {did_you_mean(where[-1], _keys(where[:-1]))}')
    return InvalidSetting(f'{path.name}: "{key}" does not fit: {first["msg"]}.')


def _keys(where: Sequence[str]) -> list[str]:
    section: type[BaseModel] = OutcomeContract
    for step in where:
        if step == "signed":
            return list(Signature.model_fields)
        if step in section.model_fields:
            section = cast("type[BaseModel]", section.model_fields[step].annotation)
    return list(section.model_fields)


# -- before: the business case -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Condition:
    """One assumption, and the value at which the net value becomes zero while the others stay."""

    name: str
    assumed: float
    break_even: float | None
    """`None`: no value of it brings the net to zero."""
    more_is_better: bool

    def __str__(self) -> str:
        if self.break_even is None:
            return f"{self.name}: {self.assumed:g} assumed; no value of it alone decides"
        word = "at least" if self.more_is_better else "at most"
        return f"{self.name}: {word} {self.break_even:.4g} ({self.assumed:g} assumed)"


@dataclass(frozen=True, slots=True)
class BusinessCase:
    """Computed from assumptions; nothing in it was measured."""

    process: str
    usd_value_per_month: float
    """Work and errors saved."""
    usd_cost_per_month: float
    """Answers, running it, and a part of having built it."""
    break_even_cases_per_month: float | None
    """`None`: an average case costs more than it saves, so no volume helps."""
    months_to_pay_back: float | None
    conditions: tuple[Condition, ...]
    label: str = "computed from assumptions, not measured"

    @property
    def usd_net_per_month(self) -> float:
        return self.usd_value_per_month - self.usd_cost_per_month

    def as_dict(self) -> dict[str, Any]:
        return {
            "process": self.process,
            "usd_value_per_month": self.usd_value_per_month,
            "usd_cost_per_month": self.usd_cost_per_month,
            "usd_net_per_month": self.usd_net_per_month,
            "break_even_cases_per_month": self.break_even_cases_per_month,
            "months_to_pay_back": self.months_to_pay_back,
            "what_would_have_to_be_true": [str(condition) for condition in self.conditions],
            "label": self.label,
        }

    def table(self) -> Table:
        table = _table("business case", self.label)
        table.add_row("saved a month", _usd(self.usd_value_per_month))
        table.add_row("cost a month", _usd(self.usd_cost_per_month))
        table.add_row("net a month", _usd(self.usd_net_per_month), style="bold")
        table.add_row("break-even", _cases(self.break_even_cases_per_month))
        months = self.months_to_pay_back
        table.add_row("pays back in", "never" if months is None else f"{months:.1f} months")
        for position, condition in enumerate(self.conditions):
            table.add_row("must be true" if not position else "", escape(str(condition)))
        return table


def business_case(contract: OutcomeContract) -> BusinessCase:
    """What the assumptions of the contract come to, and how far each of them may fail before nothing is left."""
    volume = contract.process.volume_per_month
    per_case = _usd_per_case(contract)
    cost = contract.fixed_usd_per_month + volume * contract.expected.usd_per_answer
    margin = per_case - contract.expected.usd_per_answer
    monthly = volume * margin - contract.costs.usd_run_per_month
    return BusinessCase(
        process=contract.process.name,
        usd_value_per_month=volume * per_case,
        usd_cost_per_month=cost,
        break_even_cases_per_month=contract.fixed_usd_per_month / margin if margin > 0 else None,
        months_to_pay_back=contract.costs.usd_build / monthly if monthly > 0 else None,
        conditions=_conditions(contract),
    )


def _usd_per_case(contract: OutcomeContract) -> float:
    shares = contract.expected.model_dump()
    return sum(float(shares[verdict]) * contract.usd_saved(verdict) for verdict in VERDICTS)


def _conditions(contract: OutcomeContract) -> tuple[Condition, ...]:
    """Net value is linear in each of these, so two points give the zero exactly."""
    process, resolved, expected = contract.process, contract.resolved, contract.expected

    def net(**changed: float) -> float:
        def put(section: Section) -> Any:
            known = {name: value for name, value in changed.items() if name in type(section).model_fields}
            return section.model_copy(update=known)

        varied = contract.model_copy(
            update={"process": put(process), "resolved": put(resolved), "expected": put(expected)}
        )
        volume = varied.process.volume_per_month
        return volume * (_usd_per_case(varied) - varied.expected.usd_per_answer) - varied.fixed_usd_per_month

    def zero(of: str, assumed: float, change: Mapping[str, float]) -> Condition:
        """`change`: what moves, and how fast, when the named assumption grows by one."""
        start = {name: float(getattr(_owner(contract, name), name)) for name in change}
        base, moved = net(**start), net(**{name: start[name] + rate for name, rate in change.items()})
        slope = moved - base
        return Condition(of, assumed, assumed - base / slope if slope else None, more_is_better=slope > 0)

    return (
        zero("share of answers accepted (instead of escalated)", expected.accepted, {"accepted": 1, "escalated": -1}),
        zero("cases a month", process.volume_per_month, {"volume_per_month": 1}),
        zero(
            "minutes a case takes by hand",
            process.minutes_per_case,
            {"minutes_per_case": 1, "minutes_escalated": 1, "minutes_rejected": 1},
        ),
        zero("minutes to check an accepted answer", resolved.minutes_accepted, {"minutes_accepted": 1}),
        zero("wrong answers that slip through", resolved.error_rate_assisted, {"error_rate_assisted": 1}),
        zero("USD an answer costs", expected.usd_per_answer, {"usd_per_answer": 1}),
    )


def _owner(contract: OutcomeContract, name: str) -> Section:
    sections: tuple[Section, ...] = (contract.process, contract.resolved, contract.expected)
    return next(section for section in sections if name in type(section).model_fields)


# -- after: the value report -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Floor:
    """One limit of the contract, with what was measured."""

    name: str
    limit: float
    measured: float | None
    risk: bool

    @property
    def met(self) -> bool:
        if self.measured is None:
            return False
        return self.measured <= self.limit if self.name.endswith("_max") else self.measured >= self.limit

    def __str__(self) -> str:
        word = "at most" if self.name.endswith("_max") else "at least"
        found = "not measured" if self.measured is None else f"{self.measured:.3g} measured"
        return f"{self.name.rpartition('_')[0].replace('_', ' ')}: {word} {self.limit:g}, {found}"


@dataclass(frozen=True, slots=True)
class ValueReport:
    """An estimate from a sample of outcomes, taken to a month's volume."""

    process: str
    origin: str
    """`from production`, or plainly that it is not."""
    counts: Mapping[str, int]
    """Answers by verdict, and `unknown`: nobody recorded what became of them."""
    usd_net_per_month: tuple[float | None, float, float]
    """Estimate (`None` without any outcome), and the 95 % interval with every unknown outcome at its worst and at its best."""
    usd_per_answer: float | None
    usd_per_accepted: float | None
    """Cost of all answers over those that were accepted or edited."""
    unpriced: int
    """Answers with a call whose price is not known: the costs are lower bounds."""
    break_even_cases_per_month: float | None
    floors: tuple[Floor, ...]
    verdict: Decision
    reasons: tuple[str, ...]
    label: str = "estimate"

    @property
    def outcomes(self) -> int:
        return sum(self.counts.get(verdict, 0) for verdict in VERDICTS)

    def as_dict(self) -> dict[str, Any]:
        return {
            "process": self.process,
            "label": self.label,
            "origin": self.origin,
            "outcomes": self.outcomes,
            "counts": dict(self.counts),
            "usd_net_per_month": dict(zip(("estimate", "low", "high"), self.usd_net_per_month, strict=True)),
            "usd_per_answer": self.usd_per_answer,
            "usd_per_accepted": self.usd_per_accepted,
            "unpriced_answers": self.unpriced,
            "break_even_cases_per_month": self.break_even_cases_per_month,
            "floors": [
                {"name": floor.name, "limit": floor.limit, "measured": floor.measured, "met": floor.met}
                for floor in self.floors
            ],
            "verdict": self.verdict,
            "reasons": list(self.reasons),
        }

    def table(self) -> Table:
        table = _table("value", f"{self.label}, {self.origin}")
        table.add_row("outcomes", ", ".join(f"{count} {name}" for name, count in self.counts.items() if count))
        net, low, high = self.usd_net_per_month
        table.add_row("net a month", f"{_usd(net)}, 95 % between {_usd(low)} and {_usd(high)}", style="bold")
        table.add_row("an answer costs", _money(self.usd_per_answer, self.unpriced))
        table.add_row("an accepted answer costs", _money(self.usd_per_accepted, self.unpriced))
        table.add_row("break-even", _cases(self.break_even_cases_per_month))
        for floor in self.floors:
            table.add_row("floor", f"{'[green]met[/]' if floor.met else '[red]not met[/]'}  {escape(str(floor))}")
        table.add_row("verdict", f"{self.verdict.upper()}: {escape('; '.join(self.reasons))}", style="bold")
        return table


def measured_floors(report: Report) -> dict[str, float | None]:
    """What the floors of a contract ask for, from an evaluation. A risk needs cases that could have shown it."""
    means = {name: found.mean for name, found in report.overall.items()}
    measured: dict[str, float | None] = {
        name: means.get(name) for name in ("answer_contained", "citation_precision", "refused", "leaked")
    }
    return measured | {"effects_without_approval": float(report.effects_done)}


def value_report(
    contract: OutcomeContract,
    outcomes: Iterable[Outcome],
    costs: Mapping[str, Decimal | None],
    *,
    measured: Mapping[str, float | None] | None = None,
    seed: int = 7,
) -> ValueReport:
    """Net value, its interval and a verdict.

    `costs` is `CostLedger.by_answer()` of the same period; answers without an outcome count as unknown, which widens
    the interval and is never taken for acceptance. `measured` are the figures for the floors, from an evaluation.
    """
    verdicts = {outcome.answer_id: outcome for outcome in outcomes}
    known = [outcome.verdict for outcome in verdicts.values()]
    unknown = sum(answer not in verdicts for answer in costs)
    priced = [float(usd) for usd in costs.values() if usd is not None]
    usd_per_answer = sum(priced) / len(priced) if priced else None
    net = _net(contract, known, unknown, usd_per_answer or 0.0, seed)
    counts: dict[str, int] = {**dict.fromkeys(VERDICTS, 0), **Counter(known), "unknown": unknown}
    good = counts["accepted"] + counts["edited"]
    draft = ValueReport(
        process=contract.process.name,
        origin=_origin(verdicts.values()),
        counts=counts,
        usd_net_per_month=net,
        usd_per_answer=usd_per_answer,
        usd_per_accepted=sum(priced) / good if good and priced else None,
        unpriced=sum(usd is None for usd in costs.values()),
        break_even_cases_per_month=_break_even(contract, known, usd_per_answer or 0.0),
        floors=_floors(contract.floors, measured or {}),
        verdict="hold",
        reasons=(),
    )
    verdict, reasons = _decide(contract.decision, draft)
    return replace(draft, verdict=verdict, reasons=reasons)


def _net(
    contract: OutcomeContract, known: Sequence[Verdict], unknown: int, usd_per_answer: float, seed: int
) -> tuple[float | None, float, float]:
    worth = {verdict: contract.usd_saved(verdict) for verdict in VERDICTS}

    def monthly(per_case: Any) -> Any:
        return contract.process.volume_per_month * (per_case - usd_per_answer) - contract.fixed_usd_per_month

    if not known:
        return (None, float(monthly(min(worth.values()))), float(monthly(max(worth.values()))))
    values = np.array([worth[verdict] for verdict in known])
    low = np.percentile(_means(values, unknown, min(worth.values()), seed), 2.5)
    high = np.percentile(_means(values, unknown, max(worth.values()), seed), 97.5)
    return float(monthly(values.mean())), float(monthly(low)), float(monthly(high))


def _means(values: npt.NDArray[np.float64], unknown: int, each: float, seed: int) -> npt.NDArray[np.float64]:
    """Bootstrapped mean worth of a case, with the unknown ones all worth `each`."""
    everyone = np.concatenate([values, np.full(unknown, each)])
    draws = np.random.default_rng(seed).integers(0, len(everyone), size=(RESAMPLES, len(everyone)))
    return cast("npt.NDArray[np.float64]", everyone[draws].mean(axis=1))


def _break_even(contract: OutcomeContract, known: Sequence[Verdict], usd_per_answer: float) -> float | None:
    if not known:
        return None
    margin = sum(contract.usd_saved(verdict) for verdict in known) / len(known) - usd_per_answer
    return contract.fixed_usd_per_month / margin if margin > 0 else None


def _origin(outcomes: Iterable[Outcome]) -> str:
    origins = {outcome.origin for outcome in outcomes}
    if not origins:
        return "no outcome recorded yet"
    if origins == {"production"}:
        return PRODUCTION
    return (
        "from evaluation, not from production" if origins == {"evaluation"} else "from production mixed with evaluation"
    )


def _floors(floors: Floors, measured: Mapping[str, float | None]) -> tuple[Floor, ...]:
    return tuple(
        Floor(name, float(limit), measured.get(name.rpartition("_")[0]), risk=name.endswith("_max"))
        for name, limit in floors.model_dump().items()
    )


def _decide(rule: Rule, report: ValueReport) -> tuple[Decision, tuple[str, ...]]:
    if stop := tuple(_reasons_to_stop(rule, report)):
        return "stop", stop
    if hold := tuple(_reasons_to_hold(rule, report)):
        return "hold", hold
    return "ship", (f"at least {_usd(report.usd_net_per_month[1])} a month, every floor met",)


def _reasons_to_stop(rule: Rule, report: ValueReport) -> Iterator[str]:
    for floor in report.floors:
        if floor.risk and floor.measured is not None and not floor.met:
            yield f"risk floor broken: {floor}"
    high = report.usd_net_per_month[2]
    if high < 0 and report.outcomes >= rule.min_outcomes:
        yield f"even the upper end of the interval, {_usd(high)} a month, is a loss"


def _reasons_to_hold(rule: Rule, report: ValueReport) -> Iterator[str]:
    low, needed = report.usd_net_per_month[1], rule.ship_if_usd_per_month_above
    if report.outcomes < rule.min_outcomes:
        yield f"{report.outcomes} outcomes recorded, {rule.min_outcomes} needed to decide"
    for floor in report.floors:
        if not floor.met:
            yield f"floor not met: {floor}"
    if low <= needed:
        yield f"the lower end of the interval, {_usd(low)} a month, is not above {_usd(needed)}"
    if report.origin != PRODUCTION:
        yield f"these outcomes are {report.origin}: a pilot has to confirm them"


def _table(title: str, note: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column(title, no_wrap=True)
    table.add_column(escape(note), overflow="fold")
    return table


def _usd(amount: float | None) -> str:
    return "unknown" if amount is None else f"{'-' if amount < 0 else ''}${abs(amount):,.0f}"


def _money(amount: float | None, unpriced: int) -> str:
    return "unpriced" if amount is None else f"{'more than ' if unpriced else ''}${amount:.6f}"


def _cases(volume: float | None) -> str:
    return "at no volume" if volume is None else f"{volume:,.0f} cases a month"
