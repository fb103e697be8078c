"""What may hold a person's words, and how they are taken out of it.

Whatever keeps something declares a `Store`: how a person is erased from it, or why nothing is. A SQLite file or a PostgreSQL
database cannot be opened without one (foundation/stores/sqlite_file.py, foundation/stores/postgres.py), and `sixply erase` names every file
of the data folder that no store claims. An adapter of a port has a function `stores(options)` beside its `build`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from foundation.stores.erasures import mark_of
from foundation.types import Principal


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Who is erased, and the ids of what was done for them."""

    tenant: str
    subject: str
    threads: frozenset[str] = frozenset()
    """Conversations."""
    answers: frozenset[str] = frozenset()
    traces: frozenset[str] = frozenset()
    effects: frozenset[str] = frozenset()
    """Keys under which their effects were carried out."""

    @property
    def mark(self) -> str:
        return mark_of(Principal(self.subject, self.tenant))


Erase = Callable[[Path, Person], int]
"""Takes a person out of what lies below the data folder; gives how much that was."""


@dataclass(frozen=True, kw_only=True)
class Store:
    """One place that keeps something."""

    name: str
    files: tuple[str, ...] = ()
    """Its files, as patterns below the data folder; `folder/*` is all that lies in one, however deep. None: it is elsewhere."""
    erased: str = ""
    """What of a person is taken out."""
    stays: str = ""
    """What stays of a person, and why; or why there is nothing of one."""
    erase: Erase | None = None

    def __post_init__(self) -> None:
        if not self.stays and (self.erase is None or not self.erased):
            raise ValueError(f'The store "{self.name}" has to say how it erases a person, or why it does not.')

    def claims(self, file: Path) -> bool:
        """Whether `file`, relative to the data folder, is one of its own."""
        return any(fnmatchcase(file.as_posix(), pattern) for pattern in self.files)
