"""The value report as one HTML file, to be opened, printed and passed on by finance. It loads nothing."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from extensions.plots import svg
from extensions.value.business_case import BusinessCase
from extensions.value.figures import usd
from extensions.value.outcome_contract import OutcomeContract
from extensions.value.value_report import ValueReport

SWINGS_SHOWN = 8


def page(reports: Sequence[ValueReport], *, written: datetime) -> str:
    """Return the page, with a section for the process of each report. Texts of contracts and names are escaped."""
    return svg.render_page(
        "extensions.value",
        "value.html",
        processes=[
            {"report": report, "plots": list(_plots(report)), "assumptions": list(_assumptions(report.contract))}
            for report in reports
        ],
        written=written.strftime("%d %B %Y, %H:%M %Z"),
    )


def _plots(report: ValueReport) -> Iterator[str]:
    net, low, high = report.usd_net_per_month
    needed = report.contract.decision.ship_if_usd_per_month_above
    yield svg.ranges(
        {f"net a month ({report.case_basis})": (None if report.missing else net, low, high)},
        title=f"Net value a month, projected from {report.sample}, and the threshold for shipping",
        mark=needed,
        write=usd,
    )
    if report.steps_usd and not report.missing:
        steps = {f"{name} ({report.step_bases[name]})": gain for name, gain in report.steps_usd.items()}
        yield svg.waterfall(steps, title="Where it comes from, projected to USD a month", write=usd)
    counted = f"What became of the answers ({report.outcomes_basis})"
    yield svg.waterfall(report.counts, title=counted, total="answers")
    swings: dict[str, tuple[float | None, float, float]] = {}
    for swing in BusinessCase(report.contract).tornado[:SWINGS_SHOWN]:
        ends = swing.usd_at_low, swing.usd_at_high
        swings[f"{swing.name}: {swing.low:g} to {swing.high:g}"] = (None, min(ends), max(ends))
    yield svg.ranges(
        swings,
        title="What the business case depends on: net a month (assumed) over the range of each assumption",
        write=usd,
    )


def _assumptions(contract: OutcomeContract) -> Iterator[tuple[str, Any, str]]:
    for name in ("process", "resolved", "expected", "costs", "conversion", "decision"):
        section = getattr(contract, name)
        for key, value in section.model_dump().items() if section is not None else ():
            basis = contract.basis_of(name) if isinstance(value, int | float) else ""
            yield f"{name}: {key.replace('_', ' ')}", value, basis
