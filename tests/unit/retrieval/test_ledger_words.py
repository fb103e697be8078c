"""The index of words beside the ledger: whatever happens to it, each passage is found, once."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from retrieval.index.words import WordIndex
from retrieval.ledgers import sqlite
from tests.contracts.test_ledger import ACME, entry, key, opened, words


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "INDEXED_FROM", 1)
    monkeypatch.setattr(WordIndex, "follow", WordIndex.catch_up)


@pytest.fixture
def folder(data_dir: Path) -> Path:
    return data_dir / "ledger-words"


@pytest.fixture
def ledger(data_dir: Path) -> Iterator[Any]:
    with closing(opened("sqlite", data_dir)) as built:
        built.put([entry(f"{n}.md", f"Refund {n}.") for n in range(3)])
        yield built


def indexed(ledger: Any, query: str = "refund") -> int:
    """How many passages the index itself finds."""
    return len(ledger._words.search([query], ACME, 50) or ())


def change_version(folder: Path) -> None:
    version, *others = json.loads((folder / "position.json").read_text())
    (folder / "position.json").write_text(json.dumps([version - 1, *others]))


def change_token(folder: Path) -> None:
    version, sequence, _ = json.loads((folder / "position.json").read_text())
    (folder / "position.json").write_text(json.dumps([version, sequence, "of another ledger"]))


def tear_the_position(folder: Path) -> None:
    (folder / "position.json").write_text("[1, 2")


def tear_the_list(folder: Path) -> None:
    (folder / "tantivy" / "meta.json").write_text('{"segments": [')


def change_a_letter(folder: Path) -> None:
    for file in (folder / "tantivy").glob("*.term"):
        content = bytearray(file.read_bytes())
        content[len(content) // 3] ^= 255
        file.write_bytes(content)


def cut_a_file(folder: Path) -> None:
    for file in (folder / "tantivy").glob("*.store"):
        file.write_bytes(file.read_bytes()[:-5])


def empty_a_file(folder: Path) -> None:
    for file in (folder / "tantivy").glob("*.idx"):
        file.write_bytes(b"")


def lose_a_file(folder: Path) -> None:
    for file in (folder / "tantivy").glob("*.fast"):
        file.unlink()


def lose_the_folder(folder: Path) -> None:
    shutil.rmtree(folder / "tantivy")


@pytest.mark.parametrize(
    "spoil",
    [
        change_version, change_token, tear_the_position, tear_the_list, change_a_letter, cut_a_file, empty_a_file, lose_a_file,
        lose_the_folder,
    ],
)  # fmt: skip
def test_what_was_spoilt_is_found_and_filled_anew(
    ledger: Any, data_dir: Path, folder: Path, spoil: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    ledger.close()
    spoil(folder)
    with closing(opened("sqlite", data_dir)) as again:
        assert indexed(again) == 3
        assert len(words(again, "refund")) == 3
    assert "is filled anew" in caplog.text


def test_an_intact_index_is_used_again(
    ledger: Any, data_dir: Path, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ledger.close()
    before = {file.name for file in (folder / "tantivy").glob("*.term")}
    with closing(opened("sqlite", data_dir)) as again:
        assert indexed(again) == 3
    assert {file.name for file in (folder / "tantivy").glob("*.term")} == before
    assert not caplog.text


def test_a_kill_between_the_index_and_its_position_doubles_nothing(ledger: Any, data_dir: Path, folder: Path) -> None:
    position = (folder / "position.json").read_text()
    ledger.put([entry("0.md", "Refund zero."), entry("3.md", "Refund three.")])
    ledger.delete(key("1.md"))
    ledger.close()
    (folder / "position.json").write_text(position)
    with closing(opened("sqlite", data_dir)) as again:
        assert indexed(again) == 3
        assert sorted(words(again, "refund")) == ["Refund 2.", "Refund three.", "Refund zero."]


def test_a_kill_between_the_ledger_and_the_index_loses_nothing(
    ledger: Any, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as killed:
        killed.setattr(WordIndex, "follow", lambda _: None)
        ledger.put([entry("0.md", "Refund zero."), entry("3.md", "Refund three.")])
        ledger.delete(key("1.md"))
        expected = ["Refund 2.", "Refund three.", "Refund zero."]
        assert sorted(words(ledger, "refund")) == expected, "the ledger's own words answer for what is missing"
        ledger.close()
    with closing(opened("sqlite", data_dir)) as again:
        assert indexed(again) == 3
        assert sorted(words(again, "refund")) == expected


def test_damage_while_it_runs_is_found_and_filled_anew(ledger: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class PanicException(BaseException):  # as PyO3's, which is no Exception
        pass

    def panic(*_: object) -> None:
        raise PanicException("index out of range")

    with monkeypatch.context() as damaged:
        damaged.setattr("retrieval.index.words._search", panic)
        assert len(words(ledger, "refund")) == 3
    assert indexed(ledger) == 3


def test_several_threads_may_fill_it_at_once(ledger: Any) -> None:
    def write(writer: int) -> None:
        for turn in range(3):
            ledger.put([entry(f"{writer} {turn}.md", f"Refund {writer} {turn}.")])
            ledger._words.catch_up()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(8)))
    assert indexed(ledger) == len(words(ledger, "refund")) == 27


def test_it_is_followed_by_one_thread_whoever_asks(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    index = WordIndex(data_dir, lambda _: None, lambda *_: True)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: index.follow(), range(64)))
    assert [thread.name for thread in threading.enumerate()].count("word-index") == 1
    index.close()
    index.follow()
    assert [thread.name for thread in threading.enumerate()].count("word-index") == 0


def test_a_second_process_does_without(ledger: Any, data_dir: Path) -> None:
    with closing(opened("sqlite", data_dir)) as other:
        other.put([entry("3.md", "Refund three.")])
        assert other._words.position() is None
        assert len(words(other, "refund")) == 4
        assert len(words(ledger, "refund")) == 4
        assert indexed(ledger) == 4, "whoever has it follows what others write"


def test_a_reindex_leaves_nothing_of_the_former_passages(ledger: Any) -> None:
    second = ledger.open_second()
    second.put([entry("new.md", "Refund new.")])
    assert ledger.adopt(second, at=ledger.sequence())
    assert words(ledger, "refund") == ["Refund new."]
    assert indexed(ledger) == 1


def test_what_may_not_be_shown_takes_no_place(ledger: Any) -> None:
    """Earlier versions are in the index; those in force are found behind any number of them."""
    ledger.put([entry(f"old {n}.md", "Refund refund.", series=f"s{n}") for n in range(40)])
    day = date(2026, 1, 1)
    ledger.put([entry(f"new {n}.md", f"Another refund, {n}.", series=f"s{n}", effective_from=day) for n in range(40)])
    assert len(words(ledger, "refund", as_of=day, limit=20)) == 20
    assert "Refund refund." not in words(ledger, "refund", as_of=day)


def test_who_interrupts_a_search_of_words_ends_it_and_the_index_stays(
    ledger: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("retrieval.index.words._search", interrupted)
    with pytest.raises(KeyboardInterrupt):
        ledger.keyword_search("refund", ACME, limit=3, as_of=None)
    assert (folder / "position.json").exists()


def test_the_index_weighs_words_as_the_ledgers_own_search_does(ledger: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scores of both are fused with those of vectors, and a word that most passages have says next to nothing."""
    common = [f"the {'return ' if n % 3 == 0 else ''}{'parcel ' if n == 7 else ''}of {n}" for n in range(20)]
    ledger.put([entry(f"common {n}.md", text) for n, text in enumerate(common)])
    asked = ["the return of the parcel", "the return", "the of", "parcel 3"]
    day = date(2026, 1, 1)
    by_index = [{name: score for name, score, _ in ledger.keyword_search(q, ACME, limit=50, as_of=day)} for q in asked]
    monkeypatch.setattr(WordIndex, "position", lambda *_: None)
    by_ledger = [{name: score for name, score, _ in ledger.keyword_search(q, ACME, limit=50, as_of=day)} for q in asked]
    assert all(by_index)
    assert by_index == [pytest.approx(scores, abs=1e-3) for scores in by_ledger]
