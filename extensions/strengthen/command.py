"""`sixply strengthen`: the golden set through the whole system, and without each of its parts in turn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from extensions.swap_report.command import Order, run
from foundation.clock import SystemClock
from foundation.settings import Part
from serving.cli import terminal
from serving.cli.opening import open_spans
from serving.cli.options import STACK, Json, Limit, Stack, load_stack
from serving.settings import load

if TYPE_CHECKING:
    from extensions.strengthen.weakest_layer import Worth


def strengthen(
    *,
    data: Annotated[Path | None, typer.Option(help="Another golden set.")] = None,
    limit: Limit = None,
    repeats: Annotated[int, typer.Option(min=1, help="Times each question is asked.")] = 1,
    json: Json = None,
    stack: Stack = STACK,
) -> None:
    """Show which layer to improve next: where failures begin, and how much each part contributes."""
    from extensions.reports import triage
    from extensions.strengthen.weakest_layer import ABLATIONS, DEFAULT_CHUNKER, choose_layer, count_failures, worth_of
    from extensions.swap_report.compare import compare
    from extensions.swap_report.questions import read_material

    settings = load_stack(stack).settings
    data = data or settings.observability.golden_set
    material = read_material(data, limit)
    as_it_is = [settings]
    # its ablation names the default chunker by its module
    if settings.retrieval.chunker == Part(use="structure"):
        as_it_is.append(load(stack, overrides={"retrieval": {"chunker": DEFAULT_CHUNKER}}).settings)
    ablations = [it for it in ABLATIONS if load(stack, overrides=it.changes).settings not in as_it_is]
    orders = [Order(stack.name, stack, {})] + [
        Order(ablation.without, stack, ablation.changes) for ablation in ablations
    ]
    whole, *without = run(orders, material, data=data, limit=limit, repeats=repeats, home=settings.foundation.data_dir)
    worths = [
        worth_of(ablation, compare(side, whole, settings.observability.compare, seed=settings.foundation.seed))
        for ablation, side in zip(ablations, without, strict=True)
    ]
    failures, chosen = count_failures(whole.rows), choose_layer(whole.rows, worths)
    lately: Counter[str] = Counter()
    for failure in triage.failures(open_spans(settings), since=SystemClock().now() - timedelta(days=7))[0]:
        lately[failure.layer or "none"] += failure.traces
    report = {
        "asked": len(whole.rows),
        "strengthen": chosen and chosen[0],
        "because": chosen and chosen[1],
        "failures": [{"layer": layer, "what": what, "cases": count} for layer, what, count in failures],
        "worth": [asdict(worth) for worth in worths],
        "failed_lately": dict(lately),
    }
    if terminal.write_json(json, report):
        return
    _show(report, worths, failures)


def _show(report: dict[str, Any], worths: list[Worth], failures: Sequence[tuple[str, str, int]]) -> None:
    rows = []
    for worth in worths:
        interval = "" if worth.low is None or worth.high is None else f"{worth.low:+.3f} to {worth.high:+.3f}"
        ms, usd = "" if worth.ms is None else f"{worth.ms:+.0f}", "" if worth.usd is None else f"{worth.usd:+.6f}"
        rows.append((worth.layer, worth.without, f"{worth.passed:+.3f}", interval, ms, usd, worth.n))
    terminal.show_table(["failures begin in", "with", f"of {report['asked']}"], failures)
    terminal.show("")
    terminal.show_table(["layer", "without", "right answers lost", "95 % interval", "ms", "USD", "n"], rows)
    lately = Counter(report["failed_lately"]).most_common()
    counts = ", ".join(f"{layer} ({count})" for layer, count in lately)
    terminal.show(f"\nErrors of the last 7 days began in: {counts or 'no layer'}.")
    if report["strengthen"]:
        terminal.show(f"\nStrengthen [bold]{report['strengthen']}[/] next: {terminal.plain(report['because'])}.")
    else:
        terminal.show("\nNo question failed: write harder ones.")
