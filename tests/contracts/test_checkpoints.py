"""The promises of a checkpointer, on every adapter in orchestration/checkpoints and on broken ones.

LangGraph's own conformance suite says whether it stores rightly; the checks here say what it does not: any event loop,
only plain data read back, nothing lost at a restart.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, TypedDict

import pytest
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.conformance import checkpointer_test, validate
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, interrupt

from foundation.components import Context, load
from foundation.errors import StoreUnavailable
from tests import services
from tests.contracts import bad_line, under_test
from tests.contracts.broken import checkpoints as broken

SECTION = "orchestration.checkpoints"
LASTING = [name for name in under_test.adapters(SECTION) if name != "memory"]
"""Adapters that must survive the process."""

Saver = BaseCheckpointSaver[Any]
Open = Callable[[], Saver]
Check = Callable[[Open], Awaitable[None]]


class Counted(TypedDict, total=False):
    count: int
    word: str


def _graph(saver: Saver) -> Any:
    async def add(state: Counted) -> Counted:
        return {"count": state.get("count", 0) + 1}

    async def ask(state: Counted) -> Counted:
        del state
        return {"word": interrupt("which word?")}

    graph = StateGraph(Counted)
    graph.add_node("add", add)
    graph.add_node("ask", ask)
    graph.add_edge(START, "add")
    graph.add_edge("add", "ask")
    graph.add_edge("ask", END)
    return graph.compile(checkpointer=saver)


def _thread(name: str) -> Any:
    return {"configurable": {"thread_id": name}}


async def a_run_goes_on_where_it_waited(open_saver: Open) -> None:
    graph = _graph(open_saver())
    await graph.ainvoke({"count": 0}, _thread("a"), durability="sync")
    done = await graph.ainvoke(Command(resume="wharf"), _thread("a"), durability="sync")
    assert done == {"count": 1, "word": "wharf"}


async def threads_do_not_meet(open_saver: Open) -> None:
    graph = _graph(open_saver())
    await graph.ainvoke({"count": 5}, _thread("a"), durability="sync")
    assert (await graph.aget_state(_thread("b"))).values == {}


async def it_serves_one_event_loop_after_another(open_saver: Open) -> None:
    """A command line runs a loop a command, an API another; the part is built once."""
    graph = _graph(open_saver())

    def in_a_loop_of_its_own(given: Any) -> Any:
        return asyncio.run(graph.ainvoke(given, _thread("a"), durability="sync"))

    await asyncio.to_thread(in_a_loop_of_its_own, {"count": 1})
    done = await asyncio.to_thread(in_a_loop_of_its_own, Command(resume="quay"))
    assert done == {"count": 2, "word": "quay"}


async def an_unknown_type_in_the_store_is_data_and_not_imported(open_saver: Open) -> None:
    """A crafted checkpoint must not make us import and call what it names (CVE-2026-28277)."""
    saver = open_saver()
    permissive = JsonPlusSerializer(allowed_msgpack_modules=True)
    crafted = permissive.dumps_typed({"canary": broken.Canary("alive")})
    broken.Canary.born.clear()
    restored = saver.serde.loads_typed(crafted)
    assert broken.Canary.born == []
    assert not isinstance(restored["canary"], broken.Canary)


async def pickles_are_refused(open_saver: Open) -> None:
    with pytest.raises(NotImplementedError):
        open_saver().serde.loads_typed(("pickle", b"cos\nsystem\n."))


async def a_written_checkpoint_is_there_for_the_next_process(open_saver: Open) -> None:
    first = open_saver()
    await _graph(first).ainvoke({"count": 7}, _thread("a"), durability="sync")
    snapshot = await _graph(open_saver()).aget_state(_thread("a"))
    assert snapshot.values == {"count": 8}
    assert snapshot.next == ("ask",)


async def a_deleted_thread_is_gone(open_saver: Open) -> None:
    saver = open_saver()
    await _graph(saver).ainvoke({"count": 1}, _thread("a"), durability="sync")
    await saver.adelete_thread("a")
    assert await saver.aget_tuple(_thread("a")) is None


async def the_first_checkpoint_written_again_changes_its_metadata_alone(open_saver: Open) -> None:
    """So a conversation is named: the name is found by a filter, and the run goes on where it was."""
    saver = open_saver()
    graph = _graph(saver)
    await graph.ainvoke({"count": 3}, _thread("a"), durability="sync")
    before = [entry async for entry in saver.alist(_thread("a"))]
    place: Any = {"configurable": {"thread_id": "a", "checkpoint_ns": ""}}
    metadata: Any = {**before[-1].metadata, "title": "Piers", "pinned": True}
    await saver.aput(place, before[-1].checkpoint, metadata, {})
    found = [entry async for entry in saver.alist(None, filter={"title": "Piers", "step": -1})]
    assert [(it.config["configurable"]["thread_id"], it.metadata.get("pinned")) for it in found] == [("a", True)]
    after = [entry async for entry in saver.alist(_thread("a"))]
    assert [it.checkpoint for it in after] == [it.checkpoint for it in before]
    done = await graph.ainvoke(Command(resume="wharf"), _thread("a"), durability="sync")
    assert done == {"count": 4, "word": "wharf"}


async def any_text_comes_back_as_it_was(open_saver: Open) -> None:
    """Of a person, or of a document that somebody uploaded."""
    text = 'U+0000: \0, U+FFFF: \uffff, 漢字 🙂, \\u0000 "quoted"'
    graph = _graph(open_saver())
    await graph.ainvoke({"count": 0}, _thread(f"thread {text[8]}"), durability="sync")
    done = await graph.ainvoke(Command(resume=text), _thread(f"thread {text[8]}"), durability="sync")
    assert done["word"] == text
    assert (await graph.aget_state(_thread(f"thread {text[8]}"))).values["word"] == text


async def conversations_side_by_side_keep_their_own(open_saver: Open) -> None:
    graph = _graph(open_saver())

    async def converse(number: int) -> Any:
        await graph.ainvoke({"count": number}, _thread(f"t{number}"), durability="sync")
        return await graph.ainvoke(Command(resume=f"w{number}"), _thread(f"t{number}"), durability="sync")

    done = await asyncio.gather(*(converse(number) for number in range(8)))
    assert done == [{"count": number + 1, "word": f"w{number}"} for number in range(8)]


CHECKS: list[Check] = [
    any_text_comes_back_as_it_was,
    conversations_side_by_side_keep_their_own,
    a_run_goes_on_where_it_waited,
    threads_do_not_meet,
    it_serves_one_event_loop_after_another,
    an_unknown_type_in_the_store_is_data_and_not_imported,
    pickles_are_refused,
    the_first_checkpoint_written_again_changes_its_metadata_alone,
    a_deleted_thread_is_gone,
]


@pytest.fixture
def opener(data_dir: Path) -> Callable[[Callable[[Path], Saver]], Open]:
    def with_make(make: Callable[[Path], Saver]) -> Open:
        return lambda: make(data_dir)

    return with_make


def _adapter(name: str) -> Callable[[Path], Saver]:
    def make(folder: Path) -> Saver:
        part = under_test.part(SECTION, name, **services.options(name, folder))
        saver: Saver = load(SECTION, part, Context(data_dir=folder), expected=BaseCheckpointSaver)
        _OPENED.append(saver)
        return saver

    return make


_OPENED: list[Saver] = []


@pytest.fixture(autouse=True)
def _closed() -> Any:
    yield
    while _OPENED:
        close = getattr(_OPENED.pop(), "close", None)
        if close:
            close()


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", under_test.adapters(SECTION))
async def test_an_adapter_keeps(name: str, check: Check, watched: under_test.Watch, opener: Any) -> None:
    await check(opener(lambda folder: watched(SECTION, _adapter(name)(folder))))


@pytest.mark.parametrize("name", LASTING)
async def test_a_lasting_adapter_survives_its_process(name: str, opener: Any) -> None:
    await a_written_checkpoint_is_there_for_the_next_process(opener(_adapter(name)))


@pytest.mark.parametrize("name", under_test.adapters(SECTION))
async def test_langgraphs_conformance_suite_passes(name: str, tmp_path: Path) -> None:
    numbers = iter(range(1000))

    @checkpointer_test(name=name)
    async def fresh() -> AsyncIterator[Saver]:
        yield _adapter(name)(tmp_path / str(next(numbers)))

    report = await validate(fresh)
    assert report.passed_all_base(), report.to_dict()


@pytest.mark.parametrize("name", LASTING)
async def test_a_closed_store_is_an_error_that_says_so(name: str, data_dir: Path) -> None:
    saver: Any = _adapter(name)(data_dir)
    saver.close()
    saver.close()
    with pytest.raises(StoreUnavailable, match="closed") as caught:
        await saver.aget_tuple(_thread("a"))
    assert caught.value.__cause__ is not None


@pytest.mark.parametrize("name", [name for name in ("sqlite",) if name in LASTING])
def test_a_damaged_file_is_told_of_at_the_start(name: str, data_dir: Path) -> None:
    (data_dir / "checkpoints.sqlite").write_bytes(b"no database at all" * 100)
    with pytest.raises(StoreUnavailable, match=r"checkpoints\.sqlite is damaged"):
        load(SECTION, under_test.part(SECTION, name), Context(data_dir=data_dir))


@pytest.mark.parametrize("name", [name for name in ("postgres",) if name in LASTING])
async def test_a_server_that_falls_silent_is_given_up_and_used_again(name: str, data_dir: Path) -> None:
    with bad_line.to_server(name, data_dir) as (line, options):
        saver: Any = load(SECTION, under_test.part(SECTION, name, **options), Context(data_dir=data_dir))
        await _graph(saver).ainvoke({"count": 1}, _thread("a"), durability="sync")
        line.silence()
        with pytest.raises(StoreUnavailable) as caught:
            await saver.aget_tuple(_thread("a"))
        assert caught.value.__cause__ is not None
        line.heal()
        bad_line.until(lambda: saver.get_tuple(_thread("a")) is not None)
        saver.close()


@pytest.mark.parametrize("check", [*CHECKS, a_written_checkpoint_is_there_for_the_next_process])
async def test_the_double_that_the_broken_ones_spoil_is_itself_sound(check: Check, opener: Any) -> None:
    def make(folder: Path) -> Saver:
        _OPENED.append(broken.Healthy(folder / "sound.sqlite"))
        return _OPENED[-1]

    await check(opener(make))


@pytest.mark.parametrize(
    ("fault", "caught_by"), broken.BROKEN.items(), ids=lambda value: getattr(value, "__name__", "")
)
async def test_a_broken_checkpointer_is_caught(fault: Callable[[Path], Saver], caught_by: str, opener: Any) -> None:
    checks = [*CHECKS, a_written_checkpoint_is_there_for_the_next_process]
    check = next(check for check in checks if check.__name__ == caught_by)
    made: list[Saver] = []

    def make(folder: Path) -> Saver:
        made.append(fault(folder))
        _OPENED.append(made[-1])
        return made[-1]

    with pytest.raises((AssertionError, RuntimeError, NotImplementedError, pytest.fail.Exception)):
        await check(opener(make))
