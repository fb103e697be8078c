"""A source kept in step: what is taken in, what goes, what a broken pass leaves, and what a question sees after a right is gone."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random
from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from extensions.sources.contract import CursorLost, Listed, Page, Readers
from extensions.sources.plug import Sources
from extensions.sources.recheck import THREADS
from extensions.sources.state import STORES
from extensions.sources.sync import SyncReport
from foundation.components import Context
from foundation.errors import UpstreamDown
from foundation.settings import Section
from foundation.types import Principal, Scope
from orchestration.requests import AnswerRequest
from orchestration.run import answering
from retrieval.documents import Source
from retrieval.ingest.preparation import Item
from serving.cli import main
from serving.settings import load
from serving.wiring import System, open_system
from tests.doubles import stacks

STAFF, HR = Scope("north", frozenset({"staff"})), Scope("north", frozenset({"hr"}))
MORE = """
[sources]
{more}
[[sources.connections]]
name = "desk"
tenant = "north"
source = {{ use = "tests.extensions.sources.test_sync:build" }}
groups = {{ "all@desk.example" = "staff", "hr@desk.example" = "hr" }}
"""
TWO = """
[sources]
every_s = 3600
rights_max_age_s = 0
recheck_timeout_s = 0.05
[[sources.connections]]
name = "silent"
tenant = "north"
source = { use = "tests.extensions.sources.test_sync:build", number = 1 }
[[sources.connections]]
name = "desk"
tenant = "north"
source = { use = "tests.extensions.sources.test_sync:build" }
groups = { "all@desk.example" = "staff" }
"""
EVERYONE, PEOPLE = frozenset({"all@desk.example"}), frozenset({"hr@desk.example"})


class Desk:
    """A double of a source, which a test changes."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}
        self.rights: dict[str, Readers] = {}
        self.away = False
        self.lost_cursor = ""
        self.break_after: int | None = None
        self.read_keys: list[str] = []
        self.most = 0
        self.asked = 0
        self.page_size = 3

    def put(self, name: str, text: str, readers: Readers = EVERYONE) -> None:
        self.texts[name], self.rights[name] = text, readers

    def remove(self, name: str) -> None:
        del self.texts[name], self.rights[name]

    def page(self, cursor: str) -> Page:
        self._demand()
        if cursor and cursor == self.lost_cursor:
            self.lost_cursor = ""
            raise CursorLost
        if self.break_after is not None:
            if self.break_after == 0:
                raise UpstreamDown("The desk is gone in the middle of its listing.")
            self.break_after -= 1
        here = [name for name in sorted(self.texts) if name > cursor]
        objects = [
            Listed(name, name, str(hash(self.texts[name])), self.rights[name]) for name in here[: self.page_size]
        ]
        return Page(objects, here[self.page_size - 1] if len(here) > self.page_size else "")

    def read(self, key: str, most: int) -> bytes | None:
        self._demand()
        self.read_keys.append(key)
        self.most = most
        return self.texts[key].encode()[:most] if key in self.texts else None

    def readers(self, keys: Collection[str]) -> Mapping[str, Readers]:
        self._demand()
        self.asked += 1
        return {key: self.rights[key] for key in keys if key in self.rights}

    def close(self) -> None: ...

    def _demand(self) -> None:
        if self.away:
            raise UpstreamDown("The desk is away.")


THE_DESK: list[Desk] = []


class Options(Section):
    number: int = 0


def build(options: Options, context: Context) -> Desk:
    del context
    return THE_DESK[options.number]


@pytest.fixture
def desk() -> Iterator[Desk]:
    THE_DESK.append(Desk())
    yield THE_DESK[-1]
    THE_DESK.clear()


Open = Callable[..., Any]


@pytest.fixture
def opened(tmp_path: Path, desk: Desk) -> Open:
    """Open a system whose only source is the desk."""
    del desk

    @contextmanager
    def open_it(more: str = "") -> Iterator[System]:
        with open_system(load(stacks.stack(tmp_path, MORE.format(more=more), extensions=["sources"]))) as system:
            yield system

    return open_it


def sync(system: System) -> SyncReport:
    return system.hooks.service(Sources).sync_of("desk", system).run()


def found(system: System, question: str, scope: Scope) -> set[str]:
    return {hit.source.uri for hit in system.retriever.retrieve(question, scope)}


def test_what_is_new_changed_renamed_and_gone_is_so_here_and_nothing_else_is_read(desk: Desk, opened: Open) -> None:
    for name, text in (
        ("a.md", "Leave is ten days."),
        ("b.md", "Lunch is at noon."),
        ("c.md", "Cats are welcome."),
        ("d.md", "Doors close late."),
    ):
        desk.put(name, text)
    with opened() as system:
        assert (sync(system).added, desk.read_keys) == (4, ["a.md", "b.md", "c.md", "d.md"])
        desk.read_keys.clear()
        desk.put("a.md", "Leave is twelve days.")
        desk.put("e.md", desk.texts["b.md"])
        desk.remove("b.md")
        report = sync(system)
        assert (report.added, report.replaced, report.unchanged, report.removed) == (1, 1, 2, 1)
        assert desk.read_keys == ["a.md", "e.md"]
        assert found(system, "leave lunch cats doors", STAFF) == {"desk/a.md", "desk/c.md", "desk/d.md", "desk/e.md"}
        desk.read_keys.clear()
        assert (sync(system).unchanged, desk.read_keys) == (4, [])


def test_what_somebody_wrote_over_or_deleted_here_is_the_sources_again_after_a_pass(desk: Desk, opened: Open) -> None:
    for name in ("a.md", "b.md", "c.md"):
        desk.put(name, f"Leave of {name} is ten days.")
    with opened() as system:
        sync(system)
        forged = Item(Source("desk/a.md", "north", frozenset({"staff"})), b"Leave is a hundred days.", "a.md")
        assert system.retrieval.ingestor.ingest([forged]).replaced == 1
        system.retrieval.ingestor.delete("desk/b.md", "north", scope=None)
        desk.read_keys.clear()
        report = sync(system)
        assert (report.replaced, report.added, report.unchanged, desk.read_keys) == (1, 1, 1, ["a.md", "b.md"])
        hits = system.retriever.retrieve("leave days", STAFF)
        assert {hit.chunk.text for hit in hits} == set(desk.texts.values())
        assert sync(system).unchanged == 3


def test_who_may_read_there_may_read_here_and_nobody_else(desk: Desk, opened: Open) -> None:
    desk.put("all.md", "Leave is ten days.", None)
    desk.put("pay.md", "Pay of leave is secret.", PEOPLE)
    desk.put("board.md", "Leave of the board.", frozenset({"board@desk.example"}))
    with opened() as system:
        report = sync(system)
        assert (report.added, report.for_nobody) == (2, 1)
        assert found(system, "leave", STAFF) == {"desk/all.md"}
        assert found(system, "leave", HR) == {"desk/all.md", "desk/pay.md"}
        assert found(system, "leave", Scope("south", frozenset({"hr"}))) == set()
        assert desk.read_keys == ["all.md", "pay.md"], "what nobody here may read is not even fetched"

        desk.rights["pay.md"], desk.rights["board.md"] = EVERYONE, PEOPLE
        report = sync(system)
        assert (report.rights_changed, report.for_nobody) == (1, 0)
        assert found(system, "leave", STAFF) == {"desk/all.md", "desk/pay.md"}
        assert found(system, "leave", HR) == {"desk/all.md", "desk/board.md"}


def test_a_pass_that_broke_off_goes_on_where_it_was_and_takes_nothing_out_before_its_end(
    desk: Desk, opened: Open
) -> None:
    for number in range(8):
        desk.put(f"{number}.md", f"Rule {number}.")
    with opened() as system:
        sync(system)
        desk.remove("0.md")
        for number in range(1, 8):
            desk.put(f"{number}.md", f"Rule {number}, changed.")
        desk.read_keys.clear()
        desk.break_after = 1
        with pytest.raises(UpstreamDown):
            sync(system)
        assert desk.read_keys == ["1.md", "2.md", "3.md"]
        assert system.retrieval.ledger.document_count() >= 8
    desk.break_after = None
    with opened() as system:
        report = sync(system)
        assert (desk.read_keys[3:], report.removed) == (["4.md", "5.md", "6.md", "7.md"], 1)
        assert found(system, "Rule changed", STAFF) == {f"desk/{number}.md" for number in range(1, 8)}


def test_a_cursor_that_the_source_no_longer_knows_begins_the_listing_anew(desk: Desk, opened: Open) -> None:
    for number in range(8):
        desk.put(f"{number}.md", f"Rule {number}.")
    desk.lost_cursor = "5.md"
    with opened() as system:
        assert sync(system).added == 8
        assert sync(system).removed == 0
        assert len(desk.read_keys) == 8


def test_an_outage_takes_nothing_out_and_a_listing_that_is_suddenly_empty_neither(desk: Desk, opened: Open) -> None:
    for number in range(30):
        desk.put(f"{number:02}.md", f"Rule {number}.")
    with opened() as system:
        sync(system)
        desk.away = True
        with pytest.raises(UpstreamDown):
            sync(system)
        desk.away = False
        kept, desk.texts = desk.texts, {}
        report = sync(system)
        assert (report.removed, report.kept_back) == (0, 30)
        assert system.retrieval.ledger.document_count() == 30
        desk.texts = {name: text for name, text in kept.items() if name >= "10.md"}
        report = sync(system)
        assert (report.removed, report.kept_back) == (10, 0)


def test_a_document_that_is_refused_is_told_and_not_read_again_until_it_changes(desk: Desk, opened: Open) -> None:
    desk.put("a.exe", "No parser reads this.")
    with opened() as system:
        assert sync(system).refused[0].startswith("desk/a.exe: ")
        desk.read_keys.clear()
        report = sync(system)
        assert (report.refused, desk.read_keys) == ([], [])
        desk.put("a.exe", "Neither this.")
        assert len(sync(system).refused) == 1


def test_what_is_gone_between_listing_and_reading_is_no_document(
    desk: Desk, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.put("a.md", "One.")
    monkeypatch.setattr(desk, "read", lambda *_: None)
    with opened() as system:
        assert sync(system).added == 0
        monkeypatch.undo()
        assert sync(system).added == 1


def test_a_passage_is_shown_with_the_time_of_its_rights_and_a_citation_says_it(desk: Desk, opened: Open) -> None:
    desk.put("a.md", "A device may be returned within 30 days of the delivery.")
    with opened("rights_max_age_s = 3600") as system:
        sync(system)
        ada = Principal("ada", "north", frozenset({"reader"}), frozenset({"staff"}))
        question = "Within how many days may a device be returned?"
        answer = asyncio.run(answering.answer(system.agent, AnswerRequest(question=question), ada))
        (cited,) = answer.citations
        at = system.hooks.service(Sources).state.known("desk", ["a.md"])["a.md"].rights_at
        assert cited.rights_at == at
        assert desk.asked == 0, "the sync has just said it"


def test_rights_that_are_too_old_are_asked_for_and_what_is_not_confirmed_is_not_shown(desk: Desk, opened: Open) -> None:
    desk.put("a.md", "Leave is ten days.")
    desk.put("b.md", "Leave of others is ten days.", PEOPLE)
    both = replace(STAFF, groups=frozenset({"staff", "hr"}))
    with opened("rights_max_age_s = 0") as system:
        sync(system)
        assert found(system, "leave days", both) == {"desk/a.md", "desk/b.md"}
        desk.rights["b.md"] = EVERYONE
        assert found(system, "leave days", both) == {"desk/a.md", "desk/b.md"}
        desk.rights["a.md"] = PEOPLE
        assert found(system, "leave days", STAFF) == set(), (
            "a.md is no longer theirs, b.md is known as that of others here"
        )
        desk.remove("b.md")
        assert found(system, "leave days", both) == {"desk/a.md"}
        desk.away = True
        assert found(system, "leave days", both) == set(), "what nobody can say of is left out"
        desk.away = False
        assert found(system, "leave days", both) == {"desk/a.md"}


@pytest.mark.parametrize(
    "lie",
    [
        {"b.md": EVERYONE},  # of another document than was asked
        {"a.md": "all@desk.example"},  # a text in place of a list of readers
        {"a.md": 5},
        {"a.md": frozenset({"staff"})},  # a group here, which the source does not name so
        {"a.md": frozenset({("all@desk.example",)})},
        ["a.md"],
        None,
    ],
)
def test_a_source_that_lies_about_rights_shows_nothing_of_its_own_and_breaks_no_question(
    lie: Any, desk: Desk, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.put("a.md", "Leave is ten days.")
    desk.put("b.md", "Leave of others is ten days.", PEOPLE)
    with opened("rights_max_age_s = 0") as system:
        sync(system)
        monkeypatch.setattr(desk, "readers", lambda _: lie)
        assert found(system, "leave days", STAFF) == set()


def test_a_source_that_does_not_answer_in_time_holds_no_question_and_shows_nothing(
    desk: Desk, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.put("a.md", "Leave is ten days.")
    let_go = Event()
    with opened("rights_max_age_s = 0\nrecheck_timeout_s = 0.05") as system:
        sync(system)
        monkeypatch.setattr(desk, "readers", lambda _: let_go.wait(60) and {})
        assert found(system, "leave days", STAFF) == set()
        let_go.set()


@pytest.mark.parametrize("seed", range(3))
def test_whatever_is_revoked_at_whatever_moment_is_never_shown_after_the_bound(
    seed: int, desk: Desk, opened: Open
) -> None:
    """A fuzzer: rights, contents and documents change between searches and syncs; with a bound of no seconds a search shows what is allowed when it ends."""
    random, names = Random(seed), [f"{number}.md" for number in range(6)]
    people = {"staff": EVERYONE, "hr": PEOPLE}
    with opened("rights_max_age_s = 0") as system:
        shown = 0
        for _ in range(60):
            name, group = random.choice(names), random.choice(list(people))
            act = random.randrange(5)
            if act == 0:
                desk.put(name, f"Leave rule {random.random()}.", people[group])
            elif act == 1 and name in desk.texts:
                desk.remove(name)
            elif act == 2 and name in desk.rights:
                desk.rights[name] = people[group]
            elif act == 3:
                sync(system)
            for asker, readers in people.items():
                for uri in found(system, "leave rule", Scope("north", frozenset({asker}))):
                    allowed = desk.rights.get(uri.removeprefix("desk/"))
                    assert allowed == readers, f"{uri} was shown to {asker}"
                    shown += 1
        assert shown, "it also shows something"


def test_of_what_is_too_long_no_more_is_read_and_it_is_refused(desk: Desk, opened: Open) -> None:
    desk.put("film.md", "x" * 500)
    desk.put("long-enough.md", "x" * 100)
    with opened() as system:
        report = replace(system.hooks.service(Sources).sync_of("desk", system), max_bytes=100).run()
    assert (desk.most, report.added, len(report.refused)) == (101, 1, 1)
    assert "film.md" in report.refused[0]
    assert "more than 100 bytes" in report.refused[0]


async def test_a_source_that_never_answers_keeps_no_other_from_being_followed_and_asked(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent, let_go, listed = Desk(), Event(), Event()
    THE_DESK.append(silent)
    silent.put("quiet.md", "Leave is nine days.", None)
    desk.put("a.md", "Leave is ten days.")
    list_desk = desk.page

    def list_and_tell(cursor: str) -> Page:
        page = list_desk(cursor)
        listed.set()
        return page

    monkeypatch.setattr(desk, "page", list_and_tell)
    with open_system(load(stacks.stack(tmp_path, TWO, extensions=["sources"]))) as system:
        sources = system.hooks.service(Sources)
        sources.sync_of("silent", system).run()
        monkeypatch.setattr(silent, "page", lambda _: let_go.wait(60) and Page([]))
        monkeypatch.setattr(silent, "readers", lambda _: let_go.wait(60) and {})
        runtime: Any = SimpleNamespace(system=system)
        async with AsyncExitStack() as open_ones:
            for lifespan in system.hooks.lifespans:
                await open_ones.enter_async_context(lifespan(runtime))
            assert await asyncio.to_thread(listed.wait, 30), "the other one is listed all the same"
            sources.threads["desk"].submit(lambda: None).result(30)  # its pass has ended
            try:
                for _ in range(2 * THREADS):
                    assert found(system, "leave days", STAFF) == {"desk/a.md"}
            finally:
                let_go.set()


async def test_a_source_that_fails_as_nobody_foresaw_is_followed_on_and_nothing_of_it_is_shown(
    desk: Desk, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.put("a.md", "Leave is ten days.")
    list_desk, passes, twice = desk.page, iter((True, False)), Event()

    def fail_once(cursor: str) -> Page:
        if next(passes, False):
            raise ValueError("This is no listing.")
        twice.set()
        return list_desk(cursor)

    def fail(_: Collection[str]) -> Mapping[str, Readers]:
        raise ValueError("This is no list of readers.")

    monkeypatch.setattr(desk, "page", fail_once)
    monkeypatch.setattr(asyncio, "sleep", partial(asyncio.sleep, 0))
    with opened("every_s = 1\nrights_max_age_s = 0") as system:
        async with AsyncExitStack() as open_ones:
            for lifespan in system.hooks.lifespans:
                await open_ones.enter_async_context(lifespan(SimpleNamespace(system=system)))
            assert await asyncio.to_thread(twice.wait, 30), "the pass after the failed one"
        monkeypatch.undo()
        sync(system)
        assert found(system, "leave days", STAFF) == {"desk/a.md"}
        monkeypatch.setattr(desk, "readers", fail)
        assert found(system, "leave days", STAFF) == set()


def test_every_file_that_is_kept_of_sources_is_some_stores() -> None:
    for file in ("sources.sqlite", "sources.sqlite-wal", "sources/1f.git/HEAD", "sources/1f.git/objects/0a/2f09"):
        assert any(store.claims(Path(file)) for store in STORES), f"erase does not know {file}"


def test_the_command_says_what_it_did_and_fails_where_a_source_is_away(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = stacks.stack(tmp_path, MORE.format(more=""), extensions=["sources"])
    monkeypatch.setenv("SIXPLY_STACK", str(path))
    desk.put("a.md", "Leave is ten days.")

    def run(*arguments: str) -> tuple[int, dict[str, Any]]:
        out = tmp_path / "out.json"
        done = CliRunner().invoke(main.app, ["sync", "--json", str(out), "--stack", str(path), *arguments])
        return done.exit_code, json.loads(out.read_text()) if out.exists() else {}

    code, told = run()
    assert (code, told["sources"][0]["added"], told["failed"]) == (0, 1, {})
    desk.away = True
    code, told = run("--name", "desk")
    assert (code, told["sources"]) == (1, [])
    assert "away" in told["failed"]["desk"]
    done = CliRunner().invoke(main.app, ["sync", "--name", "dsk", "--stack", str(path)])
    assert 'There is no source "dsk"' in str(done.exception)


def test_off_again_nothing_is_asked_and_the_documents_stay(desk: Desk, opened: Open, tmp_path: Path) -> None:
    desk.put("a.md", "Leave is ten days.")
    with opened("rights_max_age_s = 0") as system:
        sync(system)
    desk.away = True
    with open_system(load(stacks.stack(tmp_path))) as system:
        (hit,) = system.retriever.retrieve("leave days", STAFF)
        assert (hit.source.uri, hit.rights_at) == ("desk/a.md", None)
