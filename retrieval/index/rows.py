"""Vectors in blocks of rows, all of which are compared: as they are while they are few, and by eight bits first when they are many.

Eight bits a number are a quarter of what memory must deliver, and numkong multiplies them by the processor's own instructions: a million rows
take 15 ms. The best are compared again with sixteen bits, which differ from the vector itself by a hundred-thousandth.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from functools import cached_property
from typing import Any, NamedTuple, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from retrieval.documents import VectorItem, Vectors
from retrieval.filters import Where
from retrieval.index.attributes import Attributes

# Vectors of a partition from which on they are coded, changes before they become a block, most rows that blocks are merged to
CODED_FROM, BESIDE, _MERGED = 20_000, 1000, 131_072
# Rows compared again for each that is wanted, and in any case
_AGAIN, _AT_LEAST = 2, 50
# Largest number in eight bits, and steps of the second eight bits in one of the first
_MOST, _STEPS = 127, 254

# (tenant, groups). Vectors with the same readers form a *partition*.
Access: TypeAlias = tuple[str, frozenset[str]]
_Places = npt.NDArray[np.intp]


class Plain(NamedTuple):
    rows: Vectors

    def score(self, query: Vectors, into: Vectors) -> None:
        # `rows @ query` would wake the threads of BLAS: four searches at once then took 2.2 ms each for 10,000 rows
        np.vecdot(self.rows, query, out=into)

    def score_again(self, query: Vectors, places: _Places) -> Vectors:
        return np.asarray(np.vecdot(self.rows[places], query))

    def vectors(self) -> Vectors:
        return self.rows

    def to_int8(self) -> Coded:
        return Coded.of(self.rows)


class Coded(NamedTuple):
    """Rows whose largest number is 127: whole steps, parts of a step, and the length of a step."""

    steps: npt.NDArray[np.int8]
    parts: npt.NDArray[np.int8]
    scales: Vectors

    @classmethod
    def of(cls, rows: Vectors) -> Self:
        largest = np.abs(rows).max(axis=1, initial=np.finfo(np.float32).tiny)
        scales = (largest / _MOST).astype(np.float32)
        exact = rows / scales[:, None]
        steps = np.rint(exact)
        return cls(steps.astype(np.int8), np.rint((exact - steps) * _STEPS).astype(np.int8), scales)

    def score(self, query: Vectors, into: Vectors) -> None:
        from numkong import cdist

        steps, _, scales = Coded.of(query[None])
        products: Any = cdist(steps, self.steps, "dot")
        np.multiply(np.asarray(products)[0], self.scales * scales[0], out=into, casting="unsafe")

    def score_again(self, query: Vectors, places: _Places) -> Vectors:
        chosen = Coded(self.steps[places], self.parts[places], self.scales[places])
        return np.asarray(np.vecdot(chosen.vectors(), query))

    def vectors(self) -> Vectors:
        return np.asarray((self.steps + self.parts / np.float32(_STEPS)) * self.scales[:, None], dtype=np.float32)

    def to_int8(self) -> Coded:
        return self


class Names(NamedTuple):
    """Of each row: the id of its chunk, its sequence number, and the number of its attributes."""

    ids: npt.NDArray[np.bytes_]
    sequences: npt.NDArray[np.int64]
    attributes: _Places


class Seen(NamedTuple):
    """What a search sees of a block: the block, and the places that are not its any more."""

    block: Block
    gone: _Places

    @property
    def kept(self) -> _Places:
        return np.delete(np.arange(len(self.block.names.ids)), self.gone)


class Block:
    """Rows that stay where they are. One thread at a time may change which are gone."""

    def __init__(self, names: Names, attributes: Attributes, matrix: Plain | Coded) -> None:
        self.names, self.attributes, self.matrix = names, attributes, matrix
        self._gone: set[int] = set()
        # without the block, or the two would keep each other in memory
        self._left_out: _Places | None = None

    @classmethod
    def of(cls, items: Collection[VectorItem]) -> Self:
        # passages of a document share one mapping
        shared = {id(item.attributes): item.attributes for item in items}
        numbers = {key: number for number, key in enumerate(shared)}
        names = Names(
            np.array([item.chunk_id.encode() for item in items]),
            np.array([item.sequence for item in items], dtype=np.int64),
            np.array([numbers[id(item.attributes)] for item in items], dtype=np.intp),
        )
        rows = np.stack([item.vector for item in items]).astype(np.float32, copy=False)
        return cls(names, Attributes(list(shared.values())), Plain(rows))

    @classmethod
    def merge(cls, blocks: Sequence[Block], *, coded: bool) -> Self:
        kept = [block.see().kept for block in blocks]
        matrices = [block.matrix.to_int8() if coded else block.matrix for block in blocks]
        attributes, numbers = Attributes.merge(
            [(block.attributes, block.names.attributes[places]) for block, places in zip(blocks, kept, strict=True)]
        )
        names = _join([block.names for block in blocks], kept)._replace(attributes=numbers)
        return cls(names, attributes, _join(matrices, kept))

    def __len__(self) -> int:
        return len(self.names.ids) - len(self._gone)

    @property
    def is_hollow(self) -> bool:
        return len(self._gone) > max(BESIDE, len(self.names.ids) // 8)

    @cached_property
    def places(self) -> dict[str, int]:
        return {chunk_id.decode(): place for place, chunk_id in enumerate(self.names.ids) if place not in self._gone}

    def remove(self, chunk_id: str) -> bool:
        place = self.places.pop(chunk_id, None)
        return place is not None and self.remove_at(place)

    def remove_at(self, place: int) -> bool:
        """Return whether it was there."""
        if place in self._gone:
            return False
        self._gone.add(place)
        self._left_out = None
        return True

    def see(self) -> Seen:
        if self._left_out is None:
            self._left_out = np.fromiter(self._gone, dtype=np.intp)
        return Seen(self, self._left_out)

    def items(self, tenant: str, groups: frozenset[str]) -> Iterator[VectorItem]:
        rows = self.matrix.vectors()
        for place in self.see().kept:
            chunk_id, sequence, number = (column[place] for column in self.names)
            known = self.attributes.sets[number]
            yield VectorItem(int(sequence), chunk_id.decode(), tenant, groups, rows[place], known)


def take(table: Any, places: _Places | slice) -> Any:
    """Return these rows of a table of columns."""
    return type(table)(*(column[places] for column in table))


def _join(tables: Sequence[Any], kept: Sequence[_Places]) -> Any:
    """Make one table of the rows at these places of several."""
    taken = [take(table, places) for table, places in zip(tables, kept, strict=True)]
    return type(tables[0])(*(np.concatenate(parts) for parts in zip(*taken, strict=True)))


class Partition:
    """Vectors with the same readers: in blocks, and beside them the last that came. A write makes new parts, so that a search
    never sees half of it. A block that is `saved` in files is left as it is, but for what is gone.
    """

    def __init__(self, saved: Block | None = None) -> None:
        self.saved = saved
        self._blocks: list[Block] = []
        self._fresh: dict[str, VectorItem] = {}
        self._beside: Block | None = None

    def __len__(self) -> int:
        return sum(map(len, filter(None, [self.saved, *self._blocks]))) + len(self._fresh)

    def put(self, item: VectorItem) -> None:
        """Add an item that is not there."""
        self._fresh[item.chunk_id], self._beside = item, None
        if len(self._fresh) > BESIDE:
            self._seal()

    def remove(self, chunk_id: str) -> None:
        if self._fresh.pop(chunk_id, None):
            self._beside = None
            return
        for place, block in enumerate(self._blocks):
            if block.remove(chunk_id):
                if not len(block):
                    del self._blocks[place]
                elif block.is_hollow:
                    self._blocks[place] = Block.merge([block], coded=isinstance(block.matrix, Coded))
                return

    def see(self) -> list[Seen]:
        if self._fresh and not self._beside:
            self._beside = Block.of(self._fresh.values())
        return [block.see() for block in (self.saved, *self._blocks, self._beside) if block]

    def items(self, tenant: str, groups: frozenset[str]) -> Iterator[VectorItem]:
        for block, _ in self.see():
            yield from block.items(tenant, groups)

    def _seal(self) -> None:
        """Make a block of what came last, and merge it with those before it: all while they are few, else as in a binary counter."""
        coded = len(self) >= CODED_FROM
        self._blocks.append(Block.of(self._fresh.values()))
        self._fresh, self._beside = {}, None
        while len(self._blocks) > 1 and self._may_merge(*self._blocks[-2:]):
            self._blocks[-2:] = [Block.merge(self._blocks[-2:], coded=coded)]

    @staticmethod
    def _may_merge(former: Block, latter: Block) -> bool:
        if isinstance(former.matrix, Plain):
            return True
        return len(latter) >= len(former) and len(latter) + len(former) <= _MERGED


def nearest(seen: Sequence[Seen], query: Vectors, limit: int, wanted: Where | bool) -> Iterator[tuple[str, float]]:
    """Yield (chunk id, cosine similarity) of the nearest rows of unit length, best first, that match the simplified filter."""
    ends = np.cumsum([0, *(len(block.names.ids) for block, _ in seen)])
    total = int(ends[-1])
    if limit <= 0 or not total or wanted is False:
        return
    scores = np.empty(total, dtype=np.float32)
    for (block, gone), start, end in zip(seen, ends, ends[1:], strict=False):
        own = scores[start:end]
        block.matrix.score(query, own)
        own[gone] = -np.inf
        if not isinstance(wanted, bool):
            own[~block.attributes.fit(wanted)[block.names.attributes]] = -np.inf
    several = min(total, limit * _AGAIN + _AT_LEAST)
    places = np.argpartition(scores, total - several)[total - several :] if several < total else np.arange(total)
    places = np.sort(places[scores[places] > -np.inf])
    for (block, _), start, end in zip(seen, ends, ends[1:], strict=False):
        its = places[slice(*np.searchsorted(places, (start, end)))]
        scores[its] = block.matrix.score_again(query, its - start)
    first = places[np.argsort(-scores[places], kind="stable")][:limit]
    blocks = np.searchsorted(ends, first, side="right") - 1
    ids = [seen[at].block.names.ids[place].decode() for at, place in zip(blocks, first - ends[blocks], strict=True)]
    yield from zip(ids, scores[first].tolist(), strict=True)
