"""A reindex that is killed: the old index goes on serving, and the next run goes on where the killed one was."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from foundation.components import Context, available, load
from foundation.errors import FingerprintMismatch
from foundation.settings import Part
from foundation.types import Scope
from models.contract import Embeddings
from models.embedding import embed
from retrieval.contract import DocumentLedger
from retrieval.documents import Block, Chunk, Entry, Parsed, Source
from retrieval.index.maintenance import fingerprint_of, open_index
from tests import services

ACME = Scope("acme")
DOCUMENTS = 8

CHILD = """
import json, sys
from pathlib import Path

from foundation.components import Context, available, load
from foundation.settings import Part
from retrieval.index import maintenance

given = json.loads(sys.argv[1])
context = Context(data_dir=Path(given["folder"]))
ledger = load("retrieval.ledger", Part(**given["ledger"]), context)
embedder = load("models.embedder", Part(**given["embedder"]), context)
chunker = load("retrieval.chunker", Part(use="structure"), context)
maintenance.REINDEX_BATCH = 1


def progress(done, total):
    print(json.dumps([done, total]), flush=True)
    sys.stdin.readline()  # the parent says when to go on, or kills us here


done = maintenance.reindex(
    ledger, embedder=embedder, chunker=chunker, progress=progress,
    fingerprint=maintenance.fingerprint_of(given["embedder"]["use"], embedder, chunker),
)
ledger.close()
print(json.dumps(done), flush=True)
"""


class Desk:
    """A ledger with its documents, and an index in memory, as a process would have them."""

    def __init__(self, folder: Path, ledger: dict[str, Any], embedder: dict[str, Any]) -> None:
        self.context = Context(data_dir=folder)
        self.ledger_part, self.embedder_part = ledger, embedder
        self.ledger: DocumentLedger = load("retrieval.ledger", Part(**ledger), self.context)
        self.vectors = load("retrieval.vectors", Part(use="memory"), self.context)
        self.embedder: Embeddings = load("models.embedder", Part(**embedder), self.context)
        self.chunker = load("retrieval.chunker", Part(use="structure"), self.context)

    def open(self) -> None:
        open_index(self.ledger, self.vectors, fingerprint_of(self.embedder_part["use"], self.embedder, self.chunker))

    def add(self, name: str, text: str) -> None:
        source = Source(name, "acme")
        chunk = Chunk(f"{name} {text}", source.document_id, 0, text, 0, len(text))
        vectors = embed(self.embedder, [chunk.indexed_text])
        self.ledger.put(
            [Entry(source, f"hash of {text}", Parsed(text, (Block("paragraph", 0, len(text)),)), [chunk], vectors)]
        )

    def found(self, text: str) -> list[str]:
        """Texts by both searches, best first."""
        query = embed(self.embedder, [text])[0]
        ids = [chunk_id for chunk_id, _ in self.vectors.search(query, ACME, limit=3)]
        ids += [chunk_id for chunk_id, *_ in self.ledger.keyword_search(text, ACME, limit=3, as_of=None)]
        return [hit.chunk.text for hit in self.ledger.hits(ids, ACME, as_of=None).values()]

    def close(self) -> None:
        self.ledger.close()


@contextmanager
def reindexing(desk: Desk, embedder: dict[str, Any]) -> Iterator[subprocess.Popen[str]]:
    given = {"folder": str(desk.context.data_dir), "ledger": desk.ledger_part, "embedder": embedder}
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, json.dumps(given)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([".", *sys.path])},
    ) as child:  # fmt: skip
        try:
            yield child
        finally:
            child.kill()


def heard(child: subprocess.Popen[str]) -> Any:
    assert child.stdout
    return json.loads(child.stdout.readline())


def go_on(child: subprocess.Popen[str]) -> None:
    assert child.stdin
    child.stdin.write("\n")
    child.stdin.flush()


CASES = [case for case in (("sqlite", 1), ("postgres", None)) if case[0] in available("retrieval.ledger")]


@pytest.mark.parametrize(
    ("use", "seed"), CASES, ids=[f"{use}-{'equal' if seed else 'other'}-dimension" for use, seed in CASES]
)
def test_a_killed_reindex_costs_nothing_and_goes_on(use: str, seed: int | None, data_dir: Path) -> None:
    ledger: dict[str, Any] = {"use": use} | services.options(use, data_dir)
    old = {"use": "hashing"}
    new: dict[str, Any] = (
        {"use": "hashing", "dimensions": 64} if seed is None else {"use": "tests.faults.test_reindex:Turned"}
    )
    with closing(Desk(data_dir, ledger, old)) as desk:
        desk.open()
        for n in range(DOCUMENTS):
            desk.add(f"{n}.md", f"Refund number {n} is paid in {n} days.")
        desk.open()

        with reindexing(desk, new) as child:
            assert heard(child) == [1, DOCUMENTS]
            go_on(child)
            assert heard(child) == [2, DOCUMENTS]
            desk.open()
            assert "Refund number 3 is paid in 3 days." in desk.found("Refund number 3"), (
                "the old index serves meanwhile"
            )
            child.kill()

        desk.open()
        assert "Refund number 3 is paid in 3 days." in desk.found("Refund number 3")
        desk.add("3.md", "Refund number three takes long.")
        desk.ledger.delete(Source("4.md", "acme").document_id)

        with closing(Desk(data_dir, ledger, new)) as after:
            with pytest.raises(FingerprintMismatch, match=f"embedder hashing .*{new['use']}.*make reindex"):
                after.open()
            with reindexing(after, new) as child:
                while isinstance(said := heard(child), list):
                    go_on(child)
                assert child.wait() == 0
            assert 0 < said < DOCUMENTS - 1, "what the killed one had embedded is not embedded again"
            after.open()
            assert after.vectors.count() == after.ledger.chunk_count() == DOCUMENTS - 1
            assert after.found("Refund number three")[0] == "Refund number three takes long."
            with pytest.raises(FingerprintMismatch):
                desk.open()


class Turned(Embeddings):
    """The hashing embedder with its vectors turned around: as long as before, and quite another one."""

    def __init__(self) -> None:
        self._inner: Embeddings = load("models.embedder", Part(use="hashing"), Context(data_dir=Path()))

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [vector[::-1] for vector in self._inner.embed_documents(texts)]

    def embed_query(self, text: str) -> list[float]:
        return self._inner.embed_query(text)[::-1]
