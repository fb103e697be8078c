"""How the nouns of this layer are written in a ledger, whichever database keeps it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict

from retrieval.contract import DATA_CLASS, Block, Fingerprint, Parsed
from retrieval.where import Value, restored_attributes, stored_attributes, stored_name

DATA_CLASS_KEY = stored_name(DATA_CLASS, "")
"""Under which `attributes_text` has the class of a document."""


def outline(parsed: Parsed) -> str:
    """A document's structure, without its text."""
    blocks = [(block.kind, block.start, block.end, block.level, block.page) for block in parsed.blocks]
    return json.dumps({"title": parsed.title, "pages": parsed.pages, "blocks": blocks}, separators=(",", ":"))


def parsed(text: str, outline: str) -> Parsed:
    told = json.loads(outline)
    blocks = tuple(Block(kind, start, end, level, page) for kind, start, end, level, page in told["blocks"])
    return Parsed(text, blocks, title=told["title"], pages=told["pages"])


def attributes_text(attributes: Mapping[str, Value]) -> str:
    return json.dumps(stored_attributes(attributes), sort_keys=True)


def attributes(text: str) -> dict[str, Value]:
    return restored_attributes(json.loads(text))


def digest(text: str) -> str:
    """Names what was embedded."""
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=16).hexdigest()


def fingerprint_text(fingerprint: Fingerprint) -> str:
    return json.dumps(asdict(fingerprint))


def fingerprint(text: str) -> Fingerprint:
    told = json.loads(text)
    return Fingerprint(**(told | {"probe": tuple(tuple(vector) for vector in told["probe"])}))
