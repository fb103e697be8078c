"""The child process: whatever happens in it ends in a typed reason here, and the next document is parsed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from foundation.errors import DocumentRefused, MissingDependency
from retrieval.ingest import sandbox
from retrieval.ingest.parsing import parser_versions, supported_suffixes, translate_failures
from retrieval.ingest.sandbox import ParserPool
from retrieval.settings import ParsingSettings


@pytest.fixture
def pool() -> Iterator[ParserPool]:
    with closing(ParserPool(ParsingSettings(timeout_s=30))) as opened:
        yield opened


def refuse(pool: ParserPool, content: bytes, name: str) -> DocumentRefused:
    with pytest.raises(DocumentRefused) as refused:
        pool.parse(content, name)
    return refused.value


def works(pool: ParserPool) -> bool:
    return pool.parse(b"Still here.", "next.txt").text == "Still here."


def child_of(pool: ParserPool) -> int:
    assert pool._child is not None
    return pool._child.pid


def test_a_document_comes_back_as_it_was_parsed_with_blocks_title_and_pages(pool: ParserPool) -> None:
    parsed = pool.parse(b"# Fees\n\nFive euros.", "dir/FEES.MD")

    assert (parsed.text, parsed.title, parsed.pages) == ("Fees\n\nFive euros.", "Fees", None)
    assert [(block.kind, block.start, block.end, block.level) for block in parsed.blocks] == [
        ("heading", 0, 4, 1),
        ("paragraph", 6, 17, 0),
    ]


def test_one_child_serves_many_documents(pool: ParserPool) -> None:
    works(pool)
    first = child_of(pool)
    works(pool)

    assert child_of(pool) == first


def test_an_unknown_format_is_refused_without_a_child_and_names_what_is_supported(pool: ParserPool) -> None:
    refused = refuse(pool, b"x", "movie.mp4")

    assert refused.reason == "unsupported"
    assert all(suffix in str(refused) for suffix in (".mp4", *supported_suffixes()))
    assert pool._child is None


def test_too_many_bytes_are_refused_before_they_are_sent() -> None:
    with closing(ParserPool(ParsingSettings(max_bytes=10))) as pool:
        assert refuse(pool, b"eleven bytes", "a.txt").reason == "too_large"
        assert pool._child is None


def test_the_character_and_page_limits_reach_the_child(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "PAGE_CHARACTERS", 5)
    with closing(ParserPool(ParsingSettings(max_pages=1))) as pool:
        assert refuse(pool, b"six characters", "a.txt").reason == "too_large"


def test_a_name_cannot_forge_lines_in_a_message(pool: ParserPool) -> None:
    message = str(refuse(pool, b"", "a\r\nERROR\x1b[2J all is lost\u202e.txt"))

    assert message.startswith('"a ERROR all is lost.txt"')


@pytest.mark.parametrize(
    ("error", "reason"), [(ValueError("a cell is odd"), "malformed"), (MemoryError(), "too_large")]
)
def test_whatever_a_parser_raises_is_a_refusal(error: Exception, reason: str) -> None:
    with pytest.raises(DocumentRefused) as refused, translate_failures("a.txt"):
        raise error
    assert refused.value.reason == reason


def test_a_package_that_is_missing_is_no_fault_of_the_document() -> None:
    with pytest.raises(MissingDependency, match="markdown_it"), translate_failures("a.md"):
        raise ImportError("No module named 'markdown_it'")


def test_an_interrupted_parse_does_not_answer_for_the_next_document(
    pool: ParserPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    works(pool)
    monkeypatch.setattr("retrieval.ingest.sandbox._exchange", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        pool.parse(b"Interrupted.", "first.txt")
    monkeypatch.undo()

    assert works(pool)


@pytest.mark.parametrize(
    ("content", "reason"), [(b"", "empty"), (b" \n\t ", "empty"), (b"\x00\x01\x02" * 99, "binary")]
)
def test_a_refusal_in_the_child_keeps_its_reason_and_the_next_document_works(
    pool: ParserPool, content: bytes, reason: str
) -> None:
    assert refuse(pool, content, "a.txt").reason == reason
    assert works(pool)


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals")
def test_a_parser_that_hangs_is_given_up_and_the_next_document_works() -> None:
    with closing(ParserPool(ParsingSettings(timeout_s=5))) as pool:
        works(pool)
        os.kill(child_of(pool), signal.SIGSTOP)

        assert refuse(pool, b"never answered", "slow.txt").reason == "timeout"
        assert works(pool)


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals")
@pytest.mark.parametrize("end", [signal.SIGSEGV, signal.SIGKILL, signal.SIGTERM])
def test_a_parser_that_dies_or_is_killed_is_reported_and_the_next_document_works(
    pool: ParserPool, monkeypatch: pytest.MonkeyPatch, end: signal.Signals
) -> None:
    deadly = f"import os, sys; sys.stdin.buffer.read(1); os.kill(os.getpid(), {end:d})"

    started = []

    def start(memory_mb: int) -> subprocess.Popen[bytes]:
        started.append(memory_mb)
        return subprocess.Popen([sys.executable, "-c", deadly], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    monkeypatch.setattr("retrieval.ingest.sandbox._start", start)
    assert refuse(pool, b"last words", "deadly.txt").reason == "crashed"
    assert len(started) == 1
    monkeypatch.undo()
    assert works(pool)


def test_a_child_that_died_between_two_documents_is_replaced_silently(pool: ParserPool) -> None:
    works(pool)
    assert pool._child is not None
    pool._child.kill()
    pool._child.wait()

    assert works(pool)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux shows the environment of another process")
def test_the_child_has_no_secret_of_our_environment(pool: ParserPool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIXPLY__MODELS__CHAT__API_KEY", "swordfish")
    works(pool)

    assert b"swordfish" not in Path(f"/proc/{child_of(pool)}/environ").read_bytes()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux keeps the cap on address space")
def test_a_document_that_needs_too_much_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "MEMORY_MB", 256)
    with closing(ParserPool(ParsingSettings(timeout_s=60))) as pool:
        refused = refuse(pool, b'{"a": [' + b"[1]," * 4_000_000 + b"1]}", "big.json")

        assert refused.reason in {"too_large", "crashed"}
        assert works(pool)


def test_threads_share_a_pool_and_each_gets_its_own_document(pool: ParserPool) -> None:
    texts = [f"Document number {number}." for number in range(40)]
    with ThreadPoolExecutor(8) as threads:
        parsed = list(threads.map(lambda text: pool.parse(text.encode(), "a.txt").text, texts))

    assert parsed == texts


def test_closing_ends_the_child_and_a_later_document_starts_another(pool: ParserPool) -> None:
    works(pool)
    child = pool._child
    pool.close()

    assert child is not None
    assert child.returncode is not None
    assert works(pool)


def test_the_child_ends_by_itself_when_its_parent_is_gone() -> None:
    child = subprocess.Popen(
        [sys.executable, "-m", "retrieval.ingest.sandbox", "1024"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    child.communicate(timeout=60)

    assert child.returncode == 0


def test_the_child_loads_no_model_library() -> None:
    program = "import sys, retrieval.ingest.sandbox, retrieval.ingest.parsing as p; p.supported_suffixes(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert not {"torch", "chromadb", "numpy", "langchain_core", "pydantic", "trafilatura", "pypdf", "docx"} & set(
        done.stdout.split()
    )


def test_each_parser_has_a_version_of_its_own() -> None:
    versions = parser_versions()

    assert len(versions) >= 6
    assert all(version.split()[-1].isdigit() for version in versions)
