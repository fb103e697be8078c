"""Cheaper models first: what their answers are taken for, why a question goes up, and what the bill says."""

from __future__ import annotations

import shutil
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import pytest

from extensions.cascade.cascade import CascadeAgent, why_up
from extensions.cascade.samples import DIFFER, SampledAgent
from extensions.development.hashing_embedder import HashingEmbedder
from extensions.development.scripted_chat import ScriptedChat
from foundation.components import load as load_part
from foundation.settings import Part
from foundation.types import Principal, Usage
from models.contract import ScoringParts
from orchestration.events import Answer, Charge, Event, Status
from orchestration.requests import AnswerRequest
from orchestration.run.answering import answer
from orchestration.run.state import charges_of_all
from retrieval.documents import Source
from retrieval.ingest.preparation import Item
from serving.settings import load
from serving.wiring import System, open_system
from tests.doubles import answers
from tests.doubles.provider import Behaviour, FaultyProvider, calls, metered, ok, strict
from tests.doubles.stacks import stack

ROOT = Path(__file__).resolve().parents[3]
STRONG = """
use = "openai_compatible"
model = "a-strong-one"
api_key = "a key for tests"
base_url = "{url}/v1"
profile = {{ tool_calling = true, max_input_tokens = 100000 }}
"""
MORE = """
[models.resilience]
attempts = 1
[models.prices]
use = "genai"
stated = {{ "a-cheap-one" = {{ input = 0.5, output = 5.0 }}, "a-strong-one" = {{ input = 1.0, output = 10.0 }}, "scripted (test double)" = {{ input = 1.0, output = 1.0 }} }}
[orchestration]
policy_file = "policy.toml"
[orchestration.answers]
compose = "{compose}"
[[orchestration.tools]]
use = "tests.doubles.desk:build"
[orchestration.agent]
use = "cascade"
up_below = {up_below}
cheaper = [{cheaper}]
agent = {{ use = "auto", without_tools = {without_tools} }}
"""
QUOTING = '{ use = "quoting", writes = false }'
WRITING = '{ use = "quoting", writes = true }'
SCRIPTED = '{ use = "scripted" }'
CHEAP = "scripted (test double)"
TENANT = "alder-clinics"
ANA = Principal("ana", TENANT, frozenset({"agent"}))
TEXT = b"# Parcels\n\nA parcel may weigh at most 30 kilograms."
QUESTION = "How heavy may a parcel be at most?"


@contextmanager
def _opened(
    folder: Path,
    *behaviours: Behaviour,
    up_below: float = 0.0,
    compose: str = "extractive",
    own: str = "",
    allowed: str = "",
    cheaper: str = SCRIPTED,
    without_tools: str = QUOTING,
    extensions: Sequence[str] = (),
) -> Iterator[tuple[System, FaultyProvider]]:
    with FaultyProvider(*map(strict, behaviours)) as provider:
        shutil.copy(ROOT / "tests/doubles/policy.toml", folder)
        if allowed:
            with (folder / "policy.toml").open("a") as policy:
                policy.write(f'\n[tenants."{TENANT}"]\ntools = ["*"]\ndata = ["*"]\nmodels = {allowed}\n')
        more = MORE.format(up_below=up_below, compose=compose, cheaper=cheaper, without_tools=without_tools) + own
        more = more.replace("URL", provider.url)
        names = ["feedback", "plots", "value", "cascade", *extensions]
        with open_system(load(stack(folder, more, chat=STRONG.format(url=provider.url), extensions=names))) as system:
            system.retrieval.ingestor.ingest_one(Item(Source("parcels.md", TENANT), TEXT, "parcels.md"), scope=None)
            yield system, provider


async def test_a_trial_that_failed_after_a_paid_call_is_part_of_the_price(tmp_path: Path) -> None:
    cheap = ", ".join(STRONG.format(url="URL").replace("a-strong-one", "a-cheap-one").split("\n")[1:-1])
    asks = [
        calls("refund", order_id="QM-10017", reason="broken"),
        calls("search_documents", query="weight of a parcel"),
    ]
    said = metered("A parcel may weigh at most 30 kilograms [1].", read=100, wrote=10)
    with _opened(tmp_path, *asks, said, cheaper=f"{SCRIPTED}, {{ {cheap} }}", compose="generative") as (system, _):
        given = await answer(system.agent, AnswerRequest(question=QUESTION), ANA)
        charges = system.observability.costs.of_answer(given.answer_id)
    assert given.went_up[-1] == "a-cheap-one: it needs the tool refund"
    (failed,) = [charge for charge in charges if charge.model == "a-cheap-one"]
    assert failed.usd
    assert given.cost_usd == sum(charge.usd or 0 for charge in charges)
    assert given.usage.input_tokens == sum(charge.usage.input_tokens or 0 for charge in charges)


async def test_a_tenant_with_a_model_of_its_own_has_the_cascade_before_it(tmp_path: Path) -> None:
    own = f'[models.tenants."{TENANT}".chat]\nmodel = "the-tenants-own"\n'
    with _opened(tmp_path, ok("You asked about parcels."), own=own) as (system, provider):
        first = await answer(system.agent, AnswerRequest(question=QUESTION), ANA)
        request = AnswerRequest(question="What did I ask?", thread_id=first.thread_id)
        second = await answer(system.agent, request, ANA)
    assert (first.written_by, second.written_by) == (CHEAP, "the-tenants-own")
    assert [sent["model"] for _, _, sent in provider.requests] == ["the-tenants-own"]


async def test_a_tenant_may_forbid_a_cheaper_model(tmp_path: Path) -> None:
    own = f'[models.tenants."{TENANT}".chat]\nmodel = "the-tenants-own"\n'
    said = ok("The documents do not say.")
    with _opened(tmp_path, said, own=own, compose="generative", allowed='["the-*", "hashing", "none"]') as (
        system,
        provider,
    ):
        given = await answer(system.agent, AnswerRequest(question=QUESTION), ANA)
    assert given.written_by == "the-tenants-own"
    assert CHEAP in given.went_up[0]
    assert "may not use the model" in given.went_up[0]
    assert len(provider.requests) == 1


async def test_a_threshold_that_nothing_reaches_sends_everything_up(tmp_path: Path) -> None:
    with _opened(tmp_path, ok("The documents do not say."), up_below=100) as (system, provider):
        given = await answer(system.agent, AnswerRequest(question=QUESTION), ANA)
    assert "is below 100.00" in given.went_up[0]
    assert len(provider.requests) == 1


class _Paid:
    """A double of an agent: each answer costs 0.4 USD and is taken only of the last. Remembers the limit of each request."""

    def __init__(self, status: Status = "abstained") -> None:
        self.status, self.limits = status, list[float | None]()
        self.conversations = self

    async def delete(self, *_: object) -> None: ...

    async def stream(self, request: AnswerRequest, _: Principal) -> AsyncGenerator[Event, None]:
        self.limits.append(request.max_usd)
        charges = charges_of_all.get()
        assert charges is not None
        where: Any = {"tenant": TENANT, "answer_id": None, "trace_id": None, "at": answers.NOW}
        charges.append(Charge(kind="chat", part="double", usd=Decimal("0.4"), basis="stated", **where))
        yield Event(kind="answer", answer=answers.answer(status=self.status))


@pytest.mark.parametrize(("asked", "limits"), [(None, (1.0, 0.6, 0.2)), (0.5, (0.5, 0.1, 0.0)), (9.0, (1.0, 0.6, 0.2))])
async def test_trials_and_answer_share_one_limit_in_usd(asked: float | None, limits: tuple[float, ...]) -> None:
    first, second, last = _Paid(), _Paid(), _Paid("answered")
    agents: Any = {"cheap": first, "middle": second}
    await answer(
        CascadeAgent(agents, "strong", cast("Any", last), most_usd=1.0),
        AnswerRequest(question=QUESTION, max_usd=asked),
        ANA,
    )
    assert (*first.limits, *second.limits, *last.limits) == limits


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"confidence": 0.7}, None),
        ({"confidence": 0.5}, "its confidence of 0.50 is below 0.60"),
        ({"status": "abstained"}, "it found no answer"),
        ({"drafts": ("discarded",)}, "what it wrote is not supported by what it read"),
        ({"degraded": ("the question is not English",)}, "the question is not English"),
        ({"degraded": ("it breaks off",), "stop_reason": "length", "usage": Usage(output_tokens=9)}, "it breaks off"),
        ({"degraded": ("it breaks off",), "stop_reason": "length", "usage": Usage(output_tokens=10)}, None),
    ],
)
def test_why_an_answer_is_not_taken(changes: dict[str, object], reason: str | None) -> None:
    assert why_up(answers.answer(**changes), 0.6, limit=10) == reason


@pytest.mark.parametrize(("band", "reason"), [("answered", None), ("closest", "what it quotes may not answer")])
def test_quotes_are_taken_by_default_where_they_are_told_as_an_answer(band: str, reason: str | None) -> None:
    assert why_up(answers.answer(confidence=0.7, band=band)) == reason


class _Replies:
    """A double of an agent that says its texts in turn, each for a cent."""

    def __init__(self, *texts: str) -> None:
        self.texts, self.asked = [*texts], list[AnswerRequest]()
        self.deleted = list[str]()
        self.conversations = self

    async def delete(self, thread_id: str, _: Principal) -> None:
        self.deleted.append(thread_id)

    async def stream(self, request: AnswerRequest, _: Principal) -> AsyncGenerator[Event, None]:
        self.asked.append(request)
        thread = f"th-{len(self.asked)}"
        said = answers.answer(self.texts.pop(0), thread_id=thread, cost_usd=Decimal("0.01"))
        yield Event(kind="answer", thread_id=thread, answer=said)


async def _sampled(agent: _Replies, *, agree_from: float = 0.9) -> Answer:
    judge = load_part(
        "models.entailment", Part(use="signs"), ScoringParts(data_dir=Path(), embedder=HashingEmbedder(64))
    )
    sampled = SampledAgent(cast("Any", agent), judge, agree_from, why_up)
    return await answer(sampled, AnswerRequest(question=QUESTION, max_usd=0.05), ANA)


@pytest.mark.parametrize(
    ("second", "agrees"),
    [
        ("A parcel may weigh at most 30 kilograms [2].", True),
        ("A parcel may weigh at most 20 kilograms [1].", False),
        ("A parcel may not weigh 30 kilograms [1].", False),
        ("", False),
    ],
)
async def test_what_a_model_writes_is_taken_where_two_samples_say_the_same(second: str, agrees: bool) -> None:
    agent = _Replies("A parcel may weigh at most 30 kilograms [1].", second)
    given = await _sampled(agent)
    assert given.text == "A parcel may weigh at most 30 kilograms [1]."
    assert why_up(given) == (None if agrees else DIFFER)
    assert (given.cost_usd, agent.deleted) == (Decimal("0.02"), ["th-2"])
    assert [request.max_usd for request in agent.asked] == [0.05, 0.04]


async def test_it_is_asked_once_where_nobody_wants_samples_to_agree() -> None:
    agent = _Replies("A parcel may weigh at most 30 kilograms [1].")
    assert why_up(await _sampled(agent, agree_from=0)) is None
    assert len(agent.asked) == 1


async def test_samples_that_differ_go_up_and_quotes_are_asked_for_once(tmp_path: Path) -> None:
    said = ok("The documents do not say.")
    with _opened(
        tmp_path, said, cheaper='{ use = "tests.extensions.cascade.test_cascade:two_minds" }', without_tools=WRITING
    ) as (system, _):
        given = await answer(system.agent, AnswerRequest(question=QUESTION, compose="generative"), ANA)
    assert given.went_up == (f"two minds: {DIFFER}",)
    assert given.written_by == "a-strong-one"


def two_minds() -> ScriptedChat:
    return ScriptedChat(
        model_name="two minds",
        replies=["A parcel may weigh at most 30 kilograms [1].", "A parcel [1]."],
        profile={"tool_calling": False, "max_input_tokens": 8000},
    )
