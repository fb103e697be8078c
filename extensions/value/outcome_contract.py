"""The outcome contract of a process, `outcomes.toml`: what a system must be worth, signed before it is built."""

import math
from datetime import date
from pathlib import Path
from typing import Literal, Self, get_args

from pydantic import Field, model_validator

from extensions.feedback.store import Verdict
from extensions.value.figures import Basis
from foundation.errors import InvalidSetting
from foundation.settings import Section, read_section
from observability.evaluation.floors import Agreement

VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
# What the net value depends on: sensitivities are shown for these, over `ranges`
ASSUMPTIONS = (
    "process.volume_per_month", "process.minutes_per_case", "process.usd_per_hour", "process.error_rate",
    "process.usd_per_error", "resolved.minutes_accepted", "resolved.minutes_edited", "resolved.error_rate_assisted",
    "expected.accepted", "expected.usd_per_answer", "costs.usd_build", "costs.usd_run_per_month", "conversion.share",
)  # fmt: skip
SHARES = frozenset({"process.error_rate", "resolved.error_rate_assisted", "conversion.share"})


class Process(Section):
    """The work as it is done today."""

    name: str
    volume_per_month: float = Field(gt=0)
    minutes_per_case: float = Field(gt=0)
    usd_per_hour: float = Field(gt=0)
    error_rate: float = Field(ge=0, le=1)
    usd_per_error: float = Field(ge=0)


class Resolved(Section):
    """The definition of a resolved case, and the minutes that a person still spends by outcome."""

    definition: str
    minutes_accepted: float = Field(ge=0)
    minutes_edited: float = Field(ge=0)
    minutes_rejected: float = Field(ge=0)
    minutes_escalated: float = Field(ge=0)
    error_rate_assisted: float = Field(ge=0, le=1)


class Expected(Section):
    """Assumed shares of outcomes and cost per answer, before anything is measured."""

    accepted: float = Field(ge=0, le=1)
    edited: float = Field(ge=0, le=1)
    rejected: float = Field(ge=0, le=1)
    escalated: float = Field(ge=0, le=1)
    usd_per_answer: float = Field(ge=0)

    def share(self, verdict: Verdict) -> float:
        return float(getattr(self, verdict))

    @model_validator(mode="after")
    def _whole(self) -> Self:
        total = sum(map(self.share, VERDICTS))
        if abs(total - 1) > 1e-6:
            raise ValueError(f"accepted, edited, rejected and escalated add up to {total:g}, not to 1")
        return self


class Costs(Section):
    usd_build: float = Field(ge=0)
    months_to_earn_it_back: float = Field(gt=0)
    usd_run_per_month: float = Field(ge=0)


class Conversion(Section):
    """How minutes that people save become money of the organisation.

    Saved minutes fill up with other work unless somebody plans their use. They count only where the contract
    declares one of these uses, and for which share of the minutes.
    """

    by: Literal["volume", "staffing", "cycle_time"]
    """volume: more cases by the same people; staffing: fewer paid hours; cycle_time: sooner, at an agreed price."""
    share: float = Field(ge=0, le=1)
    explained: str = Field(min_length=1)


class Range(Section):
    """Range of an assumption, for the sensitivities."""

    low: float
    high: float

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"low ({self.low:g}) is above high ({self.high:g})")
        return self


class Rule(Section):
    rule: str
    ship_if_usd_per_month_above: float = Field(ge=0)
    min_outcomes: int = Field(ge=1)
    by: date | None = None
    """Day of the decision; `None` for no deadline."""


class OutcomeContract(Agreement):
    """The file `outcomes.toml`: the agreement on floors, and what the system must be worth."""

    process: Process
    resolved: Resolved
    expected: Expected
    costs: Costs
    conversion: Conversion | None = None
    ranges: dict[str, Range] = Field(default_factory=dict)
    """Ranges by "section.key". Assumptions without one vary by a quarter in each direction."""
    decision: Rule

    @model_validator(mode="after")
    def _of_possible_ranges(self) -> Self:
        for key, around in self.ranges.items():
            if key not in ASSUMPTIONS or (key == "conversion.share" and self.conversion is None):
                raise ValueError(f'ranges: "{key}" takes none; only {", ".join(ASSUMPTIONS)} do')
            assumed, most = self.value_of(key), self.most_of(key)
            if not 0 <= around.low <= assumed <= around.high <= most:
                raise ValueError(
                    f"ranges: {key} is {assumed:g}; its range must hold that, and lie within 0 to {most:g}"
                )
        return self

    def value_of(self, key: str) -> float:
        """Return the value of one of `ASSUMPTIONS`."""
        section, _, name = key.partition(".")
        return float(getattr(getattr(self, section), name))

    def most_of(self, key: str) -> float:
        """Return the largest possible value of an assumption. An answer that is not accepted goes to a person."""
        if key == "expected.accepted":
            return round(self.expected.accepted + self.expected.escalated, 9)  # 0.7 + 0.1 is a little less than 0.8
        return 1.0 if key in SHARES else math.inf

    @staticmethod
    def basis_of(key: str) -> Basis:
        """Return the basis of a value, by its "section.key": assumed for what the system will do, else declared."""
        return "assumed" if key.partition(".")[0] in ("resolved", "expected") else "declared"

    @property
    def fixed_usd_per_month(self) -> float:
        """Cost per month of running the system, and a month's share of building it."""
        return self.costs.usd_run_per_month + self.costs.usd_build / self.costs.months_to_earn_it_back

    @property
    def conversion_sentence(self) -> str:
        """Sentence that explains how saved minutes become money."""
        if self.conversion is None:
            return "no conversion is declared, so minutes saved are no money; only avoided errors count"
        return f"by {self.conversion.by.replace('_', ' ')}; {self.conversion.explained}"

    @property
    def counted_share(self) -> float:
        """Share of the saved minutes that is money; 0 without a declared conversion."""
        return self.conversion.share if self.conversion else 0.0

    def minutes_saved(self, verdict: Verdict, minutes_spent: float | None = None) -> float:
        """Return minutes saved by a case; negative where it made work. `minutes_spent` is the recorded time, if any."""
        assumed: float = getattr(self.resolved, f"minutes_{verdict}")
        return self.process.minutes_per_case - (assumed if minutes_spent is None else minutes_spent)

    def usd_of_minutes(self, minutes: float) -> float:
        """Return the money of minutes: saved ones by the declared share, lost ones in full, as they are paid for."""
        return minutes / 60 * self.process.usd_per_hour * (self.counted_share if minutes > 0 else 1.0)

    def usd_of_errors(self, verdict: Verdict) -> float:
        """Return the value of the errors that a case avoids on average, where the answer was sent."""
        if verdict not in ("accepted", "edited"):
            return 0.0
        return (self.process.error_rate - self.resolved.error_rate_assisted) * self.process.usd_per_error

    def usd_saved(self, verdict: Verdict, minutes_spent: float | None = None) -> float:
        """Return the value of one case against the work by hand, before the cost of the answer."""
        return self.usd_of_minutes(self.minutes_saved(verdict, minutes_spent)) + self.usd_of_errors(verdict)


def load_contract(path: Path) -> OutcomeContract:
    """Read `outcomes.toml`. Raises InvalidSetting, UnknownSetting: it is missing, or as `read_section`."""
    if not path.exists():
        raise InvalidSetting(
            f"There is no outcome contract at {path}. Write one before you build: make business-case asks for its figures."
        )
    return read_section(path, OutcomeContract)
