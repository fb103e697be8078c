"""Kill switches: what an operator has stopped, in one small file that every process of a data folder looks at before it acts.

    effects            no tool may change anything any more; questions are answered
    tenant:NAME        nothing is done for this tenant
    model:NAME         this chat model is not called; a fallback answers if there is one
    all                nothing is done for anybody

The file is looked at (one `stat`) before each piece of work and each piece of a streamed answer, so a stop holds from the
next one on, in every process, with no message that could be lost. A file that cannot be read stops everything.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from foundation.clock import Clock
from foundation.errors import InvalidRequest, NotFound, Stopped, did_you_mean
from foundation.json_file import JsonFile, Unreadable

Kind = Literal["effects", "tenant", "model", "all"]
NAMED: frozenset[Kind] = frozenset({"tenant", "model"})
ALL: Kind = "all"


@dataclass(frozen=True, slots=True)
class Stop:
    """One switch that is off. `name` is empty for those that have none."""

    kind: Kind
    name: str
    by: str
    why: str
    at: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}" if self.name else self.kind


def parse(what: str) -> tuple[Kind, str]:
    """`effects`, `all`, `tenant:NAME` or `model:NAME`.

    Raises:
        InvalidRequest: it is none of them.

    >>> parse("tenant:northwind")
    ('tenant', 'northwind')
    """
    kind, _, name = what.strip().partition(":")
    for known in get_args(Kind):
        if kind == known and bool(name) is (known in NAMED):
            return known, name
    forms = ("effects", "all", "tenant:NAME", "model:NAME")
    raise InvalidRequest(f'"{what}" names nothing that can be stopped. {did_you_mean(what, forms)}')


class Stops:
    """The switches of one data folder. Several processes may read and change them at any time."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self.path = path
        self._clock = clock
        self._file = JsonFile(path, _parsed)

    def list(self) -> tuple[Stop, ...]:
        """What is stopped, the oldest first.

        Raises:
            Stopped: the file cannot be read, so nobody can know.
        """
        try:
            return self._file.read() or ()
        except Unreadable as error:
            raise Stopped(
                f"{self.path} cannot be read ({error}), so nobody can say what is stopped, and nothing is done. Restore "
                f"it; or delete it, if nothing is to be stopped."
            ) from error

    def demand(self, kind: Kind, name: str = "") -> None:
        """Nothing, or an error that says who stopped this and why.

        Raises:
            Stopped: it is stopped, or everything is.
        """
        for stop in self.list():
            if stop.kind == ALL or (stop.kind == kind and stop.name == name):
                because = f": {stop.why}" if stop.why else ""
                raise Stopped(
                    f"{_words(stop)} was stopped by {stop.by} at {stop.at}{because}. Only an operator can undo it."
                )

    def add(self, kind: Kind, name: str = "", *, by: str, why: str) -> Stop:
        """Switch off. What is off already keeps who did it first."""
        new = Stop(kind, name, by, why, self._clock.now().isoformat(timespec="seconds"))
        with self._file.exclusive():
            stops = self.list()
            same = [stop for stop in stops if (stop.kind, stop.name) == (kind, name)]
            if same:
                return same[0]
            self._write((*stops, new))
        return new

    def lift(self, kind: Kind, name: str = "") -> Stop:
        """Switch on again.

        Raises:
            NotFound: it is not stopped.
        """
        with self._file.exclusive():
            gone = self.find(kind, name)
            self._write([stop for stop in self.list() if stop != gone])
        return gone

    def find(self, kind: Kind, name: str = "") -> Stop:
        """Raises:
        NotFound: it is not stopped.
        """
        for stop in self.list():
            if (stop.kind, stop.name) == (kind, name):
                return stop
        wanted = f"{kind}:{name}" if name else kind
        raise NotFound(f'"{wanted}" is not stopped. {did_you_mean(wanted, map(str, self.list()))}')

    def _write(self, stops: Sequence[Stop]) -> None:
        self._file.write([asdict(stop) for stop in stops])


def _parsed(entries: Any) -> tuple[Stop, ...]:
    return tuple(Stop(**entry) for entry in entries)


def _words(stop: Stop) -> str:
    return {
        "all": "Everything",
        "effects": "Every tool that changes something",
        "tenant": f'All work for the tenant "{stop.name}"',
        "model": f'The model "{stop.name}"',
    }[stop.kind]


Demand = Callable[[str], None]
"""Raises a ComponentError where the model of this name may not be called, such as Stopped."""


def nothing_stopped(name: str) -> None:
    """For parts that are built without switches, in tests and benches."""
    del name
