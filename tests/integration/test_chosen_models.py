"""A person chooses among the models that are offered: two providers, one system, each answer priced by the model that was called."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from decimal import Decimal
from pathlib import Path

import httpx2
import pytest

from foundation.errors import InvalidRequest, InvalidSetting
from foundation.types import EVERY_TENANT, Principal
from models.pricing import identity
from orchestration.actions import Decision
from orchestration.effects.records import Record
from orchestration.events import Answer
from orchestration.requests import AnswerRequest
from orchestration.run.answering import answer
from retrieval.documents import Source
from retrieval.ingest.preparation import Item
from serving.access.identity import KeyStore
from serving.app import create_app
from serving.settings import load
from serving.wiring import System, open_system
from tests.doubles.provider import FaultyProvider, calls, ok

STACK = """
[foundation]
data_dir = "{data}"
[models.chat]
use = "openai_compatible"
model = "usual"
api_key = "a key for tests"
base_url = "{usual}/v1"
profile = {{ tool_calling = true, max_input_tokens = 64000, image_inputs = true }}
[models.choices.large]
model = "the-large-one"
base_url = "{large}/v1"
profile = {{ tool_calling = true, max_input_tokens = 32000 }}
[models.tenants.north.chat]
model = "of-the-north"
[models.resilience]
attempts = 1
[models.embedder]
use = "hashing"
[models.prices.stated]
usual = {{ input = 1.0, output = 10.0 }}
the-large-one = {{ input = 10.0, output = 100.0 }}
[retrieval.vectors]
use = "memory"
[retrieval.grounding]
min_evidence = 0.0
answered_from = 0.0
"""
TEXT = b"# Parcels\n\nA parcel may weigh at most 30 kilograms. Parcels wait for 7 days."
SENTENCE = "A parcel may weigh at most 30 kilograms [1]."
QUESTION = "How many kilograms may a parcel weigh at most?"
ANA, NORA = (Principal(name, tenant, frozenset({"agent"})) for name, tenant in (("ana", "south"), ("nora", "north")))
TURN = (calls("search_documents", query="weight of a parcel"), ok(SENTENCE))

Opened = Callable[..., AbstractContextManager[tuple[System, FaultyProvider, FaultyProvider]]]


@pytest.fixture
def opened(tmp_path: Path) -> Opened:
    """The system, the usual provider and that of the large model."""

    @contextmanager
    def opening(*behaviours: object, more: str = "") -> Iterator[tuple[System, FaultyProvider, FaultyProvider]]:
        with FaultyProvider(*behaviours or TURN) as usual, FaultyProvider(*behaviours or TURN) as large:
            stack = STACK.format(data=tmp_path / "var", usual=usual.url, large=large.url)
            (tmp_path / "stack.toml").write_text(stack + more, encoding="utf-8")
            with open_system(load(tmp_path / "stack.toml")) as system:
                system.retrieval.ingestor.ingest_one(
                    Item(Source("parcels.md", EVERY_TENANT), TEXT, "parcels.md"), scope=None
                )
                yield system, usual, large

    return opening


async def ask(system: System, model: str, person: Principal = ANA, **more: str) -> Answer:
    return await answer(system.agent, AnswerRequest(question=QUESTION, model=model, **more), person)


def models_asked(provider: FaultyProvider) -> set[str]:
    return {body["model"] for _, _, body in provider.requests}


async def test_the_chosen_model_answers_at_its_price_and_the_books_name_it(opened: Opened) -> None:
    records: list[Record] = []

    async def keep(record: Record) -> None:
        records.append(record)

    with opened() as (system, usual, large):
        system.hooks.recorders.append(keep)
        theirs, ours = await ask(system, "large"), await ask(system, "")
        system.observability.telemetry.flush()
        bills = [
            [
                (charge.model, charge.usd)
                for charge in system.observability.costs.of_trace(it.trace_id or "")
                if charge.kind == "chat"
            ]
            for it in (theirs, ours)
        ]
    assert (models_asked(usual), models_asked(large)) == ({"usual"}, {"the-large-one"})
    assert [theirs.text, ours.text] == [SENTENCE, SENTENCE]
    assert [theirs.written_by, ours.written_by] == ["the-large-one", ""]
    assert bills == [[("the-large-one", Decimal("0.00023"))] * 2, [("usual", Decimal("0.000023"))] * 2]
    assert [record.model for record in records if record.act == "answer"] == ["the-large-one", "127.0.0.1/usual"]


async def test_a_conversation_goes_on_with_whichever_model_is_chosen_then(opened: Opened) -> None:
    with opened() as (system, usual, large):
        first = await ask(system, "large")
        again = await ask(system, "", thread_id=first.thread_id)
        sent = json.dumps(usual.requests[0][2]["messages"])
    assert SENTENCE in sent
    assert again.thread_id == first.thread_id
    assert len(large.requests) == 2


async def test_what_is_done_after_an_approval_is_told_by_the_model_that_asked_for_it(opened: Opened) -> None:
    desk = (
        '[[orchestration.tools]]\nuse = "tests.doubles.desk:build"\n[orchestration.policy.roles]\nagent = ["refund"]\n'
    )
    asked = "Refund order QM-10017, it arrived broken."
    refund = calls("refund", order_id="QM-10017", reason="it arrived broken")
    person, lead = (
        Principal(name, "alder-clinics", frozenset({role})) for name, role in (("ana", "agent"), ("lea", "approver"))
    )
    with opened(refund, ok("Done."), more=desk) as (system, usual, large):
        waiting = await answer(system.agent, AnswerRequest(question=asked, model="large"), person)
        assert waiting.approval
        decision = Decision(approval_id=waiting.approval.approval_id, approve=True)
        events = [event async for event in system.agent.resume(decision, lead)]
    assert events[-1].answer
    assert (usual.requests, len(large.requests)) == ([], 2)


async def test_one_that_is_not_offered_is_refused_before_anything_is_called(opened: Opened) -> None:
    with opened() as (system, usual, large):
        with pytest.raises(InvalidRequest, match=r'no model "larg" to choose\. Found: large\. Did you mean "large"\?'):
            await ask(system, "larg")
        with pytest.raises(InvalidRequest, match=r'no model "large" to choose'):
            await ask(system, "large", NORA)  # whose tenant has a model of its own
    assert (usual.requests, large.requests) == ([], [])


def test_an_agent_is_made_for_what_all_of_them_can(opened: Opened) -> None:
    with opened() as (system, _, _):
        assert system.models.chat.profile == {"tool_calling": True, "max_input_tokens": 32000, "image_inputs": False}
        assert identity(system.models.chat)[1] == "usual"


def test_one_that_calls_no_tools_is_not_offered_beside_one_that_does(opened: Opened, tmp_path: Path) -> None:
    more = '[models.choices.small]\nmodel = "s"\nprofile = { tool_calling = false }\n'
    with pytest.raises(InvalidSetting, match=r"\[models.choices.small\] calls no tools"), opened(more=more):
        pass


async def test_it_is_sent_with_the_question_over_the_api(opened: Opened) -> None:
    with opened() as (system, _, large):
        key = KeyStore.of(system.settings, system.context.clock).create(subject="a", tenant="south", roles=["reader"])
        headers = {"Authorization": f"Bearer {key}"}
        app = create_app(system)
        client = httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://127.0.0.1", headers=headers)
        async with app.router.lifespan_context(app), client:
            given = await client.post("/v1/answers", json={"question": QUESTION, "model": "large"})
            refused = await client.post("/v1/answers", json={"question": QUESTION, "model": "huge"})
    assert (given.status_code, given.json()["written_by"]) == (200, "the-large-one")
    assert (refused.status_code, len(large.requests)) == (422, 2)
