"""Nothing gets through, and the suite would notice if it did."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lab.attacks import suite
from lab.attacks.contract import Attack, Tried
from lab.attacks.suite import all_attacks, try_reopened
from lab.attacks.victim import Victim
from tests.lab.attacked import assert_nothing_gets_through

ATTACKS = all_attacks()

pytestmark = pytest.mark.slow


def test_nothing_gets_through_the_server_that_attacks_share():
    assert_nothing_gets_through([attack for attack in ATTACKS if not attack.needs_own_server])


@pytest.mark.nightly
@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_an_attack_finds_its_hole_opened_again(attack: Attack):
    assert try_reopened(attack).through, f"{attack.name} says that it held without its defence"


def test_no_two_attacks_share_a_name():
    names = [attack.name for attack in ATTACKS]
    assert len(names) == len(set(names))


def an_attack(logged: list[int], *, raises: bool = False) -> Attack:
    """A double: while it runs, the server logs requests with those statuses."""

    def run(server: Victim) -> Tried:
        with server.log.open("a") as log:
            log.writelines(json.dumps({"at": "now", "status": status}) + "\n" for status in logged)
        if raises:
            raise KeyError("text")
        return Tried(1)

    return Attack(name="double", title="nothing is lost", run=run, reopen=lambda: None)


@pytest.fixture
def quiet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The log of a server, where a request failed inside before the attack began."""
    monkeypatch.setattr(suite, "LOGS", tmp_path / "attacks")
    log = tmp_path / "server.log"
    log.write_text('{"at": "before", "status": 500}\n')
    return SimpleNamespace(log=log)


@pytest.mark.parametrize(("logged", "failed"), [([200, 503, 504, 422], 0), ([200, 500, 500, 502], 3)])
def test_a_request_that_fails_inside_got_through_and_the_log_stays(quiet: Any, logged: list[int], failed: int):
    outcome = suite.try_and_keep_log(an_attack(logged), quiet)
    kept = suite.LOGS / "double.log"
    assert outcome.through == ((f"{failed} requests failed inside; the server's log is {kept}",) if failed else ())
    assert kept.exists() == bool(failed)


def test_the_log_stays_when_an_attack_breaks(quiet: Any):
    with pytest.raises(KeyError):
        suite.try_and_keep_log(an_attack([500], raises=True), quiet)
    assert (suite.LOGS / "double.log").read_bytes() == quiet.log.read_bytes()
