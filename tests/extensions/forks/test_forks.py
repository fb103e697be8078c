"""A conversation goes on from an earlier answer as a copy: the original stays, and nothing that was done is done again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from langchain_core.messages import HumanMessage, ToolMessage

from extensions.forks.forking import fork_conversation
from foundation.errors import Conflict, NotFound
from orchestration.actions import Decision
from orchestration.events import Answer, Conversation
from orchestration.memory.conversations import SHARED, SHARED_UNTIL
from orchestration.requests import AnswerRequest
from orchestration.settings import PolicySettings
from serving.access.identity import KeyStore
from serving.server import running
from serving.settings import load
from serving.wiring import open_system
from tests.doubles.orchestration import LEAD, NORTH, POLICY, READER, World
from tests.doubles.stacks import CLERK, stack
from tests.doubles.strong import calls, strong
from tests.integration.test_api import assert_problem

SEND = ("send_parcel", {"parcel_id": "P-124", "reason": "urgent"})
EFFECTS = ("send_parcel", "burn_parcel")


@pytest.fixture
def world(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[World]:
    at_once = PolicySettings(roles=POLICY.roles, effects_without_approval=("send_parcel",))
    world = World(tmp_path, checkpoints=getattr(request, "param", "sqlite"), policy=at_once)
    yield world
    world.close()


async def ask(agent: Any, question: str, thread_id: str | None = None) -> Answer:
    request = AnswerRequest(question=question, thread_id=thread_id)
    answer = [event async for event in agent.stream(request, NORTH)][-1].answer
    assert answer is not None
    return answer


async def fork(world: World, agent: Any, thread_id: str, after: str | None, who: Any = NORTH) -> Conversation:
    return await fork_conversation(agent.conversations, thread_id, who, after=after, effects=EFFECTS, clock=world.clock)


@pytest.mark.parametrize("world", ["sqlite", "memory"], indirect=True)
async def test_a_copy_goes_on_from_an_earlier_answer_and_the_original_stays(world: World) -> None:
    world.chat = strong("One.", "Two.", "Three.", "Another two.")
    agent: Any = world.agent()
    first = await ask(agent, "Count to one.")
    await ask(agent, "And to two.", first.thread_id)
    await ask(agent, "And to three.", first.thread_id)
    await agent.conversations.change(first.thread_id, NORTH, title="Counting", pinned=True)
    await agent.conversations.label(first.thread_id, NORTH, {SHARED: "a mark", SHARED_UNTIL: first.answer_id})
    copy = await fork(world, agent, first.thread_id, first.answer_id)
    listed = {it.thread_id: (it.title, it.pinned, it.shared) for it in await agent.conversations.all(NORTH)}
    assert listed[copy.thread_id] == ("Counting", False, False), "a link opens what was shared, and no copy"
    other = await ask(agent, "And otherwise?", copy.thread_id)
    assert other.thread_id == copy.thread_id != first.thread_id
    assert [turn.text for turn in await agent.conversations.turns(copy.thread_id, NORTH)] == ["One.", "Another two."]
    assert [turn.text for turn in await agent.conversations.turns(first.thread_id, NORTH)] == ["One.", "Two.", "Three."]
    seen = [message.text for message in world.chat.seen[-1]]
    assert "Count to one." in seen
    assert "And to two." not in seen
    assert {it.thread_id for it in await agent.conversations.all(NORTH)} == {first.thread_id, copy.thread_id}


async def test_what_was_done_after_it_is_told_and_an_equal_call_is_not_made_again(world: World) -> None:
    world.chat = strong("What for?", calls(SEND), "It is sent.", calls(SEND), "It had been sent already.")
    agent: Any = world.agent()
    first = await ask(agent, "Hello!")
    await ask(agent, "Please send parcel P-124, it is urgent.", first.thread_id)
    assert [parcel for parcel, _ in world.depot.sent] == ["P-124"]
    copy = await fork(world, agent, first.thread_id, first.answer_id)
    again = await ask(agent, "Now send parcel P-124, urgent!", copy.thread_id)
    assert (again.status, again.text) == ("answered", "It had been sent already.")
    assert [parcel for parcel, _ in world.depot.sent] == ["P-124"], "done once"
    (note,) = [m.text for m in world.chat.seen[3] if isinstance(m, HumanMessage) and "went back" in m.text]
    assert "send_parcel: Parcel P-124 has been sent." in note
    (told,) = [message.text for message in world.chat.seen[4] if isinstance(message, ToolMessage)]
    assert "Parcel P-124 has been sent." in told


async def test_what_waits_beside_is_asked_for_once_and_stays_when_the_copy_is_deleted(world: World) -> None:
    burn = ("burn_parcel", {"parcel_id": "P-124"})
    world.chat = strong(calls(burn), "It waits.", calls(burn), "It was burnt.")
    agent: Any = world.agent()
    waiting = await ask(agent, "Burn parcel P-124.")
    with pytest.raises(Conflict, match="is waiting"):
        await fork(world, agent, waiting.thread_id, None)
    beside = await ask(agent, "And meanwhile?", waiting.thread_id)
    copy = await fork(world, agent, waiting.thread_id, beside.answer_id)
    again = await ask(agent, "Burn it, I said.", copy.thread_id)
    assert waiting.approval is not None
    assert again.approval is not None
    assert again.approval.approval_id == waiting.approval.approval_id, "not asked for twice"
    await agent.conversations.delete(copy.thread_id, NORTH)
    assert len(await world.approvals.pending("north")) == 1
    decided = Decision(approval_id=waiting.approval.approval_id, approve=True)
    answer = [event async for event in agent.resume(decided, LEAD)][-1].answer
    assert answer is not None
    assert (answer.thread_id, answer.text) == (waiting.thread_id, "It was burnt.")
    assert [parcel for parcel, _ in world.depot.sent] == ["P-124"]


async def test_somebody_elses_and_one_without_that_answer_are_not_found(world: World) -> None:
    world.chat = strong("One.")
    agent: Any = world.agent()
    first = await ask(agent, "Count to one.")
    with pytest.raises(NotFound):
        await fork(world, agent, first.thread_id, None, READER)
    with pytest.raises(NotFound, match=first.answer_id):
        await fork(world, agent, first.thread_id, "a-77")


def test_over_the_api(tmp_path: Path) -> None:
    with _served(tmp_path, extensions=["forks"]) as api:
        asked = api.post("/v1/answers", json={"question": "How heavy may a parcel be?"}).json()
        made = api.post(f"/v1/conversations/{asked['thread_id']}/fork", json={"after": asked["answer_id"]})
        assert made.status_code == 201, made.text
        copy = made.json()["thread_id"]
        api.post("/v1/answers", json={"question": "And a letter?", "thread_id": copy})
        turns = api.get(f"/v1/conversations/{copy}").json()["turns"]
        assert [turn["question"] for turn in turns] == ["How heavy may a parcel be?", "And a letter?"]
        assert len(api.get(f"/v1/conversations/{asked['thread_id']}").json()["turns"]) == 1
        assert_problem(api.post("/v1/conversations/t-77/fork", json={}), 404, "not_found")


def test_off_there_is_no_route(tmp_path: Path) -> None:
    with _served(tmp_path) as api:
        reply = api.post("/v1/conversations/t-77/fork", json={})
        assert "There is no /v1/conversations/t-77/fork here" in reply.json()["detail"]


@contextmanager
def _served(folder: Path, **options: Any) -> Iterator[httpx2.Client]:
    with open_system(load(stack(folder, chat=CLERK, **options))) as system:
        key = KeyStore.of(system.settings, system.context.clock).create(subject="ada", tenant="north", roles=["reader"])
        headers = {"Authorization": f"Bearer {key}"}
        with running(system) as url, httpx2.Client(base_url=url, headers=headers, timeout=60, trust_env=False) as api:
            yield api
