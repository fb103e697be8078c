"""Stores that may hold a person's data, and how a person is erased from them.

Every part that stores something declares a `Store`: how a person is erased from it, or why not. No database can be opened without
one, and an erasure reports every file of the data folder that none claims. An adapter has `stores(options)` beside its `build`.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from foundation.stores.erasures import mark_of
from foundation.types import Principal


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A person to be erased, with the ids of their conversations (`threads`), answers, traces and effects."""

    tenant: str
    subject: str
    threads: frozenset[str] = frozenset()
    answers: frozenset[str] = frozenset()
    traces: frozenset[str] = frozenset()
    effects: frozenset[str] = frozenset()

    @property
    def mark(self) -> str:
        return mark_of(Principal(self.subject, self.tenant))


# (data folder, person) -> number of erased items
Erase = Callable[[Path, Person], int]
# (data folder, person) -> the ids of each of their answers and its trace
RunsOf = Callable[[Path, Principal], Iterable[tuple[str, str]]]


@dataclass(frozen=True, kw_only=True)
class Store:
    """A declaration of stored data and of their erasure: what is `erased`, and what `stays` and why."""

    name: str
    files: tuple[str, ...] = ()
    """Its files, as patterns below the data folder; `folder/*` matches at any depth. Empty: it is elsewhere."""
    erased: str = ""
    stays: str = ""
    erase: Erase | None = None
    runs_of: RunsOf | None = None
    """Where other stores hold a person's answers by their ids alone, and this one knows whose they were."""
    manifests: Callable[[Path], set[str]] | None = None
    """The ids of the run manifests that it names in a data folder: `retention` leaves those."""

    def __post_init__(self) -> None:
        if not self.stays and (self.erase is None or not self.erased):
            raise ValueError(f'The store "{self.name}" has to say how it erases a person, or why it does not.')

    def claims(self, file: Path) -> bool:
        """Whether `file`, relative to the data folder, belongs to it."""
        return any(fnmatchcase(file.as_posix(), pattern) for pattern in self.files)
