"""API keys: what is stored, what is accepted, what a role may do."""

import base64
import errno
import json
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from foundation.clock import SystemClock
from foundation.errors import (
    ConfigurationError,
    InvalidRequest,
    NotFound,
    StorageFull,
    StoreUnavailable,
    Unauthenticated,
)
from orchestration.settings import PolicySettings
from serving.access.identity import PREFIX, KeyStore, check_roles, permissions


@pytest.fixture
def keys(tmp_path: Path) -> KeyStore:
    return KeyStore(tmp_path / "keys.json", SystemClock())


def created(keys: KeyStore, **changes: object) -> str:
    given = {"subject": "ada", "tenant": "north", "roles": ["reader"], "groups": ["board"]} | changes
    return keys.create(**given)


def test_a_created_key_gives_exactly_the_caller_of_its_entry(keys: KeyStore) -> None:
    key = created(keys)
    principal = keys.authenticate(f"Bearer {key}")
    assert (principal.subject, principal.tenant) == ("ada", "north")
    assert principal.roles == {"reader"}
    assert principal.groups == {"board"}


def test_the_file_holds_no_key_and_only_its_owner_may_read_it(keys: KeyStore) -> None:
    key = created(keys)
    assert key.startswith(PREFIX)
    assert key.removeprefix(PREFIX) not in keys.path.read_text()
    assert stat.S_IMODE(keys.path.stat().st_mode) == 0o600


def test_two_keys_of_one_person_differ_and_both_work(keys: KeyStore) -> None:
    first, second = created(keys), created(keys)
    assert first != second
    assert keys.authenticate(f"Bearer {first}") == keys.authenticate(f"Bearer {second}")


@pytest.mark.parametrize(
    "header",
    [None, "", "Bearer", "Bearer ", "Bearer sixply_wrong", "Basic c2l4cGx5", "sixply_x", "Bearer \udc80", "Digest x=y"],
)
def test_anything_but_a_key_in_the_file_is_refused(keys: KeyStore, header: str | None) -> None:
    created(keys)
    with pytest.raises(Unauthenticated):
        keys.authenticate(header)


def test_a_stored_hash_is_no_key(keys: KeyStore) -> None:
    created(keys)
    with pytest.raises(Unauthenticated):
        keys.authenticate(f"Bearer {keys.list()[0].sha256}")


def test_basic_is_taken_only_where_it_is_asked_for(keys: KeyStore) -> None:
    header = "Basic " + base64.b64encode(f"anyone:{created(keys)}".encode()).decode()
    assert keys.authenticate(header, basic=True).subject == "ada"
    with pytest.raises(Unauthenticated):
        keys.authenticate(header)
    with pytest.raises(Unauthenticated):
        keys.authenticate("Basic not-base64!", basic=True)


def test_a_key_made_or_revoked_by_another_process_counts_at_once(keys: KeyStore) -> None:
    created(keys)
    other = KeyStore(keys.path, SystemClock())
    key = created(other, subject="grace")
    assert keys.authenticate(f"Bearer {key}").subject == "grace"
    gone = other.revoke(next(entry.key_id for entry in other.list() if entry.subject == "grace"))
    assert gone.subject == "grace"
    with pytest.raises(Unauthenticated):
        keys.authenticate(f"Bearer {key}")
    assert [entry.subject for entry in keys.list()] == ["ada"]


def test_revoking_an_unknown_key_names_what_there_is(keys: KeyStore) -> None:
    created(keys)
    with pytest.raises(NotFound, match=keys.list()[0].key_id):
        keys.revoke("nonsense")


@pytest.mark.parametrize("changes", [{"tenant": "*"}, {"tenant": " "}, {"subject": ""}, {"roles": []}])
def test_an_entry_that_could_see_everything_or_nothing_is_not_made(keys: KeyStore, changes: dict) -> None:
    with pytest.raises(InvalidRequest):
        created(keys, **changes)
    assert not keys.path.exists()


def test_without_any_key_the_error_names_the_command_that_makes_one(keys: KeyStore) -> None:
    with pytest.raises(ConfigurationError, match="sixply keys add"):
        keys.demand_any()


@pytest.mark.parametrize("content", ["", "{", "[1]", '[{"subject": "ada"}]', '[{"roles": 1, "groups": []}]'])
def test_a_damaged_file_is_an_error_and_never_an_empty_list(keys: KeyStore, content: str) -> None:
    keys.path.write_text(content)
    with pytest.raises(ConfigurationError):
        keys.authenticate("Bearer sixply_x")


def test_an_entry_says_when_it_was_made_by_the_clock_it_was_given(tmp_path: Path) -> None:
    class Fixed(SystemClock):
        def now(self) -> datetime:
            return datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

    keys = KeyStore(tmp_path / "keys.json", Fixed())
    created(keys)
    assert json.loads(keys.path.read_text())[0]["created_at"] == "2026-01-02T03:04:05+00:00"


def test_a_role_that_nobody_knows_is_refused_with_the_nearest_one() -> None:
    policy = PolicySettings(roles={"billing": ("refund",)})
    check_roles(["reader", "billing"], policy)
    with pytest.raises(InvalidRequest, match='Did you mean "operator"'):
        check_roles(["operater"], policy)


def test_who_decides_approvals_is_the_configured_role() -> None:
    assert permissions(PolicySettings(approvers=("boss",)))["decide"] == {"boss"}


def test_a_key_is_revoked_on_a_full_disk(keys: KeyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    key = keys.create(subject="ada", tenant="north", roles=["reader"])
    keys.create(subject="bo", tenant="north", roles=["reader"])

    def no_room(_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(keys._file, "_replace", no_room)
    keys.revoke(keys.digest_of(key)[:12])
    with pytest.raises(Unauthenticated):
        keys.authenticate(f"Bearer {key}")
    assert [entry.subject for entry in KeyStore(keys.path, SystemClock()).list()] == ["bo"]
    with pytest.raises(StorageFull):
        keys.create(subject="cy" * 500, tenant="north", roles=["reader"])
    assert [entry.subject for entry in keys.list()] == ["bo"]


def test_what_a_credential_is_now_is_asked_of_its_entry(keys: KeyStore) -> None:
    key = keys.create(subject="ada", tenant="north", roles=["reader"])
    before = keys.authenticate(f"Bearer {key}")
    assert keys.recheck(before) == before
    content = keys.path.read_text()
    keys.path.unlink()
    with pytest.raises(StoreUnavailable, match="is missing"):
        keys.recheck(before)
    keys.path.write_text("{")
    with pytest.raises(StoreUnavailable, match="is no keys file"):
        keys.recheck(before)
    keys.path.write_text(content)
    keys.revoke(keys.digest_of(key)[:12])
    with pytest.raises(Unauthenticated, match="revoked"):
        keys.recheck(before)


def test_whoever_sends_a_token_hears_that_none_are_taken(keys: KeyStore) -> None:
    with pytest.raises(Unauthenticated, match="takes no tokens"):
        keys.authenticate("Bearer a.b.c")


def test_an_entry_that_says_more_than_a_key_has_is_refused_and_not_passed_over(tmp_path: Path) -> None:
    keys = KeyStore(tmp_path / "keys.json", SystemClock())
    key = keys.create(subject="bo", tenant="north", roles=["reader"])
    (entry,) = json.loads(keys.path.read_text())
    keys.path.write_text(json.dumps([entry | {"expires_at": "2026-01-01"}]))
    with pytest.raises(ConfigurationError):
        KeyStore(keys.path, SystemClock()).authenticate(f"Bearer {key}")
