"""Quotas: requests, tokens and dollars of a caller and of a tenant per time window, and their concurrent requests.

A caller is a subject in its tenant, with whichever key or token. Counters live in the shared cache, so workers on Redis
share them. A request over a quota gets 429 before any work. A running request is never stopped by a quota: its own budget
(`[orchestration.budget]`) limits it, and its use is booked before each model call.
"""

from __future__ import annotations

import itertools
import logging
import math
import secrets
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import ExitStack, aclosing
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

import anyio
from fastapi import Request
from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from foundation.errors import ComponentError
from foundation.stores.erasures import mark_of
from foundation.types import Principal
from orchestration.contract import Agent, Spending
from orchestration.events import Event
from orchestration.requests import AnswerRequest
from orchestration.run.wrapping import AgentWrapper
from orchestration.settings import BudgetSettings
from serving.access.admission import PerPerson
from serving.contract import Cache, Quota
from serving.http.errors import QuotaExceeded, respond, surface_of
from serving.settings import Limits, QuotaSettings

log = logging.getLogger("sixply.serving")

WINDOWS_S = {"minute": 60, "hour": 3600, "day": 86_400, "month": 30 * 86_400}
MICRO = 10**6

Kind = Literal["requests", "tokens", "usd"]
Whose = Literal["caller", "tenant"]
# Requests of a caller at once in each process, where no quota says it. Counted here, since a cache that fails must stop nobody then
AT_ONCE = 64
UNITS: Mapping[Kind, str] = {"requests": "requests", "tokens": "tokens", "usd": "microdollars"}


@dataclass(frozen=True, slots=True)
class Limit:
    kind: Kind
    whose: Whose
    window: str
    most: int
    """The maximum per window; of dollars, in millionths."""

    def key(self, principal: Principal) -> str:
        """Return the key of the counter, within the tenant."""
        return _key(f"quota {self.kind} {self.window}", principal, self.whose)

    @property
    def window_s(self) -> int:
        return WINDOWS_S[self.window]

    @property
    def name(self) -> str:
        return f"{self.whose}-{self.kind}-{self.window}"

    def quota_error(self, quota: Quota) -> QuotaExceeded:
        most = f"{Decimal(self.most) / MICRO:f} USD" if self.kind == "usd" else f"{self.most} {self.kind}"
        whose = "You have" if self.whose == "caller" else "Your tenant has"
        again_s = None if math.isinf(quota.retry_after_s) else quota.retry_after_s
        again = "" if again_s is None else f" Try again in {lasting(again_s)}."
        return QuotaExceeded(
            f"{whose} used up the quota of {most} per {self.window}.{again} An operator sets it: [serving.quotas].",
            limit=f"{self.kind}_per_{self.window}",
            retry_after_s=again_s,
        )


@dataclass(frozen=True, slots=True)
class _Rules:
    whose: Whose
    limits: tuple[Limit, ...]
    concurrent: int | None

    @classmethod
    def of(cls, whose: Whose, configured: Limits) -> _Rules:
        limits = []
        for kind, window in itertools.product(UNITS, WINDOWS_S):
            if (most := getattr(configured, kind).get(window)) is not None:
                # the cache counts whole numbers, so money in millionths
                whole = math.floor(Decimal(str(most)) * MICRO) if kind == "usd" else most
                limits.append(Limit(kind, whose, window, whole))
        return cls(whose, tuple(limits), configured.concurrent)


@dataclass
class Admitted:
    """The slots that a request holds, and the quota states that it was given."""

    principal: Principal
    slots: list[tuple[str, bytes]] = field(default_factory=list)
    said: dict[str, Quota] = field(default_factory=dict)
    here: ExitStack = field(default_factory=ExitStack)
    """Gives back the place of `AT_ONCE`."""


class Quotas:
    """The quotas of every caller. Methods do nothing where no quota is configured."""

    def __init__(self, settings: QuotaSettings, budget: BudgetSettings, cache: Cache) -> None:
        self._caller = _Rules.of("caller", settings.caller)
        self._tenant = _Rules.of("tenant", settings.tenant)
        self._tenants = {name: _Rules.of("tenant", limits) for name, limits in settings.tenants.items()}
        self._cache, self._here = cache, PerPerson(AT_ONCE, too_many_at_work)
        self._slot_ttl_s = budget.seconds + 60
        self._unpriced = Decimal(str(budget.usd))

    def limits(self, principal: Principal, *kinds: Kind) -> list[Limit]:
        """Return the limits of these kinds that apply to `principal`."""
        return [limit for rules in self._of(principal) for limit in rules.limits if limit.kind in kinds]

    async def admit(self, principal: Principal) -> Admitted:
        """Count a request and hold a slot until `release`. Raises QuotaExceeded: too many requests in a window or at
        once; nothing is counted then. StoreUnavailable: the counters cannot be reached.
        """
        admitted = Admitted(principal)
        try:
            if self._caller.concurrent is None:
                admitted.here.enter_context(self._here.place(principal))
            for rules in self._of(principal):
                if rules.concurrent is not None:
                    await self._hold(admitted, rules.whose, rules.concurrent)
            await self._take(admitted, self.limits(principal, "requests"), 1)
        except BaseException:
            await self.release(admitted)
            raise
        return admitted

    async def release(self, admitted: Admitted) -> None:
        """Release the slots. A second call does nothing."""
        admitted.here.close()
        if not admitted.slots:
            return
        slots, admitted.slots = admitted.slots, []
        with anyio.CancelScope(shield=True):  # the request is often being cancelled
            for key, mark in slots:
                try:
                    if await self._cache.get(admitted.principal.tenant, key) == mark:  # else it had expired
                        await self._cache.delete(admitted.principal.tenant, key)
                except ComponentError:  # it expires by itself
                    log.exception("a slot could not be given back")

    async def demand_left(self, principal: Principal) -> None:
        """Check that some of the quotas of tokens and dollars is left. Raises QuotaExceeded, StoreUnavailable."""
        limits = self.limits(principal, "tokens", "usd")
        if limits:
            # one of each, given back at once: only a used-up quota refuses that
            await self._take(Admitted(principal), limits, 1)
            await self._book(principal, tokens=-1, microdollars=-1)

    async def reserve(self, principal: Principal, *, tokens: int, usd: Decimal | None) -> tuple[int, int]:
        """Book the maximum that a call may use, even beyond a quota; return it as tokens and microdollars. Where the
        price is unknown (`usd` is `None`), book the whole budget of a request.
        """
        microdollars = math.ceil((self._unpriced if usd is None else usd) * MICRO)
        await self._book(principal, tokens=tokens, microdollars=microdollars)
        return tokens, microdollars

    async def settle(self, principal: Principal, booked: tuple[int, int], *, tokens: int, usd: Decimal | None) -> None:
        """Replace a booking by the actual use. With `usd` of `None` (price unknown), the booked dollars stay."""
        money = booked[1] if usd is None else math.ceil(usd * MICRO)
        try:
            await self._book(principal, tokens=tokens - booked[0], microdollars=money - booked[1])
        except ComponentError:  # the call is made and paid: keep its answer even if it cannot be counted
            log.exception("what a call used could not be counted; what was reserved for it stays counted")

    async def headers(self, admitted: Admitted) -> dict[str, str]:
        """Return the headers RateLimit and RateLimit-Policy (IETF draft), for each quota that applies to the caller."""
        policies, states = [], []
        for limit in self.limits(admitted.principal, "requests", "tokens", "usd"):
            quota = admitted.said.get(limit.name) or await self._count(admitted.principal, limit, 0)
            policies.append(f'"{limit.name}";q={limit.most};w={limit.window_s};qu="{UNITS[limit.kind]}"')
            states.append(f'"{limit.name}";r={quota.remaining};t={math.ceil(quota.reset_s)}')
        policies += [
            f'"{rules.whose}-concurrent";q={rules.concurrent};qu="concurrent-requests"'
            for rules in self._of(admitted.principal)
            if rules.concurrent is not None
        ]
        named = {"RateLimit-Policy": ", ".join(policies), "RateLimit": ", ".join(states)}
        return {name: value for name, value in named.items() if value}

    def _of(self, principal: Principal) -> tuple[_Rules, _Rules]:
        return self._caller, self._tenants.get(principal.tenant, self._tenant)

    async def _take(self, admitted: Admitted, limits: Sequence[Limit], amount: int) -> None:
        principal = admitted.principal
        for number, limit in enumerate(limits):
            quota = await self._count(principal, limit, amount)
            admitted.said[limit.name] = quota
            if not quota.allowed:
                for granted in limits[:number]:  # on all limits, or on none
                    await self._count(principal, granted, -amount, forced=True)
                raise limit.quota_error(quota)

    async def _book(self, principal: Principal, *, tokens: int, microdollars: int) -> None:
        for limit in self.limits(principal, "tokens", "usd"):
            await self._count(principal, limit, tokens if limit.kind == "tokens" else microdollars, forced=True)

    async def _count(self, principal: Principal, limit: Limit, amount: int, *, forced: bool = False) -> Quota:
        return await self._cache.take(
            principal.tenant, limit.key(principal), amount, limit=limit.most, window_s=limit.window_s, forced=forced
        )

    async def _hold(self, admitted: Admitted, whose: Whose, most: int) -> None:
        # values that expire, and not a counter: a killed process would never count down
        tenant, mark = admitted.principal.tenant, secrets.token_bytes(8)
        first = secrets.randbelow(most)
        for number in range(most):
            key = _key(f"slot {(first + number) % most}", admitted.principal, whose)
            if await self._cache.set(tenant, key, mark, ttl_s=self._slot_ttl_s, only_new=True):
                admitted.slots.append((key, mark))
                return
        raise too_many_at_work(most, whose)


class QuotaGate:
    """ASGI middleware that counts each API request before its body is read, and adds quota headers to the reply."""

    def __init__(self, app: ASGIApp, quotas: Quotas) -> None:
        self._app = app
        self._quotas = quotas

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        principal = scope.get("state", {}).get("principal")
        if scope["type"] != "http" or principal is None or not _is_counted(HTTPConnection(scope)):
            await self._app(scope, receive, send)
            return
        try:
            admitted = await self._quotas.admit(principal)
        except (QuotaExceeded, ComponentError) as error:
            response = respond(Request(scope), error)
            if isinstance(error, QuotaExceeded):  # else nobody counts, and we would wait a second time to hear that
                response.headers.update(await self._headers(Admitted(principal)))
            await response(scope, receive, send)
            return

        async def outgoing(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(await self._headers(admitted))
            elif message["type"] == "http.response.body" and not message.get("more_body", False):
                await self._quotas.release(admitted)  # before the caller sees the end and sends the next request
            await send(message)

        try:
            await self._app(scope, receive, outgoing)
        finally:
            await self._quotas.release(admitted)

    async def _headers(self, admitted: Admitted) -> dict[str, str]:
        try:
            return await self._quotas.headers(admitted)
        except ComponentError:  # the reply matters more than its quota headers
            log.exception("what is left of the quotas could not be told")
            return {}


def _is_counted(connection: HTTPConnection) -> bool:
    path, surface = connection.url.path, surface_of(connection)
    if surface is not None and surface.counted is not None:
        return surface.counted
    # approvals must be decided even when quotas are used up
    return path.startswith("/v1/") and not path.startswith("/v1/approvals")


class QuotaAgent(AgentWrapper):
    """An `Agent` that starts no run once a quota is used up, for every entry: routes, jobs, the page, MCP."""

    def __init__(self, inner: Agent, quotas: Quotas) -> None:
        super().__init__(inner)
        self._quotas = quotas

    async def stream(self, request: AnswerRequest, principal: Principal) -> AsyncGenerator[Event, None]:
        await self._quotas.demand_left(principal)
        async with aclosing(super().stream(request, principal)) as events:
            async for event in events:
                yield event


class QuotaSpending:
    """Books each call on the budgets of the day (`inner`), and on the quotas."""

    def __init__(self, inner: Spending, quotas: Quotas) -> None:
        self._inner = inner
        self._quotas = quotas

    async def reserve(self, principal: Principal, *, tokens: int, usd: Decimal | None) -> Any:
        held = await self._inner.reserve(principal, tokens=tokens, usd=usd)
        try:
            booked = await self._quotas.reserve(principal, tokens=tokens, usd=usd)
        except BaseException:
            await self._inner.settle(held, tokens=0, usd=Decimal(0))
            raise
        return principal, held, booked

    async def settle(self, held: Any, *, tokens: int, usd: Decimal | None) -> None:
        principal, inner, booked = held
        await self._inner.settle(inner, tokens=tokens, usd=usd)
        await self._quotas.settle(principal, booked, tokens=tokens, usd=usd)


def too_many_at_work(most: int, whose: Whose = "caller") -> QuotaExceeded:
    who = "You have" if whose == "caller" else "Your tenant has"
    text = f"{who} {most} requests at work, which is the most at once. Wait until one is answered."
    return QuotaExceeded(text, limit="concurrent", retry_after_s=1)


def lasting(seconds: float) -> str:
    """Return a wait in the unit that a person would use, rounded up.

    >>> lasting(0.2), lasting(59.5), lasting(200), lasting(3 * 3600), lasting(40 * 3600)
    ('1 second', '60 seconds', '4 minutes', '3 hours', '2 days')
    """
    unit, long = "second", 1
    for longer, long_s, least_s in (("minute", 60, 90), ("hour", 3600, 5400), ("day", 86_400, 129_600)):
        if seconds >= least_s:
            unit, long = longer, long_s
    many = max(1, math.ceil(seconds / long))
    return f"{many} {unit}{'' if many == 1 else 's'}"


def _key(what: str, principal: Principal, whose: Whose) -> str:
    return f"{what} of {mark_of(principal)}" if whose == "caller" else what
