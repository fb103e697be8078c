"""Vectors in rows of eight bits, all of which are compared, so that whatever is stored is found.

Eight bits a number are a quarter of what memory must deliver, and numkong multiplies them by the processor's own instructions, many rows
on all cores. The best are compared again with sixteen bits, which differ from the vector itself by a hundred-thousandth. A graph is not
faster up to some ten thousand vectors, and never reaches one to which no link leads.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from retrieval.documents import VectorItem, Vectors
from retrieval.filters import Where
from retrieval.index.attributes import Attributes

# Most rows of a block that grows; rows that are gone before a block is written anew
BLOCK, HOLLOW = 131_072, 1000
# Rows that one thread compares at a time, and rows for each of the sample that bounds the best
_TOGETHER, _FOR_EACH = 32_768, 64
# Rows compared again for each that is wanted, and in any case
_AGAIN, _AT_LEAST = 2, 50
# Largest number in eight bits, and steps of the second eight bits in one of the first
_MOST, _STEPS = 127, 254

_Places = npt.NDArray[np.intp]
_Column = npt.NDArray[Any]


class Rows(NamedTuple):
    """Columns of vectors. The largest number of each is 127 whole steps; `parts` are those of a step, `scales` the length of one."""

    ids: _Column
    sets: _Column
    """Number of what is known of its document among the `Attributes`."""
    steps: _Column
    parts: _Column
    scales: _Column

    def take(self, places: _Places | slice) -> Rows:
        return Rows(*(column[places] for column in self))


class Seen(NamedTuple):
    """What a search sees of a block: its rows, and the places of those that are gone."""

    rows: Rows
    gone: _Places
    attributes: Attributes

    @property
    def kept(self) -> Rows:
        return self.rows.take(np.delete(np.arange(len(self.rows.ids)), self.gone))


class Block:
    """Rows that stay where they are, in arrays with room for more, so that a search goes on with what it saw. One thread at a time writes."""

    def __init__(self, rows: Rows, attributes: Attributes) -> None:
        self._rows, self._attributes, self._used = rows, attributes, len(rows.ids)
        self._gone = np.zeros(0, dtype=np.intp)
        self._places: dict[bytes, int] | None = None
        """By id, once somebody looks for one."""

    @classmethod
    def of(cls, items: Sequence[VectorItem]) -> Block:
        attributes = Attributes([])
        return cls(_rows_of(items, attributes), attributes)

    def __len__(self) -> int:
        return self._used - len(self._gone)

    def has_room(self, count: int) -> bool:
        return self._used + count <= BLOCK

    def see(self) -> Seen:
        return Seen(self._rows.take(slice(self._used)), self._gone, self._attributes)

    def add(self, items: Sequence[VectorItem]) -> None:
        """Add items that are not there."""
        new, used = _rows_of(items, self._attributes), self._used
        self._rows = _with_room(self._rows, used, new)
        for column, added in zip(self._rows, new, strict=True):
            column[used : used + len(items)] = added
        self._used += len(items)
        if self._places is not None:
            self._places |= zip(new.ids.tolist(), range(used, self._used), strict=True)

    def remove(self, names: Collection[bytes]) -> None:
        """Remove rows; unknown names are ignored."""
        if self._places is None:
            gone = {*self._gone.tolist()}
            ids = enumerate(self._rows.ids[: self._used].tolist())
            self._places = {name: place for place, name in ids if place not in gone}
        known = self._places
        if places := [known.pop(name) for name in names if name in known]:
            self._gone = np.append(self._gone, places)
        if len(self._gone) > max(HOLLOW, self._used // 8):
            self._rewrite()

    def _rewrite(self) -> None:
        rows, self._places = self.see().kept, None
        self._attributes, (sets,) = Attributes.merge([(self._attributes, rows.sets)])
        self._rows, self._used, self._gone = rows._replace(sets=sets), len(rows.ids), np.zeros(0, dtype=np.intp)


def _rows_of(items: Sequence[VectorItem], attributes: Attributes) -> Rows:
    ids = np.array([item.chunk_id.encode() for item in items])
    vectors = np.stack([item.vector for item in items]).astype(np.float32, copy=False)
    sets = np.array(attributes.add([item.attributes for item in items]), dtype=np.intp)
    return Rows(ids, sets, *_encode(vectors))


def _with_room(rows: Rows, used: int, new: Rows) -> Rows:
    """Return the rows, or a copy of them with room for others."""
    wanted = used + len(new.ids)
    if wanted <= len(rows.ids) and new.ids.itemsize <= rows.ids.itemsize:
        return rows
    room = max(wanted, min(2 * used, BLOCK))
    kinds = (np.result_type(column, added) for column, added in zip(rows, new, strict=True))
    grown = Rows(*(np.empty((room, *column.shape[1:]), kind) for column, kind in zip(rows, kinds, strict=True)))
    for column, former in zip(grown, rows, strict=True):
        column[:used] = former[:used]
    return grown


def _encode(vectors: Vectors) -> tuple[_Column, _Column, _Column]:
    largest = np.abs(vectors).max(axis=1, initial=np.finfo(np.float32).tiny)
    scales = (largest / _MOST).astype(np.float32)
    exact = vectors / scales[:, None]
    steps = np.rint(exact)
    return steps.astype(np.int8), np.rint((exact - steps) * _STEPS).astype(np.int8), scales


def _decode(rows: Rows) -> Vectors:
    return np.asarray((rows.steps + rows.parts / np.float32(_STEPS)) * rows.scales[:, None], dtype=np.float32)


def nearest(seen: Sequence[Seen], query: Vectors, limit: int, wanted: Where | bool) -> list[tuple[str, float]]:
    """Return (chunk id, cosine similarity) of the nearest rows of unit length, best first, that match the simplified filter."""
    ends = np.cumsum([0, *(len(block.rows.ids) for block in seen)])
    total = int(ends[-1])
    if limit <= 0 or not total or wanted is False:
        return []
    scores = np.empty(total, dtype=np.float32)
    steps, _, scales = _encode(query[None])
    for (rows, gone, attributes), start, end in zip(seen, ends, ends[1:], strict=False):
        own = scores[start:end]
        _compare(steps, rows, own)
        own *= scales[0]
        own[gone] = -np.inf
        if not isinstance(wanted, bool):
            own[~attributes.fit(wanted)[rows.sets]] = -np.inf
    places = _find_best(scores, limit * _AGAIN + _AT_LEAST)
    places = np.sort(places[scores[places] > -np.inf])
    hits: list[tuple[str, float]] = []
    for (rows, _, _), start, end in zip(seen, ends, ends[1:], strict=False):
        if len(its := places[slice(*np.searchsorted(places, (start, end)))] - start):
            chosen = rows.take(its)
            # `rows @ query` would wake the threads of BLAS, which take turns where several search at once
            similar = np.vecdot(_decode(chosen), query).tolist()
            hits += zip(map(bytes.decode, chosen.ids.tolist()), similar, strict=True)
    return sorted(hits, key=lambda hit: (-hit[1], hit[0]))[:limit]


def _compare(steps: _Column, rows: Rows, out: _Column) -> None:
    """Put the products with all rows into `out`."""
    from numkong import cdist

    def compare(start: int) -> None:
        some = slice(start, start + _TOGETHER)
        products: Any = cdist(steps, rows.steps[some], "dot")
        np.multiply(np.asarray(products)[0], rows.scales[some], out=out[some], casting="unsafe")

    starts = range(0, len(out), _TOGETHER)
    if len(starts) <= 1:
        compare(0)
        return
    with ThreadPoolExecutor(min(len(starts), os.cpu_count() or 1)) as pool:
        list(pool.map(compare, starts))


def _find_best(scores: _Column, several: int) -> _Places:
    """Return the places of the best scores. What is below the best of a sample is below as many others, and not sorted."""
    sample = scores[::_FOR_EACH]
    bound = np.partition(sample, -several)[-several] if several < len(sample) else -np.inf
    places = np.flatnonzero(scores >= bound)
    return places[np.argpartition(scores[places], -several)[-several:]] if several < len(places) else places
