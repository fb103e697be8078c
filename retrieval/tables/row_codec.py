# ruff: noqa: S608 - statements are put together from constants; every value is bound
"""Encoding of documents, passages and fingerprints for a ledger, the same in all databases."""

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from datetime import date, datetime
from typing import Any

from foundation.types import Scope
from retrieval.documents import DATA_CLASS, Block, Box, Chunk, Document, Fingerprint, Parsed, Source, Table
from retrieval.filters import restored_attributes, stored_attributes, stored_name

# Prefix of the content hash of an earlier version, so that it equals the hash of no offer
VERSION = "version "
# Fields of a source that are stored as they are, and all columns of a document `d` that `source_of_row` reads
PLAIN_FIELDS = (
    "uri", "tenant", "title", "media_type", "series", "effective_from", "published", "origin", "version_of", "writer_reads",
)  # fmt: skip
_SOURCE = (*PLAIN_FIELDS, "groups", "attributes")
SOURCE = ", ".join(f"d.{name}" for name in _SOURCE)
SOURCE_COLUMNS = len(_SOURCE)
# Columns of a passage `c` that `read_chunk` reads
CHUNK = 'c.chunk_id, c.document_id, c.position, c.text, c.start, c."end", c.heading_path, c.page'
# Name of the document's class among its stored attributes
DATA_CLASS_KEY = stored_name(DATA_CLASS, "")
_DAYS = ("effective_from", "published")


def insert_statement(table: str, columns: Collection[str]) -> str:
    names = ", ".join(f'"{column}"' for column in columns)  # `end` is a word of SQL
    return f"INSERT INTO {table} ({names}) VALUES (:{', :'.join(columns)})"


def outline(parsed: Parsed) -> str:
    """Return a document's structure, without its text, as JSON."""
    blocks = [(block.kind, block.start, block.end, block.level, block.page) for block in parsed.blocks]
    tables = [(table.first, table.names, table.widths) for table in parsed.tables]
    listed = {name: value for name, value in (("tables", tables), ("boxes", parsed.boxes)) if value}
    structure = {"title": parsed.title, "pages": parsed.pages, "blocks": blocks} | listed
    return json.dumps(structure, separators=(",", ":"))


def read_parsed(text: str, outline: str, parsers: Sequence[str]) -> Parsed:
    header = json.loads(outline)
    blocks = tuple(Block(kind, start, end, level, page) for kind, start, end, level, page in header["blocks"])
    tables = tuple(
        Table(first, tuple(names), tuple(map(tuple, widths))) for first, names, widths in header.get("tables", ())
    )
    boxes = tuple(Box(*box) for box in header.get("boxes", ()))
    return Parsed(text, blocks, header["title"], header["pages"], tuple(parsers), tables, boxes)


def read_chunk(row: Sequence[Any]) -> Chunk:
    chunk_id, key, position, text, start, end, heading_path, page = row
    return Chunk(chunk_id, key, position, text, start, end, tuple(json.loads(heading_path)), page)


def chunk_values(chunk: Chunk, document_id: str) -> dict[str, Any]:
    """Return the values of a passage's columns, without its sequence number and embedding."""
    plain = {name: getattr(chunk, name) for name in ("chunk_id", "position", "start", "end", "page", "text")}
    digested = {"heading_path": json.dumps(chunk.heading_path), "digest": digest(chunk.indexed_text)}
    return plain | digested | {"document_id": document_id}


def source_of_row(row: Sequence[Any]) -> Source:
    fields = dict(zip(_SOURCE, row, strict=True))
    lists = {"groups": read_list(fields["groups"]), "attributes": json.loads(fields["attributes"])}
    return read_source(fields | lists)


def read_document(row: Sequence[Any]) -> Document:
    key, content_hash, characters, chunks, at, superseded, parsers = row[SOURCE_COLUMNS:]
    source, read_by = source_of_row(row[:SOURCE_COLUMNS]), tuple(read_list(parsers))
    return Document(key, source, content_hash, characters, chunks, read_time(at), bool(superseded), read_by)


# A database that has neither lists nor days gives them as the text in which they were kept


def read_list(value: Any) -> list[str]:
    return list(json.loads(value)) if isinstance(value, str) else list(value)


def read_time(value: Any) -> datetime:
    return datetime.fromisoformat(value) if isinstance(value, str) else value


def _read_day(value: Any) -> date | None:
    return date.fromisoformat(value) if value and isinstance(value, str) else value or None


def source_fields(source: Source) -> dict[str, Any]:
    """Return the fields of a source as JSON values."""
    days = {name: getattr(source, name) and getattr(source, name).isoformat() for name in _DAYS}
    own = {"groups": sorted(source.groups), "attributes": stored_attributes(source.attributes)}
    return asdict(source) | own | days


def read_source(fields: Mapping[str, Any]) -> Source:
    """Return the source from the fields of `source_fields`."""
    days = {name: _read_day(fields[name]) for name in _DAYS}
    own = {"groups": frozenset(fields["groups"]), "attributes": restored_attributes(fields["attributes"])}
    return Source(**{**fields, **own, **days})


def scope_text(scope: Scope | None) -> str | None:
    """Return a scope as JSON, without its tenant; `None` for the owner of the machine, who reads everything."""
    if scope is None:
        return None
    return json.dumps({"groups": sorted(scope.groups), "classes": scope.listed_classes})


def digest(text: str) -> str:
    """Return the digest of an embedded text."""
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=16).hexdigest()


def fingerprint(text: str) -> Fingerprint:
    fields = json.loads(text)
    return Fingerprint(**(fields | {"probe": tuple(tuple(vector) for vector in fields["probe"])}))
