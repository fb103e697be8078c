"""The system card: what the system is and may do, its measured quality, and its risks, all read from the system."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from observability.evaluation.golden_set import MEASURES
from observability.evaluation.metrics import estimate
from observability.governance.risk_register import Register
from observability.reports import formatting


@dataclass(frozen=True, slots=True)
class ToolFacts:
    """A tool's own declaration, and the roles that may call it."""

    name: str
    does: str
    effect: bool
    reach: str
    roles: tuple[str, ...]
    approval: str
    """`never`, `always`, or `unless in the person's own words`."""


@dataclass(frozen=True, kw_only=True)
class Card:
    """Sections of plain values by name, ready for tables and JSON."""

    system: Mapping[str, Any]
    models: Sequence[Mapping[str, Any]]
    data: Mapping[str, Any]
    tools: Sequence[ToolFacts]
    rules: Mapping[str, Any]
    limits: Mapping[str, Any]
    retention: Mapping[str, Any]
    stops: Sequence[str]
    audit: Mapping[str, Any]
    evaluation: Sequence[Mapping[str, Any]]
    """For each measure, the last evaluation and the committed baseline."""
    evaluated: str
    known_limits: Sequence[str]
    register: Register
    gone: Sequence[str]
    """Controls in the register that do not exist."""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"register": self.register.model_dump(mode="json")}

    def page(self) -> str:
        """Return the card as one HTML page that loads nothing."""
        return formatting.render_page("observability.governance", "system_card.html", card=self)


def figures(report: Mapping[str, Any] | None, baseline: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the measures of the last evaluation beside those of the baseline, which is scored the same way."""
    last = report["overall"] if report else {}
    rows = []
    for name, words in MEASURES.items():
        base = estimate(row.get(name) for row in baseline)
        if name in last or base.n:
            rows.append(
                {
                    "measure": name,
                    "words": words,
                    "last": last.get(name),
                    "baseline": base.as_dict() if base.n else None,
                }
            )
    return rows


def known_limits(report: Mapping[str, Any] | None, register: Register) -> list[str]:
    """Return the kinds of questions that the last evaluation did not pass fully, and the register's limits."""
    limits = [f"{limit.what} Measured: {limit.figure} ({limit.page}, {limit.command})" for limit in register.limits]
    kinds: Mapping[str, Any] = report["by_kind"] if report else {}
    for kind, scores in kinds.items():
        passed = scores["passed"]
        if passed["mean"] < 1:
            limits.append(
                f"Of {passed['n']} golden questions of the kind {kind.replace('_', ' ')} {passed['mean']:.0%} did what they "
                f"should, {passed['low']:.0%} to {passed['high']:.0%} with 95 % confidence."
            )
    return limits
