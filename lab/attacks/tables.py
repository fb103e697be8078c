"""A small document whose thousands of tables are to fill the memory of the server."""

from __future__ import annotations

import sqlite3
from typing import Any

from lab.attacks.contract import Attack, Tried
from lab.attacks.victim import Victim

TABLES, GROWTH_BYTES = 3_000, 120_000_000
STACK = """
[models.chat]
use = "lab.attacks.strangers:build"
[orchestration]
[orchestration.policy.roles]
agent = ["find_tables"]
[orchestration.agent]
use = "tool_calling"
[[orchestration.tools]]
use = "tables"
"""


def fill_memory(victim: Victim) -> Tried:
    """Store tables of two rows, and look for one of them."""
    tried = Tried()
    person = victim.person("tara", "agent", tenant="tabled", timeout_s=120)
    victim.upload(person, "lamp.md", "| lamp | runs |\n|---|---|\n| moon | 9 |\n")
    _find(victim, person, tried)  # what is loaded at the first use is no part of it
    before = victim.rss_bytes()
    small = "\n\n".join(f"| lamp {number} | runs |\n|---|---|\n| 1 | 2 |" for number in range(TABLES))
    victim.upload(person, "lamps.md", small)
    _find(victim, person, tried)
    grown = victim.rss_bytes() - before
    tried.check(held=grown < GROWTH_BYTES, otherwise=f"a document of {len(small):,} bytes took {grown:,} bytes")
    return tried


def _find(victim: Victim, person: Any, tried: Tried) -> None:
    answer = victim.ask(person, "find_tables lamps", compose="auto")
    tried.check(held="text" in answer, otherwise=f"no answer: {answer}")


def open_all() -> None:
    """Each table has a database of its own as soon as its document is read."""
    from extensions.tables import documents

    keep, opened = documents._keep, list[sqlite3.Connection]()

    def keep_and_open(*given: Any) -> Any:
        table = keep(*given)
        opened.append(documents._load_rows(table))
        return table

    documents._keep = keep_and_open  # type: ignore[assignment]


ATTACKS = (
    Attack(
        name="tables-without-number",
        title="a small document with thousands of tables fills the memory",
        run=fill_memory,
        reopen=open_all,
        stack=STACK,
        alone=True,
    ),
)
