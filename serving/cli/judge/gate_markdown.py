"""The gate's result as Markdown, for a comment on a pull request."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

from foundation.output.markdown import markdown_label
from serving.cli.terminal import format_price

if TYPE_CHECKING:
    from serving.cli.judge.gate import Verdict

SHOWN = 10


def to_markdown(verdict: Verdict) -> str:
    """Return the verdict, figures beside the baseline's, the cost of an answer, and changed answers, worst first."""
    comparison = verdict.comparison
    lines = [f"## Gate: {'passed' if verdict.passed else 'blocked'}, {comparison.pairs} questions", ""]
    lines += [f"- fell further than is allowed: {name}" for name in verdict.blocked_by]
    lines += [f"- floor of the contract: {floor}" for floor in verdict.floors if not floor.met]
    lines += ["", "| figure | baseline | now | change | allowed loss | n |", "|---|--:|--:|--:|--:|--:|"]
    for name, figure in comparison.metrics.items():
        before, now, moved, _, allowed = figure.cells
        lines.append(f"| {name} | {before} | {now} | {moved} | {allowed} | {figure.n} |")
    rows = [row for row in comparison.b.rows if row.get("asked")]
    times = [row["answer_ms"] for row in rows if row.get("answer_ms") is not None]
    prices = [float(row["usd"]) for row in rows if row.get("usd") is not None]
    if times:
        lines += ["", f"An answer takes {median(times):.0f} ms (median of {len(times)}; this machine, not judged)."]
    if prices:
        lines.append(f"It costs {format_price(median(prices))} (median of {len(prices)} that have a price).")
    if comparison.changed:
        lines += ["", f"<details><summary>{len(comparison.changed)} answers changed</summary>", ""]
        for change in comparison.changed[:SHOWN]:
            before, now = (
                str(change[side].get("answer") or change[side].get("status") or "")[:200] for side in ("a", "b")
            )
            lines.append(
                f"- **{markdown_label(change['question'])}** ({change['gain']:+.2g})<br>before: {markdown_label(before)}"
                f"<br>now: {markdown_label(now)}"
            )
        lines += ["", "</details>"]
    return "\n".join(lines) + "\n"
