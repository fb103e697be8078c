"""The process that is tortured: it owns a ledger and an index, writes, answers queries, and dies when it is told to.

    python -m lab.faults.tortured_process ORDER       ORDER is JSON: stack, overrides

It is told on standard input what to do, one JSON object a line, and answers in lines of JSON.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langchain_core.embeddings import Embeddings

from foundation.errors import DocumentRefused, SixplyError
from foundation.types import Scope
from lab.library import open_library
from models.embedding import PROBE_TEXTS, Vectors, embed
from retrieval.contract import Source
from retrieval.ingest.preparation import Item
from serving.settings import load

if TYPE_CHECKING:
    from retrieval.build import Retrieval

TENANT = "torture"
SCOPE = Scope(TENANT)
SEVERAL = 8
"""Passages of a document that a query may show: a second copy must not hide behind the first."""


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

    def __init__(self, library: Retrieval) -> None:
        self._library = library

    def work(self, steps: Sequence[Sequence[Sequence[str | None]]], crash: Sequence[Any] | None = None) -> Any:
        """Do the steps, each a list of (name, text or None to delete it), and acknowledge one after the other. `crash`
        names a point and the number of the step in which to die there."""
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
            say(done=number)
        return {"through": True}

    def fill(self, documents: Sequence[Sequence[str]]) -> Any:
        return {"chunks": self._library.ingestor.ingest(_item(name, text) for name, text in documents).chunks}

    def ask(self, queries: Sequence[str]) -> Any:
        """For each query the hits, best first: uri, passage, and its document's rank in each leg."""
        found = [self._library.retriever.retrieve(query, SCOPE, limit=3, per_document=SEVERAL) for query in queries]
        return {"found": [[[hit.source.uri, hit.chunk.text, dict(hit.legs)] for hit in hits] for hits in found]}

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


_OUT = os.fdopen(os.dup(1), "w", encoding="utf-8")


def say(**answer: Any) -> None:
    _OUT.write(json.dumps(answer) + "\n")
    _OUT.flush()


def main() -> None:
    os.dup2(2, 1)  # what a library prints goes to standard error
    order = json.loads(sys.argv[1])
    loaded = load(Path(order["stack"]), overrides=order["overrides"])
    try:
        with open_library(loaded, watch=Counting) as library:
            say(opened=True)
            orders = Orders(library)
            for line in sys.stdin:
                told = json.loads(line)
                try:
                    say(**getattr(orders, told.pop("do"))(**told))
                except SixplyError as error:
                    say(error=error.code, message=str(error))
    except SixplyError as error:
        say(error=error.code, message=str(error))


if __name__ == "__main__":
    main()
