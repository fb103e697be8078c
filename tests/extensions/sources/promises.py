"""What every connector keeps. A suite of your own has `world`, a fixture that makes and changes objects in your source:

class TestMine(ConnectorPromises):
    @pytest.fixture
    def world(self) -> Iterator[World]: ...
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import suppress

import pytest

from extensions.sources.contract import Connector, CursorLost, Listed
from foundation.errors import UpstreamDown


class World(ABC):
    """A source that is only the test's. Each method returns when the source has done it."""

    connector: Connector
    can_change = True
    """Whether the content of an object can change: that of a mail cannot."""

    @abstractmethod
    def put(self, name: str, text: str) -> None: ...
    @abstractmethod
    def remove(self, name: str) -> None: ...
    @abstractmethod
    def restrict(self, name: str, reader: str) -> str | None:
        """Let only this reader read it; return how the connector calls them, `None` where the source has no rights of its own."""

    @abstractmethod
    def go_away(self) -> None:
        """Until `come_back` nothing can be reached."""

    @abstractmethod
    def come_back(self) -> None: ...


def listed(connector: Connector) -> list[Listed]:
    """Every object of all pages."""
    found, cursor = [], ""
    while True:
        page = connector.page(cursor)
        found += page.objects
        cursor = page.cursor
        if not cursor:
            return found


class ConnectorPromises:
    """Tests of a connector. Pages of two objects are asked for where `small_pages` makes them so."""

    @pytest.fixture
    def world(self) -> World:
        raise NotImplementedError("A suite of promises gives its own world: a fixture of this name that returns one.")

    @pytest.fixture
    def small_pages(self) -> None:
        """Make pages small, so that a few objects fill some."""

    @pytest.mark.usefixtures("small_pages")
    def test_every_object_is_listed_once_over_several_pages(self, world: World) -> None:
        for number in range(5):
            world.put(f"{number}.md", f"Text {number}.")
        found = listed(world.connector)
        assert len(found) == len({it.key for it in found}) == 5
        assert world.connector.page("").cursor, "five objects are more than a page"

    def test_a_listed_object_is_read_as_it_is(self, world: World) -> None:
        world.put("a.md", "Ten days of leave.")
        (one,) = listed(world.connector)
        content = world.connector.read(one.key, 1_000_000)
        assert content is not None
        assert b"Ten days of leave." in content

    def test_of_a_long_object_only_the_beginning_is_read(self, world: World) -> None:
        world.put("a.md", "Ten days of leave." * 100)
        (one,) = listed(world.connector)
        whole, beginning = world.connector.read(one.key, 1_000_000), world.connector.read(one.key, 10)
        assert whole is not None
        assert beginning == whole[:10]

    def test_nothing_that_did_not_change_changes_its_version(self, world: World) -> None:
        world.put("a.md", "One.")
        before = listed(world.connector)
        world.put("b.md", "Two.")
        assert set(before) <= set(listed(world.connector))

    def test_a_change_has_another_version_under_the_same_key(self, world: World) -> None:
        world.put("a.md", "Ten days.")
        (before,) = listed(world.connector)
        if not world.can_change:
            return
        world.put("a.md", "Twelve days of it.")
        (after,) = listed(world.connector)
        assert (after.key, after.name) == (before.key, before.name)
        assert after.version != before.version
        content = world.connector.read(after.key, 1_000_000)
        assert content is not None
        assert b"Twelve days" in content

    def test_what_was_removed_is_not_listed_not_read_and_has_no_readers(self, world: World) -> None:
        world.put("a.md", "One.")
        world.put("b.md", "Two.")
        before = {it.key for it in listed(world.connector)}
        world.remove("a.md")
        (kept,) = listed(world.connector)
        (gone,) = before - {kept.key}
        assert world.connector.read(gone, 1_000_000) is None
        assert set(world.connector.readers([gone, kept.key])) == {kept.key}

    def test_a_right_that_is_taken_away_is_seen_at_once(self, world: World) -> None:
        world.put("a.md", "One.")
        (before,) = listed(world.connector)
        assert world.connector.readers([before.key]) == {before.key: before.readers}
        who = world.restrict("a.md", "ada")
        if who is None:
            return
        readers = world.connector.readers([before.key])[before.key]
        assert readers is not None
        assert who in readers
        assert readers != before.readers
        assert listed(world.connector)[0].readers == readers

    def test_a_source_that_is_away_says_so_and_comes_back(self, world: World) -> None:
        world.put("a.md", "One.")
        (one,) = listed(world.connector)
        world.go_away()
        for ask in (lambda: world.connector.page(""), lambda: world.connector.readers([one.key])):
            with pytest.raises(UpstreamDown):
                ask()
        with suppress(UpstreamDown):
            assert world.connector.read(one.key, 1_000_000), "a copy may answer, and nothing may be called gone"
        world.come_back()
        assert listed(world.connector) == [one]

    def test_a_key_that_was_never_there_is_gone(self, world: World) -> None:
        world.put("a.md", "One.")
        (one,) = listed(world.connector)
        other = one.key.replace("a.md", "b.md") if "a.md" in one.key else f"{one.key}7"
        assert world.connector.read(other, 1_000_000) is None
        assert world.connector.readers([other]) == {}

    @pytest.mark.usefixtures("small_pages")
    def test_a_listing_goes_on_where_it_was_or_says_that_it_cannot(self, world: World) -> None:
        for number in range(5):
            world.put(f"{number}.md", f"Text {number}.")
        first = world.connector.page("")
        world.put("9.md", "Later.")
        found, cursor = [*first.objects], first.cursor
        try:
            while cursor:
                page = world.connector.page(cursor)
                found += page.objects
                cursor = page.cursor
        except CursorLost:
            return
        assert len({it.key for it in found}) >= 5
