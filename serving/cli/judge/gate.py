"""`sixply gate`: the golden set through the configured system, compared with the committed baseline."""

from __future__ import annotations

import json as jsons
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Annotated, Any

import typer

from foundation.clock import SystemClock
from foundation.errors import InvalidRequest, InvalidSetting
from foundation.output.markdown import markdown_label
from serving.cli import terminal
from serving.cli.options import STACK, Json, Stack, load_stack

if TYPE_CHECKING:
    from observability.evaluation.bands import Bands
    from observability.evaluation.baseline import Comparison, ScoreDifference, Side
    from observability.evaluation.floors import Floor
    from observability.evaluation.trials import Material

BASELINE = "baseline.json"
# Most changed answers in the comment on a pull request, and in a terminal
SHOWN, PRINTED = 10, 8
FIGURES = ["figure", "A", "B", "B - A", "95 % interval", "allowed loss", "n"]
# Neither passed nor fell: the cases are too few to tell
INCONCLUSIVE = 3
# How a terminal shows the word of a finding, where not bold
STYLES = {"quotes": "dim", "note": "yellow", "floor broken": "red", "floor not met": "yellow"}
AGAIN = "Look at the answers, then take today's as the new baseline: make gate RENEW=1"


@dataclass(frozen=True)
class Verdict:
    """The gate's result: the figures that fell too far or may have, and the broken floors of the outcome contract."""

    comparison: Comparison[ScoreDifference]
    blocked_by: tuple[str, ...]
    floors: tuple[Floor, ...]
    broken: tuple[str, ...]
    demonstration: bool
    """The floors are those of a demonstration."""
    bands: Bands
    read_first: Sequence[str]
    """Cases that a person should read first."""

    @property
    def outcome(self) -> str:
        """passed, blocked or inconclusive."""
        if self.blocked_by or self.broken:
            return "blocked"
        return "inconclusive" if self.comparison.inconclusive else "passed"

    @property
    def exit_code(self) -> int:
        return {"passed": 0, "blocked": 1, "inconclusive": INCONCLUSIVE}[self.outcome]

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON. In `comparison`, A is the baseline."""
        return {
            "passed": self.outcome == "passed",
            "outcome": self.outcome,
            "inconclusive": list(self.comparison.inconclusive),
            "sight": {name: {"detects": it.detects, "more": it.more} for name, it in self.comparison.metrics.items()},
            "read_first": list(self.read_first),
            "blocked_by": list(self.blocked_by),
            "broken_floors": list(self.broken),
            "demonstration": self.demonstration,
            "bands": asdict(self.bands),
            "floors": [floor.as_dict() for floor in self.floors],
            "cases": self.comparison.pairs,
            "comparison": self.comparison.as_dict(),
        }


def gate(
    *,
    baseline: Annotated[
        Path | None,
        typer.Option(help="The baseline; by default baseline.json beside the golden set.", dir_okay=False),
    ] = None,
    renew: Annotated[
        bool, typer.Option("--renew", help="Write today's answers as the new baseline instead of judging them.")
    ] = False,
    json: Json = None,
    markdown: Annotated[
        Path | None, typer.Option(help="Also write Markdown to this file, for a pull request.", dir_okay=False)
    ] = None,
    stack: Stack = STACK,
) -> None:
    """Fail if a score fell below the committed baseline by more than is allowed.

    Exit status: 0 passed, 1 blocked, 3 inconclusive, where more may have been lost than is allowed.
    """
    from observability.evaluation import baseline as baselines
    from observability.evaluation import trials

    settings = load_stack(stack).settings
    data = settings.observability.golden_set
    baseline = baseline or data / BASELINE
    material = trials.material(data)
    if not renew and not baseline.is_file():
        raise InvalidRequest(
            f"There is no baseline at {baseline} yet. Take today's answers as the first: make gate RENEW=1"
        )
    stored = None if renew else baselines.baseline_of(read_json(baseline), baseline.name)
    if stored is not None:
        planned = baselines.Side(stack.name, (), material.corpus_digest, material.trials_digest, {}, {})
        # refuse before the work, not after it
        baselines.demand_the_same(stored, planned, otherwise=AGAIN)
        if lost := {trial.case.id for trial in material.trials} - {row.get("id") for row in stored.rows}:
            raise InvalidRequest(f"{baseline} has no row of {len(lost)} cases, such as {min(lost)}. {AGAIN}")
    side = answer_again(stack, material)
    if stored is None:
        lines = jsons.dumps(baselines.as_baseline(side), indent=1, ensure_ascii=False)
        terminal.write_text(baseline, lines + "\n")
        return
    comparison = baselines.compare(stored, side, settings.observability.compare, seed=settings.foundation.seed)
    contract = settings.observability.outcomes_file
    verdict = _judge(comparison, material, contract)
    found = [*findings(verdict, baseline, contract)]
    if markdown is not None:
        terminal.write_text(markdown, to_markdown(verdict, found))
    if not terminal.write_json(json, verdict.as_dict()):
        _show(verdict, found)
    if verdict.exit_code:
        raise typer.Exit(verdict.exit_code)


def _judge(comparison: Comparison[ScoreDifference], material: Material, contract: Path) -> Verdict:
    from observability.evaluation.bands import bands_of
    from observability.evaluation.baseline import read_first
    from observability.evaluation.floors import floors_of, measure_floors, read_agreement
    from observability.evaluation.golden_set import NOBODY

    agreed = read_agreement(contract) if contract.is_file() else None
    floors = floors_of(agreed, measure_floors(comparison.b.rows)) if agreed else ()
    today = SystemClock().now().date()
    bands = bands_of(comparison.b.rows)
    unread = {trial.case.id for trial in material.trials if trial.case.reviewed_by == NOBODY}
    return Verdict(
        comparison,
        blocked_by=comparison.fallen + (("told_as_answer",) if bands.too_often_wrong else ()),
        floors=floors,
        broken=tuple(floor.name for floor in floors if not floor.met and not floor.is_excused(today)),
        demonstration=bool(agreed and agreed.demonstration),
        bands=bands,
        read_first=read_first(comparison.changed, unread),
    )


def answer_again(stack: Path, material: Material) -> Side:
    """Ask every case, of the configured system in an empty folder."""
    from observability.evaluation.baseline import Side
    from serving.judge.trial import open_trials, own_folder

    with own_folder(partial(load_stack, stack)) as loaded, terminal.progress() as progress:
        with open_trials(loaded, material) as system:
            rows = []
            for done, trial in enumerate(material.trials, 1):
                rows.append(system.run(trial))
                progress("ask", done, len(material.trials))
        digests = (material.corpus_digest, material.trials_digest)
        return Side(stack.name, rows, *digests, system.stack, system.figures)


def read_json(path: Path) -> Mapping[str, Any]:
    """Read the JSON of an earlier run. Raises InvalidSetting: the file is no such JSON."""
    try:
        content: Mapping[str, Any] = jsons.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidSetting(f"{path} cannot be read as the JSON of a report: {error}. Name another file.") from error
    return content


def show_changes(changed: Sequence[Mapping[str, Any]]) -> None:
    """Print the first cases that changed."""
    out = terminal.console()
    for change in changed[:PRINTED]:
        out.print(f"\n{terminal.plain(change['question'])}  [dim]{terminal.plain(change['id'])}[/]")
        for side in ("a", "b"):
            answer = change[side]
            text = answer.get("answer") or ", ".join(answer.get("found", ())[:3])
            out.print(
                f"  {side.upper()} [dim]{terminal.plain(answer.get('status', ''))}[/] {terminal.plain(text[:160])}"
            )
    if len(changed) > PRINTED:
        out.print(f"[dim]and {len(changed) - PRINTED} more cases that changed: see JSON=[/]")


def findings(verdict: Verdict, baseline: Path, contract: Path) -> Iterator[tuple[str, str]]:
    """Yield what the gate found: a word, and a sentence about it, as a terminal and a pull request show them."""
    n = verdict.comparison.pairs
    yield "quotes", f"{verdict.bands}."
    yield from _describe_floors(verdict, contract)
    if verdict.broken:
        names, way = ", ".join(verdict.broken), "have a signer accept it for a while, as one of its [[exceptions]]"
        yield "blocked", f"{names} of {contract} not met. Improve the answers; or {way}"
    if verdict.blocked_by:
        fell = f"{', '.join(verdict.blocked_by)} fell further below {baseline} than [observability.compare] allows"
        yield "blocked", f"{fell}, on {n} cases. Mend it; or, if the loss is meant: make gate RENEW=1"
    if verdict.comparison.inconclusive:
        yield "inconclusive", _describe_open(verdict)
        if verdict.read_first:
            yield "read first", f"the answers of these cases changed: {', '.join(verdict.read_first)}."
    if verdict.outcome == "passed":
        score = verdict.comparison.metrics.get("passed")
        seen = f" A loss of {score.detects:.3f} of passed would show." if score else ""
        yield "passed", f"on {n} cases nothing fell further below {baseline} than is allowed.{seen}"


def _describe_floors(verdict: Verdict, contract: Path) -> Iterator[tuple[str, str]]:
    from observability.evaluation.floors import DEMONSTRATION

    if not verdict.floors:
        yield "note", f"There is no outcome contract at {contract}, so no floor is held (docs/measuring.md)."
    if verdict.demonstration:
        yield "note", f"{DEMONSTRATION.capitalize()}: {contract}."
    for floor in verdict.floors:
        if floor.name in verdict.broken:
            exception = f"; the exception does not cover it: {floor.exception}" if floor.exception else ""
            yield "floor broken", f"{floor}{exception}"
        elif not floor.met:
            yield "floor not met", f"{floor}; excepted {floor.exception}"


def _describe_open(verdict: Verdict) -> str:
    """Return what may have fallen too far, what the cases see, and how many more would settle it."""
    scores = {name: verdict.comparison.metrics[name] for name in verdict.comparison.inconclusive}
    lost = ", ".join(f"{name} by up to {-(score.low or 0):.3f}" for name, score in scores.items())
    seen = max(score.detects for score in scores.values())
    more = max(score.more or 0 for score in scores.values())
    return (
        f"more may have been lost than is allowed: {lost}. {verdict.comparison.pairs} cases show a loss of {seen:.3f} or more; to see "
        f"the allowed one takes about {more} more (extension proposals: make golden N={more})."
    )


def _show(verdict: Verdict, found: Iterable[tuple[str, str]]) -> None:
    scores = verdict.comparison.metrics.items()
    rows = [(name, *score.cells, score.n, f"{score.detects:.3f}") for name, score in scores]
    terminal.show_table([*FIGURES, "loss it sees"], rows)
    show_changes(verdict.comparison.changed)
    out = terminal.console()
    out.print()
    for word, text in found:
        out.print(f"[{STYLES.get(word, 'bold')}]{word}[/]: {terminal.plain(text)}")


def to_markdown(verdict: Verdict, found: Iterable[tuple[str, str]]) -> str:
    """Return the comment on a pull request: the verdict, figures beside the baseline's, the cost of an answer, changed answers, worst first."""
    comparison = verdict.comparison
    lines = [f"## Gate: {verdict.outcome}, {comparison.pairs} questions", ""]
    lines += [f"- {word}: {text}" for word, text in found]
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
        lines.append(f"It costs {terminal.format_price(median(prices))} (median of {len(prices)} that have a price).")
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
