"""What the tests of access know of each route: who may call it, a request that fits, and whose what it names is.

The test of access has the core's routes. An extension has a file `rules.py` beside its tests: `RULES`, `OURS` for the ids in
its paths, and `BEGUN`, what makes these. The tests of access run on them all.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

ROLES = ("reader", "agent", "approver", "operator")
EVERYONE = frozenset(ROLES)
WRITERS = frozenset({"agent", "operator"})
DECIDERS = frozenset({"approver"})
OPERATORS = frozenset({"operator"})
PUBLIC: frozenset[str] = frozenset({"public"})
"""No credential is asked for."""

ASK = {"question": "When does it ship?"}


@dataclass(frozen=True)
class Rule:
    """Who may call, a request that fits, and whose what it names is."""

    who: frozenset[str] = EVERYONE
    json: Any = None
    files: Any = None
    query: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    paged: bool = False
    of_tenant: bool = False
    """It names something of the tenant north; in another tenant there is no such thing."""
    of_person: bool = False
    """It names something of reader@north; for a colleague there is no such thing either."""
    answers: bool = False
    """The double answers there, and its answer is always the same."""
    queued: bool = True
    """It waits for a place. An overloaded system must still be watched, stopped, and its waiting work decided."""
    no_id: int = 422
    """The status for an id that is no id."""
    calls: tuple[Any, ...] = ()
    """Bodies that take a place each, where the route is one for many things and tells errors in its replies."""
    last: bool = False
    """Its work goes on after the reply."""


@dataclass(frozen=True)
class Begun:
    """A request, by a key of the world, that makes something of which a rule speaks."""

    name: str
    key: str = "reader"
    changes: dict[str, Any] = field(default_factory=dict)
