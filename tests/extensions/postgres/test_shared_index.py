"""Several processes over one pgvector index: each brings it up to the ledger, and none spoils what another did."""

from __future__ import annotations

import time
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from foundation.components import Context, load
from foundation.settings import Part
from foundation.types import Scope
from retrieval.contract import DocumentLedger, VectorIndex
from retrieval.documents import Chunk, Entry, Parsed, Source, VectorItem
from retrieval.index.maintenance import catch_up
from tests import services

psycopg = pytest.importorskip("psycopg", reason="make setup WITH=postgres")

PATIENCE_S = 120
VECTOR = np.eye(1, 8, dtype=np.float32)
EVERYONE = Scope("north")


def _put(ledger: DocumentLedger, text: str) -> None:
    """One version of the same document, made of this one passage."""
    source = Source("rule.md", "north")
    chunk = Chunk(text, source.document_id, 0, text, 0, len(text))
    ledger.put([Entry(source, text, Parsed(text, ()), [chunk], VECTOR)])


def test_what_one_process_read_earlier_is_not_written_over_what_another_read_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two clients that share nothing but the server. Between the first one's reading of the ledger and its writing to the
    index, the document is replaced and the second one brings the index up to that, as far as it is let.
    """
    context, dsn = Context(data_dir=tmp_path), services.postgres()
    ledgers: list[DocumentLedger] = []
    indexes: list[VectorIndex] = []
    followed: list[Future[None]] = []
    with ExitStack() as opened:
        for _ in range(2):
            for section, use, known in (("ledger", "postgres", ledgers), ("vectors", "pgvector", indexes)):
                known.append(load(f"retrieval.{section}", Part(use=use, **services.options(use, tmp_path)), context))
                opened.callback(known[-1].close)
        second = opened.enter_context(ThreadPoolExecutor(1))
        watch = opened.enter_context(psycopg.connect(dsn, autocommit=True))
        upsert = indexes[0].upsert

        def overtaken(items: Iterable[VectorItem]) -> None:
            read = list(items)
            _put(ledgers[1], "later")
            followed.append(second.submit(catch_up, ledgers[1], indexes[1]))
            give_up = time.monotonic() + PATIENCE_S
            while not (followed[0].done() or _waits(watch)):
                assert time.monotonic() < give_up
                time.sleep(0.01)
            upsert(read)

        monkeypatch.setattr(indexes[0], "upsert", overtaken)
        _put(ledgers[0], "earlier")
        catch_up(ledgers[0], indexes[0])
        followed[0].result(PATIENCE_S)
        assert [found for found, _ in indexes[0].search(VECTOR[0], EVERYONE, limit=9)] == ["later"]
        assert indexes[0].sequence() == ledgers[0].sequence(), "else readiness says that the index is behind"


def _waits(watch: Any) -> bool:
    return bool(watch.execute("SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted").fetchall())
