"""The file that a document was read from, as long as it stands where it stood and says what it said."""

from dataclasses import replace
from pathlib import Path

from retrieval.documents import Document
from retrieval.ingest.folders import read_item
from retrieval.ingest.preparation import hash_item


def read_original(document: Document, *, max_bytes: int) -> bytes | None:
    """Return the bytes from which a document of a folder was stored; `None`: it was sent, or the file is gone or another one.

    The digest in the ledger decides, so that nothing is ever read out that was not taken in as this very document.
    """
    folder = Path(document.source.origin)
    if not folder.is_absolute() or "\0" in document.source.uri:
        return None
    item = read_item(folder / document.source.uri, document.source, max_bytes=max_bytes, within=folder)
    offered = [item, replace(item, source=replace(item.source, title=""))]  # without a title it got that of its text
    is_same = not item.unread and document.content_hash in map(hash_item, offered)
    return item.content if is_same else None
