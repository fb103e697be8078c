"""The key that a server on loopback makes for this machine while nobody has one: for whom, where it stands, how it ends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from foundation.clock import SystemClock
from foundation.errors import Unauthenticated
from foundation.types import Principal
from serving.access.identity import KeyStore
from serving.access.machine_key import FILE, is_wanted, machine_key
from serving.settings import HttpSettings

OWNER = Principal("ada@terminal", "local", frozenset({"agent"}))


@pytest.fixture
def keys(tmp_path: Path) -> KeyStore:
    return KeyStore(tmp_path / "keys.json", SystemClock())


@pytest.mark.parametrize(
    ("http", "wanted"),
    [
        ({"host": "127.0.0.1"}, True),
        ({"host": "::1"}, True),
        ({"host": "localhost"}, True),
        ({"host": "0.0.0.0"}, False),
        ({"host": "192.168.1.4"}, False),
        ({"host": "ai.example.com"}, False),
        ({"host": "127.0.0.1", "allowed_hosts": ("ai.example.com",)}, False),
    ],
)
def test_only_a_server_that_this_machine_alone_can_reach_makes_one(keys: KeyStore, http: Any, *, wanted: bool) -> None:
    assert is_wanted(keys, HttpSettings(**http), OWNER) is wanted


def test_once_somebody_has_a_key_there_is_none_for_the_machine(keys: KeyStore) -> None:
    keys.create(subject=OWNER.subject, tenant="north", roles=["reader"])  # of a command, whose process was killed
    assert is_wanted(keys, HttpSettings(), OWNER)
    keys.create(subject="bo", tenant="local", roles=["reader"])
    assert not is_wanted(keys, HttpSettings(), OWNER)


def test_it_stands_in_a_file_of_its_owner_alone_and_ends_with_the_server(keys: KeyStore) -> None:
    file = keys.path.with_name(FILE)
    with machine_key(keys, OWNER) as key:
        assert (file.read_text().strip(), file.stat().st_mode & 0o777) == (key, 0o600)
        caller = keys.authenticate(f"Bearer {key}")
        assert (caller.subject, caller.tenant, caller.roles) == (OWNER.subject, OWNER.tenant, OWNER.roles)
    assert not file.exists()
    with pytest.raises(Unauthenticated):
        keys.authenticate(f"Bearer {key}")


def test_that_of_a_killed_server_ends_at_the_next_start(keys: KeyStore) -> None:
    killed = machine_key(keys, OWNER)
    first = killed.__enter__()
    with machine_key(keys, OWNER) as second:
        assert keys.authenticate(f"Bearer {second}")
        with pytest.raises(Unauthenticated):
            keys.authenticate(f"Bearer {first}")
    killed.__exit__(None, None, None)


def test_it_may_be_revoked_by_hand(keys: KeyStore) -> None:
    with machine_key(keys, OWNER):
        keys.revoke(keys.list()[0].key_id)
    assert keys.list() == ()
