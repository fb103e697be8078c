"""The switches file: what it keeps, who sees it, and what a broken one means."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from extensions.kill_switches.stops import RESERVE, Stops, parse
from foundation.clock import SystemClock
from foundation.errors import InvalidRequest, NotFound, Stopped, StorageFull


@pytest.fixture
def stops(tmp_path: Path) -> Stops:
    return Stops(tmp_path / "stops.json", SystemClock())


def test_nothing_is_stopped_where_nobody_stopped_anything(stops: Stops) -> None:
    assert stops.list() == ()
    stops.demand("effects")
    stops.demand("tenant", "north")


def test_a_stop_says_who_when_and_why_and_holds_in_other_processes(stops: Stops) -> None:
    """A second object has read the file before, as another process would have."""
    other = Stops(stops.path, SystemClock())
    other.demand("tenant", "north")
    stops.add("tenant", "north", by="ola", reason="their data are being moved")
    with pytest.raises(Stopped, match=r'All work for the tenant "north" was stopped by ola at 20.*: their data are'):
        other.demand("tenant", "north")
    other.demand("tenant", "south")
    other.demand("effects")


def test_lifting_lets_it_work_again(stops: Stops) -> None:
    stops.add("model", "m-1", by="ola", reason="")
    stops.add("effects", by="ola", reason="")
    stops.lift("model", "m-1")
    stops.demand("model", "m-1")
    assert [str(one) for one in stops.list()] == ["effects"]
    with pytest.raises(NotFound, match=r'"model:m-1" is not stopped\. Found: effects'):
        stops.lift("model", "m-1")


@pytest.mark.parametrize("kind", ["effects", "tenant", "model"])
def test_all_stops_everything(stops: Stops, kind: str) -> None:
    stops.add("all", by="ola", reason="")
    with pytest.raises(Stopped, match="Everything was stopped"):
        stops.demand(kind, "x")  # type: ignore[arg-type]


def test_whoever_stopped_it_first_stands(stops: Stops) -> None:
    stops.add("effects", by="ola", reason="first")
    assert stops.add("effects", by="per", reason="second").by == "ola"
    assert len(stops.list()) == 1


@pytest.mark.parametrize("content", ["", "{", "[1]", '[{"kind": "effects"}]', '{"a": 1}'])
def test_a_broken_file_stops_everything_and_says_so(stops: Stops, content: str) -> None:
    stops.path.write_text(content)
    with pytest.raises(Stopped, match=r"^stops\.json cannot be read, .*nothing is done"):
        stops.demand("model", "m-1")


def test_many_writers_lose_nothing(stops: Stops) -> None:
    def add(number: int) -> None:
        Stops(stops.path, SystemClock()).add("tenant", f"t{number}", by="ola", reason="")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(24)))
    assert len(stops.list()) == 24
    assert {entry["name"] for entry in json.loads(stops.path.read_text())} == {f"t{number}" for number in range(24)}


def test_a_write_that_was_cut_off_leaves_the_old_file(stops: Stops) -> None:
    stops.add("effects", by="ola", reason="")
    stops.path.with_suffix(".new").write_text("{")
    os.utime(stops.path)
    assert len(stops.list()) == 1


@pytest.mark.parametrize("what", ["", "effect", "tenant", "tenant:", "effects:now", "models:m"])
def test_what_cannot_be_stopped_is_told(what: str) -> None:
    with pytest.raises(InvalidRequest, match=r"names nothing that can be stopped\. Found: all, effects"):
        parse(what)


def test_a_name_may_hold_colons() -> None:
    assert parse("model:vendor:model-1") == ("model", "vendor:model-1")


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """No file can be made any more; the function makes room again. Writing over what is there goes on, as on a real one."""
    really = os.open

    def no_room(path: Any, flags: int, *more: Any, **named: Any) -> int:
        if flags & os.O_EXCL:
            raise OSError(errno.ENOSPC, "No space left on device")
        return really(path, flags, *more, **named)

    monkeypatch.setattr(os, "open", no_room)
    return monkeypatch.undo


def test_on_a_full_disk_a_stop_is_written_into_the_room_that_is_kept_and_other_processes_see_it(
    stops: Stops, request: pytest.FixtureRequest
) -> None:
    stops.reserve()
    assert stops.path.stat().st_size == RESERVE
    make_room = request.getfixturevalue("full_disk")
    other = Stops(stops.path, SystemClock())
    other.demand("tenant", "north")
    for number in range(100):
        stops.add("tenant", f"t{number}", by="ola", reason="a reason of some length, as they are")
    assert not stops.pending
    with pytest.raises(Stopped):
        other.demand("tenant", "t99")
    stops.lift("tenant", "t99")
    other.demand("tenant", "t99")
    make_room()
    stops.add("all", by="ola", reason="")
    assert len(other.list()) == 100
    assert stops.path.stat().st_size == RESERVE


def test_what_cannot_be_written_is_in_force_here_and_written_when_there_is_room(
    stops: Stops, full_disk: Callable[[], None]
) -> None:
    other = Stops(stops.path, SystemClock())
    assert stops.add("tenant", "north", by="ola", reason="a leak").reason == "a leak"
    assert stops.pending
    with pytest.raises(Stopped, match="a leak"):
        stops.demand("tenant", "north")
    other.demand("tenant", "north")
    assert not stops.write_pending()
    assert stops.lift("tenant", "north").name == "north", "what is only in memory is lifted there"
    stops.demand("tenant", "north")
    stops.add("tenant", "north", by="ola", reason="again")
    full_disk()
    assert isinstance(stops.unwritten, StorageFull)
    assert stops.write_pending()
    assert not stops.pending
    assert stops.unwritten is None
    with pytest.raises(Stopped, match="again"):
        other.demand("tenant", "north")


def test_a_read_only_folder_lets_a_stop_hold_in_memory(stops: Stops, monkeypatch: pytest.MonkeyPatch) -> None:
    def read_only(*_: object, **__: object) -> int:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(os, "open", read_only)
    stops.reserve()  # logged, and no reason not to start
    stops.add("all", by="ola", reason="")
    assert stops.pending
    assert not isinstance(stops.unwritten, StorageFull)
    assert "mounted read-only" in str(stops.unwritten)
    assert "space" not in str(stops.unwritten)
    with pytest.raises(Stopped):
        stops.demand("effects")


def test_a_stop_before_a_file_that_cannot_be_read_is_not_forgotten(stops: Stops) -> None:
    stops.path.write_text("{")
    with pytest.raises(Stopped, match="cannot be read"):
        stops.add("tenant", "north", by="ola", reason="a leak")
    stops.path.write_text("[]")
    with pytest.raises(Stopped, match="a leak"):
        stops.demand("tenant", "north")
