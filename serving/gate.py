"""`sixply gate`: the golden set through the configured system, held against the baseline that is committed beside it.

The same cases through the same models give nearly the same answers, so a loss counts as it stands: one beyond what
`[observability.compare]` allows blocks, whether or not so few cases could prove it for all questions of the world.
"""

from __future__ import annotations

import json as jsons
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foundation.errors import InvalidRequest
from foundation.settings import load
from serving import swapping, terminal

if TYPE_CHECKING:
    from observability.compare import Comparison, Difference


BASELINE = "baseline.json"
AGAIN = "Look at the answers, then take today's as the new baseline: make gate RENEW=1"


@dataclass(frozen=True)
class Verdict:
    """What the gate found; `blocked_by` are the figures that fell too far."""

    comparison: Comparison
    blocked_by: tuple[str, ...]

    @property
    def passed(self) -> bool:
        return not self.blocked_by

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON; `comparison` has the keys of a swap report, A being the baseline."""
        return {
            "passed": self.passed,
            "blocked_by": list(self.blocked_by),
            "cases": self.comparison.pairs,
            "comparison": self.comparison.as_dict(),
        }


def gate(stack: Path, *, baseline: Path | None = None, renew: bool, json: Path | None) -> bool:
    """Ask the golden set and compare; whether nothing fell further than is allowed. `renew` writes the baseline instead,
    which is `baseline.json` of the golden set where no other is named.

    Raises:
        InvalidSetting: the baseline cannot be read.
        InvalidRequest: the corpus or the cases have changed since the baseline was taken.
    """
    from observability import compare, trials

    settings = load(stack).settings
    data = settings.observability.golden_set
    baseline = baseline or data / BASELINE
    material = trials.material(data)
    if not renew and not baseline.is_file():
        raise InvalidRequest(
            f"There is no baseline at {baseline} yet. Take today's answers as the first: make gate RENEW=1"
        )
    stored = None if renew else compare.baseline_of(swapping.read_json(baseline), baseline.name)
    if stored is not None:
        planned = compare.Side(stack.name, (), material.corpus_digest, material.trials_digest, {}, {})
        compare.demand_the_same(stored, planned, otherwise=AGAIN)  # told before the work, not after it
    order = swapping.Order(stack.name, stack, {})
    (side,) = swapping.run([order], material, data=data, limit=None, repeats=1, home=settings.foundation.data_dir)
    if stored is None:
        lines = jsons.dumps(compare.as_baseline(side), indent=1, ensure_ascii=False)
        terminal.write_text(baseline, lines + "\n")
        return True
    found = compare.compare(stored, side, settings.observability.compare, seed=settings.foundation.seed)
    verdict = Verdict(found, tuple(name for name, one in found.metrics.items() if _fell(name, one)))
    if not terminal.write_json(json, verdict.as_dict()):
        _show(verdict, baseline)
    return verdict.passed


def _fell(name: str, one: Difference) -> bool:
    from observability.compare import BETTER

    return one.threshold is not None and one.diff * BETTER[name] < -one.threshold - 1e-9


def _show(verdict: Verdict, baseline: Path) -> None:
    swapping.show(verdict.comparison)
    out, n = terminal.console(), verdict.comparison.pairs
    if verdict.passed:
        out.print(f"\n[bold]passed[/]: on {n} cases nothing fell further below {baseline} than is allowed.")
    else:
        out.print(
            f"\n[bold]blocked[/]: {', '.join(verdict.blocked_by)} fell further below {baseline} than "
            f"[observability.compare] allows, on {n} cases. Mend it; or, if the loss is meant: make gate RENEW=1"
        )
