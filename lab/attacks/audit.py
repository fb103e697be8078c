"""The audit, changed behind its back: by somebody who got hold of the data folder for a moment while the server ran."""

from __future__ import annotations

import shutil
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

from lab.attacks.contract import Attack, Tried
from lab.attacks.victim import Victim

SPANS_S = 8.0
_TRIGGERS = "SELECT sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'chain'"


def change_audit(victim: Victim) -> Tried:
    """Hide, rename, cut, empty, roll back and unguard the chain, each in a copy of the folder, and ask `audit-verify`."""
    tried = Tried()
    person = victim.person("audit-ada", tenant="edges-audit")
    for number in range(3):
        victim.ask(person, f"Question {number}?")
    earlier = _copy(victim, "earlier")
    for number in range(3):
        victim.ask(person, f"Another question {number}?")
    _wait_for_spans(victim)
    tried.check(held=_is_whole(_copy(victim, "honest")), otherwise="an honest audit is called broken")
    changes: dict[str, Callable[[Path], None]] = {
        "one record put below another tenant": lambda data: _sql(
            data, "UPDATE chain SET tenant = 'x' WHERE number = 2"
        ),
        "all records put below another tenant": lambda data: _sql(data, "UPDATE chain SET tenant = 'x'"),
        "the chain emptied and its head deleted": _empty,
        "the last records and the head taken back": lambda data: _cut(data, 2),
        "the chain and its head rolled back to a copy": lambda data: _roll_back(data, earlier / "var"),
        "the triggers dropped": lambda data: _sql(data, guarded=False),
        "the triggers made to do nothing": lambda data: _sql(
            data,
            "CREATE TRIGGER chain_is_not_edited BEFORE UPDATE ON chain BEGIN SELECT 1; END",
            "CREATE TRIGGER chain_is_not_deleted BEFORE DELETE ON chain BEGIN SELECT 1; END",
            guarded=False,
        ),
    }
    for number, (what, change) in enumerate(changes.items()):
        folder = _copy(victim, f"changed-{number}")
        change(folder / "var")
        tried.check(held=not _is_whole(folder), otherwise=f"not noticed: {what}")
    return tried


def _wait_for_spans(victim: Victim) -> None:
    """Spans are stored a moment after what they tell of."""
    until = time.monotonic() + SPANS_S
    while time.monotonic() < until:
        head = (victim.data / "audit.head").read_text().strip()
        with suppress(sqlite3.Error), closing(sqlite3.connect(victim.data / "spans.sqlite")) as database:
            if database.execute("SELECT 1 FROM spans WHERE instr(attributes, ?)", (head,)).fetchone():
                return
        time.sleep(0.1)


def _copy(victim: Victim, name: str) -> Path:
    """The folder as it is now; SQLite copies a file that is being written."""
    folder = victim.folder / name
    (folder / "var").mkdir(parents=True)
    for store in ("audit", "spans", "approvals", "effects"):
        with (
            closing(sqlite3.connect(victim.data / f"{store}.sqlite")) as source,
            closing(sqlite3.connect(folder / "var" / f"{store}.sqlite")) as target,
        ):
            source.backup(target)
    shutil.copy(victim.data / "audit.head", folder / "var")
    (folder / "stack.toml").write_text(victim.stack.read_text().replace(str(victim.data), str(folder / "var")))
    return folder


def _is_whole(folder: Path) -> bool:
    """What `make audit-verify` says."""
    from extensions.audit.verification import verify_audit

    return verify_audit(folder / "var").ok


def _sql(data: Path, *statements: str, guarded: bool = True) -> None:
    with closing(sqlite3.connect(data / "audit.sqlite", isolation_level=None)) as database:
        triggers = [sql for (sql,) in database.execute(_TRIGGERS)]
        for name in ("chain_is_not_edited", "chain_is_not_deleted"):
            database.execute(f"DROP TRIGGER {name}")
        for statement in (*statements, *(triggers if guarded else ())):
            database.execute(statement)


def _empty(data: Path) -> None:
    _sql(data, "DELETE FROM chain")
    (data / "audit.head").unlink()


def _cut(data: Path, left: int) -> None:
    _sql(data, f"DELETE FROM chain WHERE number > {left}")
    with closing(sqlite3.connect(data / "audit.sqlite")) as database:
        digest = database.execute("SELECT hash FROM chain WHERE number = ?", (left,)).fetchone()[0]
    (data / "audit.head").write_text(f"{left}:{digest}\n")


def _roll_back(data: Path, earlier: Path) -> None:
    for name in ("audit.sqlite", "audit.head"):
        shutil.copy(earlier / name, data / name)


def _carry_no_head() -> None:
    from extensions.audit import log

    log.annotate = lambda *_: None  # type: ignore[attr-defined]


ATTACKS = (
    Attack(
        name="audit-rewritten",
        title="the audit is cut, emptied, rolled back or hidden below another tenant, and called whole",
        run=change_audit,
        reopen=_carry_no_head,
        alone=True,
    ),
)
