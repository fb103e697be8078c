"""The promises of a document ledger, on every adapter in retrieval/ledgers, and on broken ones that must be rejected."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from foundation.components import Context, load
from foundation.errors import InvalidRequest, StoreUnavailable
from foundation.types import EVERY_TENANT, Scope
from retrieval.contract import DocumentLedger
from retrieval.documents import Block, Chunk, Entry, Fingerprint, Parsed, Refusal, Source, VectorItem, Vectors
from retrieval.filters import AnyOf, Between, OneOf, Where, equals
from retrieval.tables import row_codec
from tests import services
from tests.contracts import under_test
from tests.contracts.broken import ledger as broken
from tests.contracts.filter_cases import CASES, KNOWN, disagreements

DIMENSIONS = 4
TODAY = date(2026, 11, 25)
NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
ACME = Scope("acme")
MANY = 70_000
BOARD = Scope("acme", frozenset({"board"}))
GLOBEX = Scope("globex")


class StoppedClock:
    """It is always noon of the same day."""

    def now(self) -> datetime:
        return NOW

    def monotonic_s(self) -> float:
        return 0.0


def direction(seed: int) -> Vectors:
    vector = np.random.default_rng(seed).normal(size=DIMENSIONS)
    return np.asarray(vector / np.linalg.norm(vector), dtype=np.float32)


def entry(uri: str, *passages: str, tenant: str = "acme", content_hash: str = "", **about: Any) -> Entry:
    """A document of these passages, each under a heading of its own, with vectors that follow from the texts' lengths."""
    source = Source(uri, tenant, **about)
    text, chunks, blocks = "", [], []
    for position, passage in enumerate(passages):
        start = len(text)
        text += f"{passage}\n\n"
        heading = ("Manual", f"Part {position}")
        name = f"{source.document_id} {position} {passage}"
        chunks.append(
            Chunk(name, source.document_id, position, passage, start, start + len(passage), heading, page=position + 1)
        )
        blocks.append(Block("paragraph", start, start + len(passage), page=position + 1))
    vectors = np.array([direction(len(passage)) for passage in passages], dtype=np.float32).reshape(-1, DIMENSIONS)
    parsed = Parsed(text, tuple(blocks), title=about.get("title"), pages=len(passages))
    return Entry(source, content_hash or f"hash of {text}", parsed, chunks, vectors)


def key(uri: str, tenant: str = "acme", **about: Any) -> str:
    """The id of the document that `entry` makes."""
    return Source(uri, tenant, **about).document_id


def ids(given: Entry) -> list[str]:
    return [chunk.chunk_id for chunk in given.chunks]


def words(
    ledger: DocumentLedger, query: str, scope: Scope = ACME, *, as_of: date | None = None, limit: int = 50
) -> list[str]:
    """Passages found by their words, best first."""
    found = [chunk_id for chunk_id, *_ in ledger.keyword_search(query, scope, limit=limit, as_of=as_of)]
    hits = ledger.hits(found, scope, as_of=as_of)
    return [hits[chunk_id].chunk.text for chunk_id in found]


def uris(ledger: DocumentLedger, query: str, scope: Scope = ACME, *, as_of: date | None = None) -> list[str]:
    found = [chunk_id for chunk_id, *_ in ledger.keyword_search(query, scope, limit=50, as_of=as_of)]
    hits = ledger.hits(found, scope, as_of=as_of)
    return sorted({hits[chunk_id].source.uri for chunk_id in found})


def refusal(uri: str, *, tenant: str = "acme", reason: str = "encrypted") -> Refusal:
    return Refusal(uri, tenant, reason, f"{uri} could not be read.", NOW)


# What was put in comes out


def keeps_a_document_exactly(ledger: DocumentLedger) -> None:
    given = entry(
        "policies/refunds.md", "Refund — naïve café 漢字 🙂", "Second\n\tpassage", title="Refunds", media_type="text/markdown",
        groups=frozenset({"board", "finance"}), series="refunds", effective_from=date(2026, 1, 15), published=date(2025, 12, 18),
        origin="/srv/policies",
    )  # fmt: skip
    [stored] = ledger.put([given])
    assert stored.source == given.source
    assert (stored.document_id, stored.content_hash) == (given.source.document_id, given.content_hash)
    assert (stored.characters, stored.chunks, stored.ingested_at) == (len(given.parsed.text), 2, NOW)
    assert ledger.find(given.source.document_id) == stored
    assert ledger.documents(BOARD) == [stored]
    assert ledger.text(stored.document_id, BOARD) == given.parsed.text
    hits = ledger.hits(ids(given), BOARD, as_of=None)
    assert [hit.chunk for hit in hits.values()] == list(given.chunks)
    assert all(hit.source == given.source for hit in hits.values())


def keeps_which_parsers_read_a_document(ledger: DocumentLedger) -> None:
    given = entry("a.txt", "One.")
    given = replace(given, parsed=replace(given.parsed, parsers=("eml 3", "pdf 2, our own")))
    [stored] = ledger.put([given, entry("b.md", "Two.")])[:1]
    assert stored.parsers == given.parsed.parsers
    assert ledger.find(stored.document_id) == stored
    assert [document.parsers for document in ledger.documents(ACME)] == [stored.parsers, ()]
    kept = ledger.entry(stored.document_id)
    assert kept is not None
    assert kept.parsed == given.parsed
    second = ledger.open_second()
    second.put(list(ledger.entries()))
    assert ledger.adopt(second, at=ledger.sequence())
    assert [document.parsers for document in ledger.documents(ACME)] == [stored.parsers, ()]
    assert [document.parsers for document in ledger.put([entry("a.txt", "One.")])] == [()]


def keeps_the_day_that_an_entry_brings(ledger: DocumentLedger) -> None:
    then = datetime(2026, 1, 10, 9, 30, tzinfo=UTC)
    [stored] = ledger.put([replace(entry("a.md", "One."), ingested_at=then)])
    assert (stored.ingested_at, ledger.put([entry("a.md", "One.")])[0].ingested_at) == (then, NOW)


def gives_back_entries_for_a_reindex(ledger: DocumentLedger) -> None:
    put = [entry(f"{tenant}.md", "One.", "Two, longer.", tenant=tenant, title="T") for tenant in ("acme", "globex")]
    ledger.put(put)
    back = sorted(ledger.entries(), key=lambda each: each.source.uri)
    for asked, got in zip(put, back, strict=True):
        assert (got.source, got.content_hash, got.parsed) == (asked.source, asked.content_hash, asked.parsed)
        assert list(got.chunks) == list(asked.chunks)
        assert np.array_equal(got.vectors, asked.vectors)


def gives_back_one_document_and_those_of_a_name_or_a_folder(ledger: DocumentLedger) -> None:
    mine = entry("a.md", "One.", "Two, longer.", series="s", origin="/srv", groups=frozenset({"board"}))
    later = entry("b.md", "Three.", series="s", effective_from=date(2026, 1, 1), version_of="id", writer_reads="{}")
    ledger.put(
        [mine, later, entry("c.md", "Four.", origin="/srv"), entry("a.md", "Theirs.", tenant="globex", series="s")]
    )
    got = ledger.entry(mine.source.document_id)
    assert got is not None
    assert (got.source, got.content_hash, got.parsed, list(got.chunks)) == (
        mine.source, mine.content_hash, mine.parsed, list(mine.chunks),
    )  # fmt: skip
    assert np.array_equal(got.vectors, mine.vectors)
    assert ledger.entry(key("b.md", "globex")) is None

    def names(**asked: str) -> list[str]:
        return [one.source.uri for one in ledger.documents_where("acme", **asked)]

    assert names() == ["a.md", "b.md", "c.md"]
    assert (names(uri="a.md"), names(origin="/srv"), names(origin="/srv", uri="c.md"), names(version_of="id")) == (
        ["a.md"], ["a.md", "c.md"], ["c.md"], ["b.md"],
    )  # fmt: skip
    assert names(uri="none of that name") == []


def keeps_vectors_bit_by_bit(ledger: DocumentLedger) -> None:
    given = entry("a.md", "One.", "Two, longer.", groups=frozenset({"board"}))
    ledger.put([given])
    items = list(ledger.embeddings())
    assert [item.chunk_id for item in items] == ids(given)
    assert [(item.tenant, item.groups) for item in items] == [("acme", frozenset({"board"}))] * 2
    assert all(np.array_equal(item.vector, row) for item, row in zip(items, given.vectors, strict=True))
    assert all(item.vector.dtype == np.float32 for item in items)


def answers_in_the_order_of_the_ids_it_was_asked_for(ledger: DocumentLedger) -> None:
    given = entry("a.md", "One.", "Two.", "Three.")
    ledger.put([given])
    asked = [ids(given)[2], "unknown", ids(given)[0]]
    assert list(ledger.hits(asked, ACME, as_of=None)) == [asked[0], asked[2]]
    assert ledger.hits([], ACME, as_of=None) == {}


def lists_several_documents_in_the_order_they_were_put(ledger: DocumentLedger) -> None:
    stored = ledger.put([entry("b.md", "B."), entry("a.md", "A.")])
    assert [document.source.uri for document in stored] == ["b.md", "a.md"]


def takes_a_document_without_a_passage(ledger: DocumentLedger) -> None:
    before = ledger.sequence()
    [stored] = ledger.put([entry("empty.md")])
    assert (stored.chunks, ledger.chunk_count()) == (0, 0)
    assert ledger.sequence() > before
    assert ledger.put([]) == []


def takes_names_of_any_length(ledger: DocumentLedger) -> None:
    """Longer, too, than an index of a database may hold."""
    long = "".join(chr(0x4E00 + n % 20_000) for n in range(9_000))
    [stored] = ledger.put([entry(long, "Refund.", series=long, title=long, groups=frozenset({long}))])
    scope = Scope("acme", frozenset({long}))
    assert uris(ledger, "refund", scope, as_of=TODAY) == [long]
    assert ledger.documents(scope) == [stored]
    ledger.refuse(replace(refusal(long), groups=frozenset({long})))
    assert ledger.delete(stored.document_id)
    assert (ledger.documents(scope), ledger.refusals(scope)) == ([], [])


def leaves_its_input_alone(ledger: DocumentLedger) -> None:
    given = entry("a.md", "One.", "Two, longer.")
    before, vectors, asked = list(given.chunks), given.vectors.copy(), ids(given)
    ledger.put([given])
    ledger.hits(asked, ACME, as_of=None)
    assert (list(given.chunks), asked) == (before, ids(given))
    assert np.array_equal(given.vectors, vectors)


# Replacing, deleting, refusing


def replaces_a_document_whole(ledger: DocumentLedger) -> None:
    old = entry("a.md", "Refunds take thirty days.", "Only the old one says zebra.", media_type="text/markdown")
    ledger.put([old])
    new = entry("a.md", "Refunds take fourteen days.", title="New")
    [stored] = ledger.put([new])
    assert stored.document_id == old.source.document_id
    assert words(ledger, "refunds thirty zebra", BOARD) == ["Refunds take fourteen days."]
    assert ledger.hits(ids(old), BOARD, as_of=None) == {}
    assert [document.source for document in ledger.documents(ACME)] == [new.source]
    assert (ledger.document_count(), ledger.chunk_count()) == (1, 1)
    assert [item.chunk_id for item in ledger.embeddings()] == ids(new)


def tells_documents_of_two_tenants_apart_that_share_a_uri(ledger: DocumentLedger) -> None:
    ledger.put([entry("a.md", "Refund ours."), entry("a.md", "Refund theirs.", tenant="globex")])
    ledger.put([entry("a.md", "Refund common.", tenant=EVERY_TENANT)])
    ledger.put([entry("a.md", "Refund ours, replaced.")])
    assert sorted(words(ledger, "refund")) == ["Refund common.", "Refund ours, replaced."]
    assert sorted(words(ledger, "refund", GLOBEX)) == ["Refund common.", "Refund theirs."]
    assert ledger.delete(key("a.md"))
    assert words(ledger, "refund") == ["Refund common."]
    assert sorted(words(ledger, "refund", GLOBEX)) == ["Refund common.", "Refund theirs."]


def deletes_without_a_trace(ledger: DocumentLedger) -> None:
    given = entry("a.md", "Refunds.", "More refunds.")
    ledger.put([given, entry("b.md", "Refunds of b.")])
    assert ledger.delete(key("a.md"))
    assert words(ledger, "refunds") == ["Refunds of b."]
    assert ledger.hits(ids(given), ACME, as_of=None) == {}
    assert ledger.find(key("a.md")) is None
    assert ledger.text(given.source.document_id, ACME) is None
    assert [document.source.uri for document in ledger.documents(ACME)] == ["b.md"]
    assert ledger.chunk_count() == 1


def says_whether_there_was_something_to_delete(ledger: DocumentLedger) -> None:
    ledger.put([entry("a.md", "A.")])
    assert not ledger.delete(key("a.md", "globex"))
    assert not ledger.delete(key("other.md"))
    assert ledger.delete(key("a.md"))
    assert not ledger.delete(key("a.md"))


def remembers_a_refusal_until_it_is_taken_or_deleted(ledger: DocumentLedger) -> None:
    for uri in ("a.md", "b.md"):
        ledger.refuse(refusal(uri))
        ledger.refuse(refusal(uri, reason="malformed"))
    assert ledger.refusals(ACME) == [refusal("a.md", reason="malformed"), refusal("b.md", reason="malformed")]
    ledger.put([entry("a.md", "A.")])
    assert ledger.delete(key("b.md"))
    assert ledger.refusals(ACME) == []


def keeps_what_it_has_when_a_later_offer_is_refused(ledger: DocumentLedger) -> None:
    """And forgets its hash, so that the old content is taken again and clears the refusal."""
    ledger.put([entry("a.md", "Refunds.", content_hash="h")])
    ledger.refuse(refusal("a.md"))
    assert words(ledger, "refunds") == ["Refunds."]
    known = ledger.find(key("a.md"))
    assert known is not None
    assert known.content_hash != "h"


def stores_all_or_nothing(ledger: DocumentLedger) -> None:
    ledger.put([entry("a.md", "Old refunds.")])
    before = ledger.sequence()
    wrong = replace(entry("c.md", "One.", "Two."), vectors=direction(1)[None, :])
    with pytest.raises(ValueError, match="2 chunks and 1 vectors"):
        ledger.put([entry("a.md", "New refunds."), entry("b.md", "B."), wrong])
    assert words(ledger, "refunds") == ["Old refunds."]
    assert ledger.find(key("b.md")) is None
    assert ledger.sequence() == before
    ledger.put([entry("b.md", "B.")])
    assert words(ledger, "b") == ["B."]


def refuses_text_that_cannot_be_stored_and_goes_on(ledger: DocumentLedger) -> None:
    with pytest.raises(InvalidRequest):
        ledger.put([entry("a.md", "lone \ud800 surrogate")])
    assert ledger.find(key("a.md")) is None
    ledger.put([entry("a.md", "Fine.")])
    assert words(ledger, "fine") == ["Fine."]


# Who may see what


def everything_shown(ledger: DocumentLedger, scope: Scope, given: Sequence[Entry]) -> list[set[str]]:
    """The uris that each way of reading shows; they must all agree."""
    asked = [chunk_id for each in given for chunk_id in ids(each)]
    by_id = {each.source.document_id: each.source.uri for each in given}
    return [
        set(uris(ledger, "secret", scope)),
        {hit.source.uri for hit in ledger.hits(asked, scope, as_of=None).values()},
        {document.source.uri for document in ledger.documents(scope)},
        {uri for key, uri in by_id.items() if ledger.text(key, scope) is not None},
    ]


def shows_every_scope_its_own_and_nothing_else(ledger: DocumentLedger) -> None:
    given = [
        entry("own", "secret"),
        entry("common", "secret", tenant=EVERY_TENANT),
        entry("foreign", "secret", tenant="globex"),
        entry("board", "secret", groups=frozenset({"board", 'it\'s "$" [odd]'})),
        entry("foreign board", "secret", tenant="globex", groups=frozenset({"board"})),
        entry("common board", "secret", tenant=EVERY_TENANT, groups=frozenset({"board"})),
        entry("case", "secret", tenant="ACME"),
    ]
    ledger.put(given)
    expected = {
        ACME: {"own", "common"},
        BOARD: {"own", "common", "board", "common board"},
        Scope("acme", frozenset({"boar", "Board", "%", ""})): {"own", "common"},
        Scope("acme", frozenset({'it\'s "$" [odd]'})): {"own", "common", "board"},
        GLOBEX: {"foreign", "common"},
        Scope("initech"): {"common"},
        Scope(""): set(),
        Scope("", frozenset({"board"})): set(),
        Scope(EVERY_TENANT, frozenset({"board"})): set(),
    }
    for scope, seen in expected.items():
        assert everything_shown(ledger, scope, given) == [seen] * 4, scope


def shows_only_the_classes_of_the_scope(ledger: DocumentLedger) -> None:
    given = [
        entry("plain", "secret"),
        entry("public", "secret", attributes={"data_class": "public"}),
        entry("odd", "secret", attributes={"data_class": 'it\'s "$" [odd]', "other": "public"}),
        entry("board", "secret", groups=frozenset({"board"}), attributes={"data_class": "public"}),
    ]
    ledger.put(given)
    expected = {
        ACME: {"plain", "public", "odd"},
        Scope("acme", classes=frozenset({"public"})): {"public"},
        Scope("acme", frozenset({"board"}), frozenset({"public", "Unclassified"})): {"public", "board"},
        Scope("acme", classes=frozenset({"unclassified", 'it\'s "$" [odd]'})): {"plain", "odd"},
        Scope("acme", classes=frozenset({"%", "", "null"})): set(),
        Scope("acme", classes=frozenset()): set(),
    }
    passages = [chunk_id for one in given for chunk_id in ids(one)]
    for scope, seen in expected.items():
        assert everything_shown(ledger, scope, given) == [seen] * 4, scope
        assert set(ledger.documents_of(passages, scope, as_of=None).values()) == {
            one.source.document_id for one in given if one.source.uri in seen
        }


def shows_refusals_to_their_tenant(ledger: DocumentLedger) -> None:
    for tenant in ("acme", "globex", EVERY_TENANT):
        ledger.refuse(refusal(f"of {tenant}", tenant=tenant))
    assert [each.uri for each in ledger.refusals(ACME)] == ["of *", "of acme"]
    assert ledger.refusals(Scope("")) == ledger.refusals(Scope(EVERY_TENANT)) == []


def shows_refusals_to_those_who_could_have_read_the_document(ledger: DocumentLedger) -> None:
    board = replace(refusal("a.md"), groups=frozenset({"board"}))
    secret = replace(refusal("a.md"), data_class="secret")
    for one in (refusal("a.md"), board, secret):
        ledger.refuse(one)
    readers = {ACME: [refusal("a.md"), secret], BOARD: [refusal("a.md"), board, secret]}
    for scope, shown in readers.items():
        assert sorted(map(repr, ledger.refusals(scope))) == sorted(map(repr, shown))
    assert ledger.refusals(Scope("acme", classes=frozenset({"unclassified"}))) == [refusal("a.md")]
    assert len(ledger.refusals_of("acme", uri="a.md")) == 3
    assert ledger.refusals_of("acme", uri="b.md") == ledger.refusals_of("globex", uri="a.md") == []


def keeps_documents_of_one_name_apart_by_their_readers(ledger: DocumentLedger) -> None:
    """Of the same words, too: what one of them becomes says nothing of the others."""
    given = [
        entry("a.md", "Refund."), entry("a.md", "Refund.", groups=frozenset({"board"})),
        entry("a.md", "Refund.", attributes={"data_class": "secret"}),
    ]  # fmt: skip
    ledger.put([given[1]])
    ledger.put([given[0], given[2]])
    assert len(ledger.documents_where("acme", uri="a.md")) == 3
    assert [len(ledger.documents(scope)) for scope in (ACME, BOARD, Scope("acme", classes=frozenset()))] == [2, 3, 0]
    assert ledger.delete(given[0].source.document_id)
    assert sorted(one.source.groups for one in ledger.documents_where("acme")) == [frozenset(), frozenset({"board"})]
    assert words(ledger, "refund", BOARD) == ["Refund.", "Refund."]


def puts_and_deletes_in_one_change(ledger: DocumentLedger) -> None:
    old = entry("a.md", "Refund old.")
    ledger.put([old])
    ledger.refuse(refusal("b.md"))
    new = entry("a.md", "Refund new.", groups=frozenset({"board"}))
    [stored] = ledger.put([new], gone=[old.source.document_id, key("b.md"), "unknown"])
    assert (words(ledger, "refund"), words(ledger, "refund", BOARD)) == ([], ["Refund new."])
    assert (ledger.documents(BOARD), ledger.refusals(BOARD)) == ([stored], [])
    assert set(ledger.deletions()) == set(ids(old))


def lets_nobody_supersede_what_they_could_not_read(ledger: DocumentLedger) -> None:
    """And what somebody may not see supersedes nothing for them."""
    series = {"series": "pay"}
    everybody = row_codec.scope_text(Scope("acme", classes=frozenset({"unclassified"})))
    ledger.put(
        [
            entry("board.md", "Refund.", groups=frozenset({"board"}), effective_from=date(2025, 1, 1), **series),
            entry(
                "secret.md", "Refund.", attributes={"data_class": "secret"}, effective_from=date(2025, 1, 1), **series
            ),
            entry("open.md", "Refund.", effective_from=date(2025, 2, 1), writer_reads=everybody, **series),
            entry("decoy.md", "Refund.", effective_from=date(2025, 3, 1), writer_reads=everybody, **series),
        ]
    )
    assert uris(ledger, "refund", BOARD, as_of=TODAY) == ["board.md", "decoy.md", "secret.md"]
    assert uris(ledger, "refund", as_of=TODAY) == ["decoy.md", "secret.md"]
    ours = row_codec.scope_text(Scope("acme", frozenset({"board"}), frozenset({"unclassified", "secret"})))
    known = {"groups": frozenset({"board"}), "writer_reads": ours}
    ledger.put([entry("new.md", "Refund.", effective_from=date(2025, 4, 1), **known, **series)])
    assert uris(ledger, "refund", BOARD, as_of=TODAY) == ["new.md"]
    assert uris(ledger, "refund", as_of=TODAY) == ["decoy.md", "secret.md"], (
        "a hidden version is not told by its effect"
    )
    superseded = {one.source.uri: one.superseded for one in ledger.documents(ACME)}
    assert superseded == {"decoy.md": False, "open.md": True, "secret.md": False}
    ledger.put([entry("owner.md", "Refund.", effective_from=date(2025, 5, 1), **series)])
    assert uris(ledger, "refund", BOARD, as_of=TODAY) == ["owner.md"]


def lets_a_document_supersede_its_own_earlier_versions(ledger: DocumentLedger) -> None:
    """Whoever wrote it last: the readers of a version may have become fewer."""
    now = entry(
        "a.md",
        "Refund new.",
        series="a.md",
        effective_from=date(2025, 3, 1),
        writer_reads='{"groups": [], "classes": []}',
    )
    told = {"series": "a.md", "version_of": now.source.document_id, "groups": frozenset({"board"})}
    ledger.put([now, entry("a.md@2025-01-01", "Refund old.", effective_from=date(2025, 1, 1), **told)])
    assert words(ledger, "refund", BOARD, as_of=TODAY) == ["Refund new."]
    assert words(ledger, "refund", BOARD, as_of=date(2025, 2, 1)) == ["Refund old."]


def fills_the_limit_from_what_the_scope_admits(ledger: DocumentLedger) -> None:
    ledger.put([entry(f"foreign {n}", "refund refund refund", tenant="globex") for n in range(30)])
    ledger.put([entry(f"own {n}", f"a refund among many other words that dilute it {n}") for n in range(3)])
    assert len(words(ledger, "refund", limit=3)) == 3


# Which version is in force


def filters_as_every_other_ledger_and_index_does(ledger: DocumentLedger) -> None:
    ledger.put([entry(name, "Refund.", attributes=known) for name, known in KNOWN.items()])
    found = {case: _filtered(ledger, where) for case, (where, _) in CASES.items()}
    assert list(disagreements(found)) == []


def _filtered(ledger: DocumentLedger, where: Where, scope: Scope = ACME, *, limit: int = 100) -> set[str]:
    ids_ = [chunk_id for chunk_id, *_ in ledger.keyword_search("refund", scope, limit=limit, as_of=None, where=where)]
    return {hit.source.uri for hit in ledger.hits(ids_, scope, as_of=None).values()}


def filters_by_what_every_document_has(ledger: DocumentLedger) -> None:
    ledger.put(
        [
            entry("a.md", "Refund.", series="refunds", published=date(2025, 1, 1), media_type="text/markdown"),
            entry("b.txt", "Refund.", title="B", effective_from=date(2026, 1, 1), attributes={"uri ": "a.md"}),
        ]
    )
    assert _filtered(ledger, OneOf("uri", ("a.md", "c.md"))) == {"a.md"}
    assert _filtered(ledger, equals("title", "B")) == {"b.txt"}
    assert _filtered(ledger, equals("series", "refunds")) == {"a.md"}
    assert _filtered(ledger, Between("published", high=date(2025, 1, 1))) == {"a.md"}
    assert _filtered(ledger, Between("effective_from", low=date(2025, 12, 31))) == {"b.txt"}
    assert _filtered(ledger, equals("media_type", "text/markdown")) == {"a.md"}


def tells_an_index_what_is_known_of_a_document(ledger: DocumentLedger) -> None:
    given = entry("a.md", "Refund.", published=date(2025, 1, 1), attributes={"price": 2.5, "draft": True})
    ledger.put([given])
    [told] = ledger.embeddings()
    assert told.attributes == given.source.filterable
    assert told.attributes["published"] == date(2025, 1, 1)
    [back] = ledger.entries()
    assert back.source == given.source


def applies_a_filter_and_the_scope_together(ledger: DocumentLedger) -> None:
    for tenant in ("acme", "globex", EVERY_TENANT):
        ledger.put([entry(f"{tenant}.md", "Refund.", tenant=tenant, attributes={"n": 1})])
    ledger.put([entry("other.md", "Refund.", attributes={"n": 2})])
    assert _filtered(ledger, AnyOf((equals("n", 1), equals("n", 3)))) == {"acme.md", f"{EVERY_TENANT}.md"}


def fills_the_limit_from_what_the_filter_admits(ledger: DocumentLedger) -> None:
    ledger.put([entry(f"wrong {n}.md", "Refund refund.", attributes={"kind": "wrong"}) for n in range(30)])
    ledger.put([entry("right.md", "A refund, among many other words.", attributes={"kind": "right"})])
    assert _filtered(ledger, equals("kind", "right"), limit=1) == {"right.md"}


def forgets_what_was_known_of_a_replaced_document(ledger: DocumentLedger) -> None:
    ledger.put([entry("a.md", "Refund.", attributes={"kind": "old", "gone": 1})])
    ledger.put([entry("a.md", "Refund.", attributes={"kind": "new"})])
    assert _filtered(ledger, AnyOf((equals("kind", "old"), equals("gone", 1)))) == set()
    assert _filtered(ledger, equals("kind", "new")) == {"a.md"}


def knows_the_version_in_force_on_any_day(ledger: DocumentLedger) -> None:
    versions = [
        entry(f"{year}.md", f"Refund policy of {year}.", series="refunds", effective_from=date(year, 3, 1))
        for year in (2025, 2024, 2027)
    ]
    ledger.put([*versions, entry("always.md", "Refund guide.")])
    for day, version in {
        date(2024, 2, 29): [], date(2024, 3, 1): ["2024.md"], date(2025, 2, 28): ["2024.md"],
        TODAY: ["2025.md"], date(2027, 3, 1): ["2027.md"],
    }.items():  # fmt: skip
        assert uris(ledger, "refund", as_of=day) == [*version, "always.md"], day
    assert len(uris(ledger, "refund", as_of=None)) == 4
    superseded = {document.source.uri: document.superseded for document in ledger.documents(ACME)}
    assert superseded == {"2024.md": True, "2025.md": False, "2027.md": True, "always.md": False}
    ledger.delete(key("2025.md"))
    assert uris(ledger, "refund", as_of=TODAY) == ["2024.md", "always.md"]


def keeps_series_of_two_tenants_apart(ledger: DocumentLedger) -> None:
    ledger.put(
        [
            entry("ours.md", "Refund.", series="refunds", effective_from=date(2024, 1, 1)),
            entry("theirs.md", "Refund.", tenant="globex", series="refunds", effective_from=date(2025, 1, 1)),
            entry("other.md", "Refund.", series="shipping", effective_from=date(2026, 1, 1)),
        ]
    )
    assert uris(ledger, "refund", as_of=TODAY) == ["other.md", "ours.md"]


def shows_all_documents_of_the_version_in_force(ledger: DocumentLedger) -> None:
    """A version may come as a text and a table, of the same day."""
    new = {"series": "prices", "effective_from": date(2026, 1, 1)}
    ledger.put(
        [entry("old.md", "Price.", series="prices"), entry("a.md", "Price.", **new), entry("b.txt", "Price.", **new)]
    )
    assert uris(ledger, "price", as_of=TODAY) == ["a.md", "b.txt"]
    assert uris(ledger, "price", as_of=date(2025, 1, 1)) == ["old.md"]


def hides_what_is_not_in_force_yet_even_without_a_series(ledger: DocumentLedger) -> None:
    ledger.put([entry("soon.md", "Refund.", effective_from=date(2027, 1, 1))])
    assert uris(ledger, "refund", as_of=TODAY) == []
    assert uris(ledger, "refund", as_of=date(2027, 1, 1)) == ["soon.md"]


def names_the_document_of_each_chunk_that_may_be_seen(ledger: DocumentLedger) -> None:
    """As `hits` would: by tenant, group and date, without what is unknown or deleted."""
    given = [
        entry("a.md", "One.", "Two."), entry("common.md", "Three.", tenant=EVERY_TENANT),
        entry("board.md", "Four.", groups=frozenset({"board"})), entry("foreign.md", "Five.", tenant="globex"),
        entry("old.md", "Six.", series="s", effective_from=date(2025, 1, 1)),
        entry("new.md", "Seven.", series="s", effective_from=date(2026, 1, 1)), entry("gone.md", "Eight."),
    ]  # fmt: skip
    ledger.put(given)
    ledger.delete(key("gone.md"))
    asked = [*(chunk_id for each in given for chunk_id in ids(each)), "unknown"]
    for scope in (ACME, BOARD, Scope("globex"), Scope(""), Scope(EVERY_TENANT)):
        for day in (TODAY, date(2025, 6, 1), None):
            seen = {key: hit.chunk.document_id for key, hit in ledger.hits(asked, scope, as_of=day).items()}
            assert ledger.documents_of(asked, scope, as_of=day) == seen
    assert len(ledger.documents_of(asked, ACME, as_of=TODAY)) == 4
    assert ledger.documents_of([], ACME, as_of=TODAY) == {}


# Searching by words


def ranks_the_better_match_first(ledger: DocumentLedger) -> None:
    ledger.put([entry("a.md", "The printer prints on paper and the scanner scans paper."), entry("b.md", "A refund."), entry("c.md", "Refund of a printer.")])  # fmt: skip
    found = ledger.keyword_search("refund printer", ACME, limit=9, as_of=None)
    scores = [score for _, score, _ in found]
    assert words(ledger, "refund printer")[0] == "Refund of a printer."
    assert scores == sorted(scores, reverse=True)
    assert scores[0] > 0


def names_the_document_of_each_match(ledger: DocumentLedger) -> None:
    ledger.put([entry("a.md", "Refund one.", "Refund two."), entry("b.md", "Refund three.")])
    ledger.put([entry("common.md", "A common refund.", tenant=EVERY_TENANT)])
    found = {chunk_id: document for chunk_id, _, document in ledger.keyword_search("refund", ACME, limit=9, as_of=None)}
    assert len(found) == 4
    assert found == ledger.documents_of(list(found), ACME, as_of=None)


def finds_other_forms_and_headings(ledger: DocumentLedger) -> None:
    ledger.put([entry("a.md", "Refunded orders, naïve CAFÉ.")])
    for query in ("refunding", "ORDER", "cafe", "naive", "manual"):
        assert words(ledger, query) == ["Refunded orders, naïve CAFÉ."], query


def finds_words_in_every_script(ledger: DocumentLedger) -> None:
    """Words inside a run without spaces, endings and particles."""
    found = {
        "保修": "打印机的保修期为两年。",
        "プリンター": "このプリンターは保証されています。",
        "ประกัน": "เครื่องพิมพ์มีประกันสองปี",
        "보증": "프린터는 보증이 됩니다.",
        "الكتاب": "وجدت كتابها في المكتبة.",
        "гарантия": "Срок гарантии два года.",
        "वारंटी": "प्रिंटर की वारंटी दो साल है।",
    }
    ledger.put([entry(f"{number}.md", text) for number, text in enumerate(found.values())])
    for query, text in found.items():
        assert words(ledger, query) == [text], query
    assert words(ledger, "免费") == []


def finds_latin_letters_as_people_type_them(ledger: DocumentLedger) -> None:
    """Those too that no accent makes of another letter, from both sides."""
    found = {
        "Lodz": "Fabryka w Łodzi, czyli ŁÓDŹ.", "Strasse": "Die Straße.", "Malmo": "Ved Malmø.", "Ingenioer": "Ingeniœr",
        "isik": "Işık var.", "laerer": "En lærer.", "Thor": "Þór", "Dord": "Đorđ", "Oda": "Ǿda",  # noqa: RUF001 - as it is written
    }  # fmt: skip
    ledger.put([entry(f"{number}.md", text) for number, text in enumerate(found.values())])
    for query, text in found.items():
        assert words(ledger, query) == [text], query
        assert words(ledger, text) == [text], text


def takes_every_query_for_text(ledger: DocumentLedger) -> None:
    ledger.put([entry("a.md", "Refund.")])
    for query in ('refund"', "'; DROP TABLE chunks; --refund", "refund*", "NEAR(refund", "text: refund", "refund OR", "(refund", "^refund", "-refund", "refund\x00", "{refund} : x", "refund \ud800"):  # fmt: skip
        assert words(ledger, query) == ["Refund."], query
    for query in ("", "   ", '"', "*", "()", "🙂", "\x00", "\ud800", "AND", "OR NOT"):
        assert words(ledger, query) == [], query


def searches_function_words_only_when_there_is_nothing_else(ledger: DocumentLedger) -> None:
    ledger.put([entry("a.md", "To be or not to be."), entry("b.md", "Refund.")])
    assert words(ledger, "what is a refund") == ["Refund."]
    assert words(ledger, "to be or not to be") == ["To be or not to be."]


def takes_a_very_long_query(ledger: DocumentLedger) -> None:
    ledger.put([entry("a.md", "Refund.")])
    assert words(ledger, "refund " + " ".join(f"word{n}" for n in range(20_000))) == ["Refund."]


# What a vector index catches up by


def takes_more_ids_and_texts_than_a_store_takes_in_one_call(ledger: DocumentLedger) -> None:
    """SQLite takes 32,766 values in a statement, PostgreSQL 65,535."""
    stored = entry("a.md", "Refund one.", "Refund two.")
    ledger.put([stored])
    many = [f"{number:032x}" for number in range(MANY)]
    asked = [*many, *reversed(ids(stored))]
    assert list(ledger.hits(asked, ACME, as_of=None)) == list(reversed(ids(stored)))
    assert ledger.documents_of(asked, ACME, as_of=None).keys() == set(ids(stored))
    assert ledger.known_vectors([*many, stored.chunks[0].indexed_text], "acme").keys() == {
        stored.chunks[0].indexed_text
    }


def numbers_every_change_once_and_upwards(ledger: DocumentLedger) -> None:
    assert ledger.sequence() == 0
    ledger.put([entry("a.md", "One.", "Two."), entry("b.md", "Three.")])
    first = ledger.sequence()
    numbers = [item.sequence for item in ledger.embeddings()]
    assert numbers == sorted(set(numbers))
    assert 0 < numbers[0] <= numbers[-1] <= first
    ledger.delete(key("b.md"))
    assert ledger.sequence() > first
    assert list(ledger.embeddings(after=first)) == []
    assert list(ledger.deletions(after=first)) == ids(entry("b.md", "Three."))
    assert list(ledger.deletions(after=ledger.sequence())) == []


def tells_what_happened_since(ledger: DocumentLedger) -> None:
    ledger.put([entry("a.md", "One."), entry("b.md", "Two.")])
    seen = ledger.sequence()
    ledger.put([entry("b.md", "Two, replaced.")])
    assert [item.chunk_id for item in ledger.embeddings(after=seen)] == ids(entry("b.md", "Two, replaced."))
    assert list(ledger.deletions(after=seen)) == ids(entry("b.md", "Two."))


def leads_an_index_from_any_point_to_the_present(ledger: DocumentLedger) -> None:
    """Delete first, then add: whenever an index stopped, it ends with what the ledger holds, and with its rights."""
    changes: list[Callable[[], object]] = [
        lambda: ledger.put([entry("a.md", "Same.", "Other.")]),
        lambda: ledger.delete(key("a.md")),
        lambda: ledger.put([entry("a.md", "Same.", "Other.")]),
        lambda: ledger.put([entry("a.md", "Same.", "Changed.")]),
        lambda: ledger.put([entry("a.md", "Same.", "Changed.", groups=frozenset({"board"}))]),
        lambda: ledger.delete(key("a.md")),
        lambda: ledger.put([entry("b.md", "B.")]),
        lambda: ledger.put([entry("a.md", "Same.")]),
    ]
    stopped: list[tuple[int, dict[str, VectorItem]]] = [(0, {})]
    for change in changes:
        change()
        stopped.append((ledger.sequence(), {item.chunk_id: item for item in ledger.embeddings()}))
    present = {(item.chunk_id, item.groups) for item in ledger.embeddings()}
    for sequence, held in stopped:
        gone = set(ledger.deletions(after=sequence))
        caught_up = {key: item for key, item in held.items() if key not in gone}
        caught_up |= {item.chunk_id: item for item in ledger.embeddings(after=sequence)}
        assert {(item.chunk_id, item.groups) for item in caught_up.values()} == present, sequence


def can_be_written_while_it_is_streamed(ledger: DocumentLedger) -> None:
    ledger.put([entry(f"{n}.md", f"Passage {n}.") for n in range(30)])
    for position, each in enumerate(ledger.entries()):
        if position < 30:
            ledger.put([replace(each, content_hash="again")])
    stream = ledger.embeddings()
    next(stream)
    ledger.delete(key("0.md"))
    assert len(list(stream)) >= 28
    assert ledger.chunk_count() == 29


def forgets_old_deletions_only_together_with_their_stamps(ledger: DocumentLedger) -> None:
    """Whoever still has a token can follow from there; whoever has none must begin anew."""
    ledger.put([entry("a.md", "One.", "Two.")])
    seen = ledger.sequence()
    assert ledger.version_token(seen)
    ledger.delete(key("a.md"))
    for n in range(20):
        ledger.put([entry(f"{n}.md", f"Passage {n}.")])
    gone = set(ids(entry("a.md", "One.", "Two.")))
    assert ledger.version_token(seen) is None or set(ledger.deletions(after=seen)) == gone


def stamps_each_change_once_and_for_good(ledger: DocumentLedger) -> None:
    assert ledger.version_token(1) is None
    tokens = []
    for n in range(3):
        ledger.put([entry("a.md", f"Version {n}.")])
        tokens.append((ledger.sequence(), ledger.version_token(ledger.sequence())))
    assert all(token for _, token in tokens)
    assert len({token for _, token in tokens}) == 3
    assert [(sequence, ledger.version_token(sequence)) for sequence, _ in tokens] == tokens
    ledger.delete(key("never was"))
    assert ledger.version_token(ledger.sequence())
    assert ledger.version_token(ledger.sequence() + 1) is None


def knows_the_vectors_of_its_texts(ledger: DocumentLedger) -> None:
    given = entry("a.md", "One.", "Two, longer — naïve.")
    ledger.put([given, entry("theirs.md", "Secret.", tenant="globex"), entry("gone.md", "Gone, and long ago.")])
    ledger.delete(key("gone.md"))
    texts = [chunk.indexed_text for each in (given, entry("", "Secret."), entry("", "Gone, and long ago.")) for chunk in each.chunks]  # fmt: skip
    known = ledger.known_vectors([*texts, "One.", ""], "acme")
    assert set(known) == set(texts[:2]), "only what is stored, under its headings, and for this tenant"
    assert all(np.array_equal(known[text], row) for text, row in zip(texts[:2], given.vectors, strict=True))
    assert ledger.known_vectors([], "acme") == {}


def tells_no_writer_which_texts_are_stored_out_of_their_sight(ledger: DocumentLedger) -> None:
    given = [
        entry("a.md", "One."), entry("b.md", "Two, longer.", groups=frozenset({"board"})),
        entry("c.md", "Three, the longest.", attributes={"data_class": "secret"}),
    ]  # fmt: skip
    ledger.put(given)
    texts = [chunk.indexed_text for one in given for chunk in one.chunks]
    for scope, shown in {
        None: 3, BOARD: 3, ACME: 2, Scope("acme", classes=frozenset({"unclassified"})): 1,
    }.items():  # fmt: skip
        assert len(ledger.known_vectors(texts, "acme", scope=scope)) == shown, scope


def keeps_a_fingerprint(ledger: DocumentLedger) -> None:
    assert ledger.fingerprint() is None
    for chunker in ("structure 1", "structure 2"):
        given = Fingerprint("minilm", 2, ((0.6, 0.8), (1.0, 0.0)), chunker)
        ledger.set_fingerprint(given)
        assert ledger.fingerprint() == given


# Side by side


def _fingerprint(name: str) -> Fingerprint:
    return Fingerprint(name, 2, ((1.0, 0.0), (0.6, 0.8)), "structure 1")


def builds_beside_itself_and_finds_it_again(ledger: DocumentLedger) -> None:
    ledger.put([entry("a.md", "Refund.")])
    second = ledger.open_second()
    assert (second.sequence(), second.fingerprint()) == (0, None)
    second.put([entry("b.md", "Refund second.")])
    second.set_fingerprint(_fingerprint("new"))
    assert (words(ledger, "refund"), ledger.fingerprint()) == (["Refund."], None)
    second.close()
    again = ledger.open_second()
    assert (words(again, "refund"), again.fingerprint()) == (["Refund second."], _fingerprint("new"))
    again.close()
    emptied = ledger.open_second(fresh=True)
    assert (emptied.chunk_count(), emptied.fingerprint()) == (0, None)
    emptied.close()
    assert words(ledger, "refund") == ["Refund."]


def adopts_what_was_built_beside_it(ledger: DocumentLedger) -> None:
    ledger.put([entry("a.md", "Refund old."), entry("gone.md", "Refund gone.")])
    ledger.refuse(refusal("a.md"))
    ledger.refuse(refusal("never.md"))
    ledger.set_fingerprint(_fingerprint("old"))
    before = ledger.sequence()
    second = ledger.open_second()
    new = entry("a.md", "Refund new.", "Refund newer.", groups=frozenset({"board"}))
    second.put([new])
    second.set_fingerprint(_fingerprint("new"))
    assert ledger.adopt(second, at=before)
    assert sorted(words(ledger, "refund", BOARD)) == ["Refund new.", "Refund newer."]
    assert words(ledger, "gone", BOARD) == []
    assert (ledger.fingerprint(), ledger.chunk_count()) == (_fingerprint("new"), 2)
    assert [each.uri for each in ledger.refusals(ACME)] == ["a.md", "never.md"]
    [back] = ledger.entries()
    assert (back.source, list(back.chunks)) == (new.source, list(new.chunks))
    assert np.array_equal(back.vectors, new.vectors)
    left = ledger.open_second()
    assert left.chunk_count() == 0, "what was adopted is not left there"
    left.close()


def has_every_index_filled_anew_after_it_adopted(ledger: DocumentLedger) -> None:
    ledger.put([entry("a.md", "Refund old.")])
    before = ledger.sequence()
    second = ledger.open_second()
    second.put([entry("a.md", "Refund new.")])
    assert ledger.adopt(second, at=before)
    after = ledger.sequence()
    assert after > before
    assert ledger.version_token(before) is None, "an index at this number must not think that it may follow"
    assert ledger.version_token(after)
    assert all(before < item.sequence <= after for item in ledger.embeddings())
    assert list(ledger.deletions(after=before)) == []


def adopts_nothing_where_somebody_wrote_in_between(ledger: DocumentLedger) -> None:
    at = ledger.sequence()
    second = ledger.open_second()
    second.put([entry("a.md", "Refund second.")])
    ledger.put([entry("b.md", "Refund in between.")])
    assert not ledger.adopt(second, at=at)
    assert words(ledger, "refund") == ["Refund in between."]
    assert ledger.adopt(second, at=ledger.sequence())
    assert words(ledger, "refund") == ["Refund second."]


def loses_nothing_to_writers_side_by_side(ledger: DocumentLedger) -> None:
    def write(writer: int) -> None:
        for turn in range(5):
            ledger.put([entry(f"{writer} {turn}.md", f"Refund {writer} {turn}.")])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    numbers = [item.sequence for item in ledger.embeddings()]
    assert (len(ledger.documents(ACME)), len(numbers), len(set(numbers))) == (20, 20, 20)


def never_shows_half_a_replacement(ledger: DocumentLedger) -> None:
    versions = [entry("a.md", f"Refund alpha {v}.", f"Refund beta {v}.") for v in range(12)]
    ledger.put([versions[0]])
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            found = {text.split()[-1] for text in _texts(ledger)}
            assert len(found) == 1, found

    with ThreadPoolExecutor(2) as pool:
        readers = [pool.submit(read) for _ in range(2)]
        try:
            for version in versions[1:]:
                ledger.put([version])
        finally:
            stop.set()
        for reader in readers:
            reader.result()


def _texts(ledger: DocumentLedger) -> list[str]:
    """In one call, because two calls may see two versions."""
    return [chunk.text for each in ledger.entries() for chunk in each.chunks]


PROMISES: list[Callable[[DocumentLedger], None]] = [
    keeps_a_document_exactly, keeps_which_parsers_read_a_document, keeps_the_day_that_an_entry_brings,
    gives_back_entries_for_a_reindex, keeps_vectors_bit_by_bit,
    gives_back_one_document_and_those_of_a_name_or_a_folder,
    answers_in_the_order_of_the_ids_it_was_asked_for, lists_several_documents_in_the_order_they_were_put,
    takes_a_document_without_a_passage, takes_names_of_any_length, leaves_its_input_alone, replaces_a_document_whole,
    tells_documents_of_two_tenants_apart_that_share_a_uri, deletes_without_a_trace,
    says_whether_there_was_something_to_delete, remembers_a_refusal_until_it_is_taken_or_deleted,
    keeps_what_it_has_when_a_later_offer_is_refused, stores_all_or_nothing, refuses_text_that_cannot_be_stored_and_goes_on,
    shows_every_scope_its_own_and_nothing_else, shows_only_the_classes_of_the_scope, shows_refusals_to_their_tenant, fills_the_limit_from_what_the_scope_admits,
    shows_refusals_to_those_who_could_have_read_the_document, keeps_documents_of_one_name_apart_by_their_readers,
    puts_and_deletes_in_one_change, lets_nobody_supersede_what_they_could_not_read,
    lets_a_document_supersede_its_own_earlier_versions, tells_no_writer_which_texts_are_stored_out_of_their_sight,
    filters_as_every_other_ledger_and_index_does, filters_by_what_every_document_has,
    tells_an_index_what_is_known_of_a_document, applies_a_filter_and_the_scope_together,
    fills_the_limit_from_what_the_filter_admits, forgets_what_was_known_of_a_replaced_document,
    knows_the_version_in_force_on_any_day, keeps_series_of_two_tenants_apart, shows_all_documents_of_the_version_in_force,
    hides_what_is_not_in_force_yet_even_without_a_series, ranks_the_better_match_first, finds_other_forms_and_headings,
    finds_words_in_every_script, finds_latin_letters_as_people_type_them, names_the_document_of_each_chunk_that_may_be_seen,
    takes_more_ids_and_texts_than_a_store_takes_in_one_call,
    takes_every_query_for_text, searches_function_words_only_when_there_is_nothing_else, takes_a_very_long_query,
    numbers_every_change_once_and_upwards, tells_what_happened_since, leads_an_index_from_any_point_to_the_present,
    can_be_written_while_it_is_streamed, stamps_each_change_once_and_for_good,
    forgets_old_deletions_only_together_with_their_stamps, knows_the_vectors_of_its_texts, keeps_a_fingerprint, loses_nothing_to_writers_side_by_side,
    never_shows_half_a_replacement, builds_beside_itself_and_finds_it_again, adopts_what_was_built_beside_it,
    has_every_index_filled_anew_after_it_adopted, adopts_nothing_where_somebody_wrote_in_between,
]  # fmt: skip


def opened(name: str, folder: Path, **options: Any) -> Any:
    context = Context(data_dir=folder, clock=StoppedClock())
    part = under_test.part("retrieval.ledger", name, **(services.options(name, folder) | options))
    return load("retrieval.ledger", part, context, expected=DocumentLedger)


@pytest.fixture(params=under_test.adapters("retrieval.ledger"))
def ledger(request: pytest.FixtureRequest, data_dir: Path) -> Iterator[DocumentLedger]:
    built = opened(request.param, data_dir)
    yield built
    built.close()


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
def test_every_adapter_keeps(
    promise: Callable[[DocumentLedger], None], watched: under_test.Watch, ledger: DocumentLedger
) -> None:
    promise(watched("retrieval.ledger", ledger))


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


# psycopg's pool throws dice in threads of its own, and hypothesis takes that for a strategy that does
@pytest.mark.filterwarnings("ignore:Do not use the `random` module")
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.tuples(*[TEXT] * 5), query=TEXT)
def test_any_text_comes_back_as_it_was_and_any_query_is_taken(
    ledger: DocumentLedger, texts: tuple[str, ...], query: str
) -> None:
    uri, tenant, title, group, passage = texts
    strange = entry(uri, passage, tenant=tenant, title=title, groups=frozenset({group}))
    ledger.put([strange])
    hits = list(ledger.hits(ids(strange), Scope(tenant, frozenset({group})), as_of=None).values())
    expected = [] if tenant in {"", EVERY_TENANT} else [(strange.source, strange.chunks[0])]
    assert [(hit.source, hit.chunk) for hit in hits] == expected
    ledger.keyword_search(query, ACME, limit=5, as_of=TODAY)


@pytest.mark.parametrize("name", under_test.adapters("retrieval.ledger"))
def test_what_was_committed_survives_a_restart(name: str, data_dir: Path) -> None:
    first = opened(name, data_dir)
    first.put([entry("a.md", "Refund one.", "Refund two.")])
    first.refuse(refusal("b.md"))
    first.delete(key("a.md"))
    first.put([entry("c.md", "Refund three.")])
    sequence = first.sequence()
    first.close()
    first.close()
    again = opened(name, data_dir)
    assert (again.sequence(), words(again, "refund")) == (sequence, ["Refund three."])
    assert again.refusals(ACME) == [refusal("b.md")]
    again.close()


@pytest.mark.parametrize("act", ["put", "delete", "sequence", "documents"])
def test_a_closed_ledger_is_an_error_that_says_so(act: str, ledger: DocumentLedger) -> None:
    ledger.close()
    calls: dict[str, Callable[[], object]] = {
        "put": lambda: ledger.put([entry("a.md", "A.")]),
        "delete": lambda: ledger.delete(key("a.md")),
        "sequence": ledger.sequence,
        "documents": lambda: ledger.documents(ACME),
    }
    with pytest.raises(StoreUnavailable, match="closed"):
        calls[act]()


# The suite itself


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Callable[[], Any]]:
    made: list[Any] = []

    def make() -> Any:
        folder = tmp_path / str(len(made))
        folder.mkdir()
        made.append(opened("sqlite", folder))
        return made[-1]

    yield make
    for each in made:
        each.close()


def _keeps(promise: Callable[[Any], None], ledger: Any) -> bool:
    try:
        promise(ledger)
    except (Exception, pytest.fail.Exception):  # any failure counts, as it does in pytest
        return False
    return True


@pytest.mark.parametrize("fault", broken.BROKEN, ids=lambda fault: fault.__name__)
def test_the_suite_rejects(fault: Any, fresh: Callable[[], Any]) -> None:
    promise = next(promise for promise in PROMISES if promise.__name__ == fault.caught_by)
    assert _keeps(promise, broken.Healthy(fresh())), "or the fault is not what it is caught by"
    assert not _keeps(promise, fault(fresh()))
