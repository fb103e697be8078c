"""The tools of the support desk: find an order, list tickets, open a ticket, refund.

Each acts for the tenant of the caller, whom the executor puts into the RunnableConfig; no argument can name another
tenant. Amounts come from the database, never from the conversation. What belongs to others looks like nothing.
"""

import atexit
import fcntl
import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool, StructuredTool, ToolException
from pydantic import BaseModel, Field

from foundation.components import Context
from foundation.errors import InvalidSetting
from foundation.settings import Section
from foundation.stores import erasures
from foundation.stores.registry import Person
from foundation.stores.sqlite_file import SqliteStore, connect
from foundation.types import Principal

SCHEMA = Path(__file__).with_name("database.sql")

OrderId = Annotated[str, Field(pattern=r"^QM-\d{5}$", description="the number of the order, like QM-10042")]
TicketStatus = Literal["open", "pending", "resolved", "closed"]
Priority = Literal["P1", "P2", "P3", "P4"]
Result = tuple[str, dict[str, Any]]
ERASED = "erased"
"""Replaces texts of a person who was erased."""


class Options(Section):
    database: Path = Path("desk.sqlite")
    """Path below the data folder unless absolute; created from database.sql where it is missing."""


class FindOrder(BaseModel):
    order_id: OrderId


class ListTickets(BaseModel):
    status: TicketStatus | None = Field(default=None, description="only tickets in this state")


class OpenTicket(BaseModel):
    subject: str = Field(min_length=3, max_length=300, description="what the ticket is about")
    order_id: OrderId | None = None
    priority: Priority = "P3"


class Refund(BaseModel):
    order_id: OrderId
    reason: str = Field(min_length=3, max_length=300, description="why the customer gets the money back")
    amount_usd: float | None = Field(
        default=None, gt=0, description="how much of the order's total, in USD; all of it if absent"
    )


class Desk:
    """The database and the actions in it. Every statement names the tenant."""

    def __init__(self, path: Path, context: Context) -> None:
        self._path = path
        self._context = context

    def find_order(self, order_id: str, config: RunnableConfig) -> Result:
        with self._open() as database:
            order = _order(database, order_id, _tenant(config))
        delivered = f", delivered on {order['delivered_on']}" if order["delivered_on"] else ""
        text = (
            f"Order {order['id']} ({order['quantity']} x {order['product']}, {order['total_usd']:.2f} USD) is "
            f"{order['status']}; ordered on {order['ordered_on']}{delivered}."
        )
        return text, dict(order)

    def list_tickets(self, config: RunnableConfig, status: TicketStatus | None = None) -> Result:
        with self._open() as database:
            rows = database.execute(
                "SELECT * FROM tickets WHERE tenant = ? AND (? IS NULL OR status = ?) ORDER BY opened_on DESC, id DESC",
                (_tenant(config), status, status),
            ).fetchall()
        kind = f"{status} " if status else ""
        if not rows:
            return f"There are no {kind}tickets.", {"tickets": []}
        lines = [f"{row['id']} ({row['status']}, {row['priority']}): {row['subject']}" for row in rows]
        plural = "ticket" if len(rows) == 1 else "tickets"
        return f"{len(rows)} {kind}{plural}:\n" + "\n".join(lines), {"tickets": [dict(row) for row in rows]}

    def open_ticket(
        self, subject: str, config: RunnableConfig, order_id: str | None = None, priority: Priority = "P3"
    ) -> Result:
        tenant, key = _tenant(config), _key(config)
        with self._open() as database:
            known = database.execute("SELECT ticket_id FROM tickets_by_key WHERE key = ?", (key,)).fetchone()
            ticket_id = (
                known["ticket_id"] if known else self._insert_ticket(database, tenant, subject, order_id, priority)
            )
            database.execute("INSERT OR IGNORE INTO tickets_by_key VALUES (?, ?)", (key, ticket_id))
        about = f" about order {order_id}" if order_id else ""
        return f"Ticket {ticket_id}{about} is open with priority {priority}.", {"ticket_id": ticket_id}

    def refund(self, order_id: str, reason: str, config: RunnableConfig, amount_usd: float | None = None) -> Result:
        """Refund once per idempotency key; a second call with the same key reports the first."""
        tenant, key = _tenant(config), _key(config)
        with self._open() as database:
            done = database.execute(
                "SELECT amount_usd FROM refunds WHERE idempotency_key = ? AND tenant = ?", (key, tenant)
            ).fetchone()
            if done:
                amount = float(done["amount_usd"])
            else:
                order = _order(database, order_id, tenant)
                amount = _refundable(database, order, amount_usd)
                self._book(database, order, amount, reason, config)
        text = f"Order {order_id} has been refunded: {amount:.2f} USD."
        return text, {"order_id": order_id, "amount_usd": amount}

    def complete_refund(self, arguments: Mapping[str, Any], principal: Principal) -> dict[str, Any]:
        """Return the arguments with an amount: by default, the rest of the order's total."""
        with self._open() as database:
            order = _order(database, arguments["order_id"], principal.tenant)
            return {**arguments, "amount_usd": _refundable(database, order, arguments.get("amount_usd"))}

    def preview_refund(self, arguments: Mapping[str, Any], principal: Principal) -> str:
        with self._open() as database:
            order = _order(database, arguments["order_id"], principal.tenant)
            amount = _refundable(database, order, arguments.get("amount_usd"))
        return f"Refund {amount:.2f} USD for order {order['id']} ({order['quantity']} x {order['product']})."

    def preview_ticket(self, arguments: Mapping[str, Any], principal: Principal) -> str:
        with self._open() as database:
            order = _order(database, arguments["order_id"], principal.tenant) if arguments.get("order_id") else None
        about = f" about order {order['id']}" if order else ""
        return f"Open a ticket{about}, priority {arguments['priority']}: {arguments['subject']}"

    def _insert_ticket(
        self, database: sqlite3.Connection, tenant: str, subject: str, order_id: str | None, priority: str
    ) -> str:
        customer = (
            _order(database, order_id, tenant)["customer_id"]
            if order_id
            else database.execute("SELECT min(id) AS id FROM customers WHERE tenant = ?", (tenant,)).fetchone()["id"]
        )
        if customer is None:
            raise ToolException("There is no customer on record to open a ticket for.")
        today = self._context.clock.now().date().isoformat()
        number = database.execute("SELECT max(CAST(substr(id, 3) AS INTEGER)) + 1 AS n FROM tickets").fetchone()["n"]
        row = (f"T-{number}", tenant, customer, order_id, subject, "open", priority, today, today)
        database.execute("INSERT INTO tickets VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
        return row[0]

    def _book(
        self, database: sqlite3.Connection, order: sqlite3.Row, amount: float, reason: str, config: RunnableConfig
    ) -> None:
        approver = str(config["configurable"].get("approved_by") or "")
        if not approver:
            raise ToolException("A refund needs the name of the person who approved it.")
        now = self._context.clock.now().isoformat()
        database.execute(
            "INSERT INTO refunds (tenant, order_id, amount_usd, reason, approved_by, created_at, idempotency_key) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            (order["tenant"], order["id"], amount, reason, approver, now, _key(config)),
        )
        if amount == order["total_usd"]:
            database.execute(
                "UPDATE orders SET status = 'returned' WHERE id = ? AND tenant = ?", (order["id"], order["tenant"])
            )

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """Open a connection in one immediate transaction. A missing database is created first, whole or not at all."""
        database = connect(self._path, store_in(self._path), isolation_level=None)
        database.row_factory = sqlite3.Row
        try:
            database.executescript("PRAGMA foreign_keys = ON; BEGIN IMMEDIATE;")
            erasures.demand()
            if database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0:
                _create(database)
                database.execute("COMMIT")
                database.execute("BEGIN IMMEDIATE")
            yield database
            database.execute("COMMIT")
        finally:
            database.close()  # rolls back what was not committed


# Claims of this process, and the locks of the files that they stand for
_HELD: list[tuple[Any, Any]] = []


def _refuse_second_file(path: Path, records: Any) -> None:
    """Raises InvalidSetting: a replica that shares our records has orders of its own, so that one could be refunded by each."""
    if not (claim := getattr(records, "claim", None)):
        return
    claimed = claim("orders of the support desk")
    free, lock = claimed.__enter__(), path.with_name(f"{path.name}.lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shared = False
    except BlockingIOError:  # whoever has the claim has our file, too: a worker or a command on this machine
        shared = True
    if free:
        atexit.register(claimed.__exit__, None, None, None)
        _HELD.append((claimed, lock))
        return
    lock.close()
    claimed.__exit__(None, None, None)
    if not shared:
        raise InvalidSetting(
            f"The support desk of the example keeps its orders in a file of each replica, here {path}, and another replica is "
            "running with a file of its own: an order could be refunded by each. Take examples.support_desk.tools out of "
            "[[orchestration.tools]], or run one replica. Tools of your own ask a system that all replicas share."
        )


def build(options: Options, context: Context) -> list[BaseTool]:
    path = context.data_dir / options.database
    _refuse_second_file(path, context.records)
    desk = Desk(path, context)
    return [
        _tool(
            desk.find_order,
            FindOrder,
            "Find one order by its number: what was ordered, its price, its status and dates.",
            effect=False,
            examples=(
                "Where is my order QM-10001?",
                "What is the status of order QM-10002?",
                "When was QM-10003 delivered?",
                "What did we buy with order QM-10004?",
                "Look up QM-10005",
            ),
        ),
        _tool(
            desk.list_tickets,
            ListTickets,
            "List the support tickets of the customer's organisation, all or those in one state.",
            effect=False,
            examples=(
                "Show me our open tickets",
                "Which of our support requests are pending?",
                "List all tickets",
                "Do we have any unresolved cases at the moment?",
                "What are our closed tickets?",
                "Is something of ours still waiting for an answer from you?",
                "What is open for us at the support desk?",
            ),
            not_requests=("How long are tickets kept?", "What do the priorities of a ticket mean?"),
        ),
        _tool(
            desk.open_ticket,
            OpenTicket,
            "Open a new support ticket.",
            effect=True,
            preview=desk.preview_ticket,
            arguments={"subject": "content", "priority": "choice"},
            choice_phrases={
                "priority": {
                    "P1": ("emergency", "critical", "whole site", "nobody can work"),
                    "P2": ("urgent", "urgently", "asap", "as soon as possible", "high priority"),
                    "P4": ("not urgent", "isn't urgent", "no hurry", "no rush", "low priority"),
                }
            },
            examples=(
                "Open a ticket for me",
                "Please open a ticket for order QM-10001, the device is broken",
                "Create a support case: our printer does not start",
                "File a complaint about QM-10002 for me",
                "Please file this for us as urgent",
                "Log a support case for me",
                "Can you raise a ticket that the scanner from QM-10003 stopped working?",
            ),
            not_requests=(
                "How do I open a ticket?",
                "How do I make a complaint?",
                "The device stopped working. What now?",
                "Can I get a replacement device?",
                "What does this error code mean?",
                "Which model should I choose?",
                "Why does the device not work, and what can I do?",
            ),
        ),
        _tool(
            desk.refund,
            Refund,
            "Refund an order, or a part of it.",
            effect=True,
            preview=desk.preview_refund,
            complete_arguments=desk.complete_refund,
            arguments={"reason": "content", "amount_usd": "amount"},
            units={"amount_usd": "0.01"},
            examples=(
                "Please refund order QM-10001",
                "Give me my money back for QM-10002, it does not work",
                "I want a refund for order QM-10003",
                "Refund my order, please",
                "I want my money back",
                "Issue a refund of 20 USD for QM-10004",
            ),
            not_requests=(
                "Can I get a refund?",
                "How long does a refund take?",
                "Who approves refunds, and up to which amount?",
                "Do I get my money back if it arrived broken?",
                "What happens if it arrives late or damaged?",
                "Until when can something be sent back?",
            ),
        ),
    ]


def stores(options: Options) -> tuple[SqliteStore, ...]:
    return (store_in(options.database),)


def store_in(database: Path) -> SqliteStore:
    return SqliteStore(
        name="support desk",
        file=str(database),
        erase_rows=_erase,
        erased="what they wrote into tickets and as the reason of a refund",
        stays="the tickets and refunds themselves: they are the business of the tenant",
    )


def _erase(database: sqlite3.Connection, person: Person) -> int:
    if database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0:
        return 0
    keys = (json.dumps(sorted(person.effects)), ERASED)
    tickets = "SELECT ticket_id FROM tickets_by_key WHERE key IN (SELECT value FROM json_each(?1))"
    done = database.execute(f"UPDATE tickets SET subject = ?2 WHERE subject != ?2 AND id IN ({tickets})", keys).rowcount  # noqa: S608
    refunds = "idempotency_key IN (SELECT value FROM json_each(?1))"
    done += database.execute(f"UPDATE refunds SET reason = ?2 WHERE reason != ?2 AND {refunds}", keys).rowcount  # noqa: S608
    return done


def _tool(function: Any, schema: type[BaseModel], description: str, **metadata: Any) -> BaseTool:
    return StructuredTool.from_function(
        func=function,
        name=function.__name__,
        description=description,
        args_schema=schema,
        response_format="content_and_artifact",
        metadata={"idempotent": True, **metadata},
    )


def _create(database: sqlite3.Connection) -> None:
    """Create the tables of database.sql, and our table of which call opened which ticket, in the open transaction."""
    script = SCHEMA.read_text(encoding="utf-8")
    for statement in _statements(script):
        if not statement.lstrip().upper().startswith("PRAGMA"):  # pragmas belong to connections
            database.execute(statement)
    database.execute("CREATE TABLE tickets_by_key (key TEXT PRIMARY KEY, ticket_id TEXT NOT NULL)")


def _statements(script: str) -> Iterator[str]:
    """Yield the statements one by one, because `executescript` would commit the open transaction."""
    pending = ""
    for line in script.splitlines(keepends=True):
        pending += "" if line.lstrip().startswith("--") else line
        if sqlite3.complete_statement(pending):
            yield pending
            pending = ""


def _order(database: sqlite3.Connection, order_id: str, tenant: str) -> sqlite3.Row:
    row: sqlite3.Row | None = database.execute(
        "SELECT * FROM orders WHERE id = ? AND tenant = ?", (order_id, tenant)
    ).fetchone()
    if row is None:
        raise ToolException(f"There is no order {order_id}.")
    return row


def _refundable(database: sqlite3.Connection, order: sqlite3.Row, wanted: float | None) -> float:
    if order["status"] not in ("delivered", "returned"):
        raise ToolException(f"Order {order['id']} is {order['status']}; only a delivered order can be refunded.")
    paid = database.execute(
        "SELECT coalesce(sum(amount_usd), 0) AS paid FROM refunds WHERE order_id = ? AND tenant = ?",
        (order["id"], order["tenant"]),
    ).fetchone()["paid"]
    left = round(order["total_usd"] - paid, 2)
    if left <= 0:
        raise ToolException(f"Order {order['id']} has been refunded already.")
    if wanted is not None and wanted > left:
        raise ToolException(f"Only {left:.2f} USD of order {order['id']} can be refunded, not {wanted:.2f} USD.")
    if wanted is None and paid:
        raise ToolException(f"Part of order {order['id']} has been refunded; {left:.2f} USD are left. Name an amount.")
    return float(wanted if wanted is not None else left)


def _tenant(config: RunnableConfig) -> str:
    principal: Principal | None = config.get("configurable", {}).get("principal")
    if principal is None:
        raise ToolException("Nobody is signed in.")
    return principal.tenant


def _key(config: RunnableConfig) -> str:
    return str(config["configurable"]["idempotency_key"])
