"""Where the value plugs in: figures on the page's live view."""

from collections.abc import Mapping, Sequence
from functools import partial

from extensions.feedback.store import OutcomeStore
from extensions.value.worth import worth
from serving.cli.opening import open_costs
from serving.hooks import Hooks, Panel, Place


def plug(hooks: Hooks) -> None:
    hooks.panels.append(Panel(place=Place.LIVE, name="Value", read=partial(_figures, hooks)))


def _figures(hooks: Hooks, _: str) -> Sequence[Mapping[str, str]]:
    """Raises InvalidSetting: there is no contract, or it is not valid."""
    with open_costs(hooks.settings) as costs:
        report = worth(hooks.settings, hooks.service(OutcomeStore), costs)
    figures = {figure.key: figure for figure in report.figures}
    net, used, cost = (figures[key] for key in ("usd_net_per_month", "deflected_share", "usd_per_accepted"))
    if net.value is None:
        why = "" if report.outcomes else "Nobody has recorded what became of an answer. "
        value = _figure("Net value a month", "Unknown", f"{why}{net.amount} by the contract.")
    else:
        value = _figure("Net value a month", net.amount, f"{net.mark}; {net.interval}; from {net.rests_on}")
    of = f"of {_count(report.outcomes, 'outcome')}, {report.origin}"
    without = f"{_count(report.unknown, 'answer')} without an outcome"
    return [
        value,
        _figure(
            "Used, as it is or changed",
            "Unknown" if used.value is None else used.amount,
            f"{used.interval or used.amount}; {used.basis}; {of}",
        ),
        _figure(
            "Cost of a used answer",
            "Unknown" if cost.value is None else cost.amount,
            f"{cost.basis}; with its share of running and building it; {without}",
        ),
        _figure("Decision", report.verdict.capitalize(), f"by the rule of the contract: {'; '.join(report.reasons)}"),
    ]


def _figure(title: str, value: str, note: str) -> Mapping[str, str]:
    return {"title": title, "value": value, "note": note}


def _count(many: int, what: str) -> str:
    return f"{many} {what}{'' if many == 1 else 's'}"
