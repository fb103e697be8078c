"""A vector index in Qdrant: on a server, or in the client's local mode inside this process.

Local mode searches exactly, in memory, and is filled from the ledger at each start. Its folder option is not used: it
commits every point alone (20 ms each) and reads its file with pickle, which executes whatever is in it. Qdrant needs
UUIDs as ids: a chunk's is derived from its id, which is in the payload. The sequence is a point of the same collection,
so that it cannot reach the disk before the vectors.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid5

import numpy as np
from langchain_core.utils.iter import batch_iterate
from pydantic import Field, SecretStr

from foundation.components import Context
from foundation.errors import SixplyError, StorageFull, StoreUnavailable
from foundation.settings import Section
from foundation.stores.registry import Store
from foundation.types import EVERY_TENANT, Scope
from retrieval.documents import DOCUMENTS_STAY, VectorItem, Vectors
from retrieval.filters import AllOf, AnyOf, Between, Where, simplify, stored_attributes

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

_NAMES = UUID("6c8f1d2e-0f5a-4c58-9d53-6d3f5d3b7f10")
# Id of the point with sequence and token; it equals no chunk's, which are made from "chunk" and the id
_STATE = str(uuid5(_NAMES, "state"))
_BATCH = 500


class Options(Section):
    url: str | None = None
    """Address of a server, e.g. `http://localhost:6333`. Unset: local mode."""
    api_key: SecretStr | None = None
    collection: str = Field(default="sixply", min_length=1)
    timeout_s: int = Field(default=30, ge=1)


class QdrantVectorIndex:
    """A `VectorIndex` in Qdrant. The collection is created with the first vectors, whose length it takes."""

    def __init__(self, options: Options) -> None:
        """Raises StoreUnavailable: no server answers at the address."""
        self._options = options
        self._name = options.collection
        self._where = options.url or "in this process"
        # Sequence and token of an empty index, until the first vectors create the collection
        self._state_before: dict[str, Any] = {}
        self._one_at_a_time = nullcontext() if options.url else threading.RLock()  # local mode is not made for threads
        self._client: QdrantClient | None = _client(options)
        try:
            self.sequence()  # raises where no server answers
        except BaseException:
            self.close()
            raise

    def upsert(self, items: Iterable[VectorItem]) -> None:
        from qdrant_client import models

        for batch in batch_iterate(_BATCH, items):
            latest = {item.chunk_id: item for item in batch}.values()
            points = models.Batch(
                ids=[_point(item.chunk_id) for item in latest],
                vectors=[item.vector.tolist() for item in latest],
                payloads=[_payload(item) for item in latest],
            )
            with self._use() as client:
                self._make(client, dimensions=len(batch[0].vector))
                client.upsert(self._name, points, wait=True)

    def delete(self, chunk_ids: Iterable[str]) -> None:
        for batch in batch_iterate(_BATCH, chunk_ids):
            with self._use() as client:
                if client.collection_exists(self._name):
                    client.delete(self._name, [_point(chunk_id) for chunk_id in batch], wait=True)

    def search(
        self, vector: Vectors, scope: Scope, *, limit: int, where: Where | None = None
    ) -> list[tuple[str, float]]:
        wanted = simplify(where)
        if limit < 1 or scope.sees_nothing or wanted is False:
            return []
        with self._use() as client:
            if not client.collection_exists(self._name):
                return []
            query = np.asarray(vector, dtype=np.float32).tolist()
            points = client.query_points(self._name, query, query_filter=_filter(scope, wanted), limit=limit).points
        return sorted(((point.payload["chunk_id"], point.score) for point in points), key=lambda hit: (-hit[1], hit[0]))  # type: ignore[index]

    def sequence(self) -> int:
        return int(self._state().get("sequence", 0))

    def version_token(self) -> str:
        return str(self._state().get("stamp", ""))

    def set_sequence(self, sequence: int, version_token: str = "") -> None:
        state = {"sequence": sequence, "stamp": version_token}
        with self._use() as client:
            if client.collection_exists(self._name):
                client.set_payload(self._name, state, [_STATE], wait=True)
            else:
                self._state_before = state

    def count(self) -> int:
        from qdrant_client import models

        chunks = models.Filter(must_not=[models.HasIdCondition(has_id=[_STATE])])
        with self._use() as client:
            if not client.collection_exists(self._name):
                return 0
            return client.count(self._name, chunks, exact=True).count

    def clear(self) -> None:
        with self._use() as client:
            self._state_before = {}
            client.delete_collection(self._name)

    def close(self) -> None:
        """Close the client. A second call does nothing."""
        with self._one_at_a_time:
            client, self._client = self._client, None
            if client is not None:
                client.close()

    def _state(self) -> dict[str, Any]:
        with self._use() as client:
            if not client.collection_exists(self._name):
                return self._state_before
            [state] = client.retrieve(self._name, [_STATE])
            return state.payload or {}

    def _make(self, client: QdrantClient, *, dimensions: int) -> None:
        from qdrant_client import models

        if client.collection_exists(self._name):
            return
        shape = models.VectorParams(size=dimensions, distance=models.Distance.COSINE)
        client.create_collection(self._name, vectors_config=shape)
        if self._options.url:  # local mode compares one by one
            for field in ("tenant", "groups"):
                client.create_payload_index(self._name, field, models.PayloadSchemaType.KEYWORD, wait=True)
        state = models.PointStruct(id=_STATE, vector=[1.0] * dimensions, payload=self._state_before)
        client.upsert(self._name, [state], wait=True)

    @contextmanager
    def _use(self) -> Iterator[QdrantClient]:
        with self._one_at_a_time:
            if self._client is None:
                raise StoreUnavailable("The Qdrant index was closed by this process. Open the system again.")
            try:
                yield self._client
            except SixplyError:
                raise
            except Exception as error:  # the client lets through what its transport and its validators raise
                full = "No space left" in str(error)
                raise (StorageFull if full else StoreUnavailable)(
                    f"The Qdrant index {self._name} {self._where} cannot be used: {str(error) or type(error).__name__}. "
                    f"Check that the server runs and that url and api_key fit. Nothing is lost: at the next start it is "
                    f"filled from the ledger."
                ) from error


def build(options: Options, context: Context) -> QdrantVectorIndex:  # noqa: ARG001 - the signature of every adapter
    return QdrantVectorIndex(options)


def stores(options: Options) -> tuple[Store, ...]:  # noqa: ARG001 - the signature of every adapter
    return (Store(name="vectors", stays=DOCUMENTS_STAY),)


def _client(options: Options) -> QdrantClient:
    from qdrant_client import QdrantClient

    if options.url is None:
        return QdrantClient(":memory:")
    key = options.api_key.get_secret_value() if options.api_key else None
    return QdrantClient(url=options.url, api_key=key, timeout=options.timeout_s, check_compatibility=False)


def _point(chunk_id: str) -> str:
    return str(uuid5(_NAMES, f"chunk {chunk_id}"))


def _payload(item: VectorItem) -> dict[str, Any]:
    attributes = {_field(name): value for name, value in stored_attributes(item.attributes).items()}
    return {"chunk_id": item.chunk_id, "tenant": item.tenant, "groups": sorted(item.groups)} | attributes


def _field(name: str) -> str:
    # Qdrant would parse the plain name as a path
    return f"known_{name.encode().hex()}"


def _filter(scope: Scope, where: Where | bool) -> Any:
    # Inside the search, so that vectors out of scope are never ranked. Qdrant calls an empty list of groups "empty"
    from qdrant_client import models

    for_all = models.IsEmptyCondition(is_empty=models.PayloadField(key="groups"))
    for_some = models.FieldCondition(key="groups", match=models.MatchAny(any=sorted(scope.groups)))
    owner = models.FieldCondition(key="tenant", match=models.MatchAny(any=[scope.tenant, EVERY_TENANT]))
    rights = models.Filter(should=[for_all, for_some] if scope.groups else [for_all])
    return models.Filter(must=[owner, rights, *([] if isinstance(where, bool) else [_condition(where)])])


def _condition(where: Where) -> Any:
    from qdrant_client import models

    match where:
        case AllOf(parts):
            return models.Filter(must=[_condition(part) for part in parts])
        case AnyOf(parts):
            return models.Filter(should=[_condition(part) for part in parts])
        case Between():
            low, high = (None if math.isinf(end) else end for end in where.ends)
            return models.FieldCondition(key=_field(where.name), range=models.Range(gte=low, lte=high))
    texts = [value for value in where.stored_values if isinstance(value, str)]
    if texts:
        return models.FieldCondition(key=_field(where.name), match=models.MatchAny(any=texts))
    equal = [models.Range(gte=value, lte=value) for value in where.stored_values if not isinstance(value, str)]
    return models.Filter(should=[models.FieldCondition(key=_field(where.name), range=bounds) for bounds in equal])
