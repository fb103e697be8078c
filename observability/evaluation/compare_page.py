"""The report of a swap as one page: nothing is fetched, nothing runs, and every text in it is escaped.

Plots are SVG, written here: matplotlib would be the largest dependency of the project, for two drawings.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from observability.evaluation.compare import DRAFTS, Comparison, Side
from observability.evaluation.differences import BETTER, MEASURES, PEAK, Difference

WORDS = {measure.name: measure.words for measure in (*MEASURES, PEAK)}
COLOURS = {
    "better": "#1a7f37",
    "equal": "#57606a",
    "worse": "#cf222e",
    "undecided": "#9a6700",
    "unseen": "#9a6700",
    "shown": "#8c959f",
}
A, B = "#0969da", "#bc4c00"
WIDTH, ROW, LEFT = 860, 26, 300
MOST_CASES = 60

STYLE = """
:root { color-scheme: light dark }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }
th, td { text-align: right; padding: .2rem .5rem; border-bottom: 1px solid #8883 }
th:first-child, td:first-child { text-align: left }
svg { width: 100%; height: auto; font: 12px system-ui, sans-serif; fill: currentColor }
.case { border-top: 1px solid #8883; padding: .7rem 0; display: grid; grid-template-columns: 1fr 1fr; gap: .3rem 1.2rem }
.case > :first-child { grid-column: 1 / 3; font-weight: 600 }
.case div { overflow-wrap: anywhere; white-space: pre-wrap }
small { opacity: .75; font-weight: 400 }
@media (max-width: 40rem) { .case { grid-template-columns: 1fr } .case > :first-child { grid-column: 1 } }
"""


def page(comparison: Comparison, data: str) -> str:
    """The whole page as text."""
    title = f"{comparison.a.name} against {comparison.b.name}"
    parts = (
        f"<h1>{escape(title)}</h1>",
        f'<p><strong style="color:{COLOURS[comparison.verdict]}">{escape(comparison.verdict)}</strong>: {escape(comparison.reason)}</p>',
        f"<p>{escape(data)}: {comparison.pairs} questions, each put {comparison.repeats} times to both systems in turns.</p>",
        *(f"<p>{escape(note)}</p>" for note in comparison.notes),
        "<h2>What differs</h2>", _forest(comparison.metrics), _table(comparison.metrics),
        "<h2>What became of what the chat models wrote</h2>", _drafts(comparison.drafts),
        "<h2>How long answers took</h2>", _times(comparison.a, comparison.b),
        "<h2>What the two are</h2>", _stacks(comparison.a, comparison.b),
        f"<h2>What changed ({len(comparison.changed)} of {comparison.pairs} questions)</h2>", *_cases(comparison.changed),
    )  # fmt: skip
    body = "\n".join(parts)
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{escape(title)}</title>'
    return f'<!doctype html>\n<html lang="en"><head>{head}<style>{STYLE}</style></head>\n<body>{body}</body></html>\n'


def _forest(metrics: Mapping[str, Difference]) -> str:
    """Each difference with its interval, in units of what is allowed: left of the dashed line lies a loss too large."""
    judged = {name: difference for name, difference in metrics.items() if difference.threshold}
    if not judged:
        return "<p>No figure has a threshold other than zero.</p>"
    height = ROW * (len(judged) + 1)
    middle, span = LEFT + (WIDTH - LEFT) / 2, (WIDTH - LEFT) / 2 - 10
    drawn = [
        f'<line x1="{x}" x2="{x}" y1="0" y2="{height - ROW}" stroke="{colour}" stroke-dasharray="{dashes}"/>'
        for x, colour, dashes in ((middle, "#8c959f", "none"), (middle - span / 3, COLOURS["worse"], "4 3"))
    ]
    for number, (name, difference) in enumerate(judged.items()):
        drawn += _whisker(name, difference, y=ROW * number + ROW / 2, middle=middle, span=span)
    drawn.append(f'<text x="{middle - span / 3}" y="{height - 6}" text-anchor="middle">allowed loss</text>')
    drawn.append(f'<text x="{middle}" y="{height - 6}" text-anchor="middle">no change</text>')
    drawn.append(f'<text x="{middle + span * 0.7}" y="{height - 6}" text-anchor="middle">B is better</text>')
    return _svg(height, drawn, "differences with 95 % intervals, as multiples of the allowed loss")


def _whisker(name: str, difference: Difference, *, y: float, middle: float, span: float) -> Iterator[str]:
    assert difference.threshold
    colour = COLOURS[difference.verdict]

    def place(diff: float) -> float:
        share = BETTER[name] * diff / difference.threshold / 3 if difference.threshold else 0.0
        return middle + span * min(1.0, max(-1.0, share))

    yield f'<text x="0" y="{y + 4}">{escape(WORDS[name])}</text>'
    if difference.low is not None and difference.high is not None:
        ends = sorted((place(difference.low), place(difference.high)))
        yield f'<line x1="{ends[0]:.1f}" x2="{ends[1]:.1f}" y1="{y}" y2="{y}" stroke="{colour}" stroke-width="3"/>'
    yield f'<circle cx="{place(difference.diff):.1f}" cy="{y}" r="5" fill="{colour}"/>'


def _times(a: Side, b: Side) -> str:
    """The share of questions that was done within a time, for both."""
    key = "answer_ms" if any(row.get("answer_ms") for row in a.rows) else "search_ms"
    ours, theirs = (sorted(row[key] for row in side.rows if row.get(key)) for side in (a, b))
    if not ours or not theirs:
        return "<p>No time was measured.</p>"
    height, most = 220, float(np.percentile([*ours, *theirs], 99)) or 1.0
    drawn = []
    for quarter in (0.25, 0.5, 0.75, 1.0):
        y = (height - 30) * (1 - quarter) + 8
        drawn.append(f'<line x1="50" x2="{WIDTH}" y1="{y}" y2="{y}" stroke="#8884"/>')
        drawn.append(f'<text x="0" y="{y + 4}">{quarter:.0%}</text>')
    for values, colour, label in ((ours, A, "A"), (theirs, B, "B")):
        points = " ".join(
            f"{50 + (WIDTH - 60) * min(1.0, value / most):.1f},{(height - 30) * (1 - (rank + 1) / len(values)) + 8:.1f}"
            for rank, value in enumerate(values)
        )
        drawn.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        drawn.append(f'<text x="{60 if label == "A" else 90}" y="{height - 6}" style="fill:{colour}">{label}</text>')
    drawn.append(f'<text x="{WIDTH}" y="{height - 6}" text-anchor="end">{most:.0f} ms</text>')
    return _svg(height, drawn, "share of questions that were done within a time")


def _svg(height: float, drawn: Sequence[str], label: str) -> str:
    return f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(label)}">{"".join(drawn)}</svg>'


def _table(metrics: Mapping[str, Difference]) -> str:
    rows = [
        (
            WORDS[name], f"{difference.a:.4g}", f"{difference.b:.4g}", f"{difference.diff:+.4g}",
            "" if difference.low is None else f"{difference.low:+.4g} to {difference.high:+.4g}",
            "-" if difference.threshold is None else f"{difference.threshold:.4g}", difference.unit, difference.n, difference.verdict,
        )
        for name, difference in metrics.items()
    ]  # fmt: skip
    return _rows(("figure", "A", "B", "B - A", "95 % interval", "allowed loss", "unit", "n", ""), rows)


def _drafts(drafts: Mapping[str, Mapping[str, int]]) -> str:
    rows = [("drafts in all", *(counts["n"] for counts in drafts.values()))]
    rows += [(words, *(counts[outcome] for counts in drafts.values())) for outcome, words in DRAFTS.items()]
    return _rows(("", "A", "B"), rows)


def _stacks(a: Side, b: Side) -> str:
    keys = [*a.stack, *(key for key in b.stack if key not in a.stack)]
    parts = [(key, a.stack.get(key, "-"), b.stack.get(key, "-")) for key in keys]
    figures = [(key, f"{a.figures[key]:.4g}", f"{b.figures[key]:.4g}") for key in a.figures if key in b.figures]
    same = [("corpus, sha256", a.corpus[:16], b.corpus[:16]), ("cases, sha256", a.trials[:16], b.trials[:16])]
    return _rows(("", "A", "B"), [*parts, *figures, *same])


def _rows(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    head = "".join(f"<th>{escape(column)}</th>" for column in columns)
    body = "".join(f"<tr>{''.join(f'<td>{escape(str(value))}</td>' for value in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cases(changed: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for change in changed[:MOST_CASES]:
        gold = ", ".join([*change["gold"], *change["gold_documents"]])
        what = "B lost it" if change["gain"] < 0 else "B won it" if change["gain"] > 0 else "told otherwise"
        lead = f"{escape(change['question'])} <small>{escape(change['id'])} · {what} · gold: {escape(gold)}</small>"
        sides = "".join(f"<div>{_side(side.upper(), change[side])}</div>" for side in ("a", "b"))
        yield f'<div class="case"><div>{lead}</div>{sides}</div>'
    if len(changed) > MOST_CASES:
        yield f"<p>{len(changed) - MOST_CASES} more are in the JSON report.</p>"


def _side(name: str, answer: Mapping[str, Any]) -> str:
    text = answer.get("answer") or answer.get("error") or ""
    status = ", ".join([str(answer.get("status", "")), *(f"draft {outcome}" for outcome in answer.get("drafts") or ())])
    places = ", ".join(answer.get("citations") or answer.get("found", ())[:5])
    return f"<small>{name} {escape(status)}</small>\n{escape(str(text))}\n<small>{escape(places)}</small>"
