"""Refused files, kept to be tried again: after a limit was raised, a package installed, a parser mended.

One file per document, readable for its owner only; only the parsing process ever parses it. When the folder is full,
the oldest are deleted: their refusals stay listed, but the files must be sent again.
"""

import json
import logging
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from foundation.stores import erasures
from foundation.stores.registry import Person, Store
from retrieval.documents import OF_THE_LEDGER
from retrieval.ingest.preparation import Item
from retrieval.tables import row_codec

log = logging.getLogger(__name__)

FOLDER = "refused"
# Most that is kept of all refused files together
KEPT_MB = 200


def most_read(max_bytes: int) -> int:
    """Return the most bytes to read of a file: those of one that is refused, and kept for a retry, have to be whole."""
    return max(max_bytes, KEPT_MB * 1_000_000)


def _erase(data_dir: Path, person: Person) -> int:
    theirs = [path for path in (data_dir / FOLDER).glob("*.refused") if _head(path).get("sent_by") == person.mark]
    for path in theirs:
        path.unlink(missing_ok=True)
    return len(theirs)


STORE = Store(
    name="refused files",
    files=(f"{FOLDER}/*",),
    erase=_erase,
    erased="files that they sent and that could not be read",
    stays="their names in the list of what was refused, as documents",
)


class RefusedFiles:
    """Stores refused files, at most `max_mb` megabytes; 0: none. Safe to share between threads, since files are replaced atomically."""

    def __init__(self, folder: Path, *, max_mb: float) -> None:
        self._folder, self._max_bytes = folder, int(max_mb * 1_000_000)

    def keep(self, item: Item) -> bool:
        """Store an item and return whether that worked. A full or read-only disk does not stop the batch."""
        fields = {key: it for key, it in row_codec.source_fields(item.source).items() if key not in OF_THE_LEDGER}
        head = {"source": fields, "name": item.name, "sent_by": erasures.current_mark()}
        packed = json.dumps(head).encode() + b"\n" + item.content
        if len(packed) > self._max_bytes:
            return False
        path = self._path(item.source.document_id)
        new = path.with_suffix(f".{os.getpid()}.new")
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._make_room(len(packed))
            erasures.demand()
            with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.write(packed)
            new.replace(path)
        except OSError as error:
            log.warning("%s is not kept for another try: %s", item.source.uri, error)
            with suppress(OSError):
                new.unlink(missing_ok=True)
            return False
        return True

    def forget(self, document_id: str) -> None:
        self._path(document_id).unlink(missing_ok=True)

    def items(self, *tenants: str) -> Iterator[Item]:
        """Yield the stored items of these tenants, sorted by uri."""
        heads = {path: _head(path) for path in self._folder.glob("*.refused")}
        for path, head in sorted(heads.items(), key=lambda it: (it[1]["source"]["uri"], it[0])):
            if head["source"]["tenant"] in tenants:
                content = path.read_bytes().partition(b"\n")[2]
                yield Item(row_codec.read_source(head["source"]), content, head["name"])

    def _path(self, document_id: str) -> Path:
        return self._folder / f"{document_id}.refused"

    def _make_room(self, size: int) -> None:
        paths = self._folder.glob("*.refused")
        entries = sorted(((path.stat(), path) for path in paths), key=lambda entry: entry[0].st_mtime)
        occupied = sum(stat.st_size for stat, _ in entries)
        for stat, path in entries:
            if occupied + size <= self._max_bytes:
                return
            path.unlink(missing_ok=True)
            occupied -= stat.st_size


def _head(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        head: dict[str, Any] = json.loads(file.readline())
    return head
