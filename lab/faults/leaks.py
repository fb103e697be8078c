"""Does anything cross from one tenant, group or class to another? Random readers and writers, each text with a canary.

Every version of every document carries a word of its own. Tenants use the same uris and the same topics, so that their
documents are each other's nearest neighbours. Writers are people of changing groups and roles, as readers are: they replace,
delete, supersede by a series, and try to plant what they could not see, with days from which on it holds. A model of each
tenant says what is stored then, which texts are in force for whom, and who may read them: those who could, and may read what
replaced them. Whatever comes back to somebody is searched for canaries, and so is whatever the reranker is given; a canary
that its reader may not see is a crossing. Half of the operations run one after the other, half with a thread for each
tenant, so that everybody reads while others write.
"""

from __future__ import annotations

import asyncio
import itertools
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

from extensions.answer_cache.answers import AnswerCache
from extensions.answer_cache.settings import AnswerCacheSettings
from foundation.errors import Conflict, DocumentRefused, Forbidden, InvalidRequest
from foundation.settings import Part
from foundation.stores.erasures import Erasures
from foundation.types import EVERY_TENANT, NOBODY, UNCLASSIFIED, Principal, Scope
from lab.library import open_library
from models.contract import Reranker
from models.embedding import embed_query
from orchestration.effects.policy import Policy
from orchestration.events import Answer
from orchestration.settings import EVERYBODY, PolicySettings
from retrieval.documents import DATA_CLASS, Citation, Hit, Source
from retrieval.filters import AllOf, AnyOf, Between, OneOf, Where
from retrieval.ingest.preparation import Item
from retrieval.search.hybrid import HybridRetriever
from serving.cli import terminal
from serving.settings import Loaded

if TYPE_CHECKING:
    from retrieval.build import Retrieval

TENANTS = ("alder", "bexley", "cobalt", "dunmore")
GROUPS = ("board", "desk", "field")
NAMES = tuple(f"handbook/page-{number}.md" for number in range(12))
"""The same for every tenant: what one replaces or deletes must be its own."""
SERIES = ("prices", "terms")
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
    """A text that somebody offered under a uri of a tenant."""

    tenant: str
    uri: str
    groups: frozenset[str]
    data_class: str
    number: int
    topic: str
    limits: list[tuple[int, frozenset[str], str]] = field(default_factory=list, compare=False)
    """Groups and classes of what replaced it, and when that was: its readers must be among those of all."""

    def admits(self, scope: Scope, now: int) -> bool:
        """Whether `scope` may read it at the time `now`, whatever is stored under its name."""
        limits = [(self.groups, self.data_class), *((groups, name) for at, groups, name in self.limits if at <= now)]
        return all(scope.admits(self.tenant, groups) and scope.admits_class(name) for groups, name in limits)

    def source(self, **more: Any) -> Source:
        known = {"product": self.topic} | ({DATA_CLASS: self.data_class} if self.data_class != UNCLASSIFIED else {})
        return Source(self.uri, self.tenant, groups=self.groups, media_type="text/plain", attributes=known, **more)

    @property
    def canary(self) -> str:
        return f"canaryx{self.number}x"

    @property
    def text(self) -> str:
        return f"The {self.topic} rules of {self.uri}, in full. Ask about the {self.topic} here: {self.canary} applies."


@dataclass
class Text:
    """A version as it is stored, by the model."""

    version: Version
    groups: frozenset[str]
    classes: frozenset[str]
    begins: date | None
    writer: Scope

    def is_visible(self, scope: Scope) -> bool:
        """A ledger keeps no more than two classes apart; a third is for who sees all."""
        classes = scope.classes is None or (self.classes <= scope.classes and len(self.classes) <= 2)
        return classes and (not self.groups or bool(self.groups & scope.groups))

    def limit(self, groups: frozenset[str], data_class: str) -> None:
        """For whoever may read what replaces it, too."""
        common = self.groups & groups if self.groups and groups else self.groups or groups
        self.groups = common if common or not (self.groups and groups) else frozenset({NOBODY})
        self.classes |= {data_class}


@dataclass
class Held:
    """A document of a tenant, by the model: its texts from the earliest to the one that it says now."""

    uri: str
    series: str | None
    texts: list[Text]

    @property
    def now(self) -> Text:
        return self.texts[-1]


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
    """A document that is not as those left it who may read it: somebody else changed, deleted or superseded it."""
    planted: int = 0
    """Something stored that its writer could not read."""
    filters_failed: int = 0
    """A hostile filter key that found something or ended in another error than a typed refusal."""
    first: list[str] = field(default_factory=list)
    """The first few, in words."""


ZEROS = ("crossings", "not_empty", "stale", "lost", "planted", "filters_failed")


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

    def __init__(self, library: Retrieval, loaded: Loaded, seed: int) -> None:
        from foundation import components

        self.library = library
        self.tally = Tally()
        self._seed = seed
        self._lock = threading.Lock()
        self._versions: list[Version] = []
        """By the number in their canary."""
        self._reader = threading.local()
        self._time = itertools.count()
        self.policy = Policy(POLICY)
        ranking = loaded.settings.retrieval.ranking
        self.retriever = HybridRetriever(
            ledger=library.ledger,
            vectors=library.vectors,
            embedder=library.embedder,
            reranker=Watching(self),
            ranking=ranking,
            clock=library.context.clock,
        )
        cache = components.load("serving.cache", Part(use="memory"), library.context)
        self.memory = AnswerCache(
            AnswerCacheSettings(mode="semantic", min_similarity=0.7),
            cache,
            ledger=library.ledger,
            embedder=library.embedder,
            clock=library.context.clock,
            policy=self.policy,
            writer="trial",
            erasures=Erasures(library.context.data_dir),
        )

    def run(self, operations: int, progress: Progress) -> dict[str, Any]:
        begun = time.perf_counter()
        people = [Person(self, tenant, random.Random(f"{self._seed} {tenant}")) for tenant in (*TENANTS, EVERY_TENANT)]
        alone = operations // 2
        dice = random.Random(self._seed)
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
        versions = self.latest()
        if versions and dice.random() < 0.5:
            return dice.choice(versions).source().document_id
        return Source(dice.choice(NAMES), dice.choice((*TENANTS, EVERY_TENANT))).document_id

    def tick(self) -> int:
        """The time, which each call moves on."""
        return next(self._time)

    def count(self, kind: str) -> None:
        with self._lock:
            self.tally.operations[kind] += 1

    def note(self, what: str, told: str) -> None:
        with self._lock:
            setattr(self.tally, what, getattr(self.tally, what) + 1)
            if len(self.tally.first) < 20:
                self.tally.first.append(f"{what}: {told}")

    def reading(self, scope: Scope) -> None:
        """Who asks in this thread from now on."""
        self._reader.scope, self._reader.since = scope, self.tick()

    def look(self, texts: Iterable[str]) -> list[Version]:
        """The versions whose canaries stand in `texts`. Each must be one that whoever asks in this thread might see when
        they asked; what became hidden since may have been read before.
        """
        reader, since = self._reader.scope, self._reader.since
        seen = [self.version(int(number)) for text in texts for number in _CANARY.findall(text)]
        for version in seen:
            if not version.admits(reader, since):
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
    """Writes for one tenant, or for all, and reads, as several people of it. One thread at a time."""

    def __init__(self, trial: Trial, tenant: str, dice: random.Random) -> None:
        self._trial, self._tenant, self._dice = trial, tenant, dice
        self._library = trial.library
        self._loop = asyncio.new_event_loop()
        self._today = trial.library.context.clock.now().date()
        self._held: list[Held] = []
        """What is stored of this tenant now."""

    def act(self) -> None:
        kinds = {
            self._write: 14, self._plant: 2, self._delete: 5, self._find: 20, self._search: 30, self._filter: 10,
            self._search_ranks: 7, self._ids: 7, self._list: 3, self._remember: 4, self._recall: 4, self._ask_without_tenant: 4,
        }  # fmt: skip
        act = self._dice.choices(list(kinds), list(kinds.values()))[0]
        self._trial.count(act.__name__.removeprefix("_"))
        act()

    def finds_its_own(self) -> None:
        """Every text of this tenant is as its writers left it, and no other is there."""
        ledger = self._library.ledger
        entries = [ledger.entry(one.document_id) for one in ledger.documents_where(self._tenant)]
        stored = sorted(entry.parsed.text for entry in entries if entry)
        expected = sorted(text.version.text for held in self._held for text in held.texts)
        if stored != expected:
            odd = sorted(set(stored) ^ set(expected))[:3]
            self._trial.note("lost", f"{len(stored)} texts of {self._tenant} instead of {len(expected)}, such as {odd}")
        self._loop.close()

    # What it does

    def _write(self) -> None:
        """A uri that others have, too, unseen or not."""
        scope = self._scope()
        groups, data_class = self._readers()
        version = self._trial.new(self._tenant, self._dice.choice(NAMES), groups, data_class, self._dice.choice(TOPICS))
        series = self._dice.choice(SERIES) if self._dice.random() < 0.4 else None
        day = self._day() if series or self._dice.random() < 0.4 else None
        item = Item(version.source(series=series, effective_from=day), version.text.encode(), "page.txt")
        if not Text(version, groups, frozenset({data_class}), day, scope).is_visible(scope):
            self._attempt_to_plant(item, scope)
            return
        same = [held for held in self._held if held.uri == version.uri]
        exact = [
            held for held in same if (held.now.version.groups, held.now.version.data_class) == (groups, data_class)
        ]
        replaced = exact or [held for held in same if held.now.is_visible(scope)]
        try:
            self._library.ingestor.ingest_one(item, scope=scope)
        except DocumentRefused as error:
            if len(replaced) < 2:
                self._trial.note("lost", f"{scope} could not write {version}: {error}")
            return
        except Conflict as error:  # nobody else may delete it
            self._trial.note("lost", f"{version}: {error}")
        if len(replaced) > 1:
            self._trial.note("lost", f"{scope} replaced one of {len(replaced)} by {version}")
        else:
            self._replace(
                replaced[0] if replaced else None, Text(version, groups, frozenset({data_class}), day, scope), series
            )

    def _plant(self) -> None:
        """For groups and of a class that the writer has no part in."""
        scope = self._trial.policy.scope(Principal("somebody", self._of_tenant(), frozenset({"reader"})))
        groups, data_class = self._dice.choice(
            [(frozenset({"board"}), UNCLASSIFIED), (frozenset[str](), "confidential")]
        )
        version = self._trial.new(self._tenant, self._dice.choice(NAMES), groups, data_class, self._dice.choice(TOPICS))
        self._attempt_to_plant(Item(version.source(), version.text.encode(), "page.txt"), scope)

    def _attempt_to_plant(self, item: Item, scope: Scope) -> None:
        try:
            self._library.ingestor.ingest_one(item, scope=scope)
        except Forbidden:
            return
        except (Conflict, DocumentRefused) as error:
            self._trial.note("planted", f"{scope} was told of {item.source}: {error}")
            return
        self._trial.note("planted", f"{scope} stored {item.source}")

    def _replace(self, held: Held | None, new: Text, series: str | None) -> None:
        """What becomes of the model: as docs/corpus.md says it of replaced documents."""
        if held is None:
            self._held.append(Held(new.version.uri, series, [new]))
            return
        *earlier, last = held.texts
        since, begins = last.begins or self._today, new.begins or self._today
        kept = since < begins
        if kept or earlier:
            new.begins = begins if kept else new.begins or since
            series = series or held.uri
        last.begins = since
        texts = [*earlier, *([last] if kept else [])]
        now = self._trial.tick()
        for text in [*earlier, last]:
            text.limit(new.groups, new.version.data_class)
            text.version.limits.append((now, new.groups, new.version.data_class))
        days = {(text.begins, text.groups, text.classes): text for text in texts}  # one a day: the last one
        held.texts, held.series = [*days.values(), new], series

    def _delete(self) -> None:
        """A uri that this writer may not see while others do, or that several documents have."""
        uri, scope = self._dice.choice(NAMES), self._scope()
        seen = [held for held in self._held if held.uri == uri and held.now.is_visible(scope)]
        which = None
        if len(seen) > 1:
            try:
                self._library.ingestor.delete(uri, self._tenant, scope=scope)
            except Conflict:
                seen = seen[:1]
                which = seen[0].now.version.source().document_id
            else:
                self._trial.note("lost", f"{scope} deleted {uri} of {self._tenant}, which {len(seen)} documents have")
        try:
            gone = self._library.ingestor.delete(uri, self._tenant, scope=scope, document_id=which)
        except Conflict as error:
            self._trial.note("lost", f"delete of {uri} of {self._tenant} by {scope}: {error}")
            return
        if gone is not bool(seen):
            self._trial.note("lost", f"delete of {uri} of {self._tenant} by {scope} said {gone}")
        self._held = [held for held in self._held if held not in seen]

    def _find(self) -> None:
        """One text by its canary, as anybody, on some day: it is found by those for whom it is in force, and nobody else."""
        if not self._held:
            return
        held = self._dice.choice(self._held)
        text, scope = self._dice.choice(held.texts), self._scope()
        day = self._dice.choice([self._today, self._day()])
        self._trial.reading(scope)
        ledger = self._library.ledger
        found = [chunk for chunk, *_ in ledger.keyword_search(text.version.canary, scope, limit=20, as_of=day)]
        seen = self._trial.look(hit.chunk.text for hit in ledger.hits(found, scope, as_of=day).values())
        expected = text.is_visible(scope) and self._in_force(held, text, scope, day)
        if expected is not (text.version in seen):
            self._trial.note("lost" if expected else "stale", f"{text} on {day}, asked for by {scope}")

    def _in_force(self, held: Held, text: Text, scope: Scope, day: date) -> bool:
        begins = text.begins or date.min
        if begins > day or held.series is None:
            return begins <= day
        newer = [
            (other, one) for other in self._held if other.series == held.series for one in other.texts
            if one.begins and begins < one.begins <= day and one.is_visible(scope)
        ]  # fmt: skip
        return not any(other is held or text.is_visible(one.writer) for other, one in newer)

    def _search(self) -> None:
        scope, day = self._scope(), self._dice.choice([self._today, self._today, self._day()])
        self._saw(self._ask(self._query(), scope, day), scope, day)

    def _filter(self) -> None:
        """Half with keys that no document has."""
        scope = self._scope()
        hostile = self._dice.random() < 0.5
        key = self._dice.choice(FOREIGN_KEYS) if hostile else "product"
        try:
            hits = self._ask(self._query(), scope, self._today, where=self._condition(key))
        except InvalidRequest:
            hits = []
        except Exception as error:
            self._trial.note("filters_failed", f"{key!r}: {error!r}")
            return
        if hostile and hits:
            self._trial.note("filters_failed", f"{key!r} found {len(hits)}")
        self._saw(hits, scope, self._today)

    def _search_ranks(self) -> None:
        """Each leg by itself. The index alone may be behind; what it gives is looked up as the retriever does."""
        scope, ledger = self._scope(), self._library.ledger
        self._trial.reading(scope)
        chunk_ids = [chunk_id for chunk_id, *_ in ledger.keyword_search(self._query(), scope, limit=20, as_of=None)]
        vector = embed_query(self._library.embedder, self._query())
        chunk_ids += [chunk_id for chunk_id, _ in self._library.vectors.search(vector, scope, limit=20)]
        everything = {version.source().document_id: version for version in self._trial.latest()}
        for document in ledger.documents_of(chunk_ids, scope, as_of=None).values():
            if document in everything and not everything[document].source().is_readable(scope):
                self._trial.note("crossings", f"{scope} was told of {everything[document]}")
        self._saw(ledger.hits(chunk_ids, scope, as_of=None).values(), scope, None)

    def _ids(self) -> None:
        """Ids are no secrets: whoever guesses one gets nothing by it."""
        scope = self._scope()
        self._trial.reading(scope)
        text = self._library.ledger.text(self._trial.some_document(self._dice), scope)
        self._trial.look([text or ""])

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
        hits = self._ask(question, self._trial.policy.scope(person), self._today)[:1]
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
        self._trial.reading(self._trial.policy.scope(person))
        question = f"What about the {self._dice.choice(TOPICS)}?"
        found = self._wait(self._trial.memory.recall(question, compose="auto", principal=person))
        if found:
            self._trial.count("recalled")
            self._current(self._trial.look([found.text]), self._trial.policy.scope(person), self._today)

    def _ask_without_tenant(self) -> None:
        for scope in (Scope(""), Scope("", frozenset(GROUPS)), Scope(EVERY_TENANT, frozenset(GROUPS))):
            got: list[Any] = [*self._ask(self._query(), scope, self._today), *self._library.ledger.documents(scope)]
            got += self._library.vectors.search(embed_query(self._library.embedder, "warranty"), scope, limit=5)
            if self._library.ledger.text(self._trial.some_document(self._dice), scope) is not None or got:
                self._trial.note("not_empty", f"{scope} got {len(got)}")

    # Parts of it

    def _ask(self, query: str, scope: Scope, as_of: date, where: Where | None = None) -> list[Hit]:
        self._trial.reading(scope)
        limit, per_document = self._dice.choice([1, 5, 20]), self._dice.choice([1, 3])
        return self._trial.retriever.retrieve(
            query, scope, limit=limit, as_of=as_of, per_document=per_document, where=where
        )

    def _saw(self, hits: Iterable[Hit], scope: Scope, day: date | None) -> None:
        shown = list(hits)
        for hit in shown:
            source = hit.source
            if not scope.admits(source.tenant, source.groups) or not scope.admits_class(source.data_class):
                self._trial.note("crossings", f"{scope} was shown {hit.source.uri} of {hit.source.tenant}")
        self._current(self._trial.look([hit.chunk.text for hit in shown]), scope, day)

    def _current(self, seen: Iterable[Version], scope: Scope, day: date | None) -> None:
        """Nobody else writes this tenant's documents, so what is seen of them is stored and, on that day, in force."""
        stored = {text.version.number: (held, text) for held in self._held for text in held.texts}
        for version in seen:
            if version.tenant != self._tenant:
                continue
            held, text = stored.get(version.number, (None, None))
            if held is None or text is None or (day and not self._in_force(held, text, scope, day)):
                self._trial.note("stale", f"{version} on {day}, shown to {scope}: {held}")

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
        return Principal("somebody", self._of_tenant(), frozenset({self._dice.choice(ROLES)}), self._groups())

    def _of_tenant(self) -> str:
        return self._tenant if self._tenant != EVERY_TENANT else self._dice.choice(TENANTS)

    def _readers(self) -> tuple[frozenset[str], str]:
        return self._groups(), self._dice.choice(CLASSES)

    def _day(self) -> date:
        return self._today + timedelta(days=self._dice.choice([-800, -400, -30, -1, 0, 30]))

    def _groups(self) -> frozenset[str]:
        return frozenset(self._dice.sample(GROUPS, self._dice.choice([0, 0, 1, 2])))

    def _wait(self, work: Any) -> Any:
        return self._loop.run_until_complete(work)


def _citation(hit: Hit) -> Citation:
    chunk, source = hit.chunk, hit.source
    return Citation(1, chunk.document_id, chunk.chunk_id, source.uri, source.title, chunk.start, chunk.end, chunk.text)
