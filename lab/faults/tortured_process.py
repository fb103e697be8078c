"""The process that is tortured: it owns a ledger and an index, writes, answers queries, and dies when it is told to.

    python -m lab.faults.tortured_process [ORDER]       ORDER is JSON: stack, overrides, port

It connects to that port of this machine, is told there what to do, one JSON object a line, and answers in lines of JSON.
Without an order it reads orders from standard input and forks a process for each, whose number it prints: what all of them
import, which takes most of a start, is then imported once.
"""

from __future__ import annotations

import json
import os
import resource
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langchain_core.embeddings import Embeddings

from foundation.errors import DocumentRefused, SixplyError
from foundation.types import Scope
from lab.forking import fork_for_each_order
from lab.library import open_library
from models.embedding import PROBE_TEXTS, Vectors, embed
from retrieval.documents import Source
from retrieval.ingest.preparation import Item
from serving.settings import load

if TYPE_CHECKING:
    from retrieval.build import Retrieval

TENANT = "torture"
SCOPE = Scope(TENANT)
SEVERAL = 8
"""Passages of a document that a query may show: a second copy must not hide behind the first."""
LIBRARIES = (
    "chromadb.api.rust", "langchain_core.language_models", "markdown_it", "extensions.development.hashing_embedder", "retrieval.chunkers.structure",
    "retrieval.ledgers.sqlite", "retrieval.parsers.markdown", "retrieval.vectors.exact",
)  # fmt: skip
"""Imported before anything is forked, so that a kill meets a process at its work. None of them starts a thread of Python's."""
Say = Callable[..., None]
"""Sends its keywords as one answer."""


class Counting(Embeddings):
    """Counts the passages that are embedded, those of the fingerprint aside."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.model_name = getattr(inner, "model_name", "")
        self.passages = -len(PROBE_TEXTS)

    def embed_array(self, texts: Sequence[str]) -> Vectors:
        self.passages += len(texts)
        return embed(self._inner, texts)

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [[float(value) for value in row] for row in self.embed_array(texts)]

    def embed_query(self, text: str) -> list[float]:
        vector: list[float] = self._inner.embed_query(text)
        return vector

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class Orders:
    """What the parent may ask for: each method by its name, with keywords, to an answer."""

    def __init__(self, library: Retrieval, say: Say) -> None:
        self._library, self._say = library, say

    def work(self, steps: Sequence[Sequence[Sequence[str | None]]], crash: Sequence[Any] | None = None) -> Any:
        """Do the steps, each a list of (name, text or None to delete it), and acknowledge one after the other. `crash`
        names a point and the number of the step in which to die there.
        """
        for number, step in enumerate(steps, start=1):
            if crash and crash[1] == number:
                os.environ["SIXPLY_CRASH_AT"] = str(crash[0])
            stored = [_item(str(name), text) for name, text in step if text is not None]
            if stored:
                report = self._library.ingestor.ingest(stored)
                if report.refused:  # ours never are; if one is, the trial is wrong
                    raise DocumentRefused(report.refused[0].message, reason=report.refused[0].reason)
            for name in (name for name, text in step if text is None):
                self._library.ingestor.delete(str(name), TENANT, scope=None)
            self._say(done=number)
        return {"through": True}

    def fill(self, documents: Sequence[Sequence[str]]) -> Any:
        return {"chunks": self._library.ingestor.ingest(_item(name, text) for name, text in documents).chunks}

    def ask(self, queries: Sequence[str]) -> Any:
        """For each query the hits, best first: uri, passage, and its document's rank in each leg."""
        found = [self._library.retriever.retrieve(query, SCOPE, limit=3, per_document=SEVERAL) for query in queries]
        return {"found": [[[hit.source.uri, hit.chunk.text, dict(hit.ranks)] for hit in hits] for hits in found]}

    def count(self) -> Any:
        ledger, vectors = self._library.ledger, self._library.vectors
        return {
            "documents": ledger.document_count(),
            "chunks": ledger.chunk_count(),
            "vectors": vectors.count(),
            "embedded": self._embedder.passages,
        }

    def cap_files(self, size: int | None) -> Any:
        """No file may grow beyond `size` bytes, as if the disk were full there; `None` lifts it."""
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard if size is None else size, hard))
        return {"capped": size}

    @property
    def _embedder(self) -> Counting:
        counting = self._library.embedder
        assert isinstance(counting, Counting)
        return counting


def _item(name: str, text: str | None) -> Item:
    return Item(Source(name, TENANT, media_type="text/markdown"), (text or "").encode(), "document.md")


def serve(order: dict[str, Any]) -> None:
    """Do what the other side says, until it hangs up."""
    os.dup2(2, 1)  # what a library prints goes to standard error
    loaded = load(Path(order["stack"]), overrides=order["overrides"])
    with socket.create_connection(("127.0.0.1", order["port"])) as connection:

        def say(**answer: Any) -> None:
            connection.sendall((json.dumps(answer) + "\n").encode())

        try:
            with open_library(loaded, watch=Counting) as library:
                say(opened=True)
                orders = Orders(library, say)
                for told in map(json.loads, connection.makefile(encoding="utf-8")):
                    try:
                        say(**getattr(orders, told.pop("do"))(**told))
                    except SixplyError as error:
                        say(error=error.code, message=str(error))
        except SixplyError as error:
            say(error=error.code, message=str(error))


if __name__ == "__main__":
    if sys.argv[1:]:
        serve(json.loads(sys.argv[1]))
    else:
        fork_for_each_order(LIBRARIES, serve)
