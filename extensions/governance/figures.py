"""The system card: what the system is and may do, its measured quality, and its risks, all read from the system."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from extensions.governance.risk_register import Register
from observability.evaluation.golden_set import MEASURES
from observability.evaluation.metrics import estimate


def figures(report: Mapping[str, Any] | None, baseline: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the measures of the last evaluation beside those of the baseline, which is scored the same way."""
    last = report["overall"] if report else {}
    rows = []
    for name, words in MEASURES.items():
        base = estimate(row.get(name) for row in baseline)
        if name in last or base.n:
            before = asdict(base) if base.n else None
            rows.append({"measure": name, "words": words, "last": last.get(name), "baseline": before})
    return rows


def known_limits(report: Mapping[str, Any] | None, register: Register) -> list[str]:
    """Return the kinds of questions that the last evaluation did not pass fully, and the register's limits."""
    # a figure is the row of a page's table
    rows = [(limit, limit.figure.strip("| ").replace(" | ", ", ")) for limit in register.limits]
    sources = [", ".join(filter(None, (limit.page, limit.command))) for limit, _ in rows]
    limits = [
        f"{limit.what} Measured: {figure}{f' ({source})' if source else ''}"
        for (limit, figure), source in zip(rows, sources, strict=True)
    ]
    kinds: Mapping[str, Any] = report["by_kind"] if report else {}
    for kind, scores in kinds.items():
        passed = scores["passed"]
        if passed["mean"] < 1:
            limits.append(
                f"Of {passed['n']} golden questions of the kind {kind.replace('_', ' ')} {passed['mean']:.0%} did what they "
                f"should, {passed['low']:.0%} to {passed['high']:.0%} with 95 % confidence."
            )
    return limits
