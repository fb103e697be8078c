"""The link that shares a conversation: what it opens, for whom, and until when."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from extensions.page.sharing import read_shared, share
from foundation.errors import NotFound
from orchestration.requests import AnswerRequest
from orchestration.run.answering import answer
from tests.doubles.orchestration import AGENTS, NORTH, READER, SOUTH, World

HOURS = "When does the counter open?"


@pytest.fixture(params=[(checkpoints, agents) for checkpoints in ("sqlite", "memory") for agents in AGENTS])
async def world(data_dir: Path, request: pytest.FixtureRequest) -> AsyncIterator[World]:
    checkpoints, agents = request.param
    made = World(data_dir, checkpoints=checkpoints, agents=agents)
    yield made
    made.close()


async def test_a_code_opens_a_conversation_in_its_tenant_up_to_what_was_shared_until_it_is_taken_back(
    world: World,
) -> None:
    agent = world.agent()
    store = agent.conversations  # type: ignore[attr-defined]
    first = await answer(agent, AnswerRequest(question=HOURS), NORTH)
    assert (await share(store, first.thread_id, NORTH, "c-1")).shared
    await answer(agent, AnswerRequest(question="And when does it close?", thread_id=first.thread_id), NORTH)
    ((asker, turn),) = await read_shared(store, "c-1", READER)
    assert (asker.subject, asker.groups, turn.answer_id) == (NORTH.subject, NORTH.groups, first.answer_id)
    for code, reader in (("c-1", SOUTH), ("", READER), ("c-2", READER)):
        with pytest.raises(NotFound, match="opens no conversation"):
            await read_shared(store, code, reader)
    with pytest.raises(NotFound):
        await share(store, first.thread_id, READER, "c-2")
    await share(store, first.thread_id, NORTH, "c-3")
    assert len(await read_shared(store, "c-3", READER)) == 2
    assert not (await share(store, first.thread_id, NORTH, "")).shared
    for code in ("c-1", "c-3"):
        with pytest.raises(NotFound, match="opens no conversation"):
            await read_shared(store, code, READER)
