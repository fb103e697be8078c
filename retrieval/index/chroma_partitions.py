"""Shelves by tenant and groups, and records as Chroma takes them. It is given collections and imports nothing of Chroma's."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, TypeVar

from retrieval.contract import VectorItem
from retrieval.filters import AllOf, AnyOf, Between, OneOf, Stored, Where, stored_attributes
from retrieval.index.exact_search import Access

T = TypeVar("T")


def shelf_name(access: Access) -> str:
    readers = json.dumps([access[0], json.dumps(sorted(access[1]))])
    return f"shelf-{hashlib.blake2b(readers.encode(), digest_size=16).hexdigest()}"


def metadata_of(access: Access) -> dict[str, Any]:
    """What is kept with a shelf, by which `access_of` knows it again."""
    return {"tenant": access[0], "groups": json.dumps(sorted(access[1]))}


def access_of(shelf: Any) -> Access:
    metadata = shelf.metadata or {}
    return str(metadata["tenant"]), frozenset(json.loads(str(metadata["groups"])))


def records_of(shelf: Any, items: Sequence[VectorItem]) -> list[Any]:
    """What is known of each, never empty, which Chroma would refuse. It merges what it is given with what it has, so
    names that are gone are taken away one by one."""
    before = shelf.get(ids=[item.chunk_id for item in items], include=["metadatas"])
    gone: dict[str, dict[str, Stored | None]] = {
        chunk_id: dict.fromkeys(metadata or {})
        for chunk_id, metadata in zip(before["ids"], before["metadatas"] or [], strict=True)
    }
    return [{**gone.get(item.chunk_id, {}), "chunk": 1.0, **stored_attributes(item.attributes)} for item in items]


def condition(where: Where) -> dict[str, Any]:
    match where:
        case AllOf(parts):
            return {"$and": [condition(part) for part in parts]}
        case AnyOf(parts):
            return {"$or": [condition(part) for part in parts]}
        case OneOf():
            return {where.name: {"$in": where.stored_values}}
        case Between():
            low, high = where.ends
            ends = [{where.name: {"$gte": low}}] * (low > -math.inf) + [{where.name: {"$lte": high}}] * (
                high < math.inf
            )
            return ends[0] if len(ends) == 1 else {"$and": ends}


def take_off(shelf: Any, chunk_ids: Sequence[str]) -> None:
    present = shelf.get(ids=list(chunk_ids), include=[])["ids"]
    if present:
        shelf.delete(ids=present)


def batches(items: Iterable[T], most: int) -> Iterator[Sequence[T]]:
    remaining = iter(items)
    while batch := list(islice(remaining, most)):
        yield batch
