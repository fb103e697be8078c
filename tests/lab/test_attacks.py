"""Nothing gets through, and the suite would notice if it did."""

from __future__ import annotations

import pytest

from lab.attacks.contract import Attack
from lab.attacks.suite import all_attacks, try_all, try_reopened

ATTACKS = all_attacks()

pytestmark = pytest.mark.slow


def test_nothing_gets_through():
    outcomes = list(try_all(ATTACKS, progress=lambda *_: None))
    assert [sentence for outcome in outcomes for sentence in outcome.through] == []
    assert [outcome.name for outcome in outcomes if not outcome.tried] == []


@pytest.mark.nightly
@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_an_attack_finds_its_hole_opened_again(attack: Attack):
    assert try_reopened(attack).through, f"{attack.name} says that it held without its defence"


def test_no_two_attacks_share_a_name():
    names = [attack.name for attack in ATTACKS]
    assert len(names) == len(set(names))
