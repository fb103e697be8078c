"""A small system of doubles for the tests of layer 5. Each says in its output that it is one."""

from __future__ import annotations

import asyncio
import itertools
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from langchain_core.tools import BaseTool
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.memory import InMemorySaver

from foundation.clock import SystemClock
from foundation.components import Assembly, Context
from foundation.errors import Conflict, DocumentRefused, Gone, NotFound, UpstreamDown, UpstreamLimited
from foundation.settings import FoundationSettings
from foundation.stores.erasures import Erasures
from foundation.types import Principal, Scope, Usage
from observability.stores.costs import CostLedger
from orchestration.actions import Approval, Decision
from orchestration.contract import PersonalMemory
from orchestration.effects.policy import Policy
from orchestration.effects.records import Record, Recorders
from orchestration.events import Answer, Charge, Conversation, Event, Step, Turn
from orchestration.requests import AnswerRequest
from orchestration.run.spending import SqliteSpending
from retrieval.documents import Chunk, Citation, Document, Entry, Hit, Parsed, Refusal
from retrieval.filters import matches
from retrieval.ingest.pipeline import IngestReport
from serving.access.identity import KeyStore
from serving.build import open_serving
from serving.hooks import plug_in
from serving.settings import HttpSettings, ServingSettings, Settings, with_sections
from tests.doubles.opened import CLOSE

BEGUN = datetime(2026, 11, 25, 9, 0, tzinfo=UTC)
TEXT = "The double ships on Tuesdays. It never ships on Sundays."
CITATION = Citation(
    marker=1, document_id="doc-1", chunk_id="c-1", uri="double.md", title="The double", start=0, end=29, quote=TEXT[:29]
)


def answer(question: str, **changes: Any) -> Answer:
    given: dict[str, Any] = {
        "answer_id": "a-1",
        "thread_id": "t-1",
        "question": question,
        "status": "answered",
        "stop_reason": "complete",
        "text": "The double ships on Tuesdays [1].",
        "citations": (CITATION,),
        "path": "extractive",
        "steps": (Step(name="retrieve", ms=1.0),),
        "usage": Usage(input_tokens=7, output_tokens=3),
        "cost_usd": Decimal("0.000012"),
        "seconds": 0.1,
        "trace_id": "0" * 31 + "1",
    }
    return Answer(**(given | changes))


def approval(approval_id: str = "ap-1", tenant: str = "north") -> Approval:
    now = datetime.now(UTC)
    return Approval(
        approval_id=approval_id, thread_id="t-1", tenant=tenant, requested_by="ada", tool="refund",
        arguments={"order": "o-1"}, arguments_hash="h", reason="an effect", requested_at=now,
        expires_at=now + timedelta(hours=24),
    )  # fmt: skip


def charge(**changes: Any) -> Charge:
    """What the double's only answer cost; by default in the tenant north."""
    given: dict[str, Any] = {
        "layer": "models", "kind": "chat", "part": "double", "model": "double-1", "usage": Usage(7, 3), "seconds": 0.1,
        "usd": Decimal("0.000012"), "basis": "a double", "tenant": "north", "answer_id": "a-1", "trace_id": None,
        "at": datetime.now(UTC),
    }  # fmt: skip
    return Charge(**({"subject": "reader@north"} | given | changes))


class MemoryConversations:
    """One conversation, of the reader of the tenant north."""

    def __init__(self) -> None:
        self.checkpoints = InMemorySaver()
        values = {"answer_id": "a-1", "question": "When?", "messages": []}
        stored: Any = {**empty_checkpoint(), "channel_values": values, "channel_versions": dict.fromkeys(values, 1)}
        place: Any = {"configurable": {"thread_id": "t-1", "checkpoint_ns": ""}}
        self.checkpoints.put(place, stored, {}, stored["channel_versions"])
        self.turns_of = {"t-1": [Turn(answer_id="a-1", question="When?", status="answered", text="T.", at=BEGUN)]}

    async def all(self, principal: Principal) -> list[Conversation]:
        mine = principal.subject == "reader@north"
        return [Conversation(thread_id=one, question="When?", begun_at=BEGUN) for one in self.turns_of if mine]

    async def turns(self, thread_id: str, principal: Principal) -> list[Turn]:
        if thread_id not in [one.thread_id for one in await self.all(principal)]:
            raise NotFound("No such conversation.")
        return self.turns_of[thread_id]

    async def change(
        self, thread_id: str, principal: Principal, *, title: str | None = None, pinned: bool | None = None
    ) -> Conversation:
        await self.turns(thread_id, principal)
        (own,) = await self.all(principal)
        return own.model_copy(update={"title": title or "", "pinned": bool(pinned)})

    def claim(self, thread_id: str) -> AbstractContextManager[None]:
        return nullcontext()

    async def delete(self, thread_id: str, principal: Principal) -> None:
        await self.turns(thread_id, principal)
        del self.turns_of[thread_id]


class ScriptedAgent:
    """Does what the first word of the question says; see `stream`."""

    def __init__(self) -> None:
        self.asked: list[tuple[AnswerRequest, Principal]] = []
        self.started = threading.Event()
        self.cancelled = threading.Event()
        self.let_go = threading.Event()
        self.decided: dict[str, bool] = {}
        self.conversations = MemoryConversations()

    async def stream(self, request: AnswerRequest, principal: Principal) -> AsyncIterator[Event]:
        self.asked.append((request, principal))
        yield Event(kind="step", thread_id=request.thread_id or "t-1", step=Step(name="retrieve"))
        match request.question.split()[0].casefold():
            case "wait":
                await self._wait()
            case "pause":
                await asyncio.sleep(0.5)
            case "explode":
                raise RuntimeError("secret internals /etc/double")
            case "down":
                raise UpstreamDown("The double's model refused the connection.")
            case "limited":
                raise UpstreamLimited("The double's model asks for patience.", retry_after_s=6.2)
            case "report":
                yield Event(kind="error", code="upstream_timeout", message="The double took too long.", retryable=True)
                return
            case "vanish":
                return
        yield Event(kind="token", token="The double ")
        changes: dict[str, Any] = {"thread_id": request.thread_id or "t-1"}
        if request.question.startswith("refund"):
            changes |= {"status": "waiting", "stop_reason": "approval", "approval": approval(), "citations": ()}
        yield Event(kind="answer", answer=answer(request.question, **changes))

    async def _wait(self) -> None:
        self.started.set()
        try:
            while not self.let_go.is_set():  # noqa: ASYNC110 - set from the test's thread
                await asyncio.sleep(0.01)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise

    async def resume(self, decision: Decision, principal: Principal) -> AsyncIterator[Event]:
        if decision.approval_id == "ap-old":
            raise Gone("That approval has expired.")
        if decision.approval_id != "ap-1" or principal.tenant != "north":
            raise NotFound("No such approval.")
        if decision.approval_id in self.decided:
            raise Conflict("It was decided already.")
        self.decided[decision.approval_id] = decision.approve
        yield Event(
            kind="answer",
            answer=answer("refund", text="The double refunded." if decision.approve else "No refund.", citations=()),
        )


class MemoryLedger:
    def __init__(self) -> None:
        self.stored: dict[tuple[str, str], tuple[Document, str]] = {}
        self.refused: list[Refusal] = []
        self.broken: Exception | None = None

    def sequence(self) -> int:
        if self.broken:
            raise self.broken
        return len(self.stored)

    def document_count(self) -> int:
        return len(self.stored)

    def documents(self, scope: Scope) -> list[Document]:
        return [known for known, _ in self.stored.values() if scope.admits(known.source.tenant, known.source.groups)]

    def find(self, document_id: str) -> Document | None:
        return next((known for known, _ in self.stored.values() if known.document_id == document_id), None)

    def entry(self, document_id: str) -> Entry | None:
        for known, text in self.stored.values():
            if known.document_id == document_id:
                return Entry(known.source, known.content_hash, Parsed(text, ()), [], np.zeros((0, 0), np.float32))
        return None

    def refusals(self, scope: Scope) -> list[Refusal]:
        return [refusal for refusal in self.refused if refusal.source.is_readable(scope)]

    def text(self, document_id: str, scope: Scope) -> str | None:
        for known, text in self.stored.values():
            if known.document_id == document_id and scope.admits(known.source.tenant, known.source.groups):
                return text
        return None


class MemoryIndex:
    def __init__(self, ledger: MemoryLedger) -> None:
        self.ledger = ledger
        self.behind = 0

    def sequence(self) -> int:
        return len(self.ledger.stored) - self.behind

    def count(self) -> int:
        return len(self.ledger.stored)


class MemoryIngestor:
    def __init__(self, ledger: MemoryLedger, vectors: Any) -> None:
        self.ledger, self.vectors = ledger, vectors
        self.begun, self.let_go = threading.Event(), threading.Event()

    def ingest_one(self, item: Any, *, scope: Scope | None, demand: Callable[[], object]) -> Document:
        self.begun.set()
        if b"wait" in item.content:
            self.let_go.wait()
        demand()
        if b"\0" in item.content:
            raise DocumentRefused(f"{item.name} is binary.", reason="malformed")
        key = (item.source.uri, item.source.tenant)
        number = len(self.ledger.stored) + 1
        text = item.content.decode("utf-8", "replace")
        stored = Document(f"doc-{number}", item.source, "hash", len(text), 1, datetime.now(UTC))
        self.ledger.stored[key] = (stored, text)
        return stored

    def delete(self, uri: str, tenant: str, *, scope: Scope | None, document_id: str | None = None) -> bool:
        return self.ledger.stored.pop((uri, tenant), None) is not None

    def follow(self) -> bool:
        return self.vectors.sequence() == self.ledger.sequence()

    def retry(self, *tenants: str, scope: Scope | None) -> IngestReport:
        again = tuple(one for one in self.ledger.refused if one.tenant in tenants)
        return IngestReport(0, 0, 0, again, 0, 0, 0.0)


class MemoryRetriever:
    def __init__(self, ledger: MemoryLedger) -> None:
        self.ledger = ledger

    def retrieve(
        self,
        query: str,
        scope: Scope,
        *,
        limit: int | None = None,
        as_of: Any = None,
        per_document: int = 1,
        where: Any = None,
    ) -> list[Hit]:
        hits = []
        for known, text in self.ledger.stored.values():
            fits = where is None or matches(where, known.source.filterable)
            if fits and scope.admits(known.source.tenant, known.source.groups):
                chunk = Chunk("c-1", known.document_id, 0, text, 0, len(text), ("Double",))
                hits.append(Hit(chunk, known.source, 0.5, {"keyword": 1}))
        return hits[:limit]


class MemoryApprovals:
    async def get(self, approval_id: str, tenant: str) -> Approval | None:
        return next((one for one in await self.pending(tenant) if one.approval_id == approval_id), None)

    async def pending(self, tenant: str) -> list[Approval]:
        return [approval(tenant=tenant)] if tenant == "north" else []

    async def decided(self, tenant: str, *, limit: int) -> list[Approval]:
        return []

    def waiting(self) -> int:
        return 1


def _count(noun: str, numbers: Iterator[int]) -> str:
    return f"{noun}-{next(numbers)}"


@dataclass
class FakeSystem:
    """The parts of `serving.wiring.System` that the routes reach."""

    settings: Settings
    context: Context
    agent: ScriptedAgent = field(default_factory=ScriptedAgent)
    ledger: MemoryLedger = field(default_factory=MemoryLedger)
    approvals: MemoryApprovals = field(default_factory=MemoryApprovals)
    chat: object = None
    tools: tuple[BaseTool, ...] = ()
    tenants: dict[str, Any] = field(default_factory=dict)
    executor: Any = field(default_factory=lambda: SimpleNamespace(approver_roles=frozenset()))
    parts: Any = field(default_factory=lambda: SimpleNamespace(checkpoints=InMemorySaver()))

    @property
    def stops(self) -> Any:
        """The switches of a world with kill_switches on."""
        return next(service for service in self.hooks.services if hasattr(service, "demand"))

    def __post_init__(self) -> None:
        self.models = self.retrieval = self.orchestration = self.observability = self.serving = (
            self  # every layer's parts
        )
        self.policy = Policy(self.settings.orchestration.policy)
        self.vectors = MemoryIndex(self.ledger)
        self.ingestor = MemoryIngestor(self.ledger, self.vectors)
        self.retriever = MemoryRetriever(self.ledger)
        folder = self.settings.foundation.data_dir
        self.erasures = Erasures(folder)
        self.costs = CostLedger(folder / "costs.sqlite")
        self.costs.record(charge())
        self.spending = SqliteSpending(
            folder / "spending.sqlite", self.settings.orchestration.budget, self.context.clock
        )
        opened = ExitStack()
        CLOSE.append(weakref.finalize(self, opened.close))
        self.hooks = plug_in(self.settings, Assembly(self.context, opened))
        if "objects" in self.settings.extensions:
            from tests.extensions.objects.doubles import AlwaysTwelve

            self.hooks.server_parts.insert(0, lambda _: AlwaysTwelve())
        for service in self.hooks.services:
            if hasattr(service, "new_id"):  # the first job is job-1, the first fact fact-1
                noun = "fact" if isinstance(service, PersonalMemory) else "job"
                service.new_id = partial(_count, noun, itertools.count(1))
        self.records: list[Record] = []
        self.hooks.recorders.append(self._keep)
        self.recorders = Recorders(self.hooks.recorders)
        self._open_shared(opened)
        for store in (self.costs, self.spending):
            opened.callback(store.close)

    async def _keep(self, record: Record) -> None:
        self.records.append(record)

    def _open_shared(self, opened: ExitStack) -> None:
        """The real cache and quotas."""
        shared = open_serving(
            self.settings.serving,
            Assembly(self.context, opened),
            budget=self.settings.orchestration.budget,
            ledger=self.ledger,
            embedder=None,
            policy=self.policy,
            writer="a double",
            erasures=self.erasures,
            services=self.hooks.services,
        )
        self.cache, self.quotas = shared.cache, shared.quotas


@dataclass(frozen=True)
class World:
    """A fake system and a key for each caller that the tests need."""

    system: Any
    reader: str
    agent: str
    approver: str
    operator: str
    stranger: str
    """A reader of another tenant."""
    all_roles: str

    def key(self, *roles: str, subject: str | None = None, groups: Iterable[str] = ()) -> str:
        """A key of somebody else in the tenant, or of the same person with other rights."""
        keys = KeyStore.of(self.system.settings, self.system.context.clock)
        return keys.create(subject=subject or f"{roles[0]}@north", tenant="north", roles=roles, groups=groups)


# What extensions need that do not start without
NEEDED = {"notifier": {"url": "http://127.0.0.1:9/approvals", "secret": "a secret of the tests alone"}}


def world(
    folder: Path,
    *,
    serving: dict[str, Any] | None = None,
    extensions: tuple[str, ...] = (),
    sections: dict[str, Any] | None = None,
    **http: Any,
) -> World:
    folder.mkdir(parents=True, exist_ok=True)
    settings = with_sections(extensions)(
        extensions=extensions,
        foundation=FoundationSettings(data_dir=folder),
        serving=ServingSettings(http=HttpSettings(**({"port": 0, "grace_s": 4} | http)), **(serving or {})),
        **{name: lines for name, lines in NEEDED.items() if name in extensions} | (sections or {}),
    )
    context = Context(data_dir=folder, clock=SystemClock())
    keys = KeyStore.of(settings, context.clock)

    def key(*roles: str, tenant: str = "north") -> str:
        return keys.create(subject=f"{roles[0]}@{tenant}", tenant=tenant, roles=roles)

    return World(
        system=FakeSystem(settings, context),
        reader=key("reader"), agent=key("agent"), approver=key("approver"), operator=key("operator"),
        stranger=key("reader", tenant="south"), all_roles=key("reader", "agent", "approver", "operator"),
    )  # fmt: skip
