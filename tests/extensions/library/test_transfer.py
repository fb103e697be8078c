"""A ledger out to a file and back: nothing is lost, nothing is embedded again, nothing altered is taken."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from extensions.library.export import export_ledger, import_ledger, verify
from foundation.components import Context, available, load
from foundation.errors import FingerprintMismatch, InvalidRequest, InvalidSetting
from foundation.settings import Part
from foundation.types import Scope
from retrieval.contract import DocumentLedger
from retrieval.documents import Block, Chunk, Entry, Fingerprint, Parsed, Source
from tests import services

FINGERPRINT = Fingerprint("double", 3, ((1.0, 0.0, 0.0),), "cutter 1")


def entry(number: int, tenant: str = "acme") -> Entry:
    text = f"Title\n\nLamp {number} runs for nine hours – 保修 \u2028."
    source = Source(
        f"doc-{number}.md", tenant, frozenset({"board", "staff"}), "Title", "text/markdown", "lamps",
        date(2026, 1, 2), date(2025, 12, 1), "handbook", {"reviewed": date(2026, 1, 3), "price": 2.5, "sold": True},
    )  # fmt: skip
    blocks = (Block("heading", 0, 5, 1, 1), Block("paragraph", 7, len(text), 0, 1))
    chunk = Chunk(f"{tenant}-{number}", source.document_id, 0, text[7:], 7, len(text), ("Title",), 1)
    vector = np.random.default_rng(number).normal(size=(1, 3)).astype(np.float32)
    return Entry(source, f"hash-{number}", Parsed(text, blocks, "Title", 1, ("markdown 3",)), (chunk,), vector)


def opened(folder: Path, use: str = "sqlite") -> DocumentLedger:
    part = Part.model_validate({"use": use, **services.options(use, folder)})
    ledger: DocumentLedger = load("retrieval.ledger", part, Context(data_dir=folder))
    return ledger


@pytest.fixture
def filled(data_dir: Path) -> Iterator[DocumentLedger]:
    ledger = opened(data_dir / "filled")
    ledger.set_fingerprint(FINGERPRINT)
    ledger.put([entry(number) for number in range(300)] + [entry(7, "other")])
    yield ledger
    ledger.close()


def told(ledger: DocumentLedger) -> list[tuple[object, ...]]:
    return [
        (one.source, one.content_hash, one.parsed, tuple(one.chunks), one.vectors.tolist()) for one in ledger.entries()
    ]


@pytest.mark.parametrize("use", available("retrieval.ledger"))
@pytest.mark.parametrize("name", ["ledger.jsonl", "ledger.jsonl.gz"])
def test_what_goes_out_comes_back_bit_for_bit(filled: DocumentLedger, data_dir: Path, name: str, use: str) -> None:
    file = data_dir / "out" / name
    out = export_ledger(filled, file)
    assert (out.documents, out.chunks) == (301, 301)
    assert file.read_bytes()[:2] == (b"\x1f\x8b" if name.endswith("gz") else b'{"')
    ledger = opened(data_dir / "empty", use)
    back = import_ledger(ledger, file)
    assert (back.digest, back.documents, back.unchanged) == (out.digest, 301, 0)
    assert told(ledger) == told(filled)
    assert ledger.fingerprint() == FINGERPRINT
    scope = Scope("acme", frozenset({"board"}))
    assert ledger.keyword_search("lamp 17", scope, limit=1, as_of=None)[0][0] == "acme-17"
    assert export_ledger(ledger, data_dir / "again.jsonl").digest == out.digest
    ledger.close()


def test_a_second_import_finds_everything_known(filled: DocumentLedger, data_dir: Path) -> None:
    file = data_dir / "ledger.jsonl"
    export_ledger(filled, file)
    before = filled.sequence()
    filled.delete(entry(3).source.document_id)
    assert import_ledger(filled, file).unchanged == 300
    assert filled.sequence() > before
    assert filled.find(entry(3).source.document_id) is not None


@pytest.mark.parametrize("spoil", ["cut", "changed", "line gone", "no export", "nothing", "not packed"])
def test_a_file_that_is_not_whole_or_was_altered_changes_nothing(
    filled: DocumentLedger, data_dir: Path, spoil: str
) -> None:
    file = data_dir / ("ledger.jsonl.gz" if spoil == "not packed" else "ledger.jsonl")
    export_ledger(filled, data_dir / "ledger.jsonl")
    content = (data_dir / "ledger.jsonl").read_bytes()
    lines = content.splitlines(keepends=True)
    file.write_bytes(
        {
            "cut": content[: len(content) // 2],
            "changed": content.replace(b"Lamp 9 ", b"Lamp 8 ", 1),
            "line gone": b"".join(lines[:5] + lines[6:]),
            "no export": b'{"hello": 1}\n',
            "nothing": b"",
            "not packed": content,
        }[spoil]
    )
    ledger = opened(data_dir / "empty")
    with pytest.raises(InvalidRequest):
        import_ledger(ledger, file)
    assert (ledger.chunk_count(), ledger.fingerprint()) == (0, None)
    ledger.close()


def test_a_packed_file_that_was_cut_off_is_refused(filled: DocumentLedger, data_dir: Path) -> None:
    file = data_dir / "ledger.jsonl.gz"
    export_ledger(filled, file)
    file.write_bytes(file.read_bytes()[:-40])
    with pytest.raises(InvalidRequest, match=r"Nothing was imported|damaged"):
        verify(file)


def test_vectors_of_another_embedder_are_refused_with_both_names(filled: DocumentLedger, data_dir: Path) -> None:
    file = data_dir / "ledger.jsonl"
    export_ledger(filled, file)
    ledger = opened(data_dir / "other")
    ledger.set_fingerprint(replace(FINGERPRINT, embedder="another", probe=((0.0, 1.0, 0.0),)))
    ledger.put([entry(1)])
    with pytest.raises(FingerprintMismatch, match="another"):
        import_ledger(ledger, file)
    assert ledger.chunk_count() == 1
    ledger.close()


def test_an_empty_ledger_and_a_place_that_cannot_be_written_are_told(filled: DocumentLedger, data_dir: Path) -> None:
    ledger = opened(data_dir / "empty")
    with pytest.raises(InvalidRequest, match="nothing to export"):
        export_ledger(ledger, data_dir / "ledger.jsonl")
    ledger.close()
    (data_dir / "file").write_text("")
    with pytest.raises(InvalidSetting):
        export_ledger(filled, data_dir / "file" / "ledger.jsonl")
    with pytest.raises(InvalidRequest, match="cannot be read"):
        import_ledger(filled, data_dir / "absent.jsonl")
