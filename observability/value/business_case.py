"""The business case before anything is built: the result of the contract's assumptions, and its break-even points."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, cast

from rich.markup import escape
from rich.table import Table

from foundation.settings import Section
from observability.reports import formatting
from observability.value.figures import Basis, Figure
from observability.value.outcome_contract import VERDICTS, OutcomeContract, Range

WITHOUT_RANGE = 0.25
"""Fraction by which an assumption without a range in the contract is varied in each direction."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One assumption, and its value at which the net value is zero while the others stay."""

    name: str
    assumed: float
    break_even: float | None
    """`None` where no possible value makes the net value zero."""
    more_is_better: bool
    basis: Basis = "assumed"

    def __str__(self) -> str:
        if self.break_even is None:
            return f"{self.name}: {self.assumed:g} {self.basis}; no value of it alone decides"
        word = "at least" if self.more_is_better else "at most"
        return f"{self.name}: {word} {self.break_even:.4g} ({self.assumed:g} {self.basis})"


@dataclass(frozen=True, slots=True)
class Swing:
    """The net value per month with one assumption at the ends of its range."""

    name: str
    low: float
    high: float
    usd_at_low: float
    usd_at_high: float
    basis: Basis = "assumed"
    """Basis of the varied assumption; the net value is assumed at both ends."""

    @property
    def usd(self) -> float:
        return abs(self.usd_at_high - self.usd_at_low)


class BusinessCase:
    """The result of a contract's assumptions, and how far each may fail before nothing is left. Nothing is measured."""

    label = "computed from assumptions, not measured"

    def __init__(self, contract: OutcomeContract) -> None:
        self.contract = contract
        expected, self._volume = contract.expected, contract.process.volume_per_month
        minutes = sum(expected.share(verdict) * contract.minutes_saved(verdict) for verdict in VERDICTS)
        self.hours_saved_per_month = self._volume * minutes / 60
        self._usd_margin = _usd_per_case(contract) - expected.usd_per_answer
        """Value of a case after the cost of its answer."""
        self.usd_value_per_month = self._volume * _usd_per_case(contract)
        """Value of saved work and avoided errors; minutes count as the declared conversion says."""
        self.usd_cost_per_month = contract.fixed_usd_per_month + self._volume * expected.usd_per_answer
        """Cost of answers, of running the system, and a share of building it."""
        self.conditions = _conditions(contract)
        self.tornado = _tornado(contract)
        """Sensitivities, the widest first."""

    @property
    def usd_net_per_month(self) -> float:
        return self.usd_value_per_month - self.usd_cost_per_month

    @property
    def break_even_cases_per_month(self) -> float | None:
        """Cases at which the net value is zero; `None` where an average case costs more than it saves."""
        return self.contract.fixed_usd_per_month / self._usd_margin if self._usd_margin > 0 else None

    @property
    def months_to_pay_back(self) -> float | None:
        costs = self.contract.costs
        monthly = self._volume * self._usd_margin - costs.usd_run_per_month
        return costs.usd_build / monthly if monthly > 0 else None

    @property
    def figures(self) -> tuple[Figure, ...]:
        """Every figure with its basis. What the system will do is assumed, and so is what follows from it."""

        assume = partial(Figure, basis="assumed", rests_on="the contract alone", projected=True)
        share, how = self.contract.counted_share, self.contract.conversion_sentence
        return (
            assume("hours_saved_per_month", "time saved a month", self.hours_saved_per_month, "hours"),
            Figure("counted_share", "of it counts", share, "share", "declared", how),
            assume("usd_value_per_month", "saved a month", self.usd_value_per_month, "usd"),
            assume("usd_cost_per_month", "cost a month", self.usd_cost_per_month, "usd"),
            assume("usd_net_per_month", "net a month", self.usd_net_per_month, "usd"),
            assume(
                "break_even_cases_per_month", "break-even", self.break_even_cases_per_month, "cases", where_unknown="at no volume"
            ),
            assume("months_to_pay_back", "pays back in", self.months_to_pay_back, "months", where_unknown="never"),
        )  # fmt: skip

    def as_dict(self) -> dict[str, Any]:
        return {
            "process": self.contract.process.name,
            "figures": {figure.key: figure.as_dict() for figure in self.figures},
            "conversion": self.contract.conversion_sentence,
            "what_would_have_to_be_true": [str(condition) for condition in self.conditions],
            "tornado": [asdict(swing) for swing in self.tornado],
            "decided_by": self.contract.decision.by,
            "label": self.label,
        }

    def table(self) -> Table:
        table = formatting.table("business case", self.label)
        for figure in self.figures:
            says = f"{figure}: {figure.rests_on}" if figure.key == "counted_share" else str(figure)
            style = "bold" if figure.key == "usd_net_per_month" else None
            table.add_row(figure.words, escape(says), style=style)
        for position, condition in enumerate(self.conditions):
            table.add_row("must be true" if not position else "", escape(str(condition)))
        for position, swing in enumerate(self.tornado):
            at = f"{swing.basis}; {formatting.usd(swing.usd_at_low)} at {swing.low:g}, {formatting.usd(swing.usd_at_high)} at {swing.high:g}"
            table.add_row("net depends on" if not position else "", escape(f"{swing.name}: {at}"))
        if self.contract.decision.by:
            table.add_row("decided by", str(self.contract.decision.by))
        return table


def _usd_per_case(contract: OutcomeContract) -> float:
    return sum(contract.expected.share(verdict) * contract.usd_saved(verdict) for verdict in VERDICTS)


def _net(contract: OutcomeContract) -> float:
    margin = _usd_per_case(contract) - contract.expected.usd_per_answer
    return contract.process.volume_per_month * margin - contract.fixed_usd_per_month


def _with(contract: OutcomeContract, key: str, value: float) -> OutcomeContract:
    section, _, name = key.partition(".")
    changed: dict[str, float] = {name: value}
    if key == "expected.accepted":  # an answer that is not accepted goes to a person
        changed["escalated"] = contract.expected.escalated - (value - contract.expected.accepted)
    if key == "process.minutes_per_case":  # a rejected or escalated case is done by hand
        longer = value - contract.process.minutes_per_case
        resolved = {
            field: getattr(contract.resolved, field) + longer for field in ("minutes_rejected", "minutes_escalated")
        }
        contract = contract.model_copy(update={"resolved": contract.resolved.model_copy(update=resolved)})
    part = cast("Section", getattr(contract, section))
    return contract.model_copy(update={section: part.model_copy(update=changed)})


def _read_assumption(contract: OutcomeContract, key: str) -> float:
    section, _, name = key.partition(".")
    return float(getattr(getattr(contract, section), name))


def _conditions(contract: OutcomeContract) -> tuple[Condition, ...]:
    shares = contract.expected.accepted + contract.expected.escalated
    levers: list[tuple[str, str, float]] = [
        ("share of answers accepted (instead of escalated)", "expected.accepted", shares),
        ("cases a month", "process.volume_per_month", 1e9),
        ("minutes a case takes by hand", "process.minutes_per_case", 1e5),
        ("minutes to check an accepted answer", "resolved.minutes_accepted", 1e5),
        ("wrong answers that slip through", "resolved.error_rate_assisted", 1.0),
        ("USD an answer costs", "expected.usd_per_answer", 1e5),
    ]
    if contract.conversion is not None:
        levers.append(("share of the saved minutes that counts", "conversion.share", 1.0))
    return tuple(_condition(contract, name, key, most) for name, key, most in levers)


def _condition(contract: OutcomeContract, name: str, key: str, most: float) -> Condition:
    """Find where the net value, which is monotone in each assumption, crosses zero between 0 and `most`."""
    from scipy.optimize import brentq

    def net(value: float) -> float:
        return _net(_with(contract, key, value))

    none, all_ = net(0.0), net(most)
    zero = None if none * all_ > 0 else float(brentq(net, 0.0, most, xtol=1e-12, rtol=1e-12, maxiter=500))
    assumed = _read_assumption(contract, key)
    return Condition(name, assumed, zero, more_is_better=all_ > none, basis=contract.basis_of(key))


def _tornado(contract: OutcomeContract) -> tuple[Swing, ...]:
    # one at a time over its range (Howard 1988, "Decision analysis: practice and promise")
    keys = [
        "process.volume_per_month", "process.minutes_per_case", "process.usd_per_hour", "process.error_rate",
        "process.usd_per_error", "resolved.minutes_accepted", "resolved.minutes_edited", "resolved.error_rate_assisted",
        "expected.accepted", "expected.usd_per_answer", "costs.usd_build", "costs.usd_run_per_month",
    ]  # fmt: skip
    if contract.conversion is not None:
        keys.append("conversion.share")
    swings = [_swing(contract, key) for key in keys]
    return tuple(sorted(swings, key=lambda swing: -swing.usd))


def _swing(contract: OutcomeContract, key: str) -> Swing:
    assumed = _read_assumption(contract, key)
    around = contract.ranges.get(key) or Range(low=assumed * (1 - WITHOUT_RANGE), high=assumed * (1 + WITHOUT_RANGE))
    low, high = around.low, min(around.high, 1.0) if key in contract.SHARES else around.high
    return Swing(
        key.partition(".")[2].replace("_", " "),
        low,
        high,
        _net(_with(contract, key, low)),
        _net(_with(contract, key, high)),
        contract.basis_of(key),
    )
