"""The switches file: what it keeps, who sees it, and what a broken one means."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from foundation.clock import SystemClock
from foundation.errors import InvalidRequest, NotFound, Stopped
from foundation.stops import Stops, parse


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
    stops.add("tenant", "north", by="ola", why="their data are being moved")
    with pytest.raises(Stopped, match=r'All work for the tenant "north" was stopped by ola at 20.*: their data are'):
        other.demand("tenant", "north")
    other.demand("tenant", "south")
    other.demand("effects")


def test_lifting_lets_it_work_again(stops: Stops) -> None:
    stops.add("model", "m-1", by="ola", why="")
    stops.add("effects", by="ola", why="")
    stops.lift("model", "m-1")
    stops.demand("model", "m-1")
    assert [str(one) for one in stops.list()] == ["effects"]
    with pytest.raises(NotFound, match=r'"model:m-1" is not stopped\. Found: effects'):
        stops.lift("model", "m-1")


@pytest.mark.parametrize("kind", ["effects", "tenant", "model"])
def test_all_stops_everything(stops: Stops, kind: str) -> None:
    stops.add("all", by="ola", why="")
    with pytest.raises(Stopped, match="Everything was stopped"):
        stops.demand(kind, "x")  # type: ignore[arg-type]


def test_whoever_stopped_it_first_stands(stops: Stops) -> None:
    stops.add("effects", by="ola", why="first")
    assert stops.add("effects", by="per", why="second").by == "ola"
    assert len(stops.list()) == 1


@pytest.mark.parametrize("content", ["", "{", "[1]", '[{"kind": "effects"}]', '{"a": 1}'])
def test_a_broken_file_stops_everything_and_says_so(stops: Stops, content: str) -> None:
    stops.path.write_text(content)
    with pytest.raises(Stopped, match=r"stops\.json cannot be read .*nothing is done"):
        stops.demand("model", "m-1")


def test_many_writers_lose_nothing(stops: Stops) -> None:
    def add(number: int) -> None:
        Stops(stops.path, SystemClock()).add("tenant", f"t{number}", by="ola", why="")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(24)))
    assert len(stops.list()) == 24
    assert {entry["name"] for entry in json.loads(stops.path.read_text())} == {f"t{number}" for number in range(24)}


def test_a_write_that_was_cut_off_leaves_the_old_file(stops: Stops) -> None:
    stops.add("effects", by="ola", why="")
    stops.path.with_suffix(".new").write_text("{")
    os.utime(stops.path)
    assert len(stops.list()) == 1


@pytest.mark.parametrize("what", ["", "effect", "tenant", "tenant:", "effects:now", "models:m"])
def test_what_cannot_be_stopped_is_told(what: str) -> None:
    with pytest.raises(InvalidRequest, match=r"names nothing that can be stopped\. Found: all, effects"):
        parse(what)


def test_a_name_may_hold_colons() -> None:
    assert parse("model:vendor:model-1") == ("model", "vendor:model-1")
