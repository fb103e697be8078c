"""Kill switches: an operator's stops, in one small file that every process of a data folder reads before it acts.

`effects`: no tool may change anything. `tenant:NAME`: nothing is done for this tenant. `model:NAME`: this chat model is not called.
`all`: nothing is done for anybody.
"""

import logging
import re
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, cast

from foundation.clock import Clock
from foundation.errors import InvalidRequest, NotFound, Stopped, StoreUnavailable, did_you_mean
from foundation.stores.json_file import JsonFile, Unreadable
from foundation.stores.registry import Store

log = logging.getLogger("sixply.stops")

Kind = Literal["effects", "tenant", "model", "all"]
ALL: Kind = "all"
WORDS: dict[Kind, str] = {
    "all": "Everything",
    "effects": "Every tool that changes something",
    "tenant": 'All work for the tenant "{name}"',
    "model": 'The model "{name}"',
}
# Least bytes of the file: room for some 150 stops, which can so be written on a full disk
RESERVE = 32_768


STORES = (
    Store(
        name="switches",
        files=("stops.json", "stops.lock", "stops.new"),
        stays="what an operator stopped, why, and who did; nothing of whoever asks",
    ),
)


@dataclass(frozen=True, slots=True)
class Stop:
    """A stop in force. `name` is empty for kinds without one."""

    kind: Kind
    name: str
    by: str
    reason: str
    at: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}" if self.name else self.kind


def parse(what: str) -> tuple[Kind, str]:
    """Parse `effects`, `all`, `tenant:NAME` or `model:NAME`. Raises InvalidRequest: the text is none of them.

    >>> parse("tenant:northwind")
    ('tenant', 'northwind')
    """
    if match := re.fullmatch(r"(effects|all)|(tenant|model):(.+)", what.strip(), re.DOTALL):
        return cast("Kind", match[1] or match[2]), match[3] or ""
    forms = ("effects", "all", "tenant:NAME", "model:NAME")
    raise InvalidRequest(f'"{what}" names nothing that can be stopped. {did_you_mean(what, forms)}')


class Stops:
    """The switches of one data folder. Several processes may read and change them at any time."""

    def __init__(self, path: Path, clock: Clock, records: object = None) -> None:
        self.path = path
        self._clock = clock
        self._file = getattr(records, "json_file", JsonFile)(
            path, lambda entries: tuple(Stop(**entry) for entry in entries)
        )
        self._pending: dict[tuple[Kind, str], Stop] = {}
        """Stops that are in force in this process and not in the file."""
        self.unwritten: StoreUnavailable | None = None
        """The error of the last attempt to write; `None`: it succeeded."""
        self.unrecorded: deque[tuple[Stop, str]] = deque()
        """Stops that are in force and not recorded yet, with their authors; see stopping.py."""

    def list(self) -> tuple[Stop, ...]:
        """Return the stops in force, oldest first. Raises Stopped: the file cannot be read."""
        try:
            # what cannot be read may hold a stop, so everything is stopped
            stops = self._file.load() or ()
        except Unreadable as error:
            log.error("%s cannot be read: %s", self.path, error)  # noqa: TRY400 - at each request: no traceback
            raise Stopped(
                f"{self.path.name} cannot be read, so nothing is done. Restore it, or delete it to stop nothing."
            ) from error
        # a stop is in force in its own process before it is written
        if not self._pending:
            return stops
        written = {(stop.kind, stop.name) for stop in stops}
        return (*stops, *(stop for switch, stop in self._pending.items() if switch not in written))

    @property
    def pending(self) -> bool:
        """Whether a stop is in force in this process and could not be written yet."""
        return bool(self._pending)

    def reserve(self) -> None:
        """Create the file with room for stops on a full disk. A failure is logged."""
        try:
            with self._file.exclusive():
                if not self.path.exists() or self.path.stat().st_size < RESERVE:
                    self._write(self.list())
        except (StoreUnavailable, Stopped):
            log.exception("no room is kept for stops")

    def write_pending(self) -> bool:
        """Write the pending stops to the file; return whether none is left. Raises Stopped: it cannot be read."""
        if pending := tuple(self._pending):
            try:
                with self._file.exclusive():
                    self._write(self.list())
                for switch in pending:
                    self._pending.pop(switch, None)
                self.unwritten = None
            except StoreUnavailable as error:
                self.unwritten = error
                log.exception("a stop is in force in this process and could not be written")
        return not self._pending

    def demand(self, kind: Kind, name: str = "") -> None:
        """Raise Stopped where this, or everything, is stopped; the text says by whom and why."""
        for stop in self.list():
            if stop.kind == ALL or (stop.kind == kind and stop.name == name):
                because = f": {stop.reason}" if stop.reason else ""
                what = WORDS[stop.kind].format(name=stop.name)
                raise Stopped(f"{what} was stopped by {stop.by} at {stop.at}{because}. Only an operator can undo it.")

    def add(self, kind: Kind, name: str = "", *, by: str, reason: str) -> Stop:
        """Add a stop and return it, or the existing one. It is in force even where it cannot be written."""
        self.hold(kind, name, by=by, reason=reason)
        self.write_pending()
        return self.find(kind, name)

    def hold(self, kind: Kind, name: str = "", *, by: str, reason: str) -> Stop:
        """Put a stop in force in this process, without writing it, and return it or the existing one."""
        new = Stop(kind, name, by, reason, self._clock.now().isoformat(timespec="seconds"))
        self._pending.setdefault((kind, name), new)
        return self.find(kind, name)

    def lift(self, kind: Kind, name: str = "") -> Stop:
        """Lift a stop and return it. Raises NotFound; StoreUnavailable: it cannot be written, so the stop stays."""
        gone = self.find(kind, name)
        with self._file.exclusive():
            if gone in (self._file.load() or ()):
                self._write([stop for stop in self.list() if stop != gone])
        self._pending.pop((kind, name), None)
        self.unwritten = self.unwritten if self._pending else None
        return gone

    def find(self, kind: Kind, name: str = "") -> Stop:
        """Return a stop in force. Raises NotFound: this is not stopped."""
        for stop in self.list():
            if (stop.kind, stop.name) == (kind, name):
                return stop
        wanted = f"{kind}:{name}" if name else kind
        raise NotFound(f'"{wanted}" is not stopped. {did_you_mean(wanted, map(str, self.list()))}')

    def _write(self, stops: Sequence[Stop]) -> None:
        self._file.write([asdict(stop) for stop in stops], size=RESERVE)
