"""A vector index in embedded Chroma: a collection, with a graph of its own, for each tenant and set of groups.

Chroma filters by first listing every permitted record: 17 ms a query at 5,000 chunks and 130 ms at 30,000. So rights are no filter here: a
search visits only the collections that its scope admits (2 to 5 ms each), and other vectors are never compared.

Measured with Chroma 1.5.9: a kill during a write can leave files that crash their reader, and two writers lose vectors without an error. So
one process owns the folder, and it is opened only if its checksum shows that it was closed in order; otherwise it is deleted and filled anew.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import shutil
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import numpy as np
from langchain_core.utils.iter import batch_iterate
from pydantic import Field

from foundation.components import Context
from foundation.errors import SixplyError, StorageFull, StoreUnavailable
from foundation.settings import Section
from foundation.stores.full_disk import room_at
from foundation.stores.registry import Store
from foundation.types import Scope
from retrieval.documents import DOCUMENTS_STAY, VectorItem, Vectors
from retrieval.filters import AllOf, AnyOf, Between, OneOf, Where, simplify, stored_attributes
from retrieval.index.checksum import FolderChecksum
from retrieval.index.lock import Ownership

if TYPE_CHECKING:
    from chromadb.api.client import Client
    from chromadb.api.models.Collection import Collection

log = logging.getLogger(__name__)

# File, part of the checksum, with the sequence and its token
_POSITION = "position.json"
# Number of vectors that are written at a time
PAGE = 1000
# Most writes of a record; number of nearest records that prove it reachable; distance below which vectors are equal
_WRITES, _EQUALS, _SAME = 3, 4, 1e-5
# Free bytes below which an error of Chroma's is taken for a full disk, since it does not always say so
_NO_ROOM = 1 << 20

# Tenant and groups
_Access: TypeAlias = tuple[str, frozenset[str]]


class Options(Section):
    folder: Path = Path("index")
    """The folder, relative to the data folder."""
    max_neighbors: int = Field(default=32, ge=2)
    ef_construction: int = Field(default=200, ge=4)
    ef_search: int = Field(default=400, ge=1)
    """Parameters of the graphs. Chroma's own 16, 100 and 100 find 7 of the 10 nearest among 50,000 near-duplicates, these nearly all."""


class ChromaVectorIndex:
    """A `VectorIndex` in embedded Chroma. Calls take turns."""

    def __init__(self, folder: Path, options: Options) -> None:
        """Raises StoreInUse: another process owns the folder."""
        graph = options.model_dump(include={"max_neighbors", "ef_construction", "ef_search"})
        self._configuration: Any = {"hnsw": {"space": "cosine", **graph}}
        self._store = (folder / "chroma").resolve()  # a link to another disk stays when its folder is deleted
        self._one_at_a_time = threading.RLock()
        self._owner = Ownership(folder / "owner.lock", what="The vector index")
        self._checksum = FolderChecksum(folder / "checksum.txt", self._store)
        self._client: Client | None = None
        self._collections: dict[_Access, Collection] = {}
        self._sequence, self._token = 0, ""
        try:
            with self._translate_errors():
                self._open()
        except BaseException:
            self._owner.release()
            raise

    def upsert(self, items: Iterable[VectorItem]) -> None:
        for page in batch_iterate(PAGE, items):
            latest = {item.chunk_id: item for item in page}.values()
            by_access = sorted(latest, key=lambda item: _name(_access(item)))
            with self._use() as client:
                for access, own in groupby(by_access, key=_access):
                    group = list(own)
                    if access not in self._collections:
                        self._collections[access] = self._create(client, access)
                    _write_and_check(self._collections[access], group)
                    self._remove([item.chunk_id for item in group], but=access)

    def delete(self, chunk_ids: Iterable[str]) -> None:
        for page in batch_iterate(PAGE, chunk_ids):
            with self._use():
                self._remove(page)

    def search(
        self, vector: Vectors, scope: Scope, *, limit: int, where: Where | None = None
    ) -> list[tuple[str, float]]:
        wanted, query = simplify(where), np.asarray(vector, dtype=np.float32)[None, :]
        if limit <= 0 or wanted is False:
            return []
        condition = None if isinstance(wanted, bool) else _condition(wanted)
        hits: list[tuple[str, float]] = []
        with self._use():
            for collection in [own for access, own in self._collections.items() if scope.admits(*access)]:
                found = collection.query(
                    query_embeddings=query, n_results=limit, include=["distances"], where=condition
                )
                distances = (found["distances"] or [[]])[0]
                hits += [(name, 1.0 - float(far)) for name, far in zip(found["ids"][0], distances, strict=True)]
        return sorted(hits, key=lambda hit: (-hit[1], hit[0]))[:limit]

    def sequence(self) -> int:
        return self._sequence

    def version_token(self) -> str:
        return self._token

    def set_sequence(self, sequence: int, version_token: str = "") -> None:
        self._sequence, self._token = sequence, version_token

    def count(self) -> int:
        with self._use():
            return sum(collection.count() for collection in self._collections.values())

    def clear(self) -> None:
        with self._use() as client:
            for listed in client.list_collections():
                client.delete_collection(listed.name)
            self._collections, self._sequence, self._token = {}, 0, ""

    def close(self) -> None:
        """Close and release the folder, with its checksum. A second call does nothing."""
        with self._one_at_a_time:
            client, self._client = self._client, None
            if client is None:
                return
            try:
                client.close()
                with suppress(OSError):  # without a checksum the next start fills it again
                    (self._store / _POSITION).write_text(json.dumps([self._sequence, self._token]), encoding="utf-8")
                    self._checksum.write()
            finally:
                self._owner.release()

    def _open(self) -> None:
        import chromadb
        from chromadb.config import Settings

        if self._store.exists() and self._checksum.is_intact():
            self._sequence, self._token = json.loads((self._store / _POSITION).read_text(encoding="utf-8"))
        elif self._store.exists():
            log.warning("The vector index %s is damaged or was not closed in order. It is filled anew.", self._store)
            shutil.rmtree(self._store)
        self._checksum.delete()
        opened = chromadb.PersistentClient(str(self._store), settings=Settings(anonymized_telemetry=False))
        self._client = cast("Client", opened)  # its declared type hides `close`
        try:
            for listed in self._client.list_collections():
                collection = self._client.get_collection(listed.name, embedding_function=None)
                readers: Any = collection.metadata
                self._collections[str(readers["tenant"]), frozenset(json.loads(readers["groups"]))] = collection
        except BaseException:
            self._client.close()
            raise

    def _create(self, client: Client, access: _Access) -> Collection:
        return client.create_collection(
            _name(access),
            metadata={"tenant": access[0], "groups": json.dumps(sorted(access[1]))},
            configuration=self._configuration,
            embedding_function=None,  # otherwise Chroma would fetch a model of its own
        )

    def _remove(self, chunk_ids: Sequence[str], *, but: _Access | None = None) -> None:
        for access, collection in self._collections.items():
            if access != but and (present := collection.get(ids=list(chunk_ids), include=[])["ids"]):
                collection.delete(ids=present)

    @contextmanager
    def _use(self) -> Iterator[Client]:
        with self._one_at_a_time, self._translate_errors():
            if self._client is None:
                raise StoreUnavailable(
                    f"The vector index {self._store} was closed by this process. Open the system again."
                )
            yield self._client

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        try:
            yield
        except SixplyError:
            raise
        except Exception as error:  # Chroma raises many kinds, some from its Rust core
            disk_full = "disk is full" in str(error) or "No space left" in str(error)
            if disk_full or room_at(self._store.parent) < _NO_ROOM:
                raise StorageFull(
                    f"There is no room on the disk for the vector index {self._store}: {error}. Free some space first. Nothing "
                    f"is lost: with room again it is filled from the ledger."
                ) from error
            raise StoreUnavailable(
                f"The vector index {self._store} cannot be used: {type(error).__name__}: {error}. "
                f"Nothing is lost: stop the system and start it again, and it is mended from the ledger."
            ) from error


def build(options: Options, context: Context) -> ChromaVectorIndex:
    return ChromaVectorIndex(context.data_dir / options.folder, options)


def describe_search(options: Options, passages: int) -> str:  # noqa: ARG001 - the signature of every adapter
    return "by a graph at every size"


def stores(options: Options) -> tuple[Store, ...]:
    files = (f"{options.folder}/*", f"{options.folder}-*", f"{options.folder}.*")
    return (Store(name="vectors", files=files, stays=DOCUMENTS_STAY),)


def _access(item: VectorItem) -> _Access:
    return item.tenant, item.groups


def _name(access: _Access) -> str:
    readers = json.dumps([access[0], *sorted(access[1])])
    return f"readers-{hashlib.blake2b(readers.encode(), digest_size=16).hexdigest()}"


def _condition(where: Where) -> Any:
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


def _write_and_check(collection: Collection, items: Sequence[VectorItem]) -> None:
    ids = [item.chunk_id for item in items]
    # Chroma keeps the metadata of a record that it replaces
    if present := collection.get(ids=ids, include=[])["ids"]:
        collection.delete(ids=present)
    vectors = np.stack([item.vector for item in items])
    metadatas: Any = [{"sequence": item.sequence, **stored_attributes(item.attributes)} for item in items]
    # In one of a hundred runs of small writes, Chroma 1.5.9 stores a record that no search reaches before a rewrite
    missing: Sequence[int] = range(len(ids))
    for _ in range(_WRITES):
        names = [ids[place] for place in missing]
        collection.upsert(names, vectors[missing], [metadatas[place] for place in missing])
        missing = [missing[row] for row in _unreachable(collection, names, vectors[missing])]
        if not missing:
            return
        collection.delete(ids=[ids[place] for place in missing])
    raise StoreUnavailable(
        f"The vector index does not find {len(missing)} of {len(ids)} vectors that it has just stored. Start it again."
    )


def _unreachable(collection: Collection, ids: Sequence[str], vectors: Vectors) -> list[int]:
    """Return the indices of records that a search for their own vector does not reach, nor enough equal ones."""
    result = collection.query(query_embeddings=vectors, n_results=_EQUALS, include=["distances"])
    return [
        place
        for place, (own, near, distances) in enumerate(zip(ids, result["ids"], result["distances"] or [], strict=True))
        if own not in near and not (len(near) == _EQUALS and distances[-1] < _SAME)
    ]
