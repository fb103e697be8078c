"""The report of a swap as one HTML page. It loads nothing, runs nothing, and escapes every text."""

from collections.abc import Iterator

from extensions.plots import svg
from extensions.swap_report.compare import DRAFTS, Comparison
from extensions.swap_report.differences import BETTER, MEASURES, PEAK
from observability.evaluation.baseline import Side
from observability.rendering.formatting import figure

WORDS = {measure.name: measure.words for measure in (*MEASURES, PEAK)}
MOST_CASES = 60
# Largest drawn difference, in allowed losses; larger ones are drawn there
FARTHEST = 3.0


def render_page(comparison: Comparison, data: str) -> str:
    return svg.render_page(
        "extensions.swap_report",
        "page.html",
        title=f"{comparison.a.name} against {comparison.b.name}",
        found=comparison,
        data=data,
        most=MOST_CASES,
        forest=_forest(comparison),
        figures=[
            (WORDS[name], *found.cells, found.unit, found.n, found.verdict)
            for name, found in comparison.metrics.items()
        ],
        drafts=[
            (words, *(counts[outcome] for counts in comparison.drafts.values()))
            for outcome, words in {"n": "drafts in all", **DRAFTS}.items()
        ],
        stacks=list(_stacks(comparison.a, comparison.b)),
    )


def _forest(comparison: Comparison) -> str:
    rows = {}
    for name, found in comparison.metrics.items():
        if found.threshold:
            low, high = (found.diff if end is None else end for end in (found.low, found.high))
            # in units of the allowed loss: left of the dashed line it is too large
            gains = [BETTER[name] * end / found.threshold + 0.0 for end in (found.diff, low, high)]
            estimate, *ends = (min(FARTHEST, max(-FARTHEST, gain)) for gain in gains)
            rows[f"{name.replace('_', ' ')}: {found.verdict}"] = (estimate, min(ends), max(ends))
    title = "Differences with 95 % intervals, as multiples of the allowed loss (-1); right of zero B is better"
    return svg.ranges(rows, title=title, mark=-1.0) if rows else ""


def _stacks(a: Side, b: Side) -> Iterator[tuple[str, str, str]]:
    for key in dict.fromkeys([*a.stack, *b.stack]):
        yield key, a.stack.get(key, "-"), b.stack.get(key, "-")
    for key in a.figures:
        if key in b.figures:
            yield key, figure(a.figures[key]), figure(b.figures[key])
    yield "corpus, sha256", a.corpus[:16], b.corpus[:16]
    yield "cases, sha256", a.trials[:16], b.trials[:16]
