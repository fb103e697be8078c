"""Daily budgets of tenants for model calls: reserved before a call, settled after it, by all runs together. Days are UTC.

The sums are in one SQLite file, which all processes on the data folder share and which survives a restart, or in the database of all replicas.
"""

import secrets
import sqlite3
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from foundation.clock import Clock, SteadyTime
from foundation.errors import BudgetExceeded, StoreUnavailable
from foundation.stores.sqlite_file import Open, SqliteFile, SqliteStore
from foundation.types import Principal
from orchestration.settings import BudgetSettings, DayLimits

SCHEMA = """
CREATE TABLE IF NOT EXISTS spent (
    day         TEXT NOT NULL,
    tenant      TEXT NOT NULL,
    tokens      INTEGER NOT NULL,
    picodollars INTEGER NOT NULL,
    PRIMARY KEY (day, tenant)
) STRICT;
CREATE TABLE IF NOT EXISTS reserved (
    id          INTEGER PRIMARY KEY,
    day         TEXT NOT NULL,
    tenant      TEXT NOT NULL,
    tokens      INTEGER NOT NULL,
    picodollars INTEGER NOT NULL,
    until       TEXT NOT NULL
) STRICT;
"""
STORE = SqliteStore(
    name="spending", file="spending.sqlite", schema=SCHEMA, stays="sums of a day by tenant, of no person"
)
USED = """
SELECT CAST(COALESCE(SUM(tokens), 0) AS BIGINT), CAST(COALESCE(SUM(picodollars), 0) AS BIGINT) FROM (
    SELECT day, tenant, tokens, picodollars FROM spent UNION ALL SELECT day, tenant, tokens, picodollars FROM reserved
) AS used WHERE day = ? AND (? IS NULL OR tenant = ?)
"""
PICO = 10**12
Reservation = tuple[int, str, str]  # its number, day and tenant
# Seconds after the time limit of a run when a reservation is dropped: its process was killed
_GRACE_S = 60.0


class SqliteSpending:
    """The budget of the day of all processes on the data folder, or of all replicas."""

    def __init__(self, path: Path, limits: BudgetSettings, clock: Clock, records: Open = SqliteFile) -> None:
        self._file = records(path, STORE)
        self._limits, self._time = limits, SteadyTime(clock)  # a day does not end because the clock is set ahead
        self._unbooked = list[dict[str, Any]]()

    async def reserve(self, principal: Principal, *, tokens: int, usd: Decimal | None) -> Reservation | None:
        """Set aside what a call may need and return a handle for `settle`; `usd=None`: its price is unknown. Raises BudgetExceeded."""
        tenant, now = principal.tenant, self._time.now()
        both = ((self._of(tenant), tenant, f'Tenant "{tenant}"'), (self._limits.day, None, "The system"))
        checks = [check for check in both if check[0]]
        if not checks:
            return None
        day, picodollars = now.date().isoformat(), self._picodollars(usd)
        until = now + timedelta(seconds=self._limits.seconds + _GRACE_S)

        while self._unbooked:
            await self.settle(**self._unbooked.pop())

        def hold(connection: sqlite3.Connection) -> Reservation:
            connection.execute("DELETE FROM reserved WHERE until < ?", (now.isoformat(),))
            for limits, whose, name in checks:
                _demand(limits, name, used=_sum_used(connection, day, whose), more=(tokens, picodollars))
            # SQLite would give the number of a dropped reservation to the next one
            row = (secrets.randbits(63), day, tenant, tokens, picodollars, until.isoformat())
            connection.execute("INSERT INTO reserved VALUES (?, ?, ?, ?, ?, ?)", row)
            return row[:3]

        return await self._file.run(hold)

    async def settle(self, held: Reservation | None, *, tokens: int, usd: Decimal | None) -> None:
        """Replace what was set aside by what the call used; 0 where no call was made. Raises StoreUnavailable: not yet; the next
        `reserve` of this process does it.
        """
        if held is None:
            return
        (number, day, tenant), picodollars = held, self._picodollars(usd)

        def book(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM reserved WHERE id = ?", (number,))  # where it was not dropped as too old
            connection.execute(
                "INSERT INTO spent VALUES (?, ?, ?, ?) ON CONFLICT (day, tenant) DO UPDATE "
                "SET tokens = spent.tokens + excluded.tokens, picodollars = spent.picodollars + excluded.picodollars",
                (day, tenant, tokens, picodollars),
            )

        try:
            await self._file.run(book)
        except StoreUnavailable:
            self._unbooked.append({"held": held, "tokens": tokens, "usd": usd})
            raise

    async def today(self, tenant: str | None = None) -> tuple[int, Decimal]:
        """Return the tokens and US dollars used or reserved today by a tenant; `None`: by all."""
        tokens, picodollars = await self._file.run(lambda connection: _sum_used(connection, self._day, tenant))
        return tokens, Decimal(picodollars) / PICO

    def system_share(self) -> float:
        """Return the share of the day's budget for all tenants that is used or reserved; 0 where there is no budget."""
        return _share(self._limits.day, self._file.run_now(lambda connection: _sum_used(connection, self._day, None)))

    def fullest_share(self) -> float:
        """Return the used or reserved share of the tenant that is nearest to its daily limit."""

        tenants = "SELECT tenant FROM spent WHERE day = ? UNION SELECT tenant FROM reserved WHERE day = ?"

        def select(connection: sqlite3.Connection) -> float:
            day = self._day
            rows = connection.execute(tenants, (day, day)).fetchall()
            shares = (_share(self._of(tenant), _sum_used(connection, day, tenant)) for (tenant,) in rows)
            return max(shares, default=0.0)

        return self._file.run_now(select)

    def _picodollars(self, usd: Decimal | None) -> int:
        # a call without a known price counts as the whole budget of a request: at zero, no limit would ever hold
        return int((Decimal(str(self._limits.usd)) if usd is None else usd) * PICO)

    def _of(self, tenant: str) -> DayLimits:
        return self._limits.tenants.get(tenant, self._limits.tenant_day)

    @property
    def _day(self) -> str:
        return self._time.now().date().isoformat()

    def close(self) -> None:
        self._file.close()


def _sum_used(connection: sqlite3.Connection, day: str, tenant: str | None) -> tuple[int, int]:
    tokens, picodollars = connection.execute(USED, (day, tenant, tenant)).fetchone()
    return tokens, picodollars


def _share(limits: DayLimits, used: tuple[int, int]) -> float:
    """Return the higher used share of the two limits; `used` are tokens and picodollars. A limit of 0 counts as used up."""
    amounts = {"tokens": Decimal(used[0]), "usd": Decimal(used[1]) / PICO}
    return max((float(amounts[unit]) / limit if limit else 1.0 for unit, limit in limits.items()), default=0.0)


def _demand(limits: DayLimits, name: str, *, used: tuple[int, int], more: tuple[int, int]) -> None:
    says = "{} has used {} of {} {} today; a call of about {} does not fit. A new day begins at midnight UTC."
    tokens = limits.get("tokens")
    if tokens is not None and used[0] + more[0] > tokens:
        raise BudgetExceeded(says.format(name, used[0], int(tokens), "tokens", more[0]), limit="tokens_per_day")
    limit = int(Decimal(str(limits["usd"])) * PICO) if "usd" in limits else None
    if limit is not None and (used[1] >= limit or used[1] + more[1] > limit):
        spent, needed = (f"{Decimal(amount) / PICO:.6f}" for amount in (used[1], more[1]))
        raise BudgetExceeded(says.format(name, spent, limits["usd"], "USD", needed), limit="usd_per_day")
