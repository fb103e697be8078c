"""Nothing gets through a server that one attack has for itself: a file of its own, so that a second worker takes it."""

from __future__ import annotations

import pytest

from lab.attacks.suite import all_attacks
from tests.lab.attacked import assert_nothing_gets_through

pytestmark = pytest.mark.slow


def test_nothing_gets_through_a_server_of_its_own():
    assert_nothing_gets_through([attack for attack in all_attacks() if attack.needs_own_server])
