"""What servers of tools gave to people, in the records that replicas share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from pydantic import SecretStr

from extensions.outside_tools.tokens import FILE, STORE, SignInStore
from extensions.postgres.records import Options, SharedRecords
from foundation.stores.registry import Person
from foundation.types import Principal
from tests import services

ADA, BEN = (Principal(name, "north", frozenset({"agent"})) for name in ("ada", "ben"))


@pytest.fixture
def records(tmp_path: Path) -> Iterator[SharedRecords]:
    chosen = services.options("postgres", tmp_path)
    with closing(SharedRecords(Options(dsn=SecretStr(chosen["dsn"]), namespace=chosen["namespace"]))) as shared:
        yield shared


def test_what_one_replica_keeps_another_reads_replaces_forgets_and_erases(
    records: SharedRecords, tmp_path: Path
) -> None:
    first, second = (SignInStore(tmp_path / name, "mail", "a long secret text", records) for name in ("one", "two"))
    for person in (ADA, BEN):
        first.put(person, {"token": "old"})
    second.put(ADA, {"token": "new"})
    assert (first.get(ADA), first.get(BEN)) == ({"token": "new"}, {"token": "old"})
    first.forget(BEN)
    assert second.get(BEN) == {}

    first.keep_listing([{"name": "whose_mail"}])
    second.keep_listing([{"name": "another"}])
    assert first.listing() == second.listing() == [{"name": "whose_mail"}]

    assert STORE.erase_now(tmp_path / "three", Person(tenant="north", subject="ada"), records) == 1
    assert first.get(ADA) == {}
    assert STORE.file == FILE
