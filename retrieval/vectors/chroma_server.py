"""A Chroma server on this machine, for several processes that share one index.

**Never let anybody else reach that server.** Chroma 1.5.9 has a known hole through which an unauthenticated caller runs
code (CVE-2026-45829; mended, not released), and its tenants are no border between customers. Hence only a loopback host is
accepted here: run `chroma run --host 127.0.0.1`, as a user who owns nothing else. Across machines, use pgvector.

As in the embedded index, chunks stand on *shelves*, one collection for each tenant and set of groups, because Chroma's own
filter lists every record that may be shown before it searches (130 ms at 30,000 chunks). A search walks along the shelves
that its scope admits. Other processes may add some, so the shelves are listed anew for each call.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random

from foundation.components import Context
from foundation.errors import SixplyError, StorageFull, StoreUnavailable
from foundation.stores.registry import Store
from foundation.types import Scope
from retrieval.contract import DOCUMENTS_STAY, VectorItem, Vectors
from retrieval.filters import Where, simplify
from retrieval.index.chroma_partitions import (
    Access,
    access_of,
    batches,
    condition,
    metadata_of,
    records_of,
    shelf_name,
    take_off,
)

if TYPE_CHECKING:
    from chromadb.api import ClientAPI
    from chromadb.api.collection_configuration import CreateHNSWConfiguration
    from chromadb.api.models.Collection import Collection

_PAGE = 100
_COMPLETE = "complete_to"
"""Under another name than in an earlier format, whose indexes are thus filled anew."""


class Options(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    host: Literal["127.0.0.1", "localhost", "::1"] = "127.0.0.1"
    port: int = Field(default=8000, ge=1, le=65535)
    prefix: str = Field(default="sixply", pattern="^[a-z0-9]{1,40}$")
    """Of the names of its collections, so that a server can hold several indexes."""
    timeout_s: float = Field(default=30, gt=0)
    max_neighbors: int = Field(default=32, ge=2)
    ef_construction: int = Field(default=200, ge=1)
    ef_search: int = Field(default=400, ge=1)
    """Breadth of the graph, of its building and of its search; they count when a shelf is created."""


class ChromaServerIndex:
    """See `retrieval.contract.VectorIndex`."""

    def __init__(self, options: Options) -> None:
        """Raises:
        StoreUnavailable: there is no Chroma server at the address.
        """
        self._options = options
        self._changing = threading.RLock()
        self._client: ClientAPI | None = None
        with self._translate_errors():
            self._client = _client(options)
            self._most = self._client.get_max_batch_size()

    def upsert(self, items: Iterable[VectorItem]) -> None:
        for batch in batches(items, self._most):
            by_access: defaultdict[Access, list[VectorItem]] = defaultdict(list)
            for item in {item.chunk_id: item for item in batch}.values():
                by_access[item.tenant, item.groups].append(item)
            with self._change() as client:
                for access, group in by_access.items():
                    self._place(client, access, group)

    def delete(self, chunk_ids: Iterable[str]) -> None:
        for batch in batches(chunk_ids, self._most):
            with self._change() as client:
                for _, shelf in self._shelves(client):
                    take_off(shelf, batch)

    def search(
        self, vector: Vectors, scope: Scope, *, limit: int, where: Where | None = None
    ) -> list[tuple[str, float]]:
        similarities: dict[str, float] = {}
        wanted = simplify(where)
        with self._use() as client:
            for (tenant, groups), shelf in self._shelves(client) if limit > 0 and wanted is not False else ():
                if scope.admits(tenant, groups):
                    for chunk_id, similarity in _nearest(
                        shelf, vector, limit, wanted
                    ):  # one on the move may stand on two
                        similarities[chunk_id] = max(similarity, similarities.get(chunk_id, similarity))
        return sorted(similarities.items(), key=lambda item: (-item[1], item[0]))[:limit]

    def sequence(self) -> int:
        with self._use() as client:
            return int(cast("int", (self._state(client).metadata or {}).get(_COMPLETE, 0)))

    def stamp(self) -> str:
        with self._use() as client:
            return str((self._state(client).metadata or {}).get("stamp", ""))

    def set_sequence(self, sequence: int, stamp: str = "") -> None:
        with self._change() as client:
            self._state(client).modify(metadata={_COMPLETE: sequence, "stamp": stamp})

    def count(self) -> int:
        with self._use() as client:
            return sum(shelf.count() for _, shelf in self._shelves(client))

    def clear(self) -> None:
        with self._change() as client:
            self._state(client).modify(
                metadata={_COMPLETE: 0}
            )  # first: an index may hold more than it claims, never less
            for _, shelf in list(self._shelves(client)):
                client.delete_collection(shelf.name)

    def close(self) -> None:
        """A second call does nothing."""
        with self._changing:
            client, self._client = self._client, None
            if client is not None:
                sessions = _sessions(client)
                client.close()  # type: ignore[attr-defined] # its declared type hides it
                for session in sessions:
                    session.close()

    def _place(self, client: ClientAPI, access: Access, items: Sequence[VectorItem]) -> None:
        ids = [item.chunk_id for item in items]
        own = self._shelf(client, access)
        own.upsert(ids=ids, embeddings=np.stack([item.vector for item in items]), metadatas=records_of(own, items))
        for _, shelf in self._shelves(client):
            if shelf.name != own.name:
                take_off(shelf, ids)

    def _shelf(self, client: ClientAPI, access: Access) -> Collection:
        graph: CreateHNSWConfiguration = {
            "space": "cosine",
            "max_neighbors": self._options.max_neighbors,
            "ef_construction": self._options.ef_construction,
            "ef_search": self._options.ef_search,
        }
        return client.get_or_create_collection(
            f"{self._options.prefix}-{shelf_name(access)}",
            metadata=metadata_of(access),
            configuration={"hnsw": graph},
            embedding_function=None,  # otherwise Chroma would fetch a model of its own
        )

    def _state(self, client: ClientAPI) -> Collection:
        return client.get_or_create_collection(f"{self._options.prefix}-state", embedding_function=None)

    def _shelves(self, client: ClientAPI) -> Iterator[tuple[Access, Collection]]:
        offset = 0
        while page := client.list_collections(limit=_PAGE, offset=offset):
            for shelf in page:
                if shelf.name.startswith(f"{self._options.prefix}-shelf-"):
                    yield access_of(shelf), shelf
            offset += _PAGE

    @contextmanager
    def _change(self) -> Iterator[ClientAPI]:
        with self._changing, self._use() as client:
            yield client

    @contextmanager
    def _use(self) -> Iterator[ClientAPI]:
        client = self._client
        if client is None:
            raise StoreUnavailable("The index in the Chroma server was closed by this process. Open the system again.")
        with self._translate_errors():
            yield client

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        try:
            yield
        except SixplyError:
            raise
        except Exception as error:  # the client lets through what its transport raises
            full = "database or disk is full" in str(error) or "No space left" in str(error)
            raise (StorageFull if full else StoreUnavailable)(
                f"The Chroma server at {self._options.host}:{self._options.port} cannot be used: "
                f"{str(error).rstrip('.?') or type(error).__name__}. Check that it runs: chroma run --host 127.0.0.1 --port "
                f"{self._options.port}. Nothing is lost: at the next start it is filled from the ledger."
            ) from error


def build(options: Options, context: Context) -> ChromaServerIndex:
    del context  # everything it keeps is in the server
    return ChromaServerIndex(options)


def stores(options: Options) -> tuple[Store, ...]:  # noqa: ARG001 - the signature of every adapter
    return (Store(name="vectors", stays=DOCUMENTS_STAY),)


def _client(options: Options) -> ClientAPI:
    import chromadb
    import httpx2
    from chromadb.config import Settings

    host = f"[{options.host}]" if ":" in options.host else options.host
    with httpx2.Client(trust_env=False, timeout=options.timeout_s) as asking:  # Chroma's first call has no timeout
        asking.get(f"http://{host}:{options.port}/api/v2/heartbeat").raise_for_status()
    client = chromadb.HttpClient(options.host, options.port, settings=Settings(anonymized_telemetry=False))
    for session in _sessions(client):
        session.timeout = options.timeout_s
    return client


def _sessions(client: Any) -> list[Any]:
    """Chroma's client would wait for ever, and leaves its connections open when it is closed: it has these two."""
    return [client._server._session for client in (client, client._admin_client)]  # noqa: SLF001 - it offers no other way


def _nearest(shelf: Collection, vector: Vectors, limit: int, where: Where | bool) -> Iterator[tuple[str, float]]:
    query = np.asarray(vector, dtype=np.float32)[None, :]
    wanted = None if isinstance(where, bool) else cast("Any", condition(where))
    asking = Retrying(
        retry=retry_if_exception(_overtaken), stop=stop_after_attempt(8), wait=wait_random(0, 0.1), reraise=True
    )
    result = asking(shelf.query, query_embeddings=query, n_results=limit, include=["distances"], where=wanted)
    distances = (result["distances"] or [[]])[0]
    for chunk_id, distance in zip(result["ids"][0], distances, strict=True):
        yield chunk_id, 1.0 - float(distance)


def _overtaken(error: BaseException) -> bool:
    """A vector that is written or deleted while the server searches ends the search with an internal error (chromadb
    1.5.9). Asked again, it answers."""
    return any(sign in str(error) for sign in ("Error getting embedding", "Error finding id"))
