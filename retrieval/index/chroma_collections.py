"""The collections of an embedded Chroma: a partition with a graph for each tenant and set of groups that has many vectors.

Chroma filters by first listing every permitted record: 17 ms a query at 5,000 chunks and 130 ms at 30,000. So rights
are no filter here: a search visits only the partitions that its scope admits (2 to 5 ms each), and other vectors are never
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

from foundation.errors import StoreUnavailable
from foundation.types import Scope
from retrieval.documents import VectorItem, Vectors
from retrieval.filters import AllOf, AnyOf, Between, OneOf, Where, stored_attributes
from retrieval.index.rows import Access

if TYPE_CHECKING:
    from chromadb.api.client import Client
    from chromadb.api.collection_configuration import CreateHNSWConfiguration
    from chromadb.api.models.Collection import Collection

# Number of vectors that are read or written at a time
PAGE = 1000
# Most writes of a record; number of nearest records that prove it reachable; distance below which vectors are equal
_WRITES, _EQUALS, _SAME = 3, 4, 1e-5
# Chroma's own 16, 100 and 100 find 7 of the 10 nearest among 50,000 near-duplicates; these nearly all, at twice the building time
_HNSW: CreateHNSWConfiguration = {"space": "cosine", "max_neighbors": 32, "ef_construction": 200, "ef_search": 400}


class Collections:
    """The partitions in Chroma. One thread at a time may change them, while others search."""

    def __init__(self, store: Path) -> None:
        import chromadb
        from chromadb.config import Settings

        opened = chromadb.PersistentClient(str(store), settings=Settings(anonymized_telemetry=False))
        self._client = cast("Client", opened)  # its declared type hides `close`
        self._partitions: dict[Access, Collection] = {}
        try:
            for listed in self._client.list_collections():
                partition = self._client.get_collection(listed.name, embedding_function=None)
                readers: Any = partition.metadata
                self._partitions[str(readers["tenant"]), frozenset(json.loads(readers["groups"]))] = partition
        except BaseException:
            self._client.close()  # a retry opens its own client
            raise

    def __contains__(self, access: Access) -> bool:
        return access in self._partitions

    def add(self, access: Access, items: Sequence[VectorItem]) -> None:
        """Create a partition with these items. It is used once all are in; the rest of a failed attempt is deleted first."""
        readers = {"tenant": access[0], "groups": json.dumps(sorted(access[1]))}
        name = f"partition-{hashlib.blake2b(json.dumps([*readers.values()]).encode(), digest_size=16).hexdigest()}"
        if name in {listed.name for listed in self._client.list_collections()}:
            self._client.delete_collection(name)
        partition = self._client.create_collection(
            name,
            metadata=readers,
            configuration={"hnsw": _HNSW},
            embedding_function=None,  # otherwise Chroma would fetch a model of its own
        )
        for batch in batch_iterate(PAGE, items):
            _write_and_check(partition, batch)
        self._partitions = self._partitions | {access: partition}  # a new dict, since searches iterate over the old one

    def put(self, access: Access, items: Sequence[VectorItem]) -> None:
        """Add or replace vectors of an existing partition. What is stored under the same sequence number is passed over."""
        _write_and_check(self._partitions[access], items)

    def delete(self, chunk_ids: Sequence[str], *, but: Access | None = None) -> None:
        """Delete chunks from all partitions except `but`."""
        for access, partition in self._partitions.items():
            if access != but and (present := partition.get(ids=list(chunk_ids), include=[])["ids"]):
                partition.delete(ids=present)

    def hits(self, vector: Vectors, scope: Scope, limit: int, wanted: Where | bool) -> Iterator[tuple[str, float]]:
        """Yield (chunk id, cosine similarity) of the best hits of each partition that `scope` admits."""
        where = None if isinstance(wanted, bool) else cast("Any", _condition(wanted))
        query = np.asarray(vector, dtype=np.float32)[None, :]
        for partition in [partition for access, partition in self._partitions.items() if scope.admits(*access)]:
            result = partition.query(query_embeddings=query, n_results=limit, include=["distances"], where=where)
            for chunk_id, distance in zip(result["ids"][0], (result["distances"] or [[]])[0], strict=True):
                yield chunk_id, 1.0 - float(distance)

    def count(self) -> int:
        return sum(partition.count() for partition in self._partitions.values())

    def clear(self) -> None:
        for listed in self._client.list_collections():
            self._client.delete_collection(listed.name)
        self._partitions = {}

    def close(self) -> None:
        self._client.close()


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


def _write_and_check(partition: Collection, items: Sequence[VectorItem]) -> None:
    before = partition.get(ids=[item.chunk_id for item in items], include=["metadatas"])
    stored = dict(zip(before["ids"], before["metadatas"] or [], strict=True))
    records = {
        item.chunk_id: (item.vector, {"sequence": item.sequence, **stored_attributes(item.attributes)})
        for item in items
    }
    # At a start the ledger offers all again
    ids = [chunk_id for chunk_id, (_, metadata) in records.items() if metadata != stored.get(chunk_id)]
    if not ids:
        return
    vectors = np.stack([records[chunk_id][0] for chunk_id in ids])
    # Chroma merges metadata with the old, so removed names are set to None
    metadatas: Any = [{**dict.fromkeys(stored.get(chunk_id) or {}), **records[chunk_id][1]} for chunk_id in ids]
    # In one of a hundred runs of small writes, Chroma 1.5.9 stores a record that no search reaches before a rewrite
    missing: Sequence[int] = range(len(ids))
    for _ in range(_WRITES):
        names = [ids[place] for place in missing]
        partition.upsert(names, vectors[missing], [metadatas[place] for place in missing])
        missing = [missing[row] for row in _unreachable(partition, names, vectors[missing])]
        if not missing:
            return
        partition.delete(ids=[ids[place] for place in missing])
    raise StoreUnavailable(
        f"The vector index does not find {len(missing)} of {len(ids)} vectors that it has just stored. Start it again."
    )


def _unreachable(partition: Collection, ids: Sequence[str], vectors: Vectors) -> list[int]:
    """Return the indices of records that a search for their own vector does not reach, nor enough equal ones."""
    result = partition.query(query_embeddings=vectors, n_results=_EQUALS, include=["distances"])
    return [
        place
        for place, (own, near, distances) in enumerate(zip(ids, result["ids"], result["distances"] or [], strict=True))
        if own not in near and not (len(near) == _EQUALS and distances[-1] < _SAME)
    ]
