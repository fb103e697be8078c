"""Export and import of a ledger as one file, with passages and vectors, so that nothing is embedded again.

The file is JSON Lines, compressed if its name ends in `.gz`: a header with format and fingerprint, one document per
line, and last the counts and the digest of all lines before. An import checks the whole file before it writes. Refusals
and the times of storage are not exported.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, cast

import numpy as np

from foundation.errors import FingerprintMismatch, InvalidRequest, InvalidSetting
from retrieval.contract import Chunk, DocumentLedger, Entry, Fingerprint
from retrieval.tables import row_codec

FORMAT = "sixply-ledger"
VERSION = 3
BATCH = 256
"""Number of passages that are committed together."""


@dataclass(frozen=True, slots=True)
class Transfer:
    documents: int
    chunks: int
    bytes: int
    """Size of the file."""
    digest: str
    unchanged: int = 0
    """Documents that the ledger already had unchanged."""


def export_ledger(ledger: DocumentLedger, path: Path, *, progress: Callable[[int], None] | None = None) -> Transfer:
    """Write every document of every tenant. An existing file is replaced when the new one is complete. `progress` is
    called with the number of passages done. Raises InvalidSetting: the file cannot be written. InvalidRequest: nothing
    was ever ingested, so the ledger has no fingerprint."""
    fingerprint = ledger.fingerprint()
    if fingerprint is None:
        raise InvalidRequest("The ledger is empty: there is nothing to export. Ingest first: make ingest SRC=folder")
    new = path.with_name(f"{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _open_file(new, "wb", packed=path.suffix == ".gz") as file:
            end = _write(ledger, fingerprint, file, progress)
        new.replace(path)
    except OSError as error:
        raise InvalidSetting(f"{path} cannot be written: {error.strerror}. Name another file.") from error
    finally:
        with suppress(OSError):
            new.unlink(missing_ok=True)
    return Transfer(**end, bytes=path.stat().st_size)


def import_ledger(ledger: DocumentLedger, path: Path, *, progress: Callable[[int], None] | None = None) -> Transfer:
    """Store every document of an exported file. It replaces the one with the same tenant, uri and readers. Raises
    InvalidRequest: the file is missing, incomplete or altered. Nothing was written. FingerprintMismatch: another
    embedder or chunker than the ledger's wrote it."""
    checked = verify(path)
    header, rows = _rows(path)
    theirs = row_codec.fingerprint(json.dumps(header["fingerprint"]))
    ours = ledger.fingerprint()
    if ours is not None and ledger.chunk_count() and (difference := ours.differs_from(theirs)):
        raise FingerprintMismatch(
            f"{path} was written with embedder {theirs.embedder} and chunker {theirs.chunker}; this ledger with "
            f"{ours.embedder} and {ours.chunker}: {difference}. Import it into an empty ledger, then run make reindex."
        )
    if ours is None or not ledger.chunk_count():
        ledger.set_fingerprint(theirs)
    done, unchanged, pending = 0, 0, list[Entry]()
    for row in rows:
        entry = _entry(row)
        stored = ledger.find(entry.source.document_id)
        if stored is not None and stored.holds(entry):
            unchanged += 1
        else:
            pending.append(entry)
        if sum(len(waiting.chunks) for waiting in pending) >= BATCH:
            ledger.put(pending)
            pending = []
        done += len(entry.chunks)
        if progress:
            progress(done)
    if pending:
        ledger.put(pending)
    return replace(checked, unchanged=unchanged)


def verify(path: Path) -> Transfer:
    """Read the whole file and compare its digest and counts with its last line. Raises InvalidRequest: see
    `import_ledger`."""
    digest = hashlib.blake2b(digest_size=32)
    documents = chunks = 0
    last = b"{}"
    for number, line in enumerate(_lines(path)):
        if number:
            digest.update(last)
            row = _json(path, last)
            documents += "source" in row
            chunks += len(row.get("chunks", ()))
        last = line
    claimed, counted = _json(path, last).get("end"), _end(documents, chunks, digest)
    if claimed != counted:
        what = (
            f"it should hold {claimed}, found {counted}" if claimed else "it does not end as it should: it was cut off"
        )
        raise InvalidRequest(f"{path} is damaged: {what}. Nothing was imported. Export it again.")
    return Transfer(**counted, bytes=path.stat().st_size)


def _end(documents: int, chunks: int, digest: hashlib.blake2b) -> dict[str, Any]:
    return {"documents": documents, "chunks": chunks, "digest": digest.hexdigest()}


def _write(
    ledger: DocumentLedger, fingerprint: Fingerprint, file: IO[bytes], progress: Callable[[int], None] | None
) -> dict[str, Any]:
    """Write all lines, and return the counts and digest of the last one."""
    digest = hashlib.blake2b(digest_size=32)
    documents = chunks = 0

    def write(row: dict[str, Any]) -> bytes:
        line = json.dumps(row, ensure_ascii=True, separators=(",", ":")).encode() + b"\n"
        file.write(line)
        return line

    written_fingerprint = json.loads(row_codec.fingerprint_text(fingerprint))
    digest.update(write({"format": FORMAT, "version": VERSION, "fingerprint": written_fingerprint}))
    for entry in ledger.entries():
        digest.update(write(_row(entry)))
        documents += 1
        chunks += len(entry.chunks)
        if progress:
            progress(chunks)
    end = _end(documents, chunks, digest)
    write({"end": end})
    return end


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


def _rows(path: Path) -> tuple[dict[str, Any], Iterator[dict[str, Any]]]:
    lines = _lines(path)
    header = _json(path, next(lines, b"{}"))
    if header.get("format") != FORMAT or header.get("version") != VERSION:
        raise InvalidRequest(
            f"{path} is no export of a ledger that this version reads (found {header.get('format')} "
            f"{header.get('version')}, expected {FORMAT} {VERSION})."
        )
    return header, (row for row in (_json(path, line) for line in lines) if "source" in row)


def _lines(path: Path) -> Iterator[bytes]:
    try:
        with _open_file(path, "rb", packed=path.suffix == ".gz") as file:
            yield from file
    except (OSError, EOFError) as error:
        what = getattr(error, "strerror", None) or str(error)
        raise InvalidRequest(f"{path} cannot be read: {what}. Nothing was imported.") from error


def _json(path: Path, line: bytes) -> dict[str, Any]:
    try:
        return cast("dict[str, Any]", dict(json.loads(line)))
    except (ValueError, TypeError) as error:
        raise InvalidRequest(
            f"{path} is damaged: a line is not JSON. Nothing was imported. Export it again."
        ) from error


def _open_file(path: Path, mode: str, *, packed: bool) -> IO[bytes]:
    return cast("IO[bytes]", gzip.open(path, mode, compresslevel=3)) if packed else cast("IO[bytes]", path.open(mode))
