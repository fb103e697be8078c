"""Kill switches: from the next step of any work on, whatever is under way."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk

from extensions.development.scripted_chat import ScriptedChat
from extensions.kill_switches import stopping
from extensions.kill_switches.stopping import StoppableAgent, tend_records
from extensions.kill_switches.stops import Stops
from foundation.clock import SystemClock
from foundation.errors import Stopped, StorageFull, StoreUnavailable
from models.pricing import identity
from models.resilience.resilient_chat import FALLBACK, resilient
from models.settings import ResilienceSettings
from orchestration.actions import Decision
from orchestration.effects.records import Record
from orchestration.events import Answer
from orchestration.requests import AnswerRequest
from orchestration.run.answering import answer, resume
from serving.app import create_app
from tests.doubles import serving
from tests.doubles.orchestration import LEAD, NORTH, SOUTH, World

SEND = AnswerRequest(question="Please send parcel P-123 now")
NOTHING: dict[str, list[str]] = {"stops": [], "notes": []}
FIND = AnswerRequest(question="Where is parcel P-123?")


@pytest.fixture
async def world(data_dir: Path) -> AsyncIterator[World]:
    made = World(data_dir)
    made.stops = Stops(data_dir / "stops.json", made.clock)
    yield made
    made.close()


def decision_on(waiting: Answer) -> Decision:
    assert waiting.approval is not None
    return Decision(approval_id=waiting.approval.approval_id, approve=True)


async def test_effects_are_stopped_and_reading_goes_on(world: World) -> None:
    agent = world.agent()
    world.stops.add("effects", by="ola", reason="refunds go out twice")
    refused = await answer(agent, SEND, NORTH)
    assert "refunds go out twice" in refused.text
    assert refused.approval is None
    assert (await answer(agent, FIND, NORTH)).status == "answered"
    assert world.depot.sent == []
    (record,) = [record for record in world.records if record.tool == "send_parcel"]
    assert (record.outcome, record.reason) == ("denied", "stopped")


async def test_what_waits_cannot_be_approved_meanwhile_and_is_not_lost(world: World) -> None:
    agent = world.agent()
    waiting = await answer(agent, SEND, NORTH)
    world.stops.add("effects", by="ola", reason="")
    with pytest.raises(Stopped):
        await resume(agent, decision_on(waiting), LEAD)
    assert world.depot.sent == []
    world.stops.lift("effects")
    assert (await resume(agent, decision_on(waiting), LEAD)).status == "answered"
    assert len(world.depot.sent) == 1


async def test_an_effect_that_was_checked_already_is_stopped_at_the_last_moment(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = world.agent()
    waiting = await answer(agent, SEND, NORTH)
    begin = world.effects.begin

    async def stopped_meanwhile(*given: Any) -> Any:
        world.stops.add("effects", by="ola", reason="")
        return await begin(*given)

    monkeypatch.setattr(world.effects, "begin", stopped_meanwhile)
    assert "Nothing was done" in (await resume(agent, decision_on(waiting), LEAD)).text
    assert world.depot.sent == []


async def test_a_tenant_is_stopped_and_the_others_go_on(world: World) -> None:
    agent = StoppableAgent(world.agent(), world.stops)
    world.stops.add("tenant", "north", by="ola", reason="their contract ended")
    with pytest.raises(Stopped, match="their contract ended"):
        await answer(agent, FIND, NORTH)
    assert (await answer(agent, FIND, SOUTH)).status == "answered"


async def test_a_run_under_way_ends_with_an_error_event(world: World) -> None:
    agent = StoppableAgent(world.agent(), world.stops)
    events = []
    async for event in agent.stream(FIND, NORTH):
        events.append(event)
        world.stops.add("tenant", "north", by="ola", reason="")
    assert events[-1].kind == "error"
    assert events[-1].code == "stopped"
    assert len(events) == 2


async def test_a_model_that_is_writing_for_a_stopped_tenant_is_left_at_once_and_paid(world: World) -> None:
    said, left = asyncio.Event(), asyncio.Event()

    class Silent(ScriptedChat):
        """A double that says one word and no more."""

        async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
            try:
                yield ChatGenerationChunk(message=AIMessageChunk(content="word "))
                said.set()
                await asyncio.sleep(600)
            finally:
                left.set()

    world.chat = Silent()
    agent = StoppableAgent(world.agent("quoting"), world.stops)
    request = AnswerRequest(question="How many kilograms may a parcel weigh at most?", compose="generative")
    asked = asyncio.create_task(answer(agent, request, NORTH))
    await asyncio.wait_for(said.wait(), 60)
    world.stops.add("tenant", "north", by="ola", reason="")
    with pytest.raises(Stopped):
        await asked
    assert left.is_set()
    assert "chat" in {charge.kind for charge in world.till.charges}


def _chat(stops: Stops, *models: ScriptedChat) -> Any:
    return resilient(
        models[0], models[1:], ResilienceSettings(), SystemClock(), lambda name: stops.demand("model", name)
    )


class StandIn(ScriptedChat):
    """Another double, with a name of its own."""

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> Any:
        return {**super()._get_ls_params(stop, **kwargs), "ls_model_name": "stand-in (test double)"}


async def test_a_stopped_model_is_not_called_and_a_fallback_answers(world: World) -> None:
    first, second = ScriptedChat(replies=("one",)), StandIn(replies=("two",))
    assert identity(first)[1] != identity(second)[1]
    world.stops.add("model", identity(first)[1], by="ola", reason="")
    reply = await _chat(world.stops, first, second).ainvoke("x")
    assert reply.text == "two"
    assert reply.response_metadata[FALLBACK]
    assert first.seen == []
    with pytest.raises(Stopped, match="was stopped by ola"):
        await _chat(world.stops, first).ainvoke("x")


async def test_a_model_is_stopped_in_the_middle_of_a_stream(world: World) -> None:
    model = ScriptedChat(replies=("one two three four five",))
    seen = []

    async def read() -> None:
        async for chunk in _chat(world.stops, model).astream("x"):
            seen.append(chunk.text)
            world.stops.add("model", identity(model)[1], by="ola", reason="")

    with pytest.raises(Stopped):
        await asyncio.wait_for(read(), 60)
    assert "five" not in "".join(seen)


@pytest.fixture
async def given(tmp_path: Path) -> AsyncIterator[tuple[serving.World, httpx2.AsyncClient]]:
    made = serving.world(tmp_path, extensions=("kill_switches",))
    transport = httpx2.ASGITransport(create_app(made.system))
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        yield made, client


async def test_an_operator_stops_and_lifts_over_the_api(given: tuple[serving.World, httpx2.AsyncClient]) -> None:
    world, api = given

    def key(of: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {of}"}

    stopped = await api.put("/v1/stops/tenant:north", json={"reason": "an audit"}, headers=key(world.operator))
    assert [one["reason"] for one in stopped.json()["stops"]] == ["an audit"]
    refused = await api.get("/v1/documents", headers=key(world.reader))
    assert (refused.status_code, refused.json()["code"], refused.json()["retryable"]) == (503, "stopped", False)
    assert "an audit" in refused.json()["detail"]
    assert (await api.get("/v1/documents", headers=key(world.stranger))).status_code == 200
    assert (await api.put("/v1/stops/all", json={"reason": "x"}, headers=key(world.reader))).status_code == 403
    assert (await api.put("/v1/stops/nonsense", json={"reason": "x"}, headers=key(world.operator))).status_code == 422
    assert (await api.delete("/v1/stops/tenant:north", headers=key(world.operator))).json() == NOTHING
    assert (await api.delete("/v1/stops/tenant:north", headers=key(world.operator))).status_code == 404
    assert (await api.get("/v1/documents", headers=key(world.reader))).status_code == 200
    assert [(record.act, record.outcome, record.subject) for record in world.system.records] == [
        ("stop", "stopped", "operator@north"),
        ("stop", "lifted", "operator@north"),
    ]


async def test_a_stop_without_room_for_its_record_holds_and_the_record_follows(
    given: tuple[serving.World, httpx2.AsyncClient],
) -> None:
    world, api = given
    headers, recorders = {"Authorization": f"Bearer {world.operator}"}, world.system.hooks.recorders

    async def full(_: Record) -> None:
        raise StorageFull("No room for /secret/audit.sqlite.")

    recorders.append(full)
    stopped = await api.put("/v1/stops/tenant:south", json={"reason": "a leak"}, headers=headers)
    assert (stopped.status_code, len(stopped.json()["stops"])) == (200, 1)
    assert "its record follows" in stopped.json()["notes"][0]
    refused = await api.get("/v1/documents", headers={"Authorization": f"Bearer {world.stranger}"})
    assert refused.json()["code"] == "stopped"
    unlifted = await api.delete("/v1/stops/tenant:south", headers=headers)
    assert (unlifted.status_code, unlifted.json()["code"]) == (503, "storage_full")
    assert "/secret" not in unlifted.text
    recorders.remove(full)
    world.system.records.clear()  # of those that another recorder refused
    async with tend_records(world.system.stops, world.system.orchestration.recorders), asyncio.timeout(60):
        while not world.system.records:  # noqa: ASYNC110 - the record comes from another task
            await asyncio.sleep(0.05)
    (record,) = world.system.records
    assert (record.outcome, record.subject, record.reason) == ("stopped", "operator@north", "a leak")


@pytest.mark.parametrize(
    ("number", "code", "advice"),
    [
        (errno.ENOSPC, "storage_full", "Free some space"),
        (errno.EROFS, "store_unavailable", "Make the data folder writable, or the database answer"),
        (errno.EACCES, "store_unavailable", "Make the data folder writable"),
    ],
)
async def test_a_stop_that_no_other_process_can_be_told_of_is_no_success_holds_here_and_says_what_to_do(
    given: tuple[serving.World, httpx2.AsyncClient],
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    code: str,
    advice: str,
) -> None:
    world, api = given
    headers = {"Authorization": f"Bearer {world.operator}"}

    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(world.system.stops._file, "_replace", refuse)
    monkeypatch.setattr(world.system.stops._file, "_overwrite", lambda _: False)
    stopped = await api.put("/v1/stops/tenant:south", json={"reason": "a leak"}, headers=headers)
    assert (stopped.status_code, stopped.json()["code"]) == (503, code)
    assert "in force in the process that answered" in stopped.json()["detail"]
    assert advice in stopped.json()["detail"]
    assert str(world.system.stops.path.parent) not in stopped.text
    refused = await api.get("/v1/documents", headers={"Authorization": f"Bearer {world.stranger}"})
    assert refused.json()["code"] == "stopped"
    monkeypatch.undo()
    assert (await api.put("/v1/stops/tenant:south", json={"reason": "x"}, headers=headers)).json()["notes"] == []
    assert [stop.reason for stop in Stops(world.system.stops.path, SystemClock()).list()] == ["a leak"]


async def test_who_stops_something_is_answered_while_a_frozen_database_is_silent(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stopping, "TELLING_S", 0.01)
    answers, write = threading.Event(), world.stops.write_pending
    monkeypatch.setattr(world.stops, "write_pending", lambda: answers.wait(60) and write())
    with pytest.raises(StoreUnavailable) as told:
        await stopping.stop(world.stops, world.recorders, "effects", "", by="ola", reason="frozen")
    assert "in force in the process that answered" in told.value.public
    assert [stop.reason for stop in world.stops.list()] == ["frozen"]
    assert world.stops.pending
    answers.set()
    async with asyncio.timeout(60):
        while world.stops.pending or world.stops.unrecorded:  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.01)
    assert [stop.reason for stop in Stops(world.stops.path, world.clock).list()] == ["frozen"]
