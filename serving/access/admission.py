"""Limits on concurrent work: how much runs at once, how much may wait, and when other callers may try again.

Each kind of work has its own places, which tenants share and, in a tenant, persons. There are fewer than configured while answers take
much longer together than alone, as on a machine with few cores.
"""

import asyncio
import math
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Literal

from langchain_core.language_models import BaseChatModel

from foundation import names
from foundation.errors import Overloaded
from foundation.types import Principal
from models.pricing import is_local
from observability.telemetry import metrics

Work = Literal["answers", "searches", "writes", "reads"]

# Pieces of work at once and waiting. Reads are lists, documents, conversations and the page: all work without places of its own
PLACES: Mapping[Work, tuple[int, int]] = {"searches": (4, 32), "writes": (2, 8), "reads": (8, 64)}
# Answers that may wait for each one at work: with half, nobody waits longer than half an answer
QUEUED_SHARE = 0.5
ANSWERS_OF_THIS_MACHINE, ANSWERS_OF_AN_ADDRESS = 4, 64
# Seconds that a tenant with nothing at work waits where another holds every place, until it is let in beside them: a scan takes minutes
HELD_S = 5.0
NEWEST = 0.1
# places are removed while work takes more than this many times its duration alone
SLOWER = 1.4
FEWER = 0.7
FEWEST = 2


def answers_at_once(configured: int | None, model: BaseChatModel) -> int:
    """Return the places for answers. A model on this machine uses its cores; one behind an address makes the server wait."""
    return configured or (ANSWERS_OF_THIS_MACHINE if is_local(model) else ANSWERS_OF_AN_ADDRESS)


class FairTurns:
    """At most `limit` at once. A free turn goes to the tenant with the fewest at work and, in it, to the person with the fewest;
    of equals, to the one whose last turn is longest ago. Belongs to one event loop.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.running = 0
        self._at_work: Counter[tuple[str, ...]] = Counter()
        """Of each tenant, and of each tenant and subject."""
        self._queue: dict[asyncio.Future[None], Principal] = {}
        """Who waits for which turn. Whose last turn is longest ago comes first."""

    @property
    def waiting(self) -> int:
        return len(self._queue)

    @asynccontextmanager
    async def turn(self, caller: Principal) -> AsyncIterator[None]:
        """Hold a turn. Raises `turn_away`'s error: it was called."""
        if self.running < self.limit:
            self._count(caller, 1)
        else:
            await self._wait(caller)
        try:
            yield
        finally:
            self._pass_on(caller)

    def turn_away(self, error: Exception) -> None:
        """Raise `error` in all who wait."""
        for turn in self._queue:
            if not turn.done():
                turn.set_exception(error)
        self._queue.clear()

    async def _wait(self, caller: Principal) -> None:
        turn = asyncio.get_running_loop().create_future()
        self._queue[turn] = caller
        looking = asyncio.create_task(self._let_in_beside(caller, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self._queue.pop(turn, None)
            elif turn.exception() is None:  # we were given the turn and cancelled at the same moment
                self._pass_on(caller)
            raise
        finally:
            looking.cancel()

    async def _let_in_beside(self, caller: Principal, turn: asyncio.Future[None]) -> None:
        """Give the turn once one other tenant has held every place for `HELD_S`: a place more, which one tenant at a time has."""
        while not turn.done():
            await asyncio.sleep(HELD_S)
            held = max((count for whose, count in self._at_work.items() if len(whose) == 1), default=0)
            if held == self.running >= self.limit and not self._at_work[caller.tenant,] and not turn.done():
                self._give(turn)

    def _give(self, turn: asyncio.Future[None]) -> None:
        caller = self._queue.pop(turn)
        if not turn.done():
            # counted here and not where it wakes up, or another one could come in between
            self._count(caller, 1)
            turn.set_result(None)

    def _count(self, caller: Principal, change: int) -> None:
        self.running += change
        self._at_work.update({(caller.tenant,): change, _person(caller): change})
        self._at_work = +self._at_work  # forgets who has nothing at work

    def _pass_on(self, caller: Principal) -> None:
        self._count(caller, -1)
        while self._queue and self.running < self.limit:
            tenant = min((it.tenant for it in self._queue.values()), key=lambda tenant: self._at_work[tenant,])
            persons = [_person(it) for it in self._queue.values() if it.tenant == tenant]
            person = min(persons, key=lambda person: self._at_work[person])
            self._give(next(turn for turn, it in self._queue.items() if _person(it) == person))
            # the tenant goes to the end, and there the person
            order = sorted(self._queue.items(), key=lambda it: (it[1].tenant == tenant, _person(it[1]) == person))
            self._queue = dict(order)


class Admission(FairTurns):
    """At most `concurrent` running pieces of work and `queued` waiting ones. Full: whoever has most of them loses the last."""

    def __init__(
        self, *, concurrent: int, queued: int, work: Work = "answers", now: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(concurrent)
        self._most = concurrent
        self._queued = queued
        self._work = work
        self._now = now
        self._limit = float(concurrent)
        self._usual_s = 0.0
        self._alone_s = 0.0
        self._removed_s = -math.inf
        self._shared = False
        self.shed = 0
        """Pieces of work that were turned away."""

    @asynccontextmanager
    async def place(self, caller: Principal) -> AsyncIterator[None]:
        """Hold a place. Raises Overloaded: places and queue are full, and nobody has more of them than the caller, or while it
        waited somebody came who has fewer. `turn_away`'s error: it was called.
        """
        # in proportion to the places: in an overload a long queue stays full, and everybody waits for its whole length
        if self.running >= self.limit and self.waiting >= self._queued * self.limit // self._most:
            self._push_out_for(caller)
        async with self.turn(caller):
            self._shared = self._shared or self.running > 1
            started_s = self._now()
            try:
                yield
            finally:
                self._took(self._now() - started_s, started_s)
                self._shared = self._shared and self.running > 1

    def _push_out_for(self, caller: Principal) -> None:
        """Turn away the last who waits of the tenant, and in it of the person, with most at work and waiting."""
        self.shed += 1
        metrics.domain().count(names.REQUESTS_SHED, work=self._work)
        refusal = Overloaded(
            f"{self.running} {self._work} are being worked on and {self.waiting} wait. Try again in a few seconds.",
            # until all current work is done
            retry_after_s=max(1.0, math.ceil(self._usual_s * (self.running + self.waiting) / self.limit)),
        )
        greediest = self._find_greediest(caller)
        if greediest == _person(caller):
            raise refusal
        turn = next(turn for turn, it in reversed(self._queue.items()) if _person(it) == greediest)
        del self._queue[turn]
        if not turn.done():
            turn.set_exception(refusal)

    def _find_greediest(self, caller: Principal) -> tuple[str, str]:
        # `max` takes the first of equals: the one who comes last
        comers = [caller, *reversed(self._queue.values())]
        load = Counter(self._at_work)
        for comer in comers:
            load.update([(comer.tenant,), _person(comer)])
        tenant = max(comers, key=lambda comer: load[comer.tenant,]).tenant
        return max((_person(it) for it in comers if it.tenant == tenant), key=lambda person: load[person])

    def _took(self, seconds: float, started_s: float) -> None:
        self._usual_s = _average(self._usual_s, seconds)
        # with others at work, a time counts as time alone only if it is shorter
        if not self._shared or seconds < self._alone_s or not self._alone_s:
            self._alone_s = _average(self._alone_s, seconds)
        if self._usual_s > SLOWER * self._alone_s:
            # once for all that began before: one burst of a thousand would otherwise leave two places for days
            if started_s >= self._removed_s:
                self._limit, self._removed_s = max(min(FEWEST, self._most), self._limit * FEWER), self._now()
        elif self.running >= self.limit:
            self._limit = min(self._most, self._limit + 1 / self._limit)
        self.limit = int(self._limit)


class PerPerson:
    """At most `most` of something for one person at once. Requests beyond are refused with `refusal`, not queued."""

    def __init__(self, most: int, refusal: Callable[[int], Exception]) -> None:
        self._most = most
        self._refusal = refusal
        self._held: Counter[tuple[str, str]] = Counter()

    @contextmanager
    def place(self, caller: Principal) -> Iterator[None]:
        """Hold a place. Raises the refusal: the person has `most` already."""
        person = _person(caller)
        if self._held[person] >= self._most:
            raise self._refusal(self._most)
        self._held[person] += 1
        try:
            yield
        finally:
            self._held[person] -= 1
            self._held = +self._held


def _person(caller: Principal) -> tuple[str, str]:
    return caller.tenant, caller.subject


def _average(before: float, latest: float) -> float:
    return before + NEWEST * (latest - before) if before else latest
