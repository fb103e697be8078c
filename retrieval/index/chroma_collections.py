"""The collections of an embedded Chroma: a shelf with a graph for each tenant and set of groups that has many vectors.

Chroma filters by first listing every permitted record: 17 ms a query at 5,000 chunks and 130 ms at 30,000. So rights
are no filter here: a search visits only the shelves that its scope admits (2 to 5 ms each), and other vectors are never
compared.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from langchain_core.utils.iter import batch_iterate
from pydantic import Field

from foundation.errors import StoreUnavailable
from foundation.settings import Section
from foundation.types import Scope
from retrieval.documents import VectorItem, Vectors
from retrieval.filters import AllOf, AnyOf, Between, OneOf, Stored, Where, stored_attributes
from retrieval.index.exact_search import Access

if TYPE_CHECKING:
    from chromadb.api.client import Client
    from chromadb.api.collection_configuration import CreateHNSWConfiguration
    from chromadb.api.models.Collection import Collection

# Names of the state collection and of its sequence
_STATE, _COMPLETE = "state", "whole_to"
# Number of vectors that are read or written at a time
PAGE = 1000
# Most writes of a record; number of nearest records that prove it reachable; distance below which vectors are equal
_WRITES = 3
_EQUALS = 4
_SAME = 1e-5
# Chroma's own 16, 100 and 100 find 7 of the 10 nearest among 50,000 near-duplicates; these nearly all, at twice the building time
_HNSW: CreateHNSWConfiguration = {"space": "cosine", "max_neighbors": 32, "ef_construction": 200, "ef_search": 400}


class Options(Section):
    folder: Path = Path("index")
    """The folder, relative to the data folder."""
    exact_up_to: int = Field(default=20_000, ge=0)
    """Most vectors of a shelf that is kept in memory and searched without a graph, at 1.5 KB for 384 dimensions; all shelves
    together hold at most five times as many. The write with which one outgrows this waits until its graph is built."""


class Collections:
    """The shelves in Chroma. One thread at a time may change them, while others search."""

    def __init__(self, store: Path) -> None:
        import chromadb
        from chromadb.config import Settings

        opened = chromadb.PersistentClient(str(store), settings=Settings(anonymized_telemetry=False))
        self._client = cast("Client", opened)  # its declared type hides `close`
        self._shelves: dict[Access, Collection] = {}
        try:
            self._look_around()
        except BaseException:
            self._client.close()  # a retry opens its own client
            raise

    def __contains__(self, access: Access) -> bool:
        return access in self._shelves

    def add(self, access: Access, items: Sequence[VectorItem]) -> None:
        """Create a shelf with these items. It is used once complete; the rest of a failed attempt is deleted first."""
        if _name_of(access) in {listed.name for listed in self._client.list_collections()}:
            self._client.delete_collection(_name_of(access))
        readers = {"tenant": access[0], "groups": json.dumps(sorted(access[1]))}
        shelf = self._client.create_collection(
            _name_of(access),
            metadata={**readers, "complete": False},
            configuration={"hnsw": _HNSW},
            embedding_function=None,  # otherwise Chroma would fetch a model of its own
        )
        for batch in batch_iterate(PAGE, items):
            _write_and_check(shelf, batch)
        shelf.modify(metadata={**readers, "complete": True})
        self._shelves = self._shelves | {access: shelf}  # a new dict, since searches iterate over the old one

    def put(self, access: Access, items: Sequence[VectorItem]) -> None:
        """Add or replace vectors of an existing shelf."""
        _write_and_check(self._shelves[access], items)

    def delete(self, chunk_ids: Sequence[str], *, but: Access | None = None) -> None:
        """Delete chunks from all shelves except `but`."""
        for access, shelf in self._shelves.items():
            if access != but and (present := shelf.get(ids=list(chunk_ids), include=[])["ids"]):
                shelf.delete(ids=present)

    def hits(self, vector: Vectors, scope: Scope, limit: int, wanted: Where | bool) -> Iterator[tuple[str, float]]:
        """Yield (chunk id, cosine similarity) of the best hits of each shelf that `scope` admits."""
        where = None if isinstance(wanted, bool) else cast("Any", _condition(wanted))
        query = np.asarray(vector, dtype=np.float32)[None, :]
        for shelf in [shelf for access, shelf in self._shelves.items() if scope.admits(*access)]:
            result = shelf.query(query_embeddings=query, n_results=limit, include=["distances"], where=where)
            for chunk_id, distance in zip(result["ids"][0], (result["distances"] or [[]])[0], strict=True):
                yield chunk_id, 1.0 - float(distance)

    @property
    def position(self) -> tuple[int, str]:
        """The ledger's sequence and stamp up to which the index is complete."""
        state: Any = self._state.metadata
        return int(state[_COMPLETE]), str(state["stamp"])

    def set_sequence(self, sequence: int, stamp: str) -> None:
        """Store sequence and stamp in the database of the vectors, so that they cannot reach the disk before these."""
        self._state.modify(metadata={_COMPLETE: sequence, "stamp": stamp})

    def count(self) -> int:
        return sum(shelf.count() for shelf in self._shelves.values())

    def clear(self) -> None:
        names = {listed.name for listed in self._client.list_collections()}
        for name in (_STATE, *sorted(names - {_STATE})):  # first the state, which says that the others are complete
            self._client.delete_collection(name)
        self._look_around()

    def close(self) -> None:
        self._client.close()

    def _look_around(self) -> None:
        self._state = self._client.get_or_create_collection(
            _STATE, metadata={_COMPLETE: 0, "stamp": ""}, embedding_function=None
        )
        self._shelves = {}
        for name in [listed.name for listed in self._client.list_collections() if listed.name != _STATE]:
            shelf = self._client.get_collection(name, embedding_function=None)
            readers: Any = shelf.metadata
            if readers.get("complete"):
                self._shelves[str(readers["tenant"]), frozenset(json.loads(readers["groups"]))] = shelf
            else:
                self._client.delete_collection(shelf.name)


def _name_of(access: Access) -> str:
    readers = json.dumps([access[0], json.dumps(sorted(access[1]))])
    return f"shelf-{hashlib.blake2b(readers.encode(), digest_size=16).hexdigest()}"


def _records_of(shelf: Collection, items: Sequence[VectorItem]) -> list[Any]:
    # Chroma refuses empty metadata and merges it with the old one, so removed names are set to None
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


def _write_and_check(shelf: Collection, items: Sequence[VectorItem]) -> None:
    # In about one of a hundred runs of small writes, Chroma 1.5.9 stores a record that no search reaches until it is
    # deleted and written again
    ids = [item.chunk_id for item in items]
    vectors, metadatas = np.stack([item.vector for item in items]), _records_of(shelf, items)
    missing: Sequence[int] = range(len(ids))
    for _ in range(_WRITES):
        names = [ids[place] for place in missing]
        shelf.upsert(names, vectors[missing], [metadatas[place] for place in missing])
        missing = [missing[row] for row in _unreachable(shelf, names, vectors[missing])]
        if not missing:
            return
        shelf.delete(ids=[ids[place] for place in missing])
    raise StoreUnavailable(
        f"The vector index does not find {len(missing)} of {len(ids)} vectors that it has just stored. Stop the system and "
        f"start it again: it is mended from the ledger."
    )


def _unreachable(shelf: Collection, ids: Sequence[str], vectors: Vectors) -> list[int]:
    """Return the indices of records that a search for their own vector does not reach, nor enough equal ones."""
    result = shelf.query(query_embeddings=vectors, n_results=_EQUALS, include=["distances"])
    return [
        place
        for place, (own, near, distances) in enumerate(zip(ids, result["ids"], result["distances"] or [], strict=True))
        if own not in near and not (len(near) == _EQUALS and distances[-1] < _SAME)
    ]
