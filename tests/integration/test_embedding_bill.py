"""What an embedder behind an address costs: of a question, a search, an ingest. The server is a double on loopback that names
the tokens of each request, as OpenAI's API does.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path

import pytest
import typer

from foundation.errors import DocumentRefused
from foundation.types import Principal, Scope
from observability.reports.layer_bill import layer_bill
from orchestration.events import Answer
from orchestration.requests import AnswerRequest
from orchestration.run.answering import answer
from retrieval.documents import Source
from retrieval.ingest.preparation import Item
from serving.cli import documents
from serving.settings import load
from serving.wiring import System, open_system
from tests.doubles.provider import FaultyProvider, vectors
from tests.doubles.stacks import stack

ADA = Principal("ada", "north", frozenset({"reader"}))
PRICES = """
[models.prices]
use = "genai"
stated = { "emb-1" = { input = 20, output = 0 } }
"""
# of a request: 50 tokens at 20 USD a million
USD = Decimal("0.001")


@pytest.fixture
def configure(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    with ExitStack() as opened:

        def write(tokens: object = 50, more: str = PRICES) -> Path:
            provider = opened.enter_context(FaultyProvider(vectors(tokens)))
            path = stack(tmp_path, more)
            embedder = (
                f'use = "openai_compatible"\nmodel = "emb-1"\napi_key = "sk-test"\nbase_url = "{provider.url}/v1"'
            )
            path.write_text(path.read_text().replace('use = "hashing"', embedder), encoding="utf-8")
            return path

        yield write


async def test_an_embedder_of_your_own_that_tells_its_requests_stands_on_the_bill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_embedder.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    path = stack(tmp_path, PRICES)
    path.write_text(path.read_text().replace('use = "hashing"', 'use = "own_embedder:Own"\nsize = 16'))
    with open_system(load(path)) as system:
        replied = await ask(system)
        assert ("north", replied.answer_id, USD) in all_charged(system)


@pytest.fixture
def open_desk(configure: Callable[..., Path]) -> Iterator[Callable[..., System]]:
    with ExitStack() as opened:
        yield lambda *how, **more: opened.enter_context(open_system(load(configure(*how, **more))))


def item(name: str, tenant: str = "north") -> Item:
    text = f"# {name}\n\nThe moon lamp of {name} runs for nine hours."
    return Item(Source(uri=name, tenant=tenant), text.encode(), name)


async def ask(system: System) -> Answer:
    request = AnswerRequest(question="How long does the moon lamp run?", compose="extractive")
    return await answer(system.agent, request, ADA)


OWN = """
from langchain_core.embeddings import DeterministicFakeEmbedding

from foundation.clock import SystemClock
from foundation.types import Usage
from models.contract import Call, requests_made


class Own(DeterministicFakeEmbedding):
    def embed_query(self, text):
        if (requests := requests_made.get()) is not None:
            usage = Usage(input_tokens=50, output_tokens=0)
            requests.append(Call("acme", "emb-1", usage, 0.1, local=False, at=SystemClock().now()))
        return super().embed_query(text)
"""


PROBE = ("*", None, USD)
"""At each start a few fixed texts tell whether the embedder is still the one that wrote the documents."""


def all_charged(system: System) -> list[tuple[str, str | None, Decimal | None]]:
    return [
        (row.tenant, row.answer_id, row.usd) for row in system.observability.costs.all() if row.kind == "embeddings"
    ]


def charged(system: System) -> list[tuple[str, str | None, Decimal | None]]:
    """Whom the ledger charged since the start, for which answer, and how much."""
    probe, *rows = all_charged(system)
    assert probe[:2] == PROBE[:2]
    return rows


def test_the_probe_of_a_start_is_on_the_bill_of_everybody(open_desk: Callable[..., System]) -> None:
    assert all_charged(open_desk()) == [PROBE]


def test_an_ingest_charges_the_tenant_of_the_documents(open_desk: Callable[..., System]) -> None:
    system = open_desk()
    for _ in range(2):  # the second time it is stored already
        system.retrieval.ingestor.ingest([item("a.md")])
        assert charged(system) == [("north", None, USD)]
    system.retrieval.ingestor.ingest([item("b.md", "north"), item("c.md", "south")])
    assert charged(system)[1:] == [("*", None, USD)], "one request for two tenants"


async def test_a_question_pays_for_its_embedding_once_and_the_layer_bill_shows_it(
    open_desk: Callable[..., System],
) -> None:
    system = open_desk()
    system.retrieval.ingestor.ingest([item("a.md")])
    before = len(charged(system))
    given = await ask(system)
    (*_, of_this) = paid = charged(system)[before:]
    assert {(tenant, answer_id) for tenant, answer_id, _ in paid} == {("north", given.answer_id)}
    assert of_this[2] == USD
    (machine,) = [row.usd for row in system.observability.costs.of_answer(given.answer_id) if row.kind == "machine"]
    assert machine is not None
    assert given.cost_usd == machine + USD * len(paid)
    system.observability.telemetry.flush()
    assert given.trace_id is not None
    bill = layer_bill(
        system.observability.spans.trace(given.trace_id), system.observability.costs.of_trace(given.trace_id)
    )
    assert bill.share("models").usd >= USD * len(paid)
    again = await ask(system)
    assert again.cost_usd is not None
    assert again.cost_usd < USD, "the vectors are remembered"


def test_a_search_charges_whoever_searches(open_desk: Callable[..., System]) -> None:
    system = open_desk()
    system.retrieval.ingestor.ingest([item("a.md")])
    system.retriever.retrieve("lamp", Scope("north"))
    assert charged(system)[1:] == [("north", None, USD)]


@pytest.mark.parametrize(("tokens", "prices"), [(50, ""), (None, PRICES), (-5, PRICES)])
async def test_what_has_no_price_is_unpriced_and_never_free(
    tokens: object, prices: str, open_desk: Callable[..., System]
) -> None:
    system = open_desk(tokens, prices)
    system.retrieval.ingestor.ingest([item("a.md")])
    given = await ask(system)
    assert {usd for *_, usd in charged(system)} == {None}
    assert given.cost_usd is None


async def test_a_question_whose_embedding_no_longer_fits_into_the_day_is_refused(
    open_desk: Callable[..., System],
) -> None:
    system = open_desk(more=PRICES + "[orchestration.budget]\ntenant_day = { usd = 0.0001 }\n")
    system.retrieval.ingestor.ingest([item("a.md")])
    given = await ask(system)
    assert (given.status, given.stop_reason) == ("failed", "budget")
    assert charged(system)[-1] == ("north", given.answer_id, USD), "the server charges for it all the same"


@pytest.mark.parametrize("prices", ["", PRICES.replace("20", "0")], ids=["unknown", "free"])
async def test_an_embedder_that_costs_nothing_needs_no_budget(prices: str, open_desk: Callable[..., System]) -> None:
    system = open_desk(more=prices + "[orchestration.budget]\ntenant_day = { usd = 0 }\n")
    system.retrieval.ingestor.ingest([item("a.md")])
    given = await ask(system)
    assert given.stop_reason != "budget", given


def test_the_commands_say_and_charge_what_an_ingest_and_a_reindex_cost(
    configure: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, lamp = configure(), tmp_path / "lamp.md"
    lamp.write_text("# Lamp\n\nThe moon lamp runs for nine hours.")
    documents.ingest(str(lamp), tenant="north", json=tmp_path / "report.json", stack=path)
    assert "Embedding cost $0.001000, for 50 tokens." in capsys.readouterr().err
    report = json.loads((tmp_path / "report.json").read_bytes())
    assert (Decimal(report["embedding_usd"]), report["embedding_tokens"]) == (Decimal("0.001"), 50)
    documents.reindex(path)
    with open_system(load(path)) as system:
        assert all_charged(system) == [PROBE, ("north", None, USD), PROBE, ("*", None, USD), PROBE]


def test_what_is_tried_again_says_its_cost(
    configure: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, lamp = configure(), tmp_path / "lamp.md"
    lamp.write_text("# Lamp\n\nThe moon lamp runs for nine hours.")
    with monkeypatch.context() as patch:
        patch.setattr(
            "retrieval.ingest.preparation.Preparation.split", lambda *_: DocumentRefused("played", reason="limits")
        )
        with pytest.raises(typer.Exit):
            documents.ingest(str(lamp), tenant="north", stack=path)
    capsys.readouterr()
    documents.ingest(None, retry=True, tenant="north", json=tmp_path / "report.json", stack=path)
    assert "Embedding cost $0.001000, for 50 tokens." in capsys.readouterr().err
    assert json.loads((tmp_path / "report.json").read_bytes())["added"] == 1
