"""Figures of money and time with their basis, so that nothing assumed is shown as measured."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

# measured: recorded while the system worked. declared: stated by the contract about today's work or a decision.
# assumed: not measured yet. A computed figure has the weakest basis of its inputs.
Basis = Literal["measured", "declared", "assumed"]
Unit = Literal["usd", "usd_cents", "usd_exact", "hours", "share", "cases", "months"]


def usd(amount: float | None, *, cents: bool = False) -> str:
    """
    >>> usd(-1234.5), usd(-0.3), usd(-0.3, cents=True)
    ('-$1,234', '$0', '-$0.30')
    """
    if amount is None:
        return "unknown"
    written = f"{amount:z,.2f}" if cents else f"{amount:z,.0f}"  # z: no minus sign on what rounds to 0
    return f"-${written[1:]}" if written.startswith("-") else f"${written}"


_WRITTEN: Mapping[Unit, Callable[[float], str]] = {
    "usd": usd,
    "usd_cents": lambda value: usd(value, cents=True),
    "usd_exact": lambda value: f"${value:.6f}",
    "hours": lambda value: f"{value:z,.0f} hours",
    "share": lambda value: f"{value:.0%}",
    "cases": lambda value: f"{value:,.0f} cases a month",
    "months": lambda value: f"{value:.1f} months",
}


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of a report, the same in tables, pages and JSON."""

    key: str
    """Key in JSON."""
    words: str
    value: float | None
    """`None` where unknown."""
    unit: Unit
    basis: Basis
    rests_on: str
    """Source of the value; of a projection, the sample that it is projected from."""
    low: float | None = None
    high: float | None = None
    """End of a 95 % interval, as `low` is the other."""
    projected: bool = False
    """Projected from a sample to a month's volume, not counted."""
    where_unknown: str = "unknown"
    n: int | None = None
    """Cases that the value was counted from."""

    @property
    def amount(self) -> str:
        return self.where_unknown if self.value is None else _WRITTEN[self.unit](self.value)

    @property
    def mark(self) -> str:
        return f"{self.basis}, projected" if self.projected else self.basis

    @property
    def interval(self) -> str:
        if self.low is None or self.high is None:
            return ""
        write = _WRITTEN[self.unit]
        return f"95 % between {write(self.low)} and {write(self.high)}"

    def __str__(self) -> str:
        if self.value is None and not self.interval:
            return self.amount
        counted = "" if self.n is None else f"n={self.n}"
        return ", ".join(
            filter(
                None, (self.amount if self.value is None else f"{self.amount} ({self.mark})", counted, self.interval)
            )
        )

    def as_dict(self) -> dict[str, Any]:
        ends = {} if self.low is None else {"low": self.low, "high": self.high}
        return {
            "value": self.value,
            **ends,
            **({} if self.n is None else {"n": self.n}),
            "unit": self.unit,
            "basis": self.basis,
            "projected": self.projected,
            "rests_on": self.rests_on,
        }
