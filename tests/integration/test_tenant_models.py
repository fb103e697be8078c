"""A tenant with a chat model of its own, beside the others: two providers, one system."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from foundation import names
from foundation.errors import Conflict, InvalidSetting, SixplyError, Stopped
from foundation.types import EVERY_TENANT, Principal
from orchestration.effects.records import Record
from orchestration.events import Answer
from orchestration.requests import AnswerRequest
from orchestration.run.answering import answer
from retrieval.documents import Source
from retrieval.ingest.preparation import Item
from serving.api.conversations import require_conversations
from serving.settings import load
from serving.wiring import System, open_system
from tests.doubles.provider import FaultyProvider, calls, ok, strict

STACK = """
[foundation]
data_dir = "{data}"
[models.chat]
use = "openai_compatible"
model = "for-all"
api_key = "a key for tests"
base_url = "{everybody}/v1"
profile = {{ tool_calling = false }}
[models.tenants.north.chat]
model = "of-the-north"
base_url = "{north}/v1"
profile = {{ tool_calling = true }}
[models.resilience]
attempts = 1
[models.embedder]
use = "hashing"
[models.prices]
use = "genai"
[models.prices.stated]
for-all = {{ input = 1.0, output = 10.0 }}
of-the-north = {{ input = 10.0, output = 100.0 }}
[retrieval.vectors]
use = "memory"
[retrieval.grounding]
min_evidence = 0.0
answered_from = 0.0
[orchestration.policy.tenants."*"]
models = ["for-all", "hashing", "none"]
[orchestration.policy.tenants.north]
models = ["of-the-north", "hashing", "none"]
"""
TEXT = b"# Parcels\n\nA parcel may weigh at most 30 kilograms. Parcels wait for 7 days."
SENTENCE = "A parcel may weigh at most 30 kilograms [1]."
QUESTION = "How many kilograms may a parcel weigh at most?"
ANA, NORA = (
    Principal(subject, tenant, frozenset({"agent"})) for subject, tenant in (("ana", "south"), ("nora", "north"))
)

Opened = Callable[..., AbstractContextManager[tuple[System, FaultyProvider, FaultyProvider]]]


@pytest.fixture
def opened(tmp_path: Path) -> Opened:
    """The system, the provider of all others and that of the north, which is asked to search first."""

    @contextmanager
    def opening(more: str = "", rounds: int = 1) -> Iterator[tuple[System, FaultyProvider, FaultyProvider]]:
        north = [strict(calls("search_documents", query="weight of a parcel")), strict(ok(SENTENCE))] * rounds
        with FaultyProvider(strict(ok(SENTENCE))) as everybody, FaultyProvider(*north) as of_the_north:
            stack = STACK.format(data=tmp_path / "var", everybody=everybody.url, north=of_the_north.url)
            (tmp_path / "stack.toml").write_text(stack + more, encoding="utf-8")
            with open_system(load(tmp_path / "stack.toml")) as system:
                system.retrieval.ingestor.ingest_one(
                    Item(Source("parcels.md", EVERY_TENANT), TEXT, "parcels.md"), scope=None
                )
                yield system, everybody, of_the_north

    return opening


async def ask(system: System, person: Principal, question: str = QUESTION) -> Answer:
    return await answer(system.agent, AnswerRequest(question=question), person)


def models_asked(provider: FaultyProvider) -> set[str]:
    return {body["model"] for _, _, body in provider.requests}


async def test_each_tenant_is_answered_by_its_model_at_its_price_and_the_books_name_it(opened: Opened) -> None:
    records: list[Record] = []

    async def keep(record: Record) -> None:
        records.append(record)

    with opened() as (system, everybody, north):
        system.hooks.recorders.append(keep)
        theirs, ours = await ask(system, ANA), await ask(system, NORA)
        system.observability.telemetry.flush()
        bills = {each.trace_id: system.observability.costs.of_trace(each.trace_id or "") for each in (theirs, ours)}
        spans = system.observability.spans.trace(ours.trace_id or "")
    assert (models_asked(everybody), models_asked(north)) == ({"for-all"}, {"of-the-north"})
    assert ours.text == SENTENCE
    assert "30 kilograms" in theirs.text
    assert ours.cached is None, "what another model wrote is not given again"
    of = {
        each.trace_id: [charge for charge in bills[each.trace_id] if charge.kind == "chat"] for each in (theirs, ours)
    }
    assert [(charge.model, charge.usd) for charge in of[theirs.trace_id]] == [("for-all", Decimal("0.000023"))]
    assert [(charge.model, charge.usd) for charge in of[ours.trace_id]] == [("of-the-north", Decimal("0.00023"))] * 2
    requested = {span.attribute(names.REQUEST_MODEL) for span in spans} - {None}
    assert "of-the-north" in requested
    assert "for-all" not in requested
    recorded = {(record.tenant, record.model) for record in records}
    assert recorded == {("south", "127.0.0.1/for-all"), ("north", "127.0.0.1/of-the-north")}


async def test_what_an_agent_does_follows_from_the_model_of_the_tenant(opened: Opened) -> None:
    with opened() as (system, everybody, north):
        theirs, ours = await ask(system, ANA), await ask(system, NORA)
    assert "search_documents" in json.dumps(north.requests[0][2]["tools"]), "the tool-calling agent"
    assert "tools" not in everybody.requests[0][2], "another agent, as its model calls no tools"
    assert [step.name for step in theirs.steps] != [step.name for step in ours.steps]


async def test_two_tenants_at_once_never_mix(opened: Opened) -> None:
    questions = [f"{QUESTION} This is request {number}." for number in range(6)]
    with opened(rounds=1) as (system, everybody, north):
        north.behaviours = [strict(ok(SENTENCE))]
        given = await asyncio.gather(
            *(
                ask(system, person, f"{question} Asked by {person.subject}.")
                for question in questions
                for person in (ANA, NORA)
            )
        )
    assert {each.status for each in given} <= {"answered", "abstained"}
    for provider, subject, other in ((everybody, "ana", "nora"), (north, "nora", "ana")):
        texts = [json.dumps(body) for _, _, body in provider.requests]
        assert len(texts) >= len(questions)
        assert all(f"Asked by {subject}" in text and f"Asked by {other}" not in text for text in texts)
    assert models_asked(north) == {"of-the-north"}


async def test_a_conversation_goes_on_with_the_model_of_its_tenant_and_is_read_named_and_deleted_there(
    opened: Opened,
) -> None:
    with opened(rounds=2) as (system, _, _):
        first = await ask(system, NORA)
        await answer(system.agent, AnswerRequest(question=QUESTION, thread_id=first.thread_id), NORA)
        store = require_conversations(cast("Any", SimpleNamespace(system=system)), NORA)
        assert [turn.text for turn in await store.turns(first.thread_id, NORA)] == [SENTENCE, SENTENCE]
        assert [each.thread_id for each in await store.all(NORA)] == [first.thread_id]
        assert await store.all(ANA) == []
        named = await store.change(first.thread_id, NORA, title="Weights", pinned=True)
        assert (named.title, named.pinned) == ("Weights", True)
        with store.claim(first.thread_id), pytest.raises(Conflict):
            await answer(system.agent, AnswerRequest(question=QUESTION, thread_id=first.thread_id), NORA)
        await store.delete(first.thread_id, NORA)
        assert await store.all(NORA) == []


async def test_a_stopped_model_stops_its_tenant_alone(opened: Opened) -> None:
    with opened() as (system, everybody, north):

        def refuse(kind: str, name: str = "") -> None:
            if (kind, name) == ("model", "of-the-north"):
                raise Stopped("of-the-north was stopped for a test.")

        system.hooks.guards.append(refuse)
        with pytest.raises(SixplyError, match="of-the-north"):
            await ask(system, NORA)
        assert (await ask(system, ANA)).status == "answered"
    assert (north.requests, len(everybody.requests)) == ([], 1)


async def test_the_budget_of_the_tenant_holds(opened: Opened) -> None:
    with opened("[orchestration.budget.tenants.north]\nusd = 0.0\n") as (system, _, north):
        ours, theirs = await ask(system, NORA), await ask(system, ANA)
    assert (ours.stop_reason, north.requests) == ("budget", [])
    assert theirs.stop_reason == "complete"


def test_a_tenant_whose_own_model_the_policy_forbids_stops_the_start(opened: Opened, tmp_path: Path) -> None:
    with opened() as (system, _, _):
        stack = (tmp_path / "stack.toml").read_text()
        (tmp_path / "stack.toml").write_text(
            stack.replace('["of-the-north", "hashing", "none"]', '["for-all", "hashing", "none"]')
        )
        del system
    with (
        pytest.raises(InvalidSetting, match=r'The tenant "north" may not use the model of-the-north'),
        open_system(load(tmp_path / "stack.toml")),
    ):
        pass


def test_without_use_a_tenants_model_stands_over_the_one_for_all(opened: Opened, tmp_path: Path) -> None:
    with opened():
        settings = load(tmp_path / "stack.toml").settings.models
    own = settings.tenants["north"].chat
    assert (own.use, own.options["model"]) == ("openai_compatible", "of-the-north")
    assert own.options["api_key"].get_secret_value() == "a key for tests"
    assert "a key for tests" not in repr(settings)
