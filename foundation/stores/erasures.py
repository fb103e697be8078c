"""Who was erased, so that work which began before writes nothing of that person afterwards.

    with erasures.acting_for(principal):     # a request, a run
        ...                                  # every store calls `demand` inside its transaction

    with erasures.erasing(principal):        # noted before the first row is taken out
        ...

The notes are one small file below the data folder, which every process looks at. They count how often a person was erased
instead of when: a clock may jump.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from pathlib import Path

from foundation.errors import PersonErased, StoreUnavailable
from foundation.stores.json_file import JsonFile, Unreadable
from foundation.types import Principal

FILE = "erased.json"
"""Below the data folder."""


def mark_of(person: Principal) -> str:
    """The person as a hash of tenant and subject, for what must tell people apart and need not name them."""
    return hashlib.sha256(f"{person.tenant}\0{person.subject}".encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True, slots=True)
class Note:
    """How often a person was erased."""

    count: int = 0
    at_ns: int = 0
    """When the last erasure began, nanoseconds since 1970. For spans, which know no more than their time."""
    running: bool = False
    """Whether it has not ended; also where it was killed."""


@dataclass(frozen=True, slots=True)
class _Acting:
    """For whom something is done, and how often that person had been erased when it began."""

    erasures: Erasures
    mark: str
    count: int


_acting: ContextVar[tuple[_Acting, ...]] = ContextVar("acting", default=())


class Erasures:
    """The notes of one data folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = JsonFile(path, lambda entries: {mark: Note(**entry) for mark, entry in entries.items()})

    @classmethod
    def of(cls, data_dir: Path) -> Erasures:
        return cls(data_dir / FILE)

    @contextmanager
    def acting_for(self, person: Principal) -> Iterator[None]:
        """What is done inside, also in threads and tasks that are begun there, is done for `person`.

        Raises:
            PersonErased: they are being erased now, or were since what stands around this began.
        """
        mark = mark_of(person)
        if any(acting.mark == mark for acting in _acting.get()):
            demand()
            yield
            return
        note = self.note(mark)
        if note.running:
            raise PersonErased("What is kept of you is being erased. Nothing is done for you until that has ended.")
        token = _acting.set((*_acting.get(), _Acting(self, mark, note.count)))
        try:
            yield
        finally:
            with suppress(ValueError):  # a generator may be closed in another context than it began in
                _acting.reset(token)

    @contextmanager
    def erasing(self, person: Principal) -> Iterator[Note]:
        """Note that `person` is being erased; gives what was noted before. A second erasure waits for the first.

        Where the block fails, or the process is killed in it, they stay "being erased": do it again.
        """
        mark = mark_of(person)
        with self._file.exclusive():
            before = self.note(mark)
            now = Note(before.count + 1, time.time_ns(), running=True)
            self._write(mark, now)
            yield before
            self._write(mark, Note(now.count, now.at_ns))

    def note(self, mark: str) -> Note:
        """Raises:
        StoreUnavailable: the file cannot be read, so nobody knows who was erased.
        """
        return self._notes().get(mark, Note())

    def total(self) -> int:
        """How many erasures there were. What may hold anybody's words compares it with what it saw last."""
        return sum(note.count for note in self._notes().values())

    def _notes(self) -> Mapping[str, Note]:
        try:
            return self._file.load() or {}
        except Unreadable as error:
            raise StoreUnavailable(
                f"{self.path.name} cannot be read ({error}), so nobody knows who was erased, and nothing is kept. Restore "
                f"it from a backup."
            ) from error

    def _write(self, mark: str, note: Note) -> None:
        notes = {**self._notes(), mark: note}
        self._file.write({holder: asdict(entry) for holder, entry in notes.items()})


def demand() -> None:
    """Nothing, or an error where somebody for whom this is done was erased since it began.

    Raises:
        PersonErased: so it is.
    """
    if is_erased():
        raise PersonErased(
            "What is kept of you was erased while this was at work, so nothing of it is kept. Ask again."
        )


def is_erased() -> bool:
    """Whether somebody for whom this is done was erased since it began."""
    return any(acting.erasures.note(acting.mark).count != acting.count for acting in _acting.get())


def current_mark() -> str:
    """The mark of the person for whom this is done; empty where it is done for nobody."""
    acting = _acting.get()
    return acting[-1].mark if acting else ""
