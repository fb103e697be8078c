"""A desk that knows six orders and can refund them once each: the tools that tests let an agent use."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any

from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool, StructuredTool, ToolException
from pydantic import BaseModel, Field

from foundation.components import Context
from foundation.settings import Section
from foundation.stores.sqlite_file import SqliteStore, connect
from foundation.types import Principal

TENANT = "alder-clinics"
TOTALS = {
    "QM-10013": 1036.0,
    "QM-10015": 2690.0,
    "QM-10017": 178.0,
    "QM-10019": 372.0,
    "QM-10021": 597.0,
    "QM-10023": 1788.0,
}
"""Orders of that tenant -> what was paid for them, in USD."""
OrderId = Annotated[str, Field(pattern=r"^QM-\d{5}$", description="the number of the order, like QM-10042")]
Result = tuple[str, dict[str, Any]]
SCHEMA = """
CREATE TABLE IF NOT EXISTS refunds (
    order_id TEXT NOT NULL, amount_usd REAL NOT NULL, reason TEXT NOT NULL, approved_by TEXT NOT NULL, idempotency_key TEXT PRIMARY KEY
)
"""
STORE = SqliteStore(name="desk", file="desk.sqlite", stays="refunds are the business of the tenant")


class Options(Section):
    pass


class FindOrder(BaseModel):
    order_id: OrderId


class Refund(BaseModel):
    order_id: OrderId
    reason: str = Field(min_length=3, max_length=300, description="why the customer gets the money back")
    amount_usd: float | None = Field(default=None, gt=0, description="how much, in USD; all of it if absent")


class Desk:
    def __init__(self, context: Context) -> None:
        self._path = context.data_dir / "desk.sqlite"

    def find_order(self, order_id: str, config: RunnableConfig) -> Result:
        total = _total(order_id, config["configurable"]["principal"].tenant)
        return f"Order {order_id} ({total:.2f} USD) is delivered.", {"order_id": order_id, "total_usd": total}

    def refund(self, order_id: str, reason: str, config: RunnableConfig, amount_usd: float | None = None) -> Result:
        given = config["configurable"]
        with self._open() as database:
            sql = "SELECT amount_usd FROM refunds WHERE idempotency_key = ?"
            done = database.execute(sql, (given["idempotency_key"],)).fetchone()
            amount = done[0] if done else _left(database, order_id, given["principal"].tenant, amount_usd)
            if not done:
                row = (order_id, amount, reason, given["approved_by"], given["idempotency_key"])
                database.execute("INSERT INTO refunds VALUES (?, ?, ?, ?, ?)", row)
        return f"Order {order_id} has been refunded: {amount:.2f} USD.", {"order_id": order_id, "amount_usd": amount}

    def complete_refund(self, arguments: Mapping[str, Any], principal: Principal) -> dict[str, Any]:
        with self._open() as database:
            wanted = arguments.get("amount_usd")
            return {**arguments, "amount_usd": _left(database, arguments["order_id"], principal.tenant, wanted)}

    def preview_refund(self, arguments: Mapping[str, Any], principal: Principal) -> str:
        amount = self.complete_refund(arguments, principal)["amount_usd"]
        return f"Refund {amount:.2f} USD for order {arguments['order_id']}."

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        database = connect(self._path, STORE, isolation_level=None)
        try:
            database.execute("BEGIN IMMEDIATE")
            database.execute(SCHEMA)
            yield database
            database.execute("COMMIT")
        finally:
            database.close()  # rolls back what was not committed


def build(_: Options, context: Context) -> list[BaseTool]:
    desk = Desk(context)
    return [
        _tool(
            desk.find_order,
            FindOrder,
            "Find one order by its number: its price and its status.",
            effect=False,
            examples=("Where is my order QM-10001?", "What is the status of order QM-10002?", "Look up QM-10005"),
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
                "Issue a refund of 20 USD for QM-10004",
            ),
            not_requests=("Can I get a refund?", "How long does a refund take?", "Who approves refunds?"),
        ),
    ]


def stores(_: Options) -> tuple[SqliteStore, ...]:
    return (STORE,)


def _tool(function: Any, schema: type[BaseModel], description: str, **metadata: Any) -> BaseTool:
    return StructuredTool.from_function(
        func=function,
        name=function.__name__,
        description=description,
        args_schema=schema,
        response_format="content_and_artifact",
        metadata={"idempotent": True, **metadata},
    )


def _total(order_id: str, tenant: str) -> float:
    if tenant != TENANT or order_id not in TOTALS:
        raise ToolException(f"There is no order {order_id}.")
    return TOTALS[order_id]


def _left(database: sqlite3.Connection, order_id: str, tenant: str, wanted: float | None) -> float:
    total = _total(order_id, tenant)
    sql = "SELECT coalesce(sum(amount_usd), 0) FROM refunds WHERE order_id = ?"
    left = round(total - database.execute(sql, (order_id,)).fetchone()[0], 2)
    if left <= 0:
        raise ToolException(f"Order {order_id} has been refunded already.")
    if wanted is not None and wanted > left:
        raise ToolException(f"Only {left:.2f} USD of order {order_id} can be refunded, not {wanted:.2f} USD.")
    return wanted if wanted is not None else left
