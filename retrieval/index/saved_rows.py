"""The rows of many vectors in files that are mapped into memory, so that a start does not read them from the ledger.

The files are written when the index is closed, and now and then before, and never changed: what came and went since is in memory.
After a kill that is read from the ledger; with damaged files everything is.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.lib.format import open_memmap

from retrieval.filters import Value, restored_attributes, stored_attributes
from retrieval.index.attributes import Attributes
from retrieval.index.checksum import FolderChecksum
from retrieval.index.lock import Ownership
from retrieval.index.rows import Block, Rows, Seen

log = logging.getLogger(__name__)

# Version of the files. Raise it when they change.
_VERSION = 2
_ABOUT, _SETS = "about.json", "sets.json"

# Tenant and groups
Access: TypeAlias = tuple[str, frozenset[str]]


class SavedRows(NamedTuple):
    sequence: int
    version_token: str
    dimensions: int
    partitions: dict[Access, list[Block]]


class RowFiles:
    """A folder of columns with a checksum beside it, which one process owns."""

    def __init__(self, folder: Path) -> None:
        """Raises StoreInUse: another process owns it."""
        self._folder, self._new = folder / "rows", folder / "rows.new"
        self._owner = Ownership(folder / "owner.lock", what="The vector index")
        self._checksum = FolderChecksum(folder / "rows.txt", self._folder)

    def read(self) -> SavedRows | None:
        """Return what was written last; `None`: there is nothing, or it is damaged, of another version, or was not finished."""
        if not self._folder.exists():
            return None
        if self._checksum.is_intact():
            about = json.loads((self._folder / _ABOUT).read_text(encoding="utf-8"))
            if about["version"] == _VERSION:
                return self._map(about)
        log.warning("The vectors in %s are damaged or of another version. They are read from the ledger.", self._folder)
        self._delete()
        return None

    def write(self, partitions: Mapping[Access, Sequence[Seen]], sequence: int, version_token: str) -> SavedRows:
        """Write what a search finds now. Files that are mapped into memory stay there until nobody uses them."""
        shutil.rmtree(self._new, ignore_errors=True)
        self._new.mkdir()
        ends = np.cumsum([sum(len(seen.rows.ids) - len(seen.gone) for seen in own) for own in partitions.values()])
        accesses = [
            (tenant, sorted(groups), end) for (tenant, groups), end in zip(partitions, ends.tolist(), strict=True)
        ]
        about = {"version": _VERSION, "sequence": sequence, "version_token": version_token, "partitions": accesses}
        _write_columns(self._new, [seen for own in partitions.values() for seen in own])
        (self._new / _ABOUT).write_text(json.dumps(about), encoding="utf-8")
        self._delete()
        self._new.rename(self._folder)
        self._checksum.write()
        return self._map(about)

    def close(self) -> None:
        self._owner.release()

    def _delete(self) -> None:
        self._checksum.delete()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _map(self, about: Mapping[str, Any]) -> SavedRows:
        columns = (np.asarray(np.load(self._folder / f"{name}.npy", mmap_mode="r")) for name in Rows._fields)
        rows, attributes = Rows(*columns), Attributes(partial(_read_sets, (self._folder / _SETS).read_bytes()))
        partitions, start = {}, 0
        for tenant, groups, end in about["partitions"]:
            partitions[tenant, frozenset(groups)] = [Block(rows.take(slice(start, end)), attributes)]
            start = end
        return SavedRows(about["sequence"], about["version_token"], rows.steps.shape[1], partitions)


def _write_columns(folder: Path, blocks: Sequence[Seen]) -> None:
    kept = [block.kept for block in blocks]
    attributes, sets = Attributes.merge(
        [(block.attributes, rows.sets) for block, rows in zip(blocks, kept, strict=True)]
    )
    tables = [rows._replace(sets=own) for rows, own in zip(kept, sets, strict=True)]
    for name, *parts in zip(Rows._fields, *tables, strict=True):
        shape = (sum(map(len, parts)), *parts[0].shape[1:])
        column: Any = open_memmap(folder / f"{name}.npy", "w+", np.result_type(*parts), shape)
        np.concatenate(parts, out=column)
        column.flush()
    content = json.dumps([stored_attributes(known) for known in attributes.sets])
    (folder / _SETS).write_text(content, encoding="utf-8")


def _read_sets(content: bytes) -> list[dict[str, Value]]:
    return [restored_attributes(known) for known in json.loads(content)]
