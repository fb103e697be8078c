"""What holds of every attack that was tried, whichever server it had."""

from __future__ import annotations

from collections.abc import Sequence

from lab.attacks.contract import Attack
from lab.attacks.suite import try_all


def assert_nothing_gets_through(attacks: Sequence[Attack]) -> None:
    outcomes = list(try_all(attacks, progress=lambda *_: None))
    assert [sentence for outcome in outcomes for sentence in outcome.through] == []
    assert [outcome.name for outcome in outcomes if not outcome.tried] == []
    assert len(outcomes) == len(attacks) > 0
