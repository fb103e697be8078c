"""Durable approvals: requested once, decided once, and expired after a time."""

import json
import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from langchain_core.tools import BaseTool

from foundation.clock import Clock
from foundation.errors import Conflict, Gone, NotFound
from foundation.stores.registry import Person
from foundation.stores.sqlite_file import Open, SqliteFile, SqliteStore
from foundation.types import Principal
from orchestration.actions import Approval, Decision, Requirement
from orchestration.calls import amount_names, arguments_hash
from orchestration.language.guard import fold

SCHEMA = """
CREATE TABLE IF NOT EXISTS approvals (
    approval_id TEXT PRIMARY KEY,
    tenant      TEXT NOT NULL,
    status      TEXT NOT NULL,
    body        TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS approvals_by_tenant ON approvals (tenant, status);
"""


# So long the same request of a person is one, as when a client that lost the reply sends it again; clients wait ten minutes
SAME_REQUEST = timedelta(minutes=15)
# Of one person, over all conversations
MOST_WAITING = 20
# Latest decisions among which `find_duplicates` looks
DECIDED = 100


class GrantedMeanwhile(Conflict):
    """409: another call of the tool was approved since the decision was looked at."""


class TooManyWaiting(Conflict):
    """409: `MOST_WAITING` requests of the person wait."""


def _erase(connection: sqlite3.Connection, person: Person) -> int:
    """Delete a person's requests and their notes on decisions for others; return the number of changed rows."""
    who = (person.tenant, person.subject)
    own = connection.execute("DELETE FROM approvals WHERE tenant = ? AND body ->> '$.requested_by' = ?", who)
    notes = "SELECT approval_id, body FROM approvals WHERE tenant = ? AND body ->> '$.decided_by' = ?"
    noted = connection.execute(f"{notes} AND body ->> '$.decision_reason' != ''", who).fetchall()
    for approval_id, body in noted:
        without = json.dumps(json.loads(body) | {"decision_reason": ""})
        connection.execute("UPDATE approvals SET body = ? WHERE approval_id = ?", (without, approval_id))
    return own.rowcount + len(noted)


STORE = SqliteStore(
    name="approvals",
    file="approvals.sqlite",
    schema=SCHEMA,
    erase_rows=_erase,
    erased="their requests with arguments; notes on their decisions for others",
    stays="their decisions on others' requests: who is responsible for an effect must be known",
    shared=True,
)


class SqliteApprovals:
    """Approvals. There is no timer: the first read after its time stores an approval as expired for good."""

    def __init__(self, path: Path, clock: Clock, records: Open = SqliteFile) -> None:
        self._file = records(path, STORE)
        self._clock = clock

    async def request(self, approval: Approval) -> Approval:
        """Store an approval, or return the stored one of the same call, or that of the same request of `SAME_REQUEST` that waits
        or was approved. Raises Conflict: its id belongs to another tenant. TooManyWaiting.
        """

        def store(connection: sqlite3.Connection) -> Approval | None:
            if stored := self._find(connection, approval.approval_id, approval.tenant):
                return stored
            if same := self._find_same_request(connection, approval):
                return same
            self._demand_room(connection, approval)
            row = (approval.approval_id, approval.tenant, approval.status, approval.model_dump_json())
            connection.execute("INSERT OR IGNORE INTO approvals VALUES (?, ?, ?, ?)", row)
            return self._find(connection, approval.approval_id, approval.tenant)

        stored = await self._file.run(store)
        if stored is None:
            raise Conflict(f"Approval {approval.approval_id} belongs to another tenant.")
        return stored

    def _find_same_request(self, connection: sqlite3.Connection, approval: Approval) -> Approval | None:
        if not approval.request_hash:
            return None
        same = (
            "status IN ('pending', 'approved') AND body ->> '$.request_hash' = ? AND body ->> '$.thread_id' != ? "
            "ORDER BY rowid"
        )
        found = _select(connection, same, approval.tenant, approval.request_hash, approval.thread_id)
        since = approval.requested_at - SAME_REQUEST
        current = (self._expire(connection, it) for it in found)
        return next((it for it in current if it.status != "expired" and since < it.requested_at), None)

    def _demand_room(self, connection: sqlite3.Connection, approval: Approval) -> None:
        count = (
            "SELECT COUNT(*) FROM approvals WHERE tenant = ? AND status = 'pending' AND body ->> '$.requested_by' = ? "
            "AND julianday(body ->> '$.expires_at') > julianday(?)"
        )
        asked_by = (approval.tenant, approval.requested_by, self._clock.now().isoformat())
        if (waiting := connection.execute(count, asked_by).fetchone()[0]) >= MOST_WAITING:
            raise TooManyWaiting(
                f"{waiting} of your requests wait for a decision, which is the most. Wait for one of them."
            )

    async def get(self, approval_id: str, tenant: str) -> Approval | None:
        return await self._file.run(lambda connection: self._find(connection, approval_id, tenant))

    async def pending(self, tenant: str) -> list[Approval]:
        """Return the approvals that can still be decided, oldest first."""

        def select(connection: sqlite3.Connection) -> list[Approval]:
            waiting = _select(connection, "status = 'pending' ORDER BY rowid", tenant)
            return [self._expire(connection, approval) for approval in waiting]

        return [approval for approval in await self._file.run(select) if approval.status == "pending"]

    async def decided(self, tenant: str, *, limit: int) -> list[Approval]:
        """Return the latest decided approvals, newest first."""
        latest = "status IN ('approved', 'rejected') ORDER BY body ->> '$.decided_at' DESC LIMIT ?"
        return await self._file.run(lambda connection: _select(connection, latest, tenant, limit))

    async def granted(self, tenant: str, tool: str) -> list[Approval]:
        """Return the approved calls of a tool, whether they were carried out or not."""
        return await self._file.run(lambda connection: _find_granted(connection, tenant, tool))

    def waiting(self) -> int:
        """Return the number of approvals of all tenants that can still be decided; a metric."""
        count = "SELECT COUNT(*) FROM approvals WHERE status = 'pending' AND julianday(body ->> '$.expires_at') > julianday(?)"
        now = (self._clock.now().isoformat(),)
        return int(self._file.run_now(lambda connection: connection.execute(count, now).fetchone()[0]))

    async def decide(
        self,
        decision: Decision,
        principal: Principal,
        *,
        edited: dict[str, Any] | None = None,
        needs: Requirement | None = None,
        granted: int | None = None,
    ) -> Approval:
        """Store a decision; of two at once, one wins. It waits on until as many people approved the same as it `needs`.

        Raises NotFound: not in this tenant. Gone: it has expired. Conflict: it was decided, or the caller approved it already.
        GrantedMeanwhile: the tool has another number of approved calls than `granted`.
        """

        def settle(connection: sqlite3.Connection) -> Approval:
            approval = self._find(connection, decision.approval_id, principal.tenant)
            if approval is None:
                raise NotFound(f"There is no approval {decision.approval_id}.")
            # not raised here: an exception would roll back the noted expiry
            if approval.status == "expired":
                return approval
            if approval.status != "pending":
                raise already_decided_error(approval)
            if granted is not None and granted != len(_find_granted(connection, approval.tenant, approval.tool)):
                raise GrantedMeanwhile(f"Another call of {approval.tool} was approved meanwhile. Decide again.")
            changes: dict[str, Any] = {
                "needs": needs,
                "status": "approved" if decision.approve else "rejected",
                "decided_by": principal.subject,
                "decided_at": self._clock.now(),
                "decision_reason": decision.reason,
                "edited": edited,
                "edited_hash": "" if edited is None else arguments_hash(approval.tool, approval.tenant, edited),
            }
            if decision.approve and needs and needs.people > 1:
                changes |= _count_approval(approval, changes, principal, needs.people)
            return _store(connection, approval.model_copy(update=changes))

        settled = await self._file.run(settle)
        if settled.status == "expired":
            raise expired_error(settled)
        return settled

    def erase(self, tenant: str, subject: str) -> int:
        """Delete the approvals that one person requested, as for an erasure, and return the number of changed rows."""
        person = Person(tenant=tenant, subject=subject)
        return self._file.run_now(lambda connection: _erase(connection, person))

    def erase_before(self, at: datetime) -> int:
        """Delete approvals requested before `at` that can no longer be decided, and return their number."""
        # by `julianday`, since times are written with and without fractions of a second
        old = (
            "DELETE FROM approvals WHERE julianday(body ->> '$.requested_at') < julianday(?) "
            "AND (status != 'pending' OR julianday(body ->> '$.expires_at') <= julianday(?))"
        )
        times = (at.isoformat(), self._clock.now().isoformat())
        count = self._file.run_now(lambda connection: connection.execute(old, times).rowcount)
        if count:
            self._file.compact()
        return count

    def close(self) -> None:
        self._file.close()

    def _find(self, connection: sqlite3.Connection, approval_id: str, tenant: str) -> Approval | None:
        found = _select(connection, "approval_id = ?", tenant, approval_id)
        return self._expire(connection, found[0]) if found else None

    def _expire(self, connection: sqlite3.Connection, approval: Approval) -> Approval:
        # stored, so that a clock that is set back revives nothing
        if approval.status != "pending" or self._clock.now() < approval.expires_at:
            return approval
        return _store(connection, approval.model_copy(update={"status": "expired"}))


def _select(connection: sqlite3.Connection, condition: str, tenant: str, *values: str | int) -> list[Approval]:
    query = f"SELECT body FROM approvals WHERE tenant = ? AND {condition}"  # noqa: S608 - conditions stand in this file
    rows = connection.execute(query, (tenant, *values))
    return [Approval.model_validate_json(row["body"]) for row in rows.fetchall()]


def _find_granted(connection: sqlite3.Connection, tenant: str, tool: str) -> list[Approval]:
    return _select(connection, "status = 'approved' AND body ->> '$.tool' = ?", tenant, tool)


def _count_approval(
    approval: Approval, changes: Mapping[str, Any], principal: Principal, people: int
) -> dict[str, Any]:
    """Return what one of several people's approval changes. Whoever edits begins anew: the others approved something else."""
    same = changes["edited_hash"] == approval.edited_hash
    before = approval.approved_by if same else ()
    if fold(principal.subject) in map(fold, before):
        raise Conflict(f"You approved this already; it needs {people} people. Ask somebody else.")
    approved_by = (*before, principal.subject)
    if len(approved_by) >= people:
        return {"approved_by": approved_by}
    return {"approved_by": approved_by, "status": "pending", "decided_by": None, "decided_at": None}


def _store(connection: sqlite3.Connection, approval: Approval) -> Approval:
    sql = "UPDATE approvals SET status = ?, body = ? WHERE approval_id = ?"
    connection.execute(sql, (approval.status, approval.model_dump_json(), approval.approval_id))
    return approval


def find_duplicates(waiting: Sequence[Approval], decided: Sequence[Approval]) -> dict[str, Approval]:
    """Map each waiting approval's id to another approval of exactly the same call: the latest approved one, else the
    one that waits longest. `waiting` is oldest first, `decided` newest first, as the store returns them.
    """
    first_of_call: dict[tuple[str, str], Approval] = {}
    for approval in decided:
        if approval.status == "approved":
            first_of_call.setdefault((approval.tool, approval.granted_hash), approval)
    earlier = {}
    for approval in waiting:
        first = first_of_call.setdefault((approval.tool, approval.arguments_hash), approval)
        if first is not approval:
            earlier[approval.approval_id] = first
    return earlier


def sum_up_waiting(waiting: Sequence[Approval], tools: Iterable[BaseTool]) -> dict[str, tuple[int, dict[str, float]]]:
    """Map each waiting approval's id to how many its person waits for, and to the sums of their amounts for the same tool."""
    amounts = {tool.name: amount_names(tool) for tool in tools}
    by_person = Counter(approval.requested_by for approval in waiting)
    sums: Counter[tuple[str, str, str]] = Counter()
    for approval in waiting:
        for name in amounts.get(approval.tool, ()):
            with suppress(InvalidOperation):
                sums[approval.requested_by, approval.tool, name] += Decimal(str(approval.arguments.get(name) or 0))  # type: ignore[assignment]
    return {
        approval.approval_id: (
            by_person[approval.requested_by],
            {name: float(sums[approval.requested_by, approval.tool, name]) for name in amounts.get(approval.tool, ())},
        )
        for approval in waiting
    }


def expired_error(approval: Approval) -> Gone:
    return Gone(f"The time to decide this ended at {approval.expires_at:%Y-%m-%d %H:%M} UTC. Ask for it again.")


def already_decided_error(approval: Approval) -> Conflict:
    return Conflict(f"This was {approval.status} by {approval.decided_by} already.")
