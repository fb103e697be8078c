"""What a search reads of an index whose collections are all small, in one file: with it nothing else need be opened.

It is written when the index is closed and holds as long as the index is not opened to change. It lies under the seal of
the index, which notices damage; its own check of what it holds is that of the file format.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from foundation.types import Scope
from retrieval.contract import Vectors
from retrieval.index.exact_search import TOGETHER, Access, Rows, best

log = logging.getLogger(__name__)

FILE = "rows-1.npz"
"""With the number of its format: a file of another one is as good as none."""


@dataclass(frozen=True)
class Snapshot:
    sequence: int
    stamp: str
    shelves: Mapping[Access, tuple[str, Rows]]
    """The name of each collection, and its vectors."""

    @classmethod
    def load(cls, folder: Path) -> Snapshot | None:
        """`None` where there is none, or it cannot be read: the seal says that it is what was written, so for want of memory."""
        try:
            with np.load(folder / FILE) as arrays:
                text, *matrices = arrays.values()
            header = json.loads(text.tobytes())
            shelves = {
                (shelf["tenant"], frozenset(shelf["groups"])): (shelf["name"], Rows(shelf["ids"], matrix))
                for shelf, matrix in zip(header["shelves"], matrices, strict=True)
            }
        except FileNotFoundError:
            return None
        except Exception as error:
            log.warning("The snapshot of the vector index cannot be read: %s: %s", type(error).__name__, error)
            return None
        return cls(header["sequence"], header["stamp"], shelves)

    def save(self, folder: Path) -> None:
        """All of it or nothing. Raises OSError."""
        header = {
            "sequence": self.sequence,
            "stamp": self.stamp,
            "shelves": [
                {"tenant": tenant, "groups": sorted(groups), "name": name, "ids": list(rows.ids)}
                for (tenant, groups), (name, rows) in self.shelves.items()
            ],
        }
        text = np.frombuffer(json.dumps(header).encode(), np.uint8)
        try:
            np.savez(folder / FILE, text, *(rows.matrix for _, rows in self.shelves.values()))
        except BaseException:
            (folder / FILE).unlink(
                missing_ok=True
            )  # half of one would take the room that others need, and the seal with it
            raise

    def fits(self, most: int) -> bool:
        """Whether collections of up to `most` vectors are kept in memory, and these are not too many together."""
        largest = max((len(rows.ids) for _, rows in self.shelves.values()), default=0)
        return largest <= most and self.count() <= TOGETHER * most

    def count(self) -> int:
        return sum(len(rows.ids) for _, rows in self.shelves.values())

    def search(self, vector: Vectors, scope: Scope, *, limit: int) -> list[tuple[str, float]]:
        admitted = (rows for access, (_, rows) in self.shelves.items() if scope.admits(*access))
        return best((hit for rows in admitted for hit in rows.nearest(vector, limit, None)), limit)
