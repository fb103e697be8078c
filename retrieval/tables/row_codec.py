# ruff: noqa: S608 - statements are put together from constants; every value is bound
"""Encoding of documents, passages and fingerprints for a ledger, the same in all databases."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from datetime import date
from typing import Any

from foundation.types import Scope
from retrieval.documents import DATA_CLASS, Block, Chunk, Fingerprint, Parsed, Source
from retrieval.filters import restored_attributes, stored_attributes, stored_name

# Prefix of the content hash of an earlier version, so that it equals the hash of no offer
VERSION = "version "
# Columns of a document `d` that `rows.read_source` reads
SOURCE = (
    "d.uri, d.tenant, d.groups, d.title, d.media_type, d.series, d.effective_from, d.published, d.origin, d.attributes, "
    "d.version_of, d.writer_reads"
)
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
    return json.dumps({"title": parsed.title, "pages": parsed.pages, "blocks": blocks}, separators=(",", ":"))


def read_parsed(text: str, outline: str, parsers: Sequence[str]) -> Parsed:
    header = json.loads(outline)
    blocks = tuple(Block(kind, start, end, level, page) for kind, start, end, level, page in header["blocks"])
    return Parsed(text, blocks, title=header["title"], pages=header["pages"], parsers=tuple(parsers))


def read_chunk(row: Sequence[Any]) -> Chunk:
    chunk_id, key, position, text, start, end, heading_path, page = row
    return Chunk(chunk_id, key, position, text, start, end, tuple(json.loads(heading_path)), page)


def source_fields(source: Source) -> dict[str, Any]:
    """Return the fields of a source as JSON values."""
    days = {name: getattr(source, name) and getattr(source, name).isoformat() for name in _DAYS}
    own = {"groups": sorted(source.groups), "attributes": stored_attributes(source.attributes)}
    return asdict(source) | own | days


def read_source(fields: Mapping[str, Any]) -> Source:
    """Return the source from the fields of `source_fields`."""
    days = {name: date.fromisoformat(fields[name]) for name in _DAYS if fields[name]}
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
