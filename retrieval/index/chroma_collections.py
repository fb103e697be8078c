"""The collections of an embedded Chroma: a shelf for each tenant and set of groups, plain while it is small, with a graph later.

Chroma filters by first listing every record that may be shown: 17 ms a query at 5,000 chunks and 130 ms at 30,000. So
nothing is filtered here. Chunks stand on *shelves*, one collection for each tenant and set of groups, and a search
walks only along the shelves that its scope admits (2 to 5 ms each, less than one where they are searched without
Chroma's graph); a stranger's vectors are not even compared.
Whoever gives every document access rights of its own has one shelf for each, and is better served by another index.

A shelf begins as a *plain* one, which is searched without its graph; the graph, which Chroma cannot do without, gets as few
links as it can have, because building it was most of what Chroma took of an ingest. What outgrows `exact_up_to` is copied to
a collection with a graph to search.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np
from langchain_core.utils.iter import batch_iterate
from pydantic import Field

from foundation.errors import StoreUnavailable
from foundation.settings import Section
from foundation.types import Scope
from retrieval.contract import VectorItem, Vectors
from retrieval.filters import AllOf, AnyOf, Between, OneOf, Stored, Where, stored_attributes
from retrieval.index.closed_snapshot import Snapshot
from retrieval.index.exact_search import Access, Rows, SmallCollections, best

if TYPE_CHECKING:
    from chromadb.api.client import Client
    from chromadb.api.collection_configuration import CreateHNSWConfiguration
    from chromadb.api.models.Collection import Collection

log = logging.getLogger(__name__)

T = TypeVar("T")

_STATE, _COMPLETE = "state", "complete_to"
_PLAIN = "-plain"
"""How the names of collections of plain shelves end."""
_FEWEST_LINKS: CreateHNSWConfiguration = {"max_neighbors": 2, "ef_construction": 1}
"""Below 2 neighbours the graph's formula divides by zero."""
PAGE = 1000
"""So many vectors are read at a time."""
_READ_AT_CLOSE = 5000
"""So many vectors that nobody has searched are read for the snapshot: a quarter of a second."""
_WRITES = 3
_EQUALS = 4
_SAME = 1e-5
"""Times that a record is written before we give up; nearest records that prove one to be reached; the distance below
which two vectors count as equal."""


class Options(Section):
    folder: Path = Path("index")
    """Below the data folder."""
    max_neighbors: int = Field(default=32, ge=2)
    ef_construction: int = Field(default=200, ge=1)
    ef_search: int = Field(default=400, ge=1)
    """Breadth of the graph, of its building and of its search; they count when a shelf is created. Chroma's own 16, 100
    and 100 find 7 of the 10 nearest among 50,000 near-duplicates; these find nearly all, at twice the building time."""
    exact_up_to: int = Field(default=20_000, ge=0)
    """Shelves of up to so many vectors are searched without the graph: see `retrieval.index.exact_search`. They are kept in memory, 1.5
    KB for a vector of 384 numbers, and no more than five times so many of all shelves together. The write with which a shelf
    outgrows this waits until its graph is built."""


class Collections:
    """The index in Chroma. One thread at a time changes it, while others may search."""

    def __init__(self, store: Path, options: Options, asleep: Snapshot | None) -> None:
        self._options = options
        self._small = SmallCollections(options.exact_up_to, dict(asleep.shelves.values()) if asleep else None)
        self._outgrown = 0
        """Shelves that were copied to another collection since this index was opened."""
        self._client = open_client(store)
        try:
            self._look_around()
            for access, shelf in self._shelves.items():
                if is_plain(shelf) and shelf.count() > options.exact_up_to:  # which was more before
                    self._outgrow(access)
        except BaseException:
            self._client.close()  # whoever tries again opens one of its own
            raise

    def upsert(self, items: Iterable[VectorItem]) -> None:
        with self._small.writing():
            for batch in batch_iterate(self._client.get_max_batch_size(), items):
                by_access: defaultdict[Access, list[VectorItem]] = defaultdict(list)
                for item in {item.chunk_id: item for item in batch}.values():
                    by_access[item.tenant, item.groups].append(item)
                for access, group in by_access.items():
                    self._place(access, group)

    def delete(self, chunk_ids: Iterable[str]) -> None:
        with self._small.writing():
            for batch in batch_iterate(self._client.get_max_batch_size(), chunk_ids):
                for shelf in self._shelves.values():
                    self._take_off(shelf, batch)

    def search(self, vector: Vectors, scope: Scope, limit: int, wanted: Where | bool) -> list[tuple[str, float]]:
        def nearest() -> list[tuple[str, float]]:
            admitted = (shelf for access, shelf in self._shelves.items() if scope.admits(*access))
            hits = (find_nearest(shelf, self._rows_of(shelf), vector, limit, wanted) for shelf in admitted)
            return best(chain.from_iterable(hits), limit)

        return self._read_undisturbed(nearest)

    @property
    def sequence(self) -> int:
        return int(cast("int", (self._state.metadata or {}).get(_COMPLETE, 0)))

    @property
    def stamp(self) -> str:
        return str((self._state.metadata or {}).get("stamp", ""))

    def set_sequence(self, sequence: int, stamp: str) -> None:
        self._state.modify(metadata={_COMPLETE: sequence, "stamp": stamp})

    def count(self) -> int:
        return self._read_undisturbed(lambda: sum(shelf.count() for shelf in self._shelves.values()))

    def clear(self) -> None:
        with self._small.writing():
            names = {listed.name for listed in self._client.list_collections()}
            for name in (_STATE, *sorted(names - {_STATE})):  # first what says that the others are complete
                self._client.delete_collection(name)
            self._small.forget()
            self._look_around()

    def close(self) -> Snapshot | None:
        """What the next start may read instead of this, if all of it can be."""
        try:
            snapshot = self._snapshot()
        except Exception as error:  # Chroma raises many kinds; a broken index is closed as well as that can be done
            log.warning("The vector index is closed without a snapshot: %s: %s", type(error).__name__, error)
            snapshot = None
        self._client.close()
        return snapshot

    def _snapshot(self) -> Snapshot | None:
        """`None` where a shelf is searched by its graph, or more that nobody has searched than is read in a moment."""
        unread = sum(shelf.count() for shelf in self._shelves.values() if not self._small.holds(shelf.name))
        if unread > _READ_AT_CLOSE or not all(map(is_plain, self._shelves.values())):
            return None
        shelves = {access: (shelf.name, self._rows_of(shelf)) for access, shelf in self._shelves.items()}
        complete = {access: (name, rows) for access, (name, rows) in shelves.items() if rows is not None}
        return Snapshot(self.sequence, self.stamp, complete) if len(complete) == len(shelves) else None

    def _rows_of(self, shelf: Collection) -> Rows | None:
        return self._small.rows(shelf.name, shelf.count, partial(_rows, shelf))

    def _look_around(self) -> None:
        self._state = self._client.get_or_create_collection(
            _STATE, metadata={_COMPLETE: 0, "stamp": ""}, embedding_function=None
        )
        shelves = {shelf.name: (access, shelf) for access, shelf in list_shelves(self._client)}
        for unfinished in [name for name in shelves if f"{name}{_PLAIN}" in shelves]:
            self._client.delete_collection(unfinished)
            del shelves[unfinished]
        self._shelves = dict(shelves.values())

    def _place(self, access: Access, items: Sequence[VectorItem]) -> None:
        vectors = {item.chunk_id: item.vector for item in items}
        shelf, ids = self._shelf(access, len(items)), list(vectors)
        _write_and_check(shelf, ids, np.stack(list(vectors.values())), _records_of(shelf, items))
        self._small.record(shelf.name, vectors)
        for readers, other in self._shelves.items():
            if readers != access:
                self._take_off(other, ids)

    def _take_off(self, shelf: Collection, chunk_ids: Sequence[str]) -> None:
        if present := shelf.get(ids=list(chunk_ids), include=[])["ids"]:
            shelf.delete(ids=present)
        self._small.record(shelf.name, {}, gone=chunk_ids)

    def _shelf(self, access: Access, more: int) -> Collection:
        """That to which `more` vectors can be added. The shelves are put together anew, because searches are walking along
        the old ones."""
        shelf = self._shelves.get(access)
        if shelf is None:
            plain = more <= self._options.exact_up_to
            self._shelves = self._shelves | {access: self._create(access, plain=plain)}
            if plain:
                self._small.add(self._shelves[access].name)
        elif is_plain(shelf) and shelf.count() + more > self._options.exact_up_to:
            self._outgrow(access)
        return self._shelves[access]

    def _outgrow(self, access: Access) -> None:
        """Copy a plain shelf to a collection with a graph. Until the plain one is deleted, it is the one that counts."""
        if _name_of(access) in {listed.name for listed in self._client.list_collections()}:  # an earlier copy failed
            self._client.delete_collection(_name_of(access))
        plain, linked = self._shelves[access], self._create(access, plain=False)
        for offset in range(0, plain.count(), PAGE):
            page = plain.get(limit=PAGE, offset=offset, include=["embeddings", "metadatas"])
            vectors = np.asarray(page["embeddings"], dtype=np.float32)
            _write_and_check(linked, page["ids"], vectors, page["metadatas"] or [])
        before, self._shelves = self._shelves, self._shelves | {access: linked}
        self._outgrown += 1
        try:
            self._client.delete_collection(plain.name)
        except BaseException:
            self._shelves = before
            raise
        self._small.forget(plain.name)

    def _create(self, access: Access, *, plain: bool) -> Collection:
        graph: CreateHNSWConfiguration = {
            "space": "cosine",
            "max_neighbors": self._options.max_neighbors,
            "ef_construction": self._options.ef_construction,
            "ef_search": self._options.ef_search,
        }
        return self._client.create_collection(
            f"{_name_of(access)}{_PLAIN if plain else ''}",
            metadata={"tenant": access[0], "groups": json.dumps(sorted(access[1]))},
            configuration={"hnsw": {**graph, **_FEWEST_LINKS} if plain else graph},
            embedding_function=None,  # otherwise Chroma would fetch a model of its own
        )

    def _read_undisturbed(self, read: Callable[[], T]) -> T:
        """What `read` gives, read once more where a shelf was outgrown meanwhile: its former collection is gone."""
        while True:
            before = self._outgrown
            try:
                result = read()
            except Exception:
                if before == self._outgrown:
                    raise
                continue
            if before == self._outgrown:
                return result


def open_client(store: Path) -> Client:
    import chromadb
    from chromadb.config import Settings

    client = chromadb.PersistentClient(str(store), settings=Settings(anonymized_telemetry=False))
    return cast("Client", client)  # its declared type hides `close`


def list_shelves(client: Client) -> Iterator[tuple[Access, Collection]]:
    for name in (listed.name for listed in client.list_collections() if listed.name != _STATE):
        shelf = client.get_collection(name, embedding_function=None)
        readers = shelf.metadata or {}
        yield (str(readers["tenant"]), frozenset(json.loads(str(readers["groups"])))), shelf


def is_plain(shelf: Collection) -> bool:
    return shelf.name.endswith(_PLAIN)


def find_nearest(
    shelf: Collection, rows: Rows | None, vector: Vectors, limit: int, where: Where | bool
) -> Iterator[tuple[str, float]]:
    query = np.asarray(vector, dtype=np.float32)[None, :]
    wanted = None if isinstance(where, bool) else cast("Any", _condition(where))
    if rows is not None:
        among = None if wanted is None else frozenset(shelf.get(where=wanted, include=[])["ids"])
        yield from rows.nearest(query[0], limit, among)
        return
    result = shelf.query(query_embeddings=query, n_results=limit, include=["distances"], where=wanted)
    distances = (result["distances"] or [[]])[0]
    for chunk_id, distance in zip(result["ids"][0], distances, strict=True):
        yield chunk_id, 1.0 - float(distance)


def _name_of(access: Access) -> str:
    readers = json.dumps([access[0], json.dumps(sorted(access[1]))])
    return f"shelf-{hashlib.blake2b(readers.encode(), digest_size=16).hexdigest()}"


def _rows(shelf: Collection) -> Rows:
    """Every vector, read without the graph's links."""
    read = shelf.get(include=["embeddings"])
    vectors = read["embeddings"]
    return Rows(read["ids"], np.asarray(vectors if read["ids"] else np.zeros((0, 0)), dtype=np.float32))


def _records_of(shelf: Collection, items: Sequence[VectorItem]) -> list[Any]:
    """What is known of each, never empty, which Chroma would refuse. It merges what it is given with what it has, so
    names that are gone are taken away one by one."""
    before = shelf.get(ids=[item.chunk_id for item in items], include=["metadatas"])
    gone: dict[str, dict[str, Stored | None]] = {
        chunk_id: dict.fromkeys(metadata or {})
        for chunk_id, metadata in zip(before["ids"], before["metadatas"] or [], strict=True)
    }
    return [{**gone.get(item.chunk_id, {}), "chunk": 1.0, **stored_attributes(item.attributes)} for item in items]


def _condition(where: Where) -> dict[str, Any]:
    match where:
        case AllOf(parts):
            return {"$and": [_condition(part) for part in parts]}
        case AnyOf(parts):
            return {"$or": [_condition(part) for part in parts]}
        case OneOf():
            return {where.name: {"$in": where.stored_values}}
        case Between():
            sides = zip(("$gte", "$lte"), where.ends, strict=True)
            ends = [{where.name: {sign: end}} for sign, end in sides if not math.isinf(end)]
            return ends[0] if len(ends) == 1 else {"$and": ends}


def _write_and_check(shelf: Collection, ids: Sequence[str], vectors: Vectors, metadatas: Sequence[Any]) -> None:
    """Write, then look whether each can be found, unless the shelf is a plain one. In about one of a hundred runs of small
    writes Chroma 1.5.9 counts a record that no search reaches; taken off and written again, it is reached.
    """
    missing: Sequence[int] = range(len(ids))
    for _ in range(_WRITES):
        names = [ids[place] for place in missing]
        shelf.upsert(names, vectors[missing], [metadatas[place] for place in missing])
        if is_plain(shelf):
            return
        missing = [missing[row] for row in _unreachable(shelf, names, vectors[missing])]
        if not missing:
            return
        shelf.delete(ids=[ids[place] for place in missing])
    raise StoreUnavailable(
        f"The vector index does not find {len(missing)} of {len(ids)} vectors that it has just stored. Stop the system and "
        f"start it again: it is mended from the ledger."
    )


def _unreachable(shelf: Collection, ids: Sequence[str], vectors: Vectors) -> list[int]:
    """Places of those whose own vector leads neither to them nor to enough of their equals."""
    result = shelf.query(query_embeddings=vectors, n_results=_EQUALS, include=["distances"])
    return [
        place
        for place, (own, near, distances) in enumerate(zip(ids, result["ids"], result["distances"] or [], strict=True))
        if own not in near and not (len(near) == _EQUALS and distances[-1] < _SAME)
    ]
