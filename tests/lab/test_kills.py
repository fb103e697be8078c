"""SIGKILL at random moments of the commands that change everything at once; the same command again has to make it whole."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import textwrap
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path

import pytest

from foundation import components
from foundation.components import Context
from foundation.stores.erasures import Erasures, mark_of
from foundation.types import Principal, Scope
from lab.attacks.victim import STACK
from lab.faults.torture import words
from lab.library import open_library
from orchestration.requests import AnswerRequest
from orchestration.run import answering
from retrieval.contract import DocumentLedger
from retrieval.documents import Source
from retrieval.ingest.preparation import Item
from serving.cli.main import app
from serving.settings import Loaded, load
from serving.wiring import open_system
from tests.forks import fork, preload

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.nightly
KILLS = 8
ATTEMPTS = 5 * KILLS
"""A kill that comes after the end does not count."""
DOCUMENTS, PARTS = 30, 3
ZOE, HANNA = (Principal(name, "alder", frozenset({"agent"})) for name in ("zoe", "hanna"))
SAID = {ZOE: "canaryzoe", HANNA: "canaryhanna"}
RETENTION = "[foundation.retention]\nspans_days = 1e-9\nconversations_days = 1e-9\n"

Stored = Mapping[str, str]
"""A digest of each document with its passages and vectors, by its name."""

preload(__name__, "serving.cli.main", "extensions.library.commands", "serving.cli.govern.erasure")
# Imported once, so that a killed command was at its work and not at its imports


def run_command(arguments: list[str], log: Path) -> None:
    """What the child does: `sixply` with these arguments."""
    written = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(written, 1)
    os.dup2(written, 2)
    app(arguments)


REMEMBERS = """
[orchestration.agent]
without_tools = "graph"
[[orchestration.tools]]
use = "memory"
"""


class Home:
    """A data folder and its configuration."""

    def __init__(self, folder: Path, *, chunker: str = "structure", more: str = "") -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.data, self.stack, self.log = folder / "var", folder / "stack.toml", folder / "log"
        text = (
            STACK.format(data=self.data, root=ROOT, extensions='["audit", "facts", "planned_agent", "structured"]')
            + REMEMBERS
        )
        text += f'[retrieval.chunker]\nuse = "{chunker}"\n' + more
        self.stack.write_text(text, encoding="utf-8")

    @classmethod
    def like(cls, other: Home, folder: Path, **more: str) -> Home:
        """A copy of what another one holds."""
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(other.data, folder / "var")
        return cls(folder, **more)

    @property
    def loaded(self) -> Loaded:
        return load(self.stack)

    def run(self, *arguments: str, kill_after_s: float | None = None) -> int:
        """The exit status of a command; -9 where it was killed."""
        process = fork(run_command, [*arguments, "--stack", str(self.stack)], self.log)
        process.join(kill_after_s)
        if kill_after_s is not None:
            process.kill()
        process.join()
        assert process.exitcode is not None
        return process.exitcode

    def run_well(self, *arguments: str) -> None:
        assert self.run(*arguments) == 0, self.log.read_text(encoding="utf-8")[-2000:]

    def stored(self) -> Stored:
        settings = self.loaded.settings
        context = Context(data_dir=settings.foundation.data_dir)
        ledger = components.load("retrieval.ledger", settings.retrieval.ledger, context, expected=DocumentLedger)
        with closing(ledger):
            entries = list(ledger.entries())
        return {
            entry.source.uri: hashlib.sha256(
                repr((entry.content_hash, entry.chunks, entry.vectors.tobytes())).encode()
            ).hexdigest()
            for entry in entries
        }

    def check_search(self) -> None:
        """Each document comes first for the words of each of its passages."""
        with open_library(self.loaded) as library:
            assert library.vectors.count() == library.ledger.chunk_count()
            scope = Scope("alder")
            for number in range(DOCUMENTS):
                for part in range(PARTS):
                    found = library.retriever.retrieve(words(number, 0, part), scope, limit=1)
                    assert [hit.source.uri for hit in found] == [f"{number}.md"]

    def holds(self, word: str, pattern: str = "*") -> list[str]:
        """The files with this word,."""
        files = sorted(file for file in self.data.rglob(pattern) if file.is_file())
        return [file.name for file in files if word.encode() in file.read_bytes()]

    def count(self, file: str, what: str) -> int:
        with closing(sqlite3.connect(self.data / file)) as connection:
            return int(connection.execute(f"SELECT COUNT({what}").fetchone()[0])


CONVERSATIONS = ("checkpoints.sqlite", "DISTINCT thread_id) FROM checkpoints")
SPANS = ("spans.sqlite", "*) FROM spans")
AUDIT = ("audit.sqlite", "*) FROM chain")


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Documents, and two people who asked, remembered and prepared something."""
    home = Home(tmp_path_factory.mktemp("first"))
    with open_library(home.loaded) as library:
        report = library.ingestor.ingest(
            Item(Source(f"{number}.md", "alder", media_type="text/markdown"), text_of(number).encode(), f"{number}.md")
            for number in range(DOCUMENTS)
        )
        assert not report.refused
    with open_system(home.loaded) as system:
        for person, word in SAID.items():
            for question in (f"How long is {word} there?", f"Please remember that my dog is called {word}"):
                asyncio.run(answering.answer(system.agent, AnswerRequest(question=question), person))
    home.run_well("export", str(home.folder / "ledger.gz"))
    return home


def text_of(number: int) -> str:
    return "\n\n".join(f"# {part}\n\n{words(number, 0, part)}" for part in range(PARTS))


def kill_again_and_again(
    command: list[str],
    fresh: Callable[[], Home],
    *,
    check_killed: Callable[[Home], None],
    check: Callable[[Home], None],
) -> None:
    """Kill the command at `KILLS` random moments, each time in a home as it was; then run it once more, to its end."""
    dice, kills = random.Random(13), 0
    home, began = fresh(), time.monotonic()
    home.run_well(*command)
    takes_s = time.monotonic() - began
    check(home)
    for _ in range(ATTEMPTS):
        home = fresh()
        if home.run(*command, kill_after_s=dice.uniform(0, takes_s)) == -signal.SIGKILL:
            kills += 1
            check_killed(home)
            home.run_well(*command)
            check(home)
        else:
            takes_s *= 0.8  # it was slower the first time
        if kills == KILLS:
            return
    pytest.fail(f"only {kills} kills came before the end of the command")


def test_a_reindex_that_is_killed_serves_the_old_passages_or_the_new_ones_and_goes_on(
    first: Home, tmp_path: Path
) -> None:
    new = Home.like(first, tmp_path / "new", chunker="fixed")
    new.run_well("reindex")
    allowed = [first.stored(), new.stored()]
    assert allowed[0] != allowed[1]
    latest: list[Home] = []

    def fresh() -> Home:
        latest[:] = [Home.like(first, tmp_path / "killed", chunker="fixed")]
        return latest[0]

    def check_killed(home: Home) -> None:
        assert home.stored() in allowed

    def check(home: Home) -> None:
        assert home.stored() == allowed[1]

    kill_again_and_again(["reindex"], fresh, check_killed=check_killed, check=check)
    latest[0].check_search()


def test_an_import_that_is_killed_holds_whole_documents_only_and_goes_on(first: Home, tmp_path: Path) -> None:
    whole = first.stored()
    latest: list[Home] = []

    def fresh() -> Home:
        shutil.rmtree(tmp_path / "killed", ignore_errors=True)
        latest[:] = [Home(tmp_path / "killed")]
        return latest[0]

    def check_killed(home: Home) -> None:
        assert home.stored().items() <= whole.items()

    def check(home: Home) -> None:
        assert home.stored() == whole

    kill_again_and_again(["import", str(first.folder / "ledger.gz")], fresh, check_killed=check_killed, check=check)
    latest[0].check_search()


def test_a_retention_that_is_killed_takes_out_what_is_old_and_nothing_else(first: Home, tmp_path: Path) -> None:
    whole, facts, audited = first.stored(), first.holds(SAID[HANNA], "facts.sqlite"), first.count(*AUDIT)
    assert facts
    assert first.count(*CONVERSATIONS)
    assert first.count(*SPANS)

    def fresh() -> Home:
        return Home.like(first, tmp_path / "killed", more=RETENTION)

    def check_killed(home: Home) -> None:
        assert home.stored() == whole
        assert home.count(*AUDIT) == audited

    def check(home: Home) -> None:
        check_killed(home)
        assert home.holds(SAID[HANNA], "facts.sqlite") == facts
        assert home.count(*CONVERSATIONS) == home.count(*SPANS) == 0
        assert home.holds(SAID[HANNA], "checkpoints.sqlite") == []

    kill_again_and_again(["retention"], fresh, check_killed=check_killed, check=check)


def test_an_erasure_that_is_killed_lets_the_person_do_nothing_until_it_has_ended(first: Home, tmp_path: Path) -> None:
    whole, others, before = first.stored(), first.holds(SAID[HANNA]), first.holds(SAID[ZOE])
    mark = mark_of(ZOE)
    assert before
    latest: list[Home] = []

    def fresh() -> Home:
        latest[:] = [Home.like(first, tmp_path / "killed")]
        return latest[0]

    def check_killed(home: Home) -> None:
        note = Erasures(home.data).note(mark)
        untouched, done = not note.count, note.count and not note.running
        assert note.running or (untouched and home.holds(SAID[ZOE]) == before) or (done and not home.holds(SAID[ZOE]))

    def check(home: Home) -> None:
        assert home.holds(SAID[ZOE]) == []
        assert home.holds(SAID[HANNA]) == others
        assert home.stored() == whole
        assert not Erasures(home.data).note(mark).running

    kill_again_and_again(
        ["erase", "--user", ZOE.subject, "--tenant", ZOE.tenant], fresh, check_killed=check_killed, check=check
    )
    latest[0].run_well("audit-verify")


def test_a_first_start_that_is_killed_makes_stores_that_the_next_start_opens(tmp_path: Path) -> None:
    def fresh() -> Home:
        shutil.rmtree(tmp_path / "killed", ignore_errors=True)
        return Home(tmp_path / "killed")

    def check(home: Home) -> None:
        assert home.stored() == {}
        assert home.count(*CONVERSATIONS) >= 1

    kill_again_and_again(["ask", "How long is it?"], fresh, check_killed=lambda _: None, check=check)


PAGE = (ROOT / "docs" / "durability.md").read_text(encoding="utf-8")
BACKUP = textwrap.dedent(re.search(r"^    mkdir -p backup.*?(?=^\n)", PAGE, re.MULTILINE | re.DOTALL)[0])  # type: ignore[index]
RESTORE = "mkdir -p restored && cp backup/* restored/"


def run_shell(command: str, folder: Path, kill_after_s: float | None = None) -> int:
    """The exit status of a command of the shell; it is killed with all that it has started."""
    process = subprocess.Popen(["sh", "-ec", command], cwd=folder, start_new_session=True)
    try:
        return process.wait(kill_after_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        return process.wait()


def test_a_backup_and_a_restore_that_are_killed_are_whole_when_they_are_run_again(first: Home, tmp_path: Path) -> None:
    dice, kills, takes_s = random.Random(13), {BACKUP: 0, RESTORE: 0}, {}
    audited, talks, whole = first.count(*AUDIT), first.count(*CONVERSATIONS), first.stored()

    def check(home: Home) -> None:
        shutil.rmtree(home.data)
        (home.folder / "restored").replace(home.data)
        home.run_well("audit-verify")
        assert (home.count(*AUDIT), home.count(*CONVERSATIONS), home.stored()) == (audited, talks, whole)

    for number in range(ATTEMPTS):
        home = Home.like(first, tmp_path / "killed")
        for command in (BACKUP, RESTORE):
            began = time.monotonic()
            killed = run_shell(command, home.folder, dice.uniform(0, takes_s[command]) if number else None)
            if not number:
                takes_s[command] = time.monotonic() - began
            kills[command] += killed == -signal.SIGKILL
            if number and killed != -signal.SIGKILL:
                takes_s[command] *= 0.8  # it was slower the first time
            assert run_shell(command, home.folder) == 0
        check(home)
        if min(kills.values()) >= KILLS:
            return
    pytest.fail(f"only {kills} kills came before the end of the command")
