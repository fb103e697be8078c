"""Does anything cross from one tenant to another? Random reads, writes and deletes, each text with a canary of its own.

Every version of every document carries a word that says whose it is and which groups may read it. Tenants use the same
uris and the same topics, so that their documents are each other's nearest neighbours. Whatever comes back to somebody is
searched for canaries, and so is whatever the reranker is given; a canary that its reader may not see is a crossing. Half
of the operations run one after the other, half with a thread for each tenant, so that everybody reads while others write.
"""

from __future__ import annotations

import asyncio
import random
import re
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foundation.errors import Conflict, InvalidRequest
from foundation.settings import EVERYBODY, AnswerCacheSettings, Loaded, Part, PolicySettings
from foundation.types import EVERY_TENANT, UNCLASSIFIED, Principal, Scope
from models.contract import Reranker
from models.embedding import embed_query
from orchestration.contract import Answer
from orchestration.policy import Policy
from retrieval.contract import DATA_CLASS, Citation, Hit, Source
from retrieval.ingest import Item
from retrieval.retriever import HybridRetriever
from retrieval.where import AllOf, AnyOf, Between, OneOf, Where
from serving import terminal
from serving.answer_cache import AnswerCache
from serving.library import open_library

if TYPE_CHECKING:
    from serving.library import Library

TENANTS = ("alder", "bexley", "cobalt", "dunmore")
GROUPS = ("board", "desk", "field")
NAMES = tuple(f"handbook/page-{number}.md" for number in range(30))
"""The same for every tenant: what one replaces or deletes must be its own."""
TOPICS = ("warranty", "refund", "battery", "printer", "delivery", "invoice")
CLASSES = (UNCLASSIFIED, "internal", "confidential")
POLICY = PolicySettings(
    data={EVERYBODY: (UNCLASSIFIED,), "agent": ("internal",), "board": ("internal", "confidential")}
)
ROLES = ("reader", "agent", "board")
FOREIGN_KEYS = (
    "tenant", "groups", "document_id", "d.tenant", "text:tenant", "$or", "__proto__", "",
    "x' OR '1'='1", "x) OR 1=1 --", '"; DROP TABLE documents; --', "product\0", "{tenant}", "%", "product' --",
)  # fmt: skip
"""Filter keys as a hostile caller would choose them. No document has an attribute of such a name."""
_CANARY = re.compile(r"canaryx(\d+)x")

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Version:
    """What stands under a uri of a tenant."""

    tenant: str
    uri: str
    groups: frozenset[str]
    data_class: str
    number: int
    topic: str

    @property
    def canary(self) -> str:
        return f"canaryx{self.number}x"

    @property
    def text(self) -> str:
        return f"The {self.topic} rules of {self.uri}, in full. Ask about the {self.topic} here: {self.canary} applies."


@dataclass
class Tally:
    """Of each kind of operation how many, and what went wrong. The goal of every count but the first is 0."""

    operations: Counter[str] = field(default_factory=Counter)
    crossings: int = 0
    """Texts, names, ids or lines to be ranked that their reader may not see."""
    not_empty: int = 0
    """Anything that somebody without a tenant got."""
    stale: int = 0
    """One's own document that was replaced or deleted before the question, and still shown."""
    lost: int = 0
    """One's own document that is not as one left it: somebody else changed or deleted it."""
    filters_failed: int = 0
    """A hostile filter key that found something or ended in another error than a typed refusal."""
    first: list[str] = field(default_factory=list)
    """The first few, in words."""


ZEROS = ("crossings", "not_empty", "stale", "lost", "filters_failed")


def run(loaded: Loaded, *, operations: int, seed: int, json: Path | None) -> bool:
    """`sixply leaks`: whether nothing crossed."""
    with terminal.progress() as progress:
        report = leaks(loaded, operations=operations, seed=seed, progress=progress)
    if not terminal.write_json(json, report):
        of = f"{report['operations']} operations of {report['tenants']} tenants"
        terminal.show_table(["figure", "found", "of"], [(name, report[name], of) for name in ZEROS])
        for told in report["first"]:
            terminal.show_note(told)
    return not any(report[name] for name in ZEROS)


def leaks(loaded: Loaded, *, operations: int, seed: int, progress: Progress) -> dict[str, Any]:
    """The trial, in a system of its own."""
    with tempfile.TemporaryDirectory(prefix="leaks-", dir=_made(loaded.settings.foundation.data_dir)) as folder:
        settings = loaded.settings.model_copy(
            update={"foundation": loaded.settings.foundation.model_copy(update={"data_dir": Path(folder)})}
        )
        with open_library(Loaded(settings, loaded.origins)) as library:
            trial = Trial(library, Loaded(settings, loaded.origins), seed)
            return trial.run(operations, progress)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


class Trial:
    """Everybody at one system, and what each may see."""

    def __init__(self, library: Library, loaded: Loaded, seed: int) -> None:
        from foundation import components

        self.library = library
        self.tally = Tally()
        self._seed = seed
        self._lock = threading.Lock()
        self._versions: list[Version] = []
        """By the number in their canary."""
        self._reader = threading.local()
        self.policy = Policy(POLICY)
        ranking = loaded.settings.retrieval.ranking
        self.retriever = HybridRetriever(
            ledger=library.ledger,
            vectors=library.vectors,
            embedder=library.embedder,
            reranker=Watching(self),
            ranking=ranking.model_copy(update={"candidates": 40}),
            clock=library.context.clock,
        )
        cache = components.load("serving.cache", Part(use="memory"), library.context)
        self.memory = AnswerCache(
            AnswerCacheSettings(mode="semantic", min_similarity=0.7),
            cache,
            library.ledger,
            library.embedder,
            clock=library.context.clock,
            policy=self.policy,
            writer="trial",
        )

    def run(self, operations: int, progress: Progress) -> dict[str, Any]:
        begun = time.perf_counter()
        people = [Person(self, tenant, random.Random(f"{self._seed} {tenant}")) for tenant in (*TENANTS, EVERY_TENANT)]  # noqa: S311
        alone = operations // 2
        dice = random.Random(self._seed)  # noqa: S311 - a trial that can be repeated
        for number in range(alone):
            dice.choice(people).act()
            if number % 100 == 99:
                progress("one after the other", number + 1, alone)
        share = (operations - alone) // len(people)

        def acting(person: Person) -> None:
            for number in range(share):
                person.act()
                if person is people[0] and number % 100 == 99:
                    progress("side by side", (number + 1) * len(people), operations - alone)

        with ThreadPoolExecutor(len(people)) as pool:
            for done in [pool.submit(acting, person) for person in people]:
                done.result()
        for person in people:
            person.finds_its_own()
        return self._report(time.perf_counter() - begun)

    def new(self, tenant: str, uri: str, groups: frozenset[str], data_class: str, topic: str) -> Version:
        with self._lock:
            version = Version(tenant, uri, groups, data_class, len(self._versions), topic)
            self._versions.append(version)
        return version

    def version(self, number: int) -> Version:
        return self._versions[number]

    def latest(self) -> list[Version]:
        """Of anybody, those that may be stored now."""
        with self._lock:
            return self._versions[-200:]

    def some_document(self, dice: random.Random) -> str:
        """The id of a document of anybody."""
        return Source(dice.choice(NAMES), dice.choice((*TENANTS, EVERY_TENANT))).document_id

    def count(self, kind: str) -> None:
        with self._lock:
            self.tally.operations[kind] += 1

    def note(self, what: str, told: str) -> None:
        with self._lock:
            setattr(self.tally, what, getattr(self.tally, what) + 1)
            if len(self.tally.first) < 20:
                self.tally.first.append(f"{what}: {told}")

    def reading(self, scope: Scope) -> None:
        """Who asks in this thread, for the reranker."""
        self._reader.scope = scope

    def look(self, texts: Iterable[str], scope: Scope | None = None) -> list[Version]:
        """The versions whose canaries stand in `texts`. Each must be one that its reader may see."""
        reader = scope or self._reader.scope
        seen = [self.version(int(number)) for text in texts for number in _CANARY.findall(text)]
        for version in seen:
            if not reader.admits(version.tenant, version.groups) or not reader.admits_class(version.data_class):
                self.note("crossings", f"{reader} saw {version}")
        return seen

    def _report(self, seconds: float) -> dict[str, Any]:
        tally = vars(self.tally)
        return {
            "operations": sum(self.tally.operations.values()),
            **{name: value for name, value in tally.items() if name != "operations"},
            "by_kind": dict(sorted(self.tally.operations.items())),
            "tenants": len(TENANTS),
            "versions": len(self._versions),
            "seconds": seconds,
            "seed": self._seed,
        }


class Watching(Reranker):
    """A reranker by length, which looks at what it is given."""

    def __init__(self, trial: Trial) -> None:
        self._trial = trial

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        del query
        self._trial.look(texts)
        return [float(len(text)) for text in texts]


class Person:
    """Writes for one tenant, or for all, and reads as several people of it. One thread at a time."""

    def __init__(self, trial: Trial, tenant: str, dice: random.Random) -> None:
        self._trial, self._tenant, self._dice = trial, tenant, dice
        self._library = trial.library
        self._loop = asyncio.new_event_loop()
        self._mine: dict[str, Version] = {}
        """What stands under each of its uris now."""

    def act(self) -> None:
        kinds = {
            self._write: 12, self._delete: 5, self._search: 40, self._filter: 12, self._legs: 8, self._ids: 8,
            self._list: 3, self._remember: 4, self._recall: 4, self._ask_without_tenant: 4,
        }  # fmt: skip
        act = self._dice.choices(list(kinds), list(kinds.values()))[0]
        self._trial.count(act.__name__.removeprefix("_"))
        act()

    def finds_its_own(self) -> None:
        """Every document of this tenant is as it left it, and no other is there."""
        scope = Scope(self._tenant if self._tenant != EVERY_TENANT else TENANTS[0], frozenset(GROUPS))
        for uri in NAMES:
            text = self._library.ledger.text(Source(uri, self._tenant).document_id, scope)
            version = self._mine.get(uri)
            if text != (version.text if version else None):
                self._trial.note("lost", f"{uri} of {self._tenant} is {text}, not {version}")
        self._loop.close()

    # What it does

    def _write(self) -> None:
        uri = self._dice.choice(NAMES)
        version = self._trial.new(
            self._tenant, uri, self._groups(), self._dice.choice(CLASSES), self._dice.choice(TOPICS)
        )
        known = {"product": version.topic} | (
            {DATA_CLASS: version.data_class} if version.data_class != UNCLASSIFIED else {}
        )
        source = Source(uri, self._tenant, groups=version.groups, media_type="text/plain", attributes=known)
        try:
            self._library.ingestor.ingest_one(Item(source, version.text.encode(), "page.txt"))
        except Conflict as error:  # nobody else may delete it
            self._trial.note("lost", f"{uri} of {self._tenant}: {error}")
        self._mine[uri] = version

    def _delete(self) -> None:
        """A uri that this tenant may not have while others do."""
        uri = self._dice.choice(NAMES)
        gone = self._library.ingestor.delete(uri, self._tenant)
        if gone is not (self._mine.pop(uri, None) is not None):
            self._trial.note("lost", f"delete of {uri} by {self._tenant} said {gone}")

    def _search(self) -> None:
        scope = self._scope()
        self._saw(self._ask(self._query(), scope), scope)

    def _filter(self) -> None:
        """Half with keys that no document has."""
        scope = self._scope()
        hostile = self._dice.random() < 0.5
        key = self._dice.choice(FOREIGN_KEYS) if hostile else "product"
        try:
            hits = self._ask(self._query(), scope, where=self._condition(key))
        except InvalidRequest:
            hits = []
        except Exception as error:
            self._trial.note("filters_failed", f"{key!r}: {error!r}")
            return
        if hostile and hits:
            self._trial.note("filters_failed", f"{key!r} found {len(hits)}")
        self._saw(hits, scope)

    def _legs(self) -> None:
        """Each leg by itself. The index alone may be behind; what it gives is looked up as the retriever does."""
        scope, ledger = self._scope(), self._library.ledger
        chunk_ids = [chunk_id for chunk_id, *_ in ledger.keyword_search(self._query(), scope, limit=20, as_of=None)]
        vector = embed_query(self._library.embedder, self._query())
        chunk_ids += [chunk_id for chunk_id, _ in self._library.vectors.search(vector, scope, limit=20)]
        everything = {Source(version.uri, version.tenant).document_id: version for version in self._trial.latest()}
        for document in ledger.documents_of(chunk_ids, scope, as_of=None).values():
            if document in everything and everything[document].tenant not in (scope.tenant, EVERY_TENANT):
                self._trial.note("crossings", f"{scope} was told of {everything[document]}")
        self._saw(ledger.hits(chunk_ids, scope, as_of=None).values(), scope)

    def _ids(self) -> None:
        """Ids are no secrets: whoever guesses one gets nothing by it."""
        scope = self._scope()
        text = self._library.ledger.text(self._trial.some_document(self._dice), scope)
        self._trial.look([text or ""], scope)

    def _list(self) -> None:
        scope = self._scope()
        for document in self._library.ledger.documents(scope):
            source = document.source
            if not scope.admits(source.tenant, source.groups) or not scope.admits_class(source.data_class):
                self._trial.note("crossings", f"{scope} was listed {source.uri} of {source.tenant}")

    def _remember(self) -> None:
        """An answer that quotes what this reader found goes into the cache."""
        person, question = self._principal(), f"What about the {self._dice.choice(TOPICS)}?"
        since = self._trial.memory.now()
        hits = self._ask(question, self._trial.policy.scope(person))[:1]
        if not hits:
            return
        [hit] = hits
        answer = Answer(
            answer_id="made", thread_id="one", question=question, status="answered", stop_reason="complete",
            text=hit.chunk.text, citations=(_citation(hit),), path="extractive",
        )  # fmt: skip
        self._wait(self._trial.memory.remember(answer, compose="auto", principal=person, since=since))

    def _recall(self) -> None:
        person = self._principal()
        question = f"What about the {self._dice.choice(TOPICS)}?"
        found = self._wait(self._trial.memory.recall(question, compose="auto", principal=person))
        if found:
            self._trial.count("recalled")
            self._current(self._trial.look([found.text], self._trial.policy.scope(person)))

    def _ask_without_tenant(self) -> None:
        for scope in (Scope(""), Scope("", frozenset(GROUPS)), Scope(EVERY_TENANT, frozenset(GROUPS))):
            got: list[Any] = [*self._ask(self._query(), scope), *self._library.ledger.documents(scope)]
            got += self._library.vectors.search(embed_query(self._library.embedder, "warranty"), scope, limit=5)
            if self._library.ledger.text(self._trial.some_document(self._dice), scope) is not None or got:
                self._trial.note("not_empty", f"{scope} got {len(got)}")

    # Parts of it

    def _ask(self, query: str, scope: Scope, where: Where | None = None) -> list[Hit]:
        self._trial.reading(scope)
        as_of = self._dice.choice([None, None, date.today() - timedelta(days=400)])  # noqa: DTZ011 - any day will do
        limit, per_document = self._dice.choice([1, 5, 20]), self._dice.choice([1, 3])
        return self._trial.retriever.retrieve(
            query, scope, limit=limit, as_of=as_of, per_document=per_document, where=where
        )

    def _saw(self, hits: Iterable[Hit], scope: Scope) -> None:
        shown = list(hits)
        for hit in shown:
            source = hit.source
            if not scope.admits(source.tenant, source.groups) or not scope.admits_class(source.data_class):
                self._trial.note("crossings", f"{scope} was shown {hit.source.uri} of {hit.source.tenant}")
        self._current(self._trial.look([hit.chunk.text for hit in shown], scope))

    def _current(self, seen: Iterable[Version]) -> None:
        """Nobody else writes this tenant's documents, so what is seen of them is what it wrote last."""
        for version in seen:
            if version.tenant == self._tenant and self._mine.get(version.uri) != version:
                self._trial.note("stale", f"{version} after it became {self._mine.get(version.uri)}")

    def _condition(self, key: str) -> Where:
        value = self._dice.choice([*TOPICS, *TENANTS, EVERY_TENANT, "' OR '1'='1"])
        leaf: Where = OneOf(key, (value,))
        if self._dice.random() < 0.3:
            leaf = Between(key, low=0.0)
        return self._dice.choice([leaf, AllOf((leaf, leaf)), AnyOf((leaf, AllOf((leaf,))))])

    def _query(self) -> str:
        """A topic, the exact words of somebody's document, or its canary."""
        topic = self._dice.choice(TOPICS)
        versions = self._trial.latest()
        if not versions or self._dice.random() < 0.4:
            return f"What are the rules about the {topic}?"
        version = self._dice.choice(versions)
        return version.text if self._dice.random() < 0.5 else version.canary

    def _scope(self) -> Scope:
        return self._trial.policy.scope(self._principal())

    def _principal(self) -> Principal:
        tenant = self._tenant if self._tenant != EVERY_TENANT else self._dice.choice(TENANTS)
        return Principal("somebody", tenant, frozenset({self._dice.choice(ROLES)}), self._groups())

    def _groups(self) -> frozenset[str]:
        return frozenset(self._dice.sample(GROUPS, self._dice.choice([0, 0, 1, 2])))

    def _wait(self, work: Any) -> Any:
        return self._loop.run_until_complete(work)


def _citation(hit: Hit) -> Citation:
    chunk, source = hit.chunk, hit.source
    return Citation(1, chunk.document_id, chunk.chunk_id, source.uri, source.title, chunk.start, chunk.end, chunk.text)
