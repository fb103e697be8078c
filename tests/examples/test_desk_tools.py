"""The tools of the support desk."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from langchain_core.tools import BaseTool, ToolException

from examples.support_desk.tools import Options, build
from extensions.planned_agent.stated_arguments import arguments_in
from foundation.components import Context, load
from foundation.errors import InvalidSetting
from foundation.settings import Part
from foundation.types import Principal
from orchestration.calls import check_arguments

CUSTOMER = Principal(subject="ilka", tenant="alder-clinics")
STRANGER = Principal(subject="tove", tenant="bexley-schools")


@pytest.fixture
def desk(data_dir: Path) -> dict[str, BaseTool]:
    tools = load("orchestration.tools", Part(use="examples.support_desk.tools:build"), Context(data_dir=data_dir))
    return {tool.name: tool for tool in tools}


async def use(tool: BaseTool, principal: Principal = CUSTOMER, key: str = "k-1", **arguments: Any) -> str:
    request = {"type": "tool_call", "id": key, "name": tool.name, "args": arguments}
    config = {"configurable": {"principal": principal, "idempotency_key": key, "approved_by": "rufus"}}
    message = await tool.ainvoke(request, config)
    return str(message.text)


def rows(data_dir: Path, query: str) -> list[Any]:
    with sqlite3.connect(data_dir / "desk.sqlite") as database:
        found = database.execute(query).fetchall()
    database.close()
    return found


async def test_an_order_is_told_in_one_sentence(desk: dict[str, BaseTool]) -> None:
    text = await use(desk["find_order"], order_id="QM-10042")
    assert text == "Order QM-10042 (2 x QL-20W label printer, 518.00 USD) is shipped; ordered on 2026-11-20."


async def test_tickets_are_those_of_the_tenant_in_the_state_asked_for(desk: dict[str, BaseTool]) -> None:
    text = await use(desk["list_tickets"], status="open")
    assert text.startswith("3 open tickets:\n")
    assert {line.split()[0] for line in text.splitlines()[1:]} == {"T-2228", "T-2230", "T-2231"}


async def test_a_ticket_gets_the_next_number_once_for_each_key(desk: dict[str, BaseTool], data_dir: Path) -> None:
    given = {"subject": "The cradle does not charge", "order_id": "QM-10037"}
    first = await use(desk["open_ticket"], key="a", **given)
    assert first == "Ticket T-2236 about order QM-10037 is open with priority P3."
    assert await use(desk["open_ticket"], key="a", **given) == first
    assert "T-2237" in await use(desk["open_ticket"], key="b", **given)
    assert rows(data_dir, "SELECT count(*) FROM tickets WHERE subject = 'The cradle does not charge'") == [(2,)]


def test_an_amount_is_a_whole_number_of_cents_and_at_least_one(desk: dict[str, BaseTool]) -> None:
    order = {"order_id": "QM-10017", "reason": "arrived broken"}
    for amount in (1e-9, 0.001, 0.004, 0.005, 0.011, 12.345, 1.0000001, 0.0, -1, float("nan"), float("inf")):
        with pytest.raises(ToolException, match="amount_usd"):
            check_arguments(desk["refund"], {**order, "amount_usd": amount})
    for amount in (0.01, 0.29, 1.1 + 2.2, 12, 178.0, 1_000_000.07, None):
        assert check_arguments(desk["refund"], {**order, "amount_usd": amount})["amount_usd"] == amount


async def test_a_refund_is_of_the_orders_total_and_by_the_approver(desk: dict[str, BaseTool], data_dir: Path) -> None:
    text = await use(desk["refund"], order_id="QM-10017", reason="arrived broken")
    assert text == "Order QM-10017 has been refunded: 178.00 USD."
    assert rows(data_dir, "SELECT amount_usd, reason, approved_by FROM refunds") == [(178.0, "arrived broken", "rufus")]
    assert rows(data_dir, "SELECT status FROM orders WHERE id = 'QM-10017'") == [("returned",)]


async def test_a_part_can_be_refunded_and_never_more_than_the_whole(desk: dict[str, BaseTool], data_dir: Path) -> None:
    await use(desk["refund"], key="a", order_id="QM-10017", reason="one of two", amount_usd=89.0)
    for wrong in ({}, {"amount_usd": 100.0}):
        with pytest.raises(ToolException, match=r"89\.00 USD"):
            await use(desk["refund"], key="b", order_id="QM-10017", reason="again", **wrong)
    await use(desk["refund"], key="c", order_id="QM-10017", reason="the other", amount_usd=89.0)
    with pytest.raises(ToolException, match="already"):
        await use(desk["refund"], key="d", order_id="QM-10017", reason="again", amount_usd=1.0)
    assert rows(data_dir, "SELECT sum(amount_usd) FROM refunds") == [(178.0,)]


@pytest.mark.parametrize(
    ("order_id", "status"), [("QM-10039", "processing"), ("QM-10042", "shipped"), ("QM-10031", "cancelled")]
)
async def test_only_what_was_delivered_is_refunded(desk: dict[str, BaseTool], order_id: str, status: str) -> None:
    with pytest.raises(ToolException, match=status):
        await use(desk["refund"], order_id=order_id, reason="changed my mind")


async def test_what_another_tenant_owns_is_not_there(desk: dict[str, BaseTool], data_dir: Path) -> None:
    for name, arguments in (
        ("find_order", {"order_id": "QM-10042"}),
        ("refund", {"order_id": "QM-10017", "reason": "give it to me"}),
        ("open_ticket", {"order_id": "QM-10037", "subject": "about theirs"}),
    ):
        with pytest.raises(ToolException, match="There is no order"):
            await use(desk[name], STRANGER, **arguments)
    assert rows(data_dir, "SELECT count(*) FROM refunds") == [(0,)]


async def test_the_preview_names_the_amount_and_refuses_what_cannot_be_done(desk: dict[str, BaseTool]) -> None:
    preview = (desk["refund"].metadata or {})["preview"]
    arguments = {"order_id": "QM-10017", "reason": "broken", "amount_usd": None}
    assert preview(arguments, CUSTOMER) == "Refund 178.00 USD for order QM-10017 (2 x QS-1 corded scanner)."
    with pytest.raises(ToolException):
        preview(arguments, STRANGER)


async def test_a_refund_without_an_amount_is_completed_to_what_is_left(desk: dict[str, BaseTool]) -> None:
    completed = (desk["refund"].metadata or {})["complete_arguments"]
    asked = {"order_id": "QM-10017", "reason": "arrived broken", "amount_usd": None}
    assert completed(asked, CUSTOMER) == {**asked, "amount_usd": 178.0}
    assert completed({**asked, "amount_usd": 20.0}, CUSTOMER)["amount_usd"] == 20.0
    with pytest.raises(ToolException, match="There is no order"):
        completed(asked, STRANGER)


@pytest.mark.parametrize(
    ("words", "priority"), [("file that as urgent", "P2"), ("no hurry", "P4"), ("our device is slow", None)]
)
def test_how_urgent_a_ticket_is_may_be_said_in_words(
    desk: dict[str, BaseTool], words: str, priority: str | None
) -> None:
    found = arguments_in(f"Open a ticket for QM-10037, {words}", desk["open_ticket"])
    assert found.get("priority") == priority


async def test_two_first_uses_at_once_make_one_whole_database(desk: dict[str, BaseTool], data_dir: Path) -> None:
    import asyncio

    texts = await asyncio.gather(*(use(desk["find_order"], order_id="QM-10042") for _ in range(8)))
    assert len(set(texts)) == 1
    assert rows(data_dir, "SELECT count(*) FROM orders") == [(30,)]


class Records:
    """What replicas share: one process holds a name."""

    def __init__(self) -> None:
        self.held: set[str] = set()

    @contextmanager
    def claim(self, name: str) -> Iterator[bool]:
        free = name not in self.held
        self.held |= {name}
        yield free


def test_a_second_replica_with_orders_of_its_own_does_not_start(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    records: Any = Records()
    for _ in range(2):  # a second worker of the same machine, on the same file
        assert build(Options(), Context(data_dir=here, records=records))
    with pytest.raises(InvalidSetting, match="an order could be refunded by each"):
        build(Options(), Context(data_dir=there, records=records))
    assert build(Options(database=here / "desk.sqlite"), Context(data_dir=there, records=records)), (
        "a file that both reach"
    )
    assert build(Options(), Context(data_dir=there)), "which shares nothing with anybody"
