"""Erasures of persons, so that work which began before an erasure stores nothing of the person after it.

    with erasures.acting_for(principal):     # a request, a run
        ...                                  # every store calls `demand` inside its transaction

    with erasures.erasing(principal):        # noted before the first row is taken out
        ...

The notes are one small file in the data folder, which every process reads. They count a person's erasures instead of
keeping times, since a clock may jump.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from pathlib import Path

from foundation.errors import PersonErased, StoreUnavailable
from foundation.stores.json_file import JsonFile, Unreadable
from foundation.types import Principal

FILE = "erased.json"


def mark_of(person: Principal) -> str:
    """Return a hash of tenant and subject, to distinguish persons without naming them."""
    return hashlib.sha256(f"{person.tenant}\0{person.subject}".encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True, slots=True)
class Note:
    """A person's erasures: their number, when the last one began, and whether it runs or was cut off."""

    count: int = 0
    at_ns: int = 0
    running: bool = False


# Those for whom work is done: the notes, a person's mark, and the number of their erasures when it began
_acting: ContextVar[tuple[tuple[Erasures, str, int], ...]] = ContextVar("acting", default=())
# How the running transaction counts a person's erasures on other replicas
counted_elsewhere: ContextVar[Callable[[str], int]] = ContextVar("counted_elsewhere", default=lambda _: 0)


class Erasures:
    """The notes of one data folder."""

    def __init__(self, data_dir: Path, records: object = None) -> None:
        self.path, open_file = data_dir / FILE, getattr(records, "json_file", JsonFile)
        self._file = open_file(self.path, lambda entries: {mark: Note(**entry) for mark, entry in entries.items()})

    @contextmanager
    def acting_for(self, person: Principal) -> Iterator[None]:
        """Attribute the work inside, with its threads and tasks, to `person`. Raises PersonErased."""
        mark = mark_of(person)
        if any(acting == mark for _, acting, _ in _acting.get()):
            demand()
            yield
            return
        note = self.note(mark)
        if note.running:
            raise PersonErased("What is kept of you is being erased. Nothing is done for you until that has ended.")
        token = _acting.set((*_acting.get(), (self, mark, note.count)))
        try:
            yield
        finally:
            with suppress(ValueError):  # a generator may be closed in another context than it began in
                _acting.reset(token)

    @contextmanager
    def erasing(self, person: Principal) -> Iterator[Note]:
        """Note an erasure of `person`, after any other; if the block fails, the note says that it still runs."""
        mark = mark_of(person)
        with self._file.exclusive():
            before = self.note(mark)
            now = Note(before.count + 1, time.time_ns(), running=True)
            self._write(mark, now)
            yield before
            self._write(mark, Note(now.count, now.at_ns))

    def note(self, mark: str) -> Note:
        """Raises StoreUnavailable: the file cannot be read, so erasures are unknown."""
        return self._notes().get(mark, Note())

    def total(self) -> int:
        """Return the number of all erasures. A cache that may hold anybody's words compares it with the last number that it saw."""
        return sum(note.count for note in self._notes().values())

    def _notes(self) -> Mapping[str, Note]:
        try:
            return self._file.load() or {}
        except Unreadable as error:
            raise StoreUnavailable(
                f"{self.path.name} cannot be read ({error}), so nobody knows who was erased. Restore it from a backup."
            ) from error

    def _write(self, mark: str, note: Note) -> None:
        notes = {**self._notes(), mark: note}
        self._file.write({holder: asdict(entry) for holder, entry in notes.items()})


def demand() -> None:
    """Raise PersonErased where a person for whom this work is done was erased since it began."""
    if is_erased():
        raise PersonErased(
            "What is kept of you was erased while this was at work, so nothing of it is kept. Ask again."
        )


def is_erased() -> bool:
    """Whether a person for whom this work is done was erased since it began."""
    shared = counted_elsewhere.get()
    return any((shared(mark) or notes.note(mark).count) != count for notes, mark, count in _acting.get())


def current_mark() -> str:
    """Return the mark of the person for whom this work is done; empty: for nobody."""
    return next((mark for _, mark, _ in reversed(_acting.get())), "")
