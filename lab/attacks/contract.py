"""What an attack is.

An attack does what somebody who wants harm would do, against a server in a process of its own, and reports what got
through. `reopen` takes the defence out of that server, so that the suite can show that the attack would notice:

    ATTACKS = (
        Attack(name="stale-approval", title="an approval that has expired is used", run=use_expired, reopen=ignore_expiry),
    )

Each module of this folder that has `ATTACKS` is part of the suite.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lab.attacks.victim import Victim

_STOPS_AT_FIRST: ContextVar[bool] = ContextVar("stops_at_first", default=False)


class GotThrough(Exception):
    """Ends an attack at the first try that succeeded; `tried` is what was tried until then."""

    def __init__(self, tried: Tried) -> None:
        super().__init__(tried.through[-1])
        self.tried = tried


@contextmanager
def stopping_at_first() -> Iterator[None]:
    """One try that gets through is enough: the attack ends with `GotThrough`."""
    token = _STOPS_AT_FIRST.set(True)
    try:
        yield
    finally:
        _STOPS_AT_FIRST.reset(token)


@dataclass
class Tried:
    """How often something was tried, and what got through."""

    count: int = 0
    through: list[str] = field(default_factory=list)
    """One sentence for each try that succeeded; none is what we want."""

    def check(self, *, held: bool, otherwise: str) -> None:
        """Count one try, and note `otherwise` unless it was held off."""
        self.count += 1
        if not held:
            self.through.append(otherwise)
            if _STOPS_AT_FIRST.get():
                raise GotThrough(self)


@dataclass(frozen=True, kw_only=True)
class Attack:
    """One way to do harm, and the one defence that stops it."""

    name: str
    """Lower case with hyphens; unique in the suite."""
    title: str
    """What would be lost, as a plain clause: "an agent reads a document of another group by replacing it"."""
    run: Callable[[Victim], Tried]
    reopen: Callable[[], None]
    """Called in the server's process before it starts: takes this one defence out, by replacing a function or a limit."""
    stack: str = ""
    """Lines of stack.toml that the attack needs beside `victim.STACK`."""
    alone: bool = False
    """Stops the server, fills it or changes what other attacks rely on."""

    @property
    def needs_own_server(self) -> bool:
        return self.alone or bool(self.stack)
