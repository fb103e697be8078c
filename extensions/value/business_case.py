"""The business case before anything is built: the result of the contract's assumptions, and its break-even points."""

from dataclasses import asdict, dataclass
from functools import cached_property, partial
from typing import Any

from rich.markup import escape
from rich.table import Table

from extensions.value.figures import Basis, Figure, usd
from extensions.value.outcome_contract import ASSUMPTIONS, VERDICTS, OutcomeContract, Range
from observability.rendering import formatting

# Fraction by which an assumption without a range in the contract is varied in each direction
WITHOUT_RANGE = 0.25
# Largest value that is tried for one
MOST = 1e9


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
        return f"{self.name}: {word} {formatting.figure(self.break_even)} ({self.assumed:g} {self.basis})"


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


class BusinessCase:
    """The result of a contract's assumptions, and how far each may fail before nothing is left. Nothing is measured."""

    label = "computed from assumptions, not measured"

    def __init__(self, contract: OutcomeContract) -> None:
        self.contract = contract
        expected, self._volume = contract.expected, contract.process.volume_per_month
        minutes = sum(expected.share(verdict) * contract.minutes_saved(verdict) for verdict in VERDICTS)
        self.hours_saved_per_month = self._volume * minutes / 60
        usd_per_case = sum(expected.share(verdict) * contract.usd_saved(verdict) for verdict in VERDICTS)
        self._usd_margin = usd_per_case - expected.usd_per_answer
        """Value of a case after the cost of its answer."""
        self.usd_value_per_month = self._volume * usd_per_case
        """Value of saved work and avoided errors; minutes count as the declared conversion says."""
        self.usd_cost_per_month = contract.fixed_usd_per_month + self._volume * expected.usd_per_answer
        """Cost of answers, of running the system, and a share of building it."""
        self.usd_net_per_month = self.usd_value_per_month - self.usd_cost_per_month

    @property
    def break_even_cases_per_month(self) -> float | None:
        """Cases at which the net value is zero; `None` where an average case costs more than it saves."""
        return self.contract.fixed_usd_per_month / self._usd_margin if self._usd_margin > 0 else None

    @property
    def months_to_pay_back(self) -> float | None:
        costs = self.contract.costs
        monthly = self._volume * self._usd_margin - costs.usd_run_per_month
        return costs.usd_build / monthly if monthly > 0 else None

    @cached_property
    def conditions(self) -> tuple[Condition, ...]:
        """What would have to be true, for each assumption alone."""
        names = {
            "expected.accepted": "share of answers accepted (instead of escalated)",
            "process.volume_per_month": "cases a month",
            "process.minutes_per_case": "minutes a case takes by hand",
            "resolved.minutes_accepted": "minutes to check an accepted answer",
            "resolved.error_rate_assisted": "wrong answers that slip through",
            "expected.usd_per_answer": "USD an answer costs",
        }
        if self.contract.conversion is not None:
            names["conversion.share"] = "share of the saved minutes that counts"
        return tuple(self._condition(key, name) for key, name in names.items())

    def _condition(self, key: str, name: str) -> Condition:
        from scipy.optimize import brentq

        net, most = partial(self._net_with, key), min(self.contract.most_of(key), MOST)
        none, all_ = net(0.0), net(most)
        # the net value is monotone in each assumption, so that it crosses zero at most once
        zero = None if none * all_ > 0 else float(brentq(net, 0.0, most, xtol=1e-12, rtol=1e-12, maxiter=500))
        assumed = self.contract.value_of(key)
        return Condition(name, assumed, zero, more_is_better=all_ > none, basis=self.contract.basis_of(key))

    @cached_property
    def tornado(self) -> tuple[Swing, ...]:
        """Sensitivities, the widest first: one assumption at a time over its range (Howard 1988, "Decision analysis")."""
        keys = ASSUMPTIONS if self.contract.conversion else ASSUMPTIONS[:-1]
        return tuple(sorted(map(self._swing, keys), key=lambda swing: -abs(swing.usd_at_high - swing.usd_at_low)))

    def _swing(self, key: str) -> Swing:
        assumed, basis = self.contract.value_of(key), self.contract.basis_of(key)
        around = Range(low=assumed * (1 - WITHOUT_RANGE), high=assumed * (1 + WITHOUT_RANGE))
        around = self.contract.ranges.get(key, around)
        low, high = around.low, min(around.high, self.contract.most_of(key))
        name = key.partition(".")[2].replace("_", " ")
        return Swing(name, low, high, self._net_with(key, low), self._net_with(key, high), basis)

    def _net_with(self, key: str, value: float) -> float:
        contract = self.contract
        section, _, name = key.partition(".")
        changed = {section: {name: value}}
        if key == "expected.accepted":
            # an answer that is not accepted goes to a person
            changed[section]["escalated"] = contract.expected.escalated - (value - contract.expected.accepted)
        if key == "process.minutes_per_case":
            # a rejected or escalated case is done by hand
            longer, by_hand = value - contract.process.minutes_per_case, ("minutes_rejected", "minutes_escalated")
            changed["resolved"] = {field: getattr(contract.resolved, field) + longer for field in by_hand}
        parts = {part: getattr(contract, part).model_copy(update=update) for part, update in changed.items()}
        return BusinessCase(contract.model_copy(update=parts)).usd_net_per_month

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
            at = f"{swing.basis}; {usd(swing.usd_at_low)} at {swing.low:g}, {usd(swing.usd_at_high)} at {swing.high:g}"
            table.add_row("net depends on" if not position else "", escape(f"{swing.name}: {at}"))
        if self.contract.decision.by:
            table.add_row("decided by", str(self.contract.decision.by))
        return table
