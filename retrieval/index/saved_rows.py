"""The vectors of many passages in files that are mapped into memory, so that a start does not read them from the ledger.

The files are written when the index is closed, and now and then before, and never changed: what came and went since is in memory.
After a kill that is read from the ledger; with damaged files everything is.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from retrieval.filters import Value, restored_attributes, stored_attributes
from retrieval.index.attributes import Attributes
from retrieval.index.checksum import FolderChecksum
from retrieval.index.rows import Access, Block, Coded, Names, Partition, take

log = logging.getLogger(__name__)

# Version of the files. Raise it when they change.
_VERSION = 1
_ABOUT = "about.json"


class RowFiles:
    """The folder, with a checksum beside it."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._new = folder, folder.with_suffix(".new")
        self._checksum = FolderChecksum(folder.with_suffix(".txt"), folder)

    def read(self) -> SavedRows | None:
        """Return what was written last; `None`: there is nothing, or it is damaged, of another version, or was not finished."""
        if not self._folder.exists():
            return None
        if self._checksum.is_intact():
            about = json.loads((self._folder / _ABOUT).read_text(encoding="utf-8"))
            if about["version"] == _VERSION:
                return SavedRows(self._folder, about)
        log.warning("The vectors in %s are damaged or of another version. They are read from the ledger.", self._folder)
        self.delete()
        return None

    def write(self, partitions: Mapping[Access, Partition], sequence: int, version_token: str) -> SavedRows:
        """Write what a search finds now. Files that are mapped into memory stay there until nobody uses them."""
        shutil.rmtree(self._new, ignore_errors=True)
        self._new.mkdir()
        about = {"version": _VERSION, "sequence": sequence, "version_token": version_token}
        about |= _write_columns(self._new, partitions)
        (self._new / _ABOUT).write_text(json.dumps(about), encoding="utf-8")
        self.delete()
        self._new.rename(self._folder)
        self._checksum.write()
        return SavedRows(self._folder, about)

    def delete(self) -> None:
        self._checksum.delete()
        shutil.rmtree(self._folder, ignore_errors=True)


class SavedRows:
    """Rows of all partitions, one partition after the other. A copy of the files that is in use stays when they are deleted."""

    def __init__(self, folder: Path, about: dict[str, Any]) -> None:
        self.sequence, self.version_token = about["sequence"], about["version_token"]
        self._accesses = [(tenant, frozenset(groups)) for tenant, groups, _ in about["partitions"]]
        self._ends = np.array([end for *_, end in about["partitions"]], dtype=np.intp)
        self._columns: dict[str, Any] = {
            name: np.asarray(np.memmap(folder / name, dtype=kind, mode="r", shape=tuple(shape)))
            for name, (kind, shape) in about["columns"].items()
        }

    def __len__(self) -> int:
        return int(self._ends[-1])

    @property
    def dimensions(self) -> int:
        return int(self._columns["steps"].shape[1])

    def partitions(self) -> dict[Access, Partition]:
        sets = Attributes(_StoredSets(self._columns["sets"]))
        names, matrix = (kind(*(self._columns[name] for name in kind._fields)) for kind in (Names, Coded))
        found = {}
        for access, start, end in zip(self._accesses, (0, *self._ends), self._ends, strict=False):
            rows = slice(start, end)
            found[access] = Partition(Block(take(names, rows), sets, take(matrix, rows)))
        return found

    def find(self, chunk_ids: Collection[str]) -> Iterator[tuple[Access, int]]:
        """Yield the partition of each of these chunks that is here, and its place there."""
        ids, order = self._columns["ids"], self._columns["order"]
        names = [name for name in map(str.encode, chunk_ids) if len(name) <= ids.itemsize]
        at = np.searchsorted(ids, np.array(names, dtype=ids.dtype), sorter=order)
        rows = order[np.minimum(at, len(order) - 1)]
        rows = rows[ids[rows] == np.array(names, dtype=ids.dtype)]
        for row, number in zip(rows, np.searchsorted(self._ends, rows, side="right"), strict=True):
            yield self._accesses[number], int(row - (self._ends[number - 1] if number else 0))


class _StoredSets(Sequence[Mapping[str, Value]]):
    """Sets of attributes that are read once somebody filters by them."""

    def __init__(self, content: Any) -> None:
        self._content = content

    @cached_property
    def _sets(self) -> list[dict[str, Value]]:
        return [restored_attributes(each) for each in json.loads(self._content.tobytes())]

    def __getitem__(self, number: Any) -> Any:
        return self._sets[number]

    def __len__(self) -> int:
        return len(self._sets)


def _write_columns(folder: Path, partitions: Mapping[Access, Partition]) -> dict[str, Any]:
    seen = [each for partition in partitions.values() for each in partition.see()]
    sets, numbers = Attributes.merge([(each.block.attributes, each.block.names.attributes[each.kept]) for each in seen])
    ids = np.result_type(*(each.block.names.ids.dtype for each in seen))
    columns: dict[str, Any] = {}
    with ExitStack() as opened:
        files = {name: opened.enter_context((folder / name).open("wb")) for name in (*Names._fields, *Coded._fields)}
        for each, own in zip(seen, np.split(numbers, np.cumsum([len(each.kept) for each in seen])), strict=False):
            names, matrix = (take(table, each.kept) for table in (each.block.names, each.block.matrix.to_int8()))
            names = names._replace(ids=names.ids.astype(ids), attributes=own)
            for name, column in (names._asdict() | matrix._asdict()).items():
                column.tofile(files[name])
                columns[name] = column.dtype.str, [len(numbers), *column.shape[1:]]
    order = np.argsort(np.fromfile(folder / "ids", dtype=ids))
    content = json.dumps([stored_attributes(each) for each in sets.sets]).encode()
    for name, column in (("order", order), ("sets", np.frombuffer(content, dtype=np.uint8))):
        column.tofile(folder / name)
        columns[name] = column.dtype.str, column.shape
    ends = np.cumsum([len(partition) for partition in partitions.values()]).tolist()
    accesses = [(tenant, sorted(groups), end) for (tenant, groups), end in zip(partitions, ends, strict=True)]
    return {"columns": columns, "partitions": accesses}
