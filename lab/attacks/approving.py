"""Effects that are approved by whoever asked for them, or for amounts that nobody can see."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import Any

import httpx2 as httpx

from lab.attacks.contract import Attack, Tried
from lab.attacks.victim import Victim

DESK = "alder-clinics"
"""The tenant whose orders the support desk of the example knows."""


def approve_own(victim: Victim) -> Tried:
    """One person with the roles to ask and to approve, through one key, through two, and in another spelling."""
    tried = Tried()
    order = "QM-10025"
    asking = victim.person("edges-both", "agent", "approver", tenant=DESK)
    approval = _ask_refund(victim, asking, order)
    own = {
        "the same key": asking,
        "a second key": victim.person("edges-both", "approver", tenant=DESK),
        "another spelling": victim.person("Edges-BOTH", "approver", tenant=DESK),
        "letters of another width": victim.person("edges-\uff42\uff4f\uff54\uff48", "approver", tenant=DESK),
        "a sign that nobody sees": victim.person("edges-\u200bboth", "approver", tenant=DESK),
    }
    for how, person in own.items():
        for body in ({"approve": True}, {"approve": True, "arguments": {**approval["arguments"], "amount_usd": 1.0}}):
            reply = person.post(f"/v1/approvals/{approval['approval_id']}", json=body)
            tried.check(
                held=reply.status_code == httpx.codes.FORBIDDEN, otherwise=f"approved with {how}: {reply.text[:200]}"
            )
    tried.check(held=_refunded(victim, order) == [], otherwise="money left on one person's word")
    colleague = victim.person("edges-lead", "approver", "desk_manager", tenant=DESK)
    reply = colleague.post(f"/v1/approvals/{approval['approval_id']}", json={"approve": True})
    honest = (reply.status_code, [by for by, _ in _refunded(victim, order)])
    tried.check(held=honest == (httpx.codes.OK, ["edges-lead"]), otherwise=f"a colleague could not approve: {honest}")
    return tried


def withdraw_of_another(victim: Victim) -> Tried:
    """A colleague, an approver and a stranger withdraw what they have not asked for, and so reject it in the name of nobody."""
    tried = Tried()
    asking = victim.person("edges-asks", "agent", tenant=DESK)
    address = f"/v1/approvals/{_ask_refund(victim, asking, 'QM-10017')['approval_id']}"
    strangers = {"a colleague": "agent", "a reader": "reader", "an approver": "approver", "an operator": "operator"}
    for who, role in strangers.items():
        reply = victim.person(f"edges-{role}", role, tenant=DESK).delete(address)
        tried.check(held=reply.status_code == 404, otherwise=f"{who} withdrew it: {reply.status_code}")
    tried.check(held=asking.delete(address).status_code == 200, otherwise="who asked could not withdraw it")
    return tried


def _let_anybody_withdraw() -> None:
    from serving.api import approvals

    setattr(approvals, "is_same_person", lambda *_: True)  # noqa: B010 - its place of use, which it does not export


def approve_dust(victim: Victim) -> Tried:
    """Amounts below a cent, and between two of them, which the approver is shown rounded."""
    tried = Tried()
    order = "QM-10027"
    asking = victim.person("edges-dust", "agent", tenant=DESK)
    colleague = victim.person("edges-dust-lead", "approver", "desk_manager", tenant=DESK)
    approval = _ask_refund(victim, asking, order)
    for amount in (1e-9, 1e-300, 0.001, 0.004999, 0.0149, 12.345, 0, -0.0, -5, 1e300):
        arguments = {**approval["arguments"], "amount_usd": amount}
        reply = colleague.post(
            f"/v1/approvals/{approval['approval_id']}", json={"approve": True, "arguments": arguments}
        )
        refused = reply.status_code == httpx.codes.UNPROCESSABLE_CONTENT
        tried.check(held=refused, otherwise=f"{amount} USD: {reply.status_code} {reply.text[:150]}")
    tried.check(held=_refunded(victim, order) == [], otherwise=f"booked: {_refunded(victim, order)}")
    return tried


def ask_without_end(victim: Victim) -> Tried:
    """Ask for refunds of many orders, so that approvers lose sight of them; and for one of them again, as a client does that retries."""
    tried = Tried()
    asking = victim.person("edges-many", "agent", tenant=DESK)
    first = victim.ask(asking, "Please refund order QM-10025")
    again = victim.ask(asking, "Please refund order QM-10025")
    same = first["approval"]["approval_id"] == (again.get("approval") or {}).get("approval_id")
    tried.check(held=same, otherwise=f"the same request made a second approval: {again['text'][:200]}")
    for number in range(30):
        victim.ask(asking, f"Please refund {number + 1}.00 USD of order QM-10027")
    lead = victim.person("edges-many-lead", "approver", "desk_manager", tenant=DESK)
    listed = lead.get("/v1/approvals", params={"limit": 200}).json()["approvals"]
    theirs = [approval for approval in listed if approval["requested_by"] == "edges-many"]
    tried.check(held=1 < len(theirs) <= 20, otherwise=f"{len(theirs)} approvals of one person wait")
    told = all(approval["waiting_of_requester"] == len(theirs) for approval in theirs)
    tried.check(held=told, otherwise="approvers are not told how many one person waits for")
    return tried


def _ask_refund(victim: Victim, person: httpx.Client, order: str) -> dict[str, Any]:
    answer = victim.ask(person, f"Please refund order {order}")
    assert answer["status"] == "waiting", answer
    approval: dict[str, Any] = answer["approval"]
    return approval


def _refunded(victim: Victim, order: str) -> list[tuple[str, float]]:
    with closing(sqlite3.connect(victim.data / "desk.sqlite")) as database:
        return database.execute("SELECT approved_by, amount_usd FROM refunds WHERE order_id = ?", (order,)).fetchall()


def _let_people_approve_their_own() -> None:
    from orchestration.effects.executor import Executor

    Executor.is_own = lambda *_: False  # type: ignore[method-assign]


def _let_anything_wait() -> None:
    from orchestration.effects import approvals

    approvals.MOST_WAITING = 1000
    approvals.SqliteApprovals._find_same_request = lambda *_: None  # type: ignore[method-assign]


def _take_any_amount() -> None:
    from orchestration import calls

    calls._demand_whole_units = lambda *_: None


ATTACKS = (
    Attack(
        name="approve-own",
        title="one person asks for a refund and approves it",
        run=approve_own,
        reopen=_let_people_approve_their_own,
    ),
    Attack(
        name="withdraw-of-another",
        title="a request of somebody else is withdrawn, which is a rejection that no approver made",
        run=withdraw_of_another,
        reopen=_let_anybody_withdraw,
    ),
    Attack(
        name="approve-flood",
        title="a request that is sent twice is two approvals, and one person fills the list of them",
        run=ask_without_end,
        reopen=_let_anything_wait,
    ),
    Attack(
        name="approve-dust",
        title="a refund of a billionth of a dollar is approved as 0.00 USD",
        run=approve_dust,
        reopen=_take_any_amount,
    ),
)
