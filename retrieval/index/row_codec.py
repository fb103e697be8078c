"""How the nouns of this layer are written in a ledger, whichever database keeps it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, replace

from foundation.types import Scope
from retrieval.contract import DATA_CLASS, Block, Fingerprint, Parsed, Source
from retrieval.filters import Value, restored_attributes, stored_attributes, stored_name

VERSION = "version "
"""Before the content hash of an earlier version: no offer has such a one, so that an offer of its name is taken."""
STALE = "before the reindex "
"""Before a content hash: no offer has such a one, so the next offer of that document is taken afresh."""
DATA_CLASS_KEY = stored_name(DATA_CLASS, "")
"""Under which `attributes_text` has the class of a document."""


def outline(parsed: Parsed) -> str:
    """A document's structure, without its text."""
    blocks = [(block.kind, block.start, block.end, block.level, block.page) for block in parsed.blocks]
    return json.dumps({"title": parsed.title, "pages": parsed.pages, "blocks": blocks}, separators=(",", ":"))


def read_parsed(text: str, outline: str) -> Parsed:
    header = json.loads(outline)
    blocks = tuple(Block(kind, start, end, level, page) for kind, start, end, level, page in header["blocks"])
    return Parsed(text, blocks, title=header["title"], pages=header["pages"])


def attributes_text(attributes: Mapping[str, Value]) -> str:
    return json.dumps(stored_attributes(attributes), sort_keys=True)


def attributes(text: str) -> dict[str, Value]:
    return restored_attributes(json.loads(text))


def scope_text(scope: Scope | None) -> str | None:
    """What somebody may read, beside their tenant; `None` for the owner of the machine, who may read everything."""
    if scope is None:
        return None
    return json.dumps({"groups": sorted(scope.groups), "classes": scope.listed_classes})


def with_version_of(content_hash: str, source: Source) -> Source:
    """A source of a ledger that did not yet say which documents are earlier versions: their hash and name do."""
    if not content_hash.removeprefix(STALE).startswith(VERSION):
        return source
    later = replace(source, uri=source.uri.rpartition("@")[0])
    return replace(source, version_of=later.document_id)


def digest(text: str) -> str:
    """Names what was embedded."""
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=16).hexdigest()


def fingerprint_text(fingerprint: Fingerprint) -> str:
    return json.dumps(asdict(fingerprint))


def fingerprint(text: str) -> Fingerprint:
    fields = json.loads(text)
    return Fingerprint(**(fields | {"probe": tuple(tuple(vector) for vector in fields["probe"])}))
