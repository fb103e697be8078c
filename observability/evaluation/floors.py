"""Floors: the least quality and the largest risk that the outcome contract, `outcomes.toml`, agrees on, and what an evaluation measured."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Self

from pydantic import ConfigDict, Field, model_validator

from foundation.errors import InvalidSetting
from foundation.settings import Section, read_section
from observability.evaluation.metrics import share_interval

YEAR = timedelta(days=366)
DEMONSTRATION = "the floors are those of a demonstration, and no system goes live on them"


class Floors(Section):
    """Limits of quality (`_min`) and risk (`_max`). A floor without a measurement is not met."""

    answer_contained_min: float = Field(ge=0, le=1)
    citation_precision_min: float = Field(ge=0, le=1)
    refused_min: float = Field(ge=0, le=1)
    leaked_max: float = Field(ge=0, le=1)
    effects_without_approval_max: int = Field(ge=0)
    table_wrong_max: float | None = Field(default=None, ge=0, le=1)
    """Golden questions of the kind `table` that are told as answered and are wrong, of all of that kind. `None`: no floor."""


class FloorException(Section):
    """A temporary exception to a floor: how far, why, accepted by whom, and until when.

    It lets the gate pass. It never makes the floor met: the value report still says hold.
    """

    floor: str
    down_to: float = Field(ge=0, le=1)
    """The limit that replaces the floor's."""
    reason: str = Field(min_length=1)
    accepted_by: str
    """One of the signers of the contract."""
    on: date
    until: date
    """Last day of the exception, at most a year after `on`."""

    @model_validator(mode="after")
    def _lasts(self) -> Self:
        if not self.on <= self.until <= self.on + YEAR:
            raise ValueError(
                f"it lasts from {self.on} to {self.until}; it may last a year at most, then somebody accepts it anew"
            )
        return self

    def __str__(self) -> str:
        return f"down to {self.down_to:g} accepted by {self.accepted_by} until {self.until}: {self.reason}"


class Signature(Section):
    role: str
    name: str
    on: date


class Agreement(Section):
    """What of `outcomes.toml` is held by the gate."""

    floors: Floors
    demonstration: bool = False
    """The floors are those of a demonstration: the gate holds them, and nothing ships on them."""
    exceptions: tuple[FloorException, ...] = ()
    signed: tuple[Signature, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _of_accepted_exceptions(self) -> Self:
        signers = [signature.name for signature in self.signed]
        floors = [name for name in Floors.model_fields if name.endswith("_min")]
        for one in self.exceptions:
            if one.floor not in floors:
                wrong = f'"{one.floor}" takes none; only {", ".join(floors)} do, and no floor of risk'
            elif one is not self.exception_of(one.floor):
                wrong = f'"{one.floor}" has two; leave the one that is in force'
            elif one.accepted_by not in signers:
                wrong = f'"{one.accepted_by}" has not signed the contract; {", ".join(signers)} have'
            elif one.down_to >= (limit := getattr(self.floors, one.floor)):
                wrong = f"down_to ({one.down_to:g}) is not below {one.floor} ({limit:g})"
            else:
                continue
            raise ValueError(f"exceptions: {wrong}")
        return self

    def exception_of(self, floor: str) -> FloorException | None:
        return next((exception for exception in self.exceptions if exception.floor == floor), None)


class _Held(Agreement):
    """The agreement alone: the file says more, of what the system is worth."""

    model_config = ConfigDict(extra="ignore")


def read_agreement(path: Path) -> Agreement:
    """Read the floors of `outcomes.toml`. Raises InvalidSetting: it is missing or not valid, or as `read_section`."""
    if not path.exists():
        raise InvalidSetting(f"There is no outcome contract at {path}. Write one before you build: docs/measuring.md")
    return read_section(path, _Held)


@dataclass(frozen=True, slots=True)
class Floor:
    """One limit of the contract, and its measured value (`None`: not measured)."""

    name: str
    limit: float
    measured: float | None
    n: int = 0
    """Cases behind the value."""
    exception: FloorException | None = None
    """The contract's exception to this floor. `met` ignores it."""

    @property
    def risk(self) -> bool:
        return self.name.endswith("_max")

    @property
    def met(self) -> bool:
        if self.measured is None:
            return False
        return self.measured <= self.limit if self.risk else self.measured >= self.limit

    def is_excused(self, today: date) -> bool:
        """Whether the floor is broken within a current exception."""
        one, value = self.exception, self.measured
        if self.met or one is None or value is None:
            return False
        return one.on <= today <= one.until and value >= one.down_to

    def as_dict(self) -> dict[str, Any]:
        exception = self.exception.model_dump(mode="json") if self.exception else None
        values = {"name": self.name, "limit": self.limit, "measured": self.measured, "n": self.n}
        values |= {"low": self.interval[0], "high": self.interval[1]} if self.interval else {}
        return {**values, "met": self.met, "exception": exception}

    @property
    def interval(self) -> tuple[float, float] | None:
        """Interval of 95 % of a measured share; `None` of a number of effects."""
        if self.measured is None or self.name == "effects_without_approval_max":
            return None
        return share_interval(self.measured, self.n)

    def __str__(self) -> str:
        ends = f", 95 % between {self.interval[0]:.2g} and {self.interval[1]:.2g}" if self.interval else ""
        value = "not measured" if self.measured is None else f"{self.measured:.3g} (n={self.n}{ends})"
        word = "at most" if self.risk else "at least"
        return f"{self.name.rpartition('_')[0].replace('_', ' ')} {value}, {word} {self.limit:g} was agreed"


def measure_floors(rows: Sequence[Mapping[str, Any]]) -> dict[str, tuple[float | None, int]]:
    """Return the values for the contract's floors, from an evaluation's rows, each with the number of rows that have one."""
    measured: dict[str, tuple[float | None, int]] = {}
    for name in ("answer_contained", "citation_precision", "refused", "leaked", "effect_done"):
        values = [float(row[name]) for row in rows if row.get(name) is not None]
        measured[name] = (sum(values) / len(values) if values else None), len(values)
    share, n = measured.pop("effect_done")
    wrong = [_is_asserted(row) and not row["answer_contained"] for row in rows if _is_of_a_table(row)]
    measured["table_wrong"] = (sum(wrong) / len(wrong) if wrong else None), len(wrong)
    return measured | {"effects_without_approval": (None if share is None else share * n, n)}


def _is_of_a_table(row: Mapping[str, Any]) -> bool:
    return row.get("kind") == "table" and row.get("answer_contained") is not None


def _is_asserted(row: Mapping[str, Any]) -> bool:
    return row.get("status") == "answered" and row.get("band") not in ("closest", "not_found")


def floors_of(agreement: Agreement, measured: Mapping[str, tuple[float | None, int]]) -> tuple[Floor, ...]:
    """Return each floor of the contract with its measured value, which has its name without `_min` or `_max`.

    A golden set without a question of the kind `table` has no floor of tables.
    """
    limits = agreement.floors.model_dump(exclude_none=True)
    if measured.get("table_wrong") == (None, 0):
        limits.pop("table_wrong_max", None)
    return tuple(
        Floor(name, float(limit), *measured.get(name.rpartition("_")[0], (None, 0)), agreement.exception_of(name))
        for name, limit in limits.items()
    )
