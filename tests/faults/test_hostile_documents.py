"""Documents that were made to exhaust or to escape: each is refused in time, within the child's limits, and the next works."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from foundation.errors import DocumentRefused
from retrieval.ingest import sandbox
from retrieval.ingest.sandbox import ParserPool
from retrieval.settings import ParsingSettings

CATALOG = [b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[3 0 R]/Count 1>>"]
PAGE = b"<</Type/Page/Parent 2 0 R/Contents 4 0 R/MediaBox[0 0 9 9]>>"


@pytest.fixture(scope="module")
def pool() -> Iterator[ParserPool]:
    with closing(ParserPool(ParsingSettings(timeout_s=60))) as opened:
        yield opened


def pdf(objects: list[bytes]) -> bytes:
    body, places = b"%PDF-1.5\n", []
    for number, content in enumerate(objects, start=1):
        places.append(len(body))
        body += b"%d 0 obj\n%b\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    head = b"xref\n0 %d\n0000000000 65535 f \n%b" % (len(objects) + 1, table)
    return body + head + b"trailer<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF" % (len(objects) + 1, len(body))


def stream(content: bytes, entries: bytes) -> bytes:
    return b"<</Length %d%b>>stream\n%b\nendstream" % (len(content), entries, content)


def blank_stream() -> bytes:
    return zlib.compress(bytes(200_000_000), 9)


BOMBS: dict[str, Callable[[], bytes]] = {
    "stream.pdf": lambda: pdf([*CATALOG, PAGE, stream(blank_stream(), b"/Filter/FlateDecode")]),
    "twice.pdf": lambda: pdf(
        [*CATALOG, PAGE, stream(zlib.compress(blank_stream()), b"/Filter[/FlateDecode/FlateDecode]")]
    ),
    "objects.pdf": lambda: pdf(
        [*CATALOG, PAGE, stream(blank_stream(), b"/Type/ObjStm/N 9/First 9/Filter/FlateDecode")]
    ),
    "cycle.pdf": lambda: pdf([CATALOG[0], b"<</Type/Pages/Kids[2 0 R 2 0 R]/Count 2>>"]),
    "deep.pdf": lambda: pdf([*CATALOG, PAGE, b"[" * 100_000]),
    "deep.json": lambda: b'{"a":' * 200_000 + b"1" + b"}" * 200_000,
    "deep.html": lambda: b"<div>" * 200_000 + b"x",
    "mixed.html": lambda: b"<b><i><ul><li><table><tr><td>" * 30_000 + b"x",
    "deep.md": lambda: b"> " * 100_000 + b"x",
    "figures.json": lambda: b"[" + b"1" * 1_000_000 + b"]",
    "quotes.csv": lambda: b'"' * 3_000_001,
}


def outcome(pool: ParserPool, content: bytes, name: str) -> str:
    try:
        return "text" if len(pool.parse(content, name).text) <= 5_000_000 else "too much text"
    except DocumentRefused as refused:
        return refused.reason


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_ends_in_little_text_or_in_a_reason_and_the_next_document_is_read(pool: ParserPool, name: str) -> None:
    assert outcome(pool, BOMBS[name](), name) in {"text", "malformed", "too_large", "empty", "bomb"}
    assert pool.parse(b"Still here.", "next.txt").text == "Still here."


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="only Linux tells how large a process is")
def test_a_child_that_has_grown_beyond_half_of_its_memory_is_replaced(
    pool: ParserPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that a document is never refused for what others left behind."""
    monkeypatch.setattr(sandbox, "MEMORY_MB", 50)
    with closing(ParserPool(ParsingSettings(timeout_s=60))) as small:  # Python alone takes more than 25
        assert small.parse(b"x", "a.txt").text == "x"
        assert small.pid is None
        assert small.parse(b"y", "a.txt").text == "y"
    monkeypatch.undo()

    pool.parse(b"x", "a.txt")
    before = pool.pid
    pool.parse(b"x", "a.txt")
    assert pool.pid == before


def test_the_child_can_write_no_file(tmp_path: Path, pool: ParserPool) -> None:
    pytest.importorskip("resource")
    pool.parse(b"x", "a.txt")
    limits = Path(f"/proc/{pool.pid}/limits")
    if not limits.exists():
        pytest.skip("only Linux tells another process's limits")
    told = {line[:26].strip(): line[26:].split()[:2] for line in limits.read_text().splitlines()}
    assert told["Max file size"] == told["Max core file size"] == ["0", "0"]
