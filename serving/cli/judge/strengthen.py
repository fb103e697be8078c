"""`sixply strengthen`: the golden set through the whole system, and without each of its parts in turn."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from serving.cli import terminal
from serving.cli.judge import swap_report
from serving.cli.opening import open_spans
from serving.cli.options import STACK, Json, Limit, Stack, load_stack

if TYPE_CHECKING:
    from observability.reports.weakest_layer import Worth
    from serving.settings import Loaded


def strengthen(
    *,
    data: Annotated[Path | None, typer.Option(help="Another golden set.")] = None,
    limit: Limit = None,
    repeats: Annotated[int, typer.Option(min=1, help="How often each question is asked.")] = 1,
    json: Json = None,
    stack: Stack = STACK,
) -> None:
    """Which layer to strengthen next: where failures begin, and what each part is worth."""
    from observability.evaluation import compare, trials
    from observability.reports.weakest_layer import ABLATIONS, choose_layer, count_failures, worth_of

    loaded = load_stack(stack)
    settings = loaded.settings
    data = data or settings.observability.golden_set
    material = trials.material(data, limit)
    orders = [swap_report.Order(stack.name, stack, {})] + [
        swap_report.Order(ablation.without, stack, ablation.changes) for ablation in ABLATIONS
    ]
    whole, *without = swap_report.run(
        orders, material, data=data, limit=limit, repeats=repeats, home=settings.foundation.data_dir
    )
    worths = [
        worth_of(ablation, compare.compare(side, whole, settings.observability.compare, seed=settings.foundation.seed))
        for ablation, side in zip(ABLATIONS, without, strict=True)
    ]
    failures, weakest = count_failures(whole.rows), choose_layer(whole.rows)
    lately = _failed_lately(loaded)
    report = {
        "asked": len(whole.rows),
        "strengthen": weakest,
        "failures": [{"layer": layer, "what": what, "cases": count} for layer, what, count in failures],
        "worth": [worth.as_dict() for worth in worths],
        "failed_lately": dict(lately),
    }
    if terminal.write_json(json, report):
        return
    terminal.show_table(["failures begin in", "with", f"of {len(whole.rows)}"], failures)
    terminal.show("")
    terminal.show_table(["layer", "without", "right answers", "95 % interval", "ms", "USD", "n"], map(_row, worths))
    if lately:
        terminal.show(f"\nErrors of the latest requests began in: {_list(lately)}.")
    if weakest is None:
        terminal.show("\nNo question failed: write harder ones.")
    else:
        terminal.show(f"\nStrengthen [bold]{weakest}[/] next: most failures begin there.")


def _row(worth: Worth) -> tuple[Any, ...]:
    interval = "" if worth.low is None or worth.high is None else f"{worth.low:+.3f} to {worth.high:+.3f}"
    ms = "" if worth.ms is None else f"{worth.ms:+.0f}"
    usd = "" if worth.usd is None else f"{worth.usd:+.6f}"
    return worth.layer, worth.without, f"{worth.passed:+.3f}", interval, ms, usd, worth.n


def _failed_lately(loaded: Loaded) -> Counter[str]:
    """Return the errors of the latest requests by the layer in which they began; empty without traces."""
    from observability.reports import triage

    lately: Counter[str] = Counter()
    for failure in triage.failures(open_spans(loaded.settings))[0]:
        lately[failure.layer or "none"] += failure.traces
    return lately


def _list(counts: Counter[str]) -> str:
    return ", ".join(f"{layer} ({count})" for layer, count in counts.most_common())
