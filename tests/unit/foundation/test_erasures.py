"""A person who was erased stays so, a store says how, and the data folder is its owner's alone."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from foundation.errors import PersonErased, StoreUnavailable
from foundation.settings import make_data_dir
from foundation.stores import erasures
from foundation.stores.erasures import Erasures
from foundation.stores.registry import Person, Store
from foundation.stores.sqlite_file import SqliteFile, SqliteStore
from foundation.types import Principal
from serving.settings import load

ZOE, NAMESAKE = Principal("zoe", "north"), Principal("zoe", "south")
WORD = "canary"
STORE = SqliteStore(
    name="words",
    file="words.sqlite",
    schema="CREATE TABLE IF NOT EXISTS words (subject TEXT, said TEXT)",
    erase_rows=lambda c, person: c.execute("DELETE FROM words WHERE subject = ?", (person.subject,)).rowcount,
    erased="words",
)


@pytest.fixture
def file(tmp_path: Path) -> Iterator[SqliteFile]:
    opened = SqliteFile(tmp_path / STORE.file, STORE)
    yield opened
    opened.close()


def say(file: SqliteFile, subject: str = "zoe", word: str = WORD) -> None:
    file.run_now(lambda c: c.execute("INSERT INTO words VALUES (?, ?)", (subject, word)))


def holds(folder: Path, word: str) -> list[str]:
    return [path.name for path in folder.iterdir() if word.encode() in path.read_bytes()]


def test_what_began_before_an_erasure_writes_nothing_after_it(tmp_path: Path, file: SqliteFile) -> None:
    notes = Erasures(tmp_path)
    with notes.acting_for(ZOE):
        say(file)
        with notes.erasing(ZOE):
            STORE.erase_now(tmp_path, Person(tenant="north", subject="zoe"))
        with pytest.raises(PersonErased):
            say(file)
        file.run_now(lambda c: c.execute("SELECT 1"), of_nobody=True)
    with notes.acting_for(ZOE):  # who comes back begins anew
        say(file)


def test_nothing_is_begun_while_an_erasure_runs_or_was_killed(tmp_path: Path) -> None:
    notes = Erasures(tmp_path)
    with pytest.raises(RuntimeError), notes.erasing(ZOE):
        raise RuntimeError("killed")
    with pytest.raises(PersonErased), notes.acting_for(ZOE):
        pass
    with notes.acting_for(NAMESAKE):
        pass
    with notes.erasing(ZOE) as before:
        assert before.running
    with notes.acting_for(ZOE):
        pass


def test_another_process_sees_it_at_once(tmp_path: Path) -> None:
    server, command = Erasures(tmp_path), Erasures(tmp_path)
    with server.acting_for(ZOE):
        assert not erasures.is_erased()
        with command.erasing(ZOE):
            pass
        assert erasures.is_erased()


def test_notes_that_cannot_be_read_let_nobody_write(tmp_path: Path) -> None:
    (tmp_path / erasures.FILE).write_text("[")
    with pytest.raises(StoreUnavailable, match="nobody knows who was erased"), Erasures(tmp_path).acting_for(ZOE):
        pass


def test_no_byte_is_left_while_another_process_has_the_file_open(tmp_path: Path, file: SqliteFile) -> None:
    for number in range(2000):  # of many lengths, so that SQLite moves rows about
        say(file, "zoe" if number % 3 else "ada", (WORD if number % 3 else "other") * (number % 40 + 1))
    assert {"words.sqlite-wal"} <= {*holds(tmp_path, WORD)}
    assert STORE.erase_now(tmp_path, Person(tenant="north", subject="zoe")) > 1000
    assert holds(tmp_path, WORD) == []
    assert holds(tmp_path, "other") == ["words.sqlite"]


def test_a_store_that_does_not_say_how_it_erases_cannot_be_declared() -> None:
    with pytest.raises(ValueError, match="how it erases"):
        Store(name="silent", files=("silent.sqlite",))
    with pytest.raises(ValueError, match="how it erases"):
        SqliteStore(name="silent", file="silent.sqlite")


def test_sqlite_is_opened_in_one_place_and_by_a_store(tmp_path: Path) -> None:
    root = Path(__file__).parents[3]
    layers = (
        "foundation",
        "models",
        "retrieval",
        "orchestration",
        "observability",
        "serving",
        "extensions",
        "examples",
    )
    reads_only = ("mode=ro", ":memory:")
    tampers = root / "examples" / "govern_it.py"  # as somebody who owns the machine could, to show that it is found
    lines = [
        (str(path.relative_to(root)), line)
        for layer in layers
        for path in (root / layer).rglob("*.py")
        if path != tampers
        for line in path.read_text(encoding="utf-8").splitlines()
        if "sqlite3.connect(" in line and not any(how in line for how in reads_only)
    ]
    assert [path for path, _ in lines] == ["foundation/stores/sqlite_file.py"]
    with pytest.raises(TypeError):
        SqliteFile(tmp_path / "x.sqlite")  # type: ignore[call-arg]


def test_files_are_their_owners_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        folder = tmp_path / "var"
        (tmp_path / "stack.toml").write_text(f'[foundation]\ndata_dir = "{folder}"\n')
        make_data_dir(load(tmp_path / "stack.toml").settings.foundation.data_dir)
        opened = SqliteFile(folder / STORE.file, STORE)
        say(opened)
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) & 0o077 for path in (folder, *folder.rglob("*"))}
    opened.close()
    assert set(modes.values()) == {0}
    assert {"var", "words.sqlite", "words.sqlite-wal"} <= modes.keys()


def test_a_mark_tells_odd_names_apart() -> None:
    odd = ["zoe", "Zoe", "zoe ", "zo\u00e9", "zoe\udc80", "zoe?", "zoe%", "zoe'"]
    assert len({erasures.mark_of(Principal(subject, "north")) for subject in odd}) == len(odd)
    assert erasures.mark_of(ZOE) != erasures.mark_of(NAMESAKE)
