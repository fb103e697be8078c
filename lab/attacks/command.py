"""`make attack`: try the suite and show what held."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lab.attacks.suite import choose, report, try_all, try_reopened
from serving.cli import terminal


def run(names: Sequence[str], *, reopen: bool, json: Path | None) -> bool:
    """Whether nothing got through; with `reopen`, whether every hole that was opened again was found."""
    chosen = choose(names)
    with terminal.progress() as progress:
        if reopen:
            outcomes = [
                try_reopened(attack)
                for number, attack in enumerate(chosen)
                if progress("attacks on servers without a defence", number, len(chosen)) is None
            ]
        else:
            outcomes = list(try_all(chosen, progress=progress))
    if not terminal.write_json(json, report(outcomes)):
        rows = [(outcome.name, outcome.title, outcome.tried, len(outcome.through)) for outcome in outcomes]
        terminal.show_table(["attack", "what would be lost", "tried", "got through"], rows)
        for outcome in outcomes:
            for sentence in outcome.through[:3]:
                terminal.show_note(f"{outcome.name}: {sentence}")
    if reopen:
        return all(outcome.through for outcome in outcomes)
    return not any(outcome.through for outcome in outcomes)
