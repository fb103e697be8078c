"""What is known of documents, by which a search filters: in columns, so that a filter reads no document one by one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from retrieval.filters import AllOf, AnyOf, Leaf, OneOf, Value, Where, stored_name, stored_value

_Numbers = npt.NDArray[np.intp]


class Attributes:
    """Sets of attributes, one for each document, which have a column for each name once somebody filters by it."""

    def __init__(self, sets: Sequence[Mapping[str, Value]]) -> None:
        self.sets = sets
        self._columns: dict[str, npt.NDArray[np.float64]] = {}
        self._texts: dict[str, float] = {}
        """A number for each text in a column."""

    @classmethod
    def merge(cls, parts: Sequence[tuple[Attributes, _Numbers]]) -> tuple[Attributes, _Numbers]:
        """Put the sets with these numbers together, and return their new numbers."""
        starts = np.cumsum([0, *(len(part.sets) for part, _ in parts)])
        sets = [each for part, _ in parts for each in part.sets]
        numbers = [numbers + start for (_, numbers), start in zip(parts, starts, strict=False)]
        used, renumbered = np.unique(np.concatenate(numbers), return_inverse=True)
        return cls([sets[number] for number in used]), renumbered

    def fit(self, wanted: Where) -> npt.NDArray[np.bool_]:
        """Return which sets match a simplified filter, as `retrieval.filters.matches` would say."""
        if isinstance(wanted, AllOf | AnyOf):
            join = np.logical_and if isinstance(wanted, AllOf) else np.logical_or
            return np.asarray(join.reduce([self.fit(part) for part in wanted.parts]))
        column = self._column(wanted)
        if isinstance(wanted, OneOf):
            numbers = [self._texts.get(v, -1.0) if isinstance(v, str) else v for v in wanted.stored_values]
            return np.isin(column, numbers)
        low, high = wanted.ends
        return (column >= low) & (column <= high)

    def _column(self, leaf: Leaf) -> npt.NDArray[np.float64]:
        if leaf.name not in self._columns:
            stored = (
                stored_value(value)
                if (value := known.get(leaf.key)) is not None and stored_name(leaf.key, value) == leaf.name
                else math.nan
                for known in self.sets
            )
            numbers = (self._texts.setdefault(v, len(self._texts)) if isinstance(v, str) else v for v in stored)
            self._columns[leaf.name] = np.fromiter(numbers, dtype=np.float64, count=len(self.sets))
        return self._columns[leaf.name]
