"""Export and import of a ledger as one file, with passages and vectors, so that nothing is embedded again.

The file is JSON Lines, compressed if its name ends in `.gz`: a header with format and fingerprint, one document per
line, and last the counts and the digest of all lines before. Refusals and the times of storage are not exported.
"""

import base64
import gzip
import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from itertools import chain
from pathlib import Path
from typing import IO, Any, cast

import numpy as np

from foundation.errors import FingerprintMismatch, InvalidRequest, InvalidSetting
from retrieval.contract import DocumentLedger
from retrieval.documents import Chunk, Entry
from retrieval.tables import row_codec

FORMAT = "sixply-ledger"
VERSION = 3
# Number of passages that are committed together
BATCH = 256


@dataclass(frozen=True, slots=True)
class Transfer:
    documents: int
    chunks: int
    bytes: int
    """Size of the file."""
    digest: str
    unchanged: int = 0
    """Documents that the ledger already had unchanged."""


def export_ledger(ledger: DocumentLedger, path: Path, *, progress: Callable[[int], None] = lambda _: None) -> Transfer:
    """Write all documents of all tenants; `progress` gets the passages done. Raises InvalidSetting, InvalidRequest."""
    fingerprint = ledger.fingerprint()
    if fingerprint is None:
        raise InvalidRequest("The ledger is empty: there is nothing to export. Ingest first: make ingest SRC=folder")
    header = {"format": FORMAT, "version": VERSION, "fingerprint": asdict(fingerprint)}
    counter = _Counter()
    # An existing file is replaced when the new one is complete
    new = path.with_name(f"{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _open_file(new, "wb", packed=path.suffix == ".gz") as file:
            for row in chain([header], map(_row, ledger.entries())):
                line = json.dumps(row, separators=(",", ":")).encode() + b"\n"
                file.write(line)
                counter.add(line, row)
                progress(counter.chunks)
            file.write(json.dumps({"end": counter.end}).encode() + b"\n")
        new.replace(path)
    except OSError as error:
        raise InvalidSetting(f"{path} cannot be written: {error.strerror}. Name another file.") from error
    finally:
        with suppress(OSError):
            new.unlink(missing_ok=True)
    return Transfer(**counter.end, bytes=path.stat().st_size)


def import_ledger(ledger: DocumentLedger, path: Path, *, progress: Callable[[int], None] = lambda _: None) -> Transfer:
    """Store all documents of a file, or none. Raises InvalidRequest: it is damaged; FingerprintMismatch."""
    checked = verify(path)
    rows = (row for _, row in _rows(path))
    header = next(rows)
    if header.get("format") != FORMAT or header.get("version") != VERSION:
        raise InvalidRequest(
            f"{path} is a {header.get('format')} {header.get('version')}; this version reads {FORMAT} {VERSION}."
        )
    theirs, ours = row_codec.fingerprint(json.dumps(header["fingerprint"])), ledger.fingerprint()
    if ours is None or not ledger.chunk_count():
        ledger.set_fingerprint(theirs)
    elif difference := ours.differs_from(theirs):
        raise FingerprintMismatch(
            f"{path} was written with embedder {theirs.embedder} and chunker {theirs.chunker}; this ledger with "
            f"{ours.embedder} and {ours.chunker}: {difference}. Import it into an empty ledger, then run make reindex."
        )
    done, unchanged, pending = 0, 0, list[Entry]()
    for entry in (_entry(row) for row in rows if "source" in row):
        stored = ledger.find(entry.source.document_id)
        if stored is not None and stored.holds(entry):
            unchanged += 1
        else:
            pending.append(entry)
        if sum(len(waiting.chunks) for waiting in pending) >= BATCH:
            ledger.put(pending)
            pending = []
        done += len(entry.chunks)
        progress(done)
    if pending:
        ledger.put(pending)
    return replace(checked, unchanged=unchanged)


def verify(path: Path) -> Transfer:
    """Read the whole file and compare its digest and counts with its last line. Raises as `import_ledger`."""
    counter, claimed = _Counter(), None
    for line, row in _rows(path):
        # Nothing may follow the end, since it would not be counted
        claimed = row.get("end")
        if claimed is None:
            counter.add(line, row)
    if claimed != counter.end:
        what = f"it should hold {claimed}, found {counter.end}" if claimed else "it was cut off before its end"
        raise InvalidRequest(f"{path} is damaged: {what}. Nothing was imported. Export it again.")
    return Transfer(**counter.end, bytes=path.stat().st_size)


class _Counter:
    """Counts of the lines so far, and their digest."""

    def __init__(self) -> None:
        self.documents = self.chunks = 0
        self._digest = hashlib.blake2b(digest_size=32)

    def add(self, line: bytes, row: dict[str, Any]) -> None:
        self._digest.update(line)
        self.documents += "source" in row
        self.chunks += len(row.get("chunks", ()))

    @property
    def end(self) -> dict[str, Any]:
        return {"documents": self.documents, "chunks": self.chunks, "digest": self._digest.hexdigest()}


def _row(entry: Entry) -> dict[str, Any]:
    vectors = np.ascontiguousarray(entry.vectors, dtype="<f4")
    return {
        "source": row_codec.source_fields(entry.source),
        "content_hash": entry.content_hash,
        "parsers": entry.parsed.parsers,
        "text": entry.parsed.text,
        "outline": row_codec.outline(entry.parsed),
        "chunks": [
            [chunk.chunk_id, chunk.position, chunk.start, chunk.end, chunk.heading_path, chunk.page]
            for chunk in entry.chunks
        ],
        "dimensions": vectors.shape[1] if vectors.ndim == 2 else 0,
        "vectors": base64.b64encode(vectors.tobytes()).decode(),
    }


def _entry(row: dict[str, Any]) -> Entry:
    source, text = row_codec.read_source(row["source"]), row["text"]
    chunks = tuple(
        Chunk(chunk_id, source.document_id, position, text[start:end], start, end, tuple(path), page)
        for chunk_id, position, start, end, path, page in row["chunks"]
    )
    flat = np.frombuffer(base64.b64decode(row["vectors"]), dtype="<f4").astype(np.float32)
    vectors = flat.reshape(len(chunks), row["dimensions"])
    parsed = row_codec.read_parsed(text, row["outline"], row["parsers"])
    return Entry(source, row["content_hash"], parsed, chunks, vectors)


def _rows(path: Path) -> Iterator[tuple[bytes, dict[str, Any]]]:
    try:
        with _open_file(path, "rb", packed=path.suffix == ".gz") as file:
            for line in file:
                yield line, dict(json.loads(line))
    except (OSError, EOFError) as error:
        what = getattr(error, "strerror", None) or str(error)
        raise InvalidRequest(f"{path} cannot be read: {what}. Nothing was imported.") from error
    except (ValueError, TypeError) as error:
        raise InvalidRequest(
            f"{path} is damaged: a line is not JSON. Nothing was imported. Export it again."
        ) from error


def _open_file(path: Path, mode: str, *, packed: bool) -> IO[bytes]:
    return cast("IO[bytes]", gzip.open(path, mode, compresslevel=3) if packed else path.open(mode))
