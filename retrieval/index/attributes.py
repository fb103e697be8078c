"""What is known of documents, by which a search filters: in columns, so that a filter reads no document one by one."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt

from retrieval.filters import AllOf, AnyOf, Leaf, OneOf, Value, Where, stored_name, stored_value

_Numbers = npt.NDArray[np.intp]


class Attributes:
    """Sets of attributes, one for each document, which have a column for each name once somebody filters by it."""

    def __init__(self, sets: Sequence[Mapping[str, Value]] | Callable[[], Sequence[Mapping[str, Value]]]) -> None:
        """`sets` may be a function that reads them, which is called when they are needed."""
        self._given = sets
        self._columns: dict[str, npt.NDArray[np.float64]] = {}
        self._texts: dict[str, float] = {}
        """A number for each text in a column."""
        self._lock = threading.Lock()

    @cached_property
    def sets(self) -> list[Mapping[str, Value]]:
        return list(self._given() if callable(self._given) else self._given)

    def add(self, sets: Sequence[Mapping[str, Value]]) -> list[int]:
        """Add the set of each passage and return its number. Passages of a document share one mapping."""
        new = {id(known): known for known in sets}
        numbers = {key: number for number, key in enumerate(new, start=len(self.sets))}
        self.sets.extend(new.values())
        return [numbers[id(known)] for known in sets]

    @classmethod
    def merge(cls, parts: Sequence[tuple[Attributes, _Numbers]]) -> tuple[Attributes, list[_Numbers]]:
        """Put the sets with these numbers together, and return the new numbers of each part."""
        starts = np.cumsum([0, *(len(part.sets) for part, _ in parts)])
        sets = [known for part, _ in parts for known in part.sets]
        numbers = [numbers + start for (_, numbers), start in zip(parts, starts, strict=False)]
        used, renumbered = np.unique(np.concatenate(numbers), return_inverse=True)
        ends = np.cumsum([len(own) for own in numbers])[:-1]
        return cls([sets[number] for number in used]), np.split(renumbered, ends)

    def fit(self, wanted: Where) -> npt.NDArray[np.bool_]:
        """Return which sets match a simplified filter, as `retrieval.filters.matches` would say."""
        if isinstance(wanted, AllOf | AnyOf):
            join = np.logical_and if isinstance(wanted, AllOf) else np.logical_or
            # a set may come in between
            fits = [self.fit(part) for part in wanted.parts]
            fewest = min(map(len, fits))
            return np.asarray(join.reduce([fit[:fewest] for fit in fits]))
        column = self._column(wanted)
        if isinstance(wanted, OneOf):
            numbers = [self._texts.get(v, -1.0) if isinstance(v, str) else v for v in wanted.stored_values]
            return np.isin(column, numbers)
        low, high = wanted.ends
        return (column >= low) & (column <= high)

    def _column(self, leaf: Leaf) -> npt.NDArray[np.float64]:
        with self._lock:
            column = self._columns.get(leaf.name, np.zeros(0))
            if new := self.sets[len(column) :]:
                numbers = [self._number(leaf, known) for known in new]
                column = self._columns[leaf.name] = np.append(column, numbers)
            return column

    def _number(self, leaf: Leaf, known: Mapping[str, Value]) -> float:
        value = known.get(leaf.key)
        if value is None or stored_name(leaf.key, value) != leaf.name:
            return math.nan
        stored = stored_value(value)
        return self._texts.setdefault(stored, len(self._texts)) if isinstance(stored, str) else stored
