"""Answers that are given again: to whom, to which questions, until when."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from extensions.answer_cache import answers as answer_cache
from extensions.answer_cache.answers import AnswerCache, same_details
from extensions.answer_cache.settings import AnswerCacheSettings
from extensions.development.hashing_embedder import HashingEmbedder
from foundation.components import Context, load
from foundation.errors import StoreUnavailable
from foundation.settings import Part
from foundation.stores.erasures import Erasures
from foundation.types import Principal
from models.embedding import embed
from orchestration.effects.policy import Policy
from orchestration.events import Answer
from orchestration.settings import EVERYBODY, PolicySettings
from retrieval.contract import DocumentLedger
from retrieval.documents import Chunk, Citation, Entry, Parsed, Source
from serving.caches.memory import MemoryCache

QUESTION = "How long does the moon lamp run?"
TEXT = "The moon lamp runs for nine hours."
READER = Principal("ada@north", "north", frozenset({"reader"}))
POLICY = PolicySettings(data={EVERYBODY: ("unclassified",), "board": ("secret",)})


class ManualClock:
    def __init__(self) -> None:
        self.passed = timedelta()

    def now(self) -> datetime:
        return datetime(2026, 5, 1, 12, tzinfo=UTC) + self.passed

    def monotonic_s(self) -> float:
        return self.passed.total_seconds()


class Desk:
    def __init__(self, ledger: DocumentLedger, clock: ManualClock, folder: Path) -> None:
        self.ledger, self.clock = ledger, clock
        self.embedder = HashingEmbedder(256)
        self.cache = MemoryCache(clock)
        self.erasures = Erasures(folder)
        self.memory = self.remembering()

    def remembering(self, writer: str = "scripted", **settings: Any) -> AnswerCache:
        given = AnswerCacheSettings(**({"mode": "semantic", "min_similarity": 0.5} | settings))
        policy = Policy(POLICY)
        return AnswerCache(
            given,
            self.cache,
            ledger=self.ledger,
            embedder=self.embedder,
            clock=self.clock,
            policy=policy,
            writer=writer,
            erasures=self.erasures,
        )

    def add(self, uri: str = "lamp.md", text: str = TEXT, *, tenant: str = "north", **about: Any) -> Citation:
        source = Source(uri, tenant, **about)
        chunk = Chunk(f"{uri} {text}", source.document_id, 0, text, 0, len(text))
        parsed = Parsed(text, ())
        entry = Entry(source, f"hash of {text} {about}", parsed, [chunk], embed(self.embedder, [text]))
        self.ledger.put([entry], gone=[one.document_id for one in self.ledger.documents_where(tenant, uri=uri)])
        return Citation(1, source.document_id, chunk.chunk_id, uri, "", 0, len(text), text)

    async def keep(self, *citations: Citation, question: str = QUESTION, principal: Principal = READER) -> None:
        answer = Answer(
            answer_id="first", thread_id="t", question=question, status="answered", stop_reason="complete",
            text=f"{TEXT} [1]", path="extractive", citations=citations,
        )  # fmt: skip
        await self.memory.remember(answer, compose="auto", principal=principal, since=self.memory.now())

    async def recalled(
        self, question: str = QUESTION, principal: Principal = READER, compose: str = "auto"
    ) -> str | None:
        found = await self.memory.recall(question, compose=compose, principal=principal)
        return found.kind if found else None


@pytest.fixture
def desk(data_dir: Path) -> Iterator[Desk]:
    clock = ManualClock()
    with closing(load("retrieval.ledger", Part(use="sqlite"), Context(data_dir=data_dir, clock=clock))) as ledger:
        yield Desk(ledger, clock, data_dir)


async def test_the_same_question_is_given_the_same_answer_with_its_citations(desk: Desk) -> None:
    citation = desk.add()
    assert await desk.recalled() is None
    await desk.keep(citation)
    found = await desk.memory.recall("  how LONG does the moon lamp run ", compose="auto", principal=READER)
    assert found is not None
    assert (found.kind, found.answer_id, found.text, found.citations) == ("exact", "first", f"{TEXT} [1]", (citation,))


async def test_a_question_that_means_the_same_is_given_it_where_that_is_switched_on(desk: Desk) -> None:
    await desk.keep(desk.add())
    assert await desk.recalled("Tell me, how long does the moon lamp run?") == "semantic"
    desk.memory = desk.remembering(mode="exact")
    assert await desk.recalled("Tell me, how long does the moon lamp run?") is None
    assert await desk.recalled() == "exact"


async def test_an_answer_from_a_class_that_the_caller_may_not_see_is_neither_kept_nor_given(desk: Desk) -> None:
    board = replace(READER, roles=frozenset({"board"}))
    secret = desk.add(attributes={"data_class": "secret"})
    await desk.keep(secret)
    assert await desk.recalled() is None
    await desk.keep(secret, principal=board)
    assert (await desk.recalled(principal=board), await desk.recalled()) == ("exact", None)


async def test_a_question_that_is_not_near_enough_is_not(desk: Desk) -> None:
    await desk.keep(desk.add())
    desk.memory = desk.remembering(min_similarity=0.999)
    assert await desk.recalled("Tell me, how long does the moon lamp run?") is None


@pytest.mark.parametrize(
    "changed",
    [
        replace(READER, tenant="south"),
        replace(READER, roles=frozenset({"reader", "agent"})),
        replace(READER, groups=frozenset({"board"})),
    ],
)
async def test_nobody_with_other_permissions_is_given_it(desk: Desk, changed: Principal) -> None:
    await desk.keep(desk.add(tenant="*"))
    assert await desk.recalled(principal=replace(READER, subject="grace@north")) == "exact"
    assert await desk.recalled(principal=changed) is None


async def test_another_way_to_compose_is_another_answer(desk: Desk) -> None:
    await desk.keep(desk.add())
    assert await desk.recalled(compose="generative") is None


@pytest.mark.parametrize("what", ["replaced", "the cited passage alone is left", "deleted", "restricted", "superseded"])
async def test_a_cited_document_that_changed_makes_it_stale(desk: Desk, what: str) -> None:
    citation = desk.add(series="lamps")
    await desk.keep(citation)
    match what:
        case "replaced":
            desk.add(text="The moon lamp runs for ten hours.", series="lamps")
        case "the cited passage alone is left":
            desk.add(series="lamps", title="Something else about it changed")
        case "deleted":
            desk.ledger.delete(Source("lamp.md", "north").document_id)
        case "restricted":
            desk.add(series="lamps", groups=frozenset({"board"}))
        case _:
            desk.add("lamp-2.md", "Ten hours.", series="lamps", effective_from=desk.clock.now().date())
    assert await desk.recalled() is None


async def test_a_change_elsewhere_leaves_it(desk: Desk) -> None:
    await desk.keep(desk.add())
    desk.add("other.md", "Something else.")
    assert await desk.recalled() == "exact"


async def test_an_answer_during_whose_making_the_documents_changed_is_not_kept(desk: Desk) -> None:
    citation = desk.add()
    since = desk.memory.now()
    desk.add("other.md", "Something else.")
    answer = Answer(
        answer_id="a",
        thread_id="t",
        question=QUESTION,
        status="answered",
        stop_reason="complete",
        text="",
        citations=(citation,),
    )
    await desk.memory.remember(answer, compose="auto", principal=READER, since=since)
    assert await desk.recalled() is None


async def test_it_is_forgotten_in_time_and_with_the_day(desk: Desk) -> None:
    await desk.keep(desk.add())
    desk.clock.passed = timedelta(seconds=3599)
    assert await desk.recalled() == "exact"
    desk.clock.passed = timedelta(seconds=3601)
    assert await desk.recalled() is None
    desk.memory = desk.remembering(ttl_s=1e6)
    await desk.keep(desk.add())
    desk.clock.passed = timedelta(days=1)
    assert await desk.recalled() is None, "another version may be in force"


async def test_only_the_most_recent_questions_are_compared(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answer_cache, "RECENT", 2)
    citation = desk.add()
    for question in (QUESTION, "What weighs the desk lamp?", "Who made the floor lamp?"):
        await desk.keep(citation, question=question)
    assert await desk.recalled("Tell me, how long does the moon lamp run?") is None
    assert await desk.recalled("Please, who made the floor lamp?") == "semantic"


async def test_a_cache_that_is_gone_says_so_and_an_answer_can_be_made_without(desk: Desk) -> None:
    desk.cache.close()
    with pytest.raises(StoreUnavailable):
        await desk.recalled()


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("How long does the QP-5 run?", "How long does the QP-50 run?", False),
        ("Is a refund possible?", "Is a refund not possible?", False),
        ("What can I return?", "What can't I return?", False),
        ("What does shipping to Norway cost?", "What does shipping to Sweden cost?", False),
        ("What was paid before May?", "What was paid after May?", False),
        ("What does shipping to Norway cost?", "tell me what shipping to norway costs", True),
        ("Which printers are there in 2026?", "Please: which printers are there in 2026", True),
        ("What does delivery cost?", "What does express delivery cost?", False),
        ("Can I return opened goods?", "Can I return goods?", False),
        ("Which train goes from Paris to London?", "Which train goes from London to Paris?", False),
        ("What replaces the lamp?", "What does the lamp replace?", False),
        ("Do you deliver to us?", "Do you deliver to US?", False),
        ("Who is Adams?", "Who is Adam?", False),
        ("May I return it?", "Must I return it?", False),
        ("Is 5 V enough?", "Is -5 V enough?", False),
        ("What is C++?", "What is C?", False),
        ("What is the fee in €?", "What is the fee in $?", False),
        ("Could you please tell me what the return window is? Thank you!", "What's the return window?", True),
        ("Was kostet der Versand?", "Was kostet der Expressversand?", False),
        ("Was kostet der Versand?", "Was kostet der Versand ohne Rechnung?", False),
        ("Was kostet der Versand an Kunden?", "Was kostet der Versand von Kunden?", False),
        ("Was kostet der Versand?", "Hallo, was kostet der Versand bitte", True),
        ("Quem mora a norte do rio?", "Quem mora norte rio?", False),
        ("QP-5的保修期是多久\uff1f", "QP-50的保修期是多久\uff1f", False),
        ("快递运费是多少\uff1f", "运费是多少\uff1f", False),
        ("运费是多少\uff1f", "运费是多少", True),
        ("Сколько стоит доставка?", "Сколько стоит срочная доставка?", False),
        ("توصيل الطلبات كم سعره؟", "توصيل الطلبات السريع كم سعره؟", False),
    ],
)
def test_what_vectors_do_not_tell_apart(one: str, other: str, *, same: bool) -> None:
    assert same_details(one, other) is same
    assert same_details(other, one) is same


async def test_what_another_model_wrote_is_made_anew(desk: Desk) -> None:
    await desk.keep(desk.add())
    desk.memory = desk.remembering(writer="scripted with an adapter")
    assert await desk.recalled() is None
    desk.memory = desk.remembering()
    assert await desk.recalled() == "exact"
