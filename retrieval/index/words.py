"""The words of many passages, searched with early termination: a cache beside the ledger, by tantivy.

`bm25()` of SQLite scores every passage that has a word of the question, tantivy only those that may still come among the best: 18 ms against
1.2 ms of processor time among 100,000. Committing here syncs five files, so it is filled behind the ledger's back; the words in the ledger's
own transactions answer for what is not here yet. One process has it; others, and whoever finds it damaged, do without until it is filled.
"""

from __future__ import annotations

import json
import logging
import math
import os
import shutil
import struct
import threading
import zlib
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foundation.errors import StoreInUse
from foundation.types import EVERY_TENANT, Scope
from retrieval.index.lock import Ownership

if TYPE_CHECKING:
    from tantivy import Index, Searcher, TextAnalyzer

log = logging.getLogger(__name__)

# Version of the fields and of how texts become words. Raise it when one changes, and when the words of `foundation.text.tokens` do
_VERSION = 1
# Longest word in bytes, memory of a writer in bytes, seconds in which writes are gathered
_LONGEST, _HEAP, _GATHER_S = 64, 50_000_000, 0.5
# Marks count as letters, as in Thai
_WORD = r"[\p{L}\p{N}\p{Co}\p{M}]+"
# End of each file of tantivy's: the length of a JSON object with the checksum of what precedes it, and a number that says so
_FOOTER, _MAGIC = struct.Struct("<II"), 1337
# Weight of a word that says nothing, as in FTS5
_LEAST = 1e-6
# Bytes of a file that are read at once
_AT_ONCE = 1 << 20


@dataclass(frozen=True, slots=True)
class Passage:
    sequence: int
    chunk_id: str
    text: str
    tenant: str
    groups: Sequence[str]
    data_class: str


@dataclass(frozen=True, slots=True)
class Changes:
    """Changes of the ledger up to a sequence number, with its version token; without one there are more."""

    sequence: int
    version_token: str | None
    gone: Sequence[str]
    passages: Sequence[Passage]


# The changes after a sequence number; `None`: the ledger has too few passages
Read = Callable[[int], Changes | None]


@dataclass(frozen=True, slots=True)
class _Snapshot:
    """What searches use: everything up to a sequence number of the ledger, and perhaps more."""

    index: Index
    searcher: Searcher
    sequence: int
    version_token: str


class WordIndex:
    """An index in a folder, filled by a thread of its own."""

    def __init__(self, folder: Path, read: Read, is_known: Callable[[int, str], bool]) -> None:
        self._folder, self._read, self._is_known = folder / "tantivy", read, is_known
        self._position = folder / "position.json"
        self._owner: Ownership | None = None
        self._snapshot: _Snapshot | None = None
        self._changed, self._closing = threading.Event(), threading.Event()
        # Tantivy refuses a second writer, and two that fill it would each begin where the other has been
        self._starting, self._filling = threading.Lock(), threading.Lock()
        self._thread: threading.Thread | None = None

    def follow(self) -> None:
        """Have the index follow the ledger, soon and in another thread."""
        self._changed.set()
        with self._starting:
            if self._thread is None and not self._closing.is_set():
                self._thread = threading.Thread(target=self._run, name="word-index", daemon=True)
                self._thread.start()

    def position(self) -> int | None:
        """Return the sequence number up to which `search` finds everything; `None`: it cannot search."""
        snapshot = self._snapshot
        return snapshot.sequence if snapshot else None

    def search(self, words: Sequence[str], scope: Scope, limit: int) -> list[tuple[int, float]] | None:
        """Return (sequence number, score), best first, of passages that have one of the words and that `scope` may read.
        `None`: it failed, and is filled anew.
        """
        snapshot = self._snapshot
        if snapshot is None:
            return None
        try:
            return _search(snapshot, words, scope, limit)
        except BaseException as error:
            _demand_failure(error)
            log.warning("The index of words %s is damaged: %s. It is filled anew.", self._folder, error)
            self._snapshot = None
            self._position.unlink(missing_ok=True)
            self.follow()
            return None

    def catch_up(self) -> None:
        """Apply the ledger's changes now, on the caller's thread. Raises what tantivy does."""
        with self._filling:
            if self._read(0) is None or not self._own():
                return
            snapshot = self._snapshot
            if snapshot is None or not self._is_known(snapshot.sequence, snapshot.version_token):
                snapshot = self._snapshot = self._open()
            done = snapshot.sequence
            while not self._closing.is_set() and (changes := self._read(done)) and changes.sequence > done:
                _write(snapshot.index, changes)
                done = changes.sequence
                if changes.version_token is not None:
                    self._snapshot = _take_snapshot(snapshot.index, done, changes.version_token)
                    content = json.dumps([_VERSION, done, changes.version_token])
                    self._position.write_text(content, encoding="ascii")

    def close(self) -> None:
        """Stop following and release the folder. A second call does nothing."""
        with self._starting:
            self._closing.set()
        self._changed.set()
        if self._thread:
            self._thread.join()
        self._snapshot = None
        if self._owner:
            self._owner.release()

    def _run(self) -> None:
        while self._changed.wait() and not self._closing.is_set():
            self._changed.clear()
            try:
                self.catch_up()
            except BaseException as error:
                _demand_failure(error)
                log.warning(
                    "The index of words %s does not follow the ledger: %s. It will try again.", self._folder, error
                )
                self._snapshot = None
            self._closing.wait(_GATHER_S)

    def _own(self) -> bool:
        if self._owner is None:
            with suppress(StoreInUse):
                self._owner = Ownership(self._position.with_name("owner.lock"), what="The index of words", patience_s=0)
        return self._owner is not None

    def _open(self) -> _Snapshot:
        """Open what is there if it is intact and of this ledger; else begin anew."""
        if self._position.exists():
            try:
                return self._open_what_is_there()
            except BaseException as error:
                _demand_failure(error)
                log.warning("The index of words %s is filled anew: %s", self._folder, error)
        self._position.unlink(missing_ok=True)
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(mode=0o700, parents=True)
        return _take_snapshot(_open_index(self._folder), 0, "")

    def _open_what_is_there(self) -> _Snapshot:
        version, sequence, token = json.loads(self._position.read_text(encoding="ascii"))
        if version != _VERSION or not self._is_known(sequence, token):
            raise ValueError("it is of a former version, or of another ledger.")
        segments = json.loads((self._folder / "meta.json").read_text(encoding="utf-8"))["segments"]
        for segment in segments:  # what a killed process left beside them is none of tantivy's
            for file in self._folder.glob(f"{segment['segment_id'].replace('-', '')}.*"):
                _demand_intact(file)
        return _take_snapshot(_open_index(self._folder), sequence, token)


def _open_index(folder: Path) -> Index:
    from tantivy import Index, SchemaBuilder

    fields = SchemaBuilder()
    fields.add_text_field("words", tokenizer_name="words", index_option="freq")
    for name in ("chunk", "reader", "class"):
        fields.add_text_field(name, tokenizer_name="raw", index_option="basic")
    fields.add_integer_field("sequence", fast=True)
    index = Index(fields.build(), str(folder))
    index.register_tokenizer("words", _analyzer())
    return index


@cache
def _analyzer() -> TextAnalyzer:
    from tantivy import Filter, TextAnalyzerBuilder, Tokenizer

    builder = TextAnalyzerBuilder(Tokenizer.regex(_WORD)).filter(Filter.remove_long(_LONGEST))
    return builder.filter(Filter.lowercase()).filter(Filter.ascii_fold()).filter(Filter.stemmer("english")).build()


def _take_snapshot(index: Index, sequence: int, version_token: str) -> _Snapshot:
    return _Snapshot(index, index.searcher(), sequence, version_token)


def _write(index: Index, changes: Changes) -> None:
    from tantivy import Document

    writer = index.writer(_HEAP, 1)
    try:
        for chunk_id in (*changes.gone, *(passage.chunk_id for passage in changes.passages)):
            writer.delete_documents_by_term("chunk", chunk_id)
        for passage in changes.passages:
            readers = [_reader(passage.tenant, group) for group in passage.groups or ("",)]
            document = Document(words=passage.text, chunk=passage.chunk_id, reader=readers, sequence=passage.sequence)
            document.add_text("class", passage.data_class)
            writer.add_document(document)
        writer.commit()
    finally:
        writer.wait_merging_threads()
    index.reload()


def _search(snapshot: _Snapshot, words: Sequence[str], scope: Scope, limit: int) -> list[tuple[int, float]]:
    from tantivy import Occur, Query

    schema, searcher = snapshot.index.schema, snapshot.searcher

    def any_of(field: str, terms: Iterable[str]) -> Query:
        return Query.boolean_query([(Occur.Should, Query.term_query(schema, field, term, "basic")) for term in terms])

    def weigh(term: str) -> Query:
        """As SQLite weighs it, which gives words of more than half of all passages next to nothing."""
        has = searcher.doc_freq("words", term)
        odds = (max(searcher.num_docs - has, 0) + 0.5) / (has + 0.5)
        weight = max(math.log(odds), _LEAST) / math.log1p(odds)
        return Query.boost_query(Query.term_query(schema, "words", term, "freq"), weight)

    readers = (_reader(who, group) for who in (scope.tenant, EVERY_TENANT) for group in ("", *sorted(scope.groups)))
    required = [any_of("reader", readers)]
    if scope.listed_classes is not None:
        required.append(any_of("class", scope.listed_classes))
    terms = [(Occur.Should, weigh(term)) for word in words for term in _analyzer().analyze(word)]
    filters = [(Occur.Must, Query.const_score_query(query, 0.0)) for query in required]
    found = searcher.search(
        Query.boolean_query([(Occur.Must, Query.boolean_query(terms)), *filters]), limit, count=False
    ).hits
    numbers: Any = searcher.fast_field_values("sequence", [address for _, address in found])
    return [(number, score) for number, (score, _) in zip(numbers, found, strict=True)]


def _reader(tenant: str, group: str) -> str:
    return f"{tenant}\0{group}"


def _demand_intact(file: Path) -> None:
    """Compare the checksum at the end of a file of tantivy's, which its Python package does not. Raises ValueError and others."""
    with file.open("rb") as content:
        content.seek(-_FOOTER.size, os.SEEK_END)
        length, magic = _FOOTER.unpack(content.read())
        end = content.seek(-_FOOTER.size - length, os.SEEK_END)
        footer = json.loads(content.read(length))
        content.seek(0)
        crc = 0
        for start in range(0, end, _AT_ONCE):
            crc = zlib.crc32(content.read(min(_AT_ONCE, end - start)), crc)
    if magic != _MAGIC or footer["crc"] != crc:
        raise ValueError(f"{file.name} is damaged.")


def _demand_failure(error: BaseException) -> None:
    """Raise what is no failure of the index. A panic of tantivy's Rust core is no Exception."""
    if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
        raise error
