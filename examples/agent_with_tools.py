"""How does an agent act without acting wrongly or twice?

A tool is a function with a schema. This one has an effect, so the agent stops and waits: the request is stored with
its arguments, somebody else decides, and then it happens once. No prompt enforces that; the executor does.
"""

import asyncio
from typing import Any

from langchain_core.tools import BaseTool, StructuredTool
from pydantic import BaseModel, Field

from examples.small_system import VISITOR, ask, small_system
from foundation.components import Context
from foundation.errors import SixplyError
from foundation.types import Principal
from orchestration.actions import Decision
from orchestration.run.answering import resume

CLERK = Principal("lena", tenant=VISITOR.tenant, roles=frozenset({"approver"}))


class Options(BaseModel):
    file: str = "bookings.txt"


class Booking(BaseModel):
    crossing: str = Field(pattern=r"^C-\d{3}$", description="the number of the crossing, like C-104")
    seats: int = Field(gt=0, le=9, description="the number of seats")


def build(options: Options, context: Context) -> list[BaseTool]:
    def book_seats(crossing: str, seats: int) -> str:
        with (context.data_dir / options.file).open("a") as bookings:
            bookings.write(f"{crossing} {seats}\n")
        return f"{seats} seats on {crossing} are booked."

    def preview(arguments: dict[str, Any], principal: Principal) -> str:
        return f"Book {arguments['seats']} seats on {arguments['crossing']} for {principal.subject}."

    examples = ["Please book 2 seats on crossing C-101", "Reserve seats on C-102 for me"]
    metadata = {
        "preview": preview,
        "arguments": {"seats": "amount"},
        "examples": examples,
        "not_requests": ["How do I book a seat?"],
    }
    return [
        StructuredTool.from_function(
            book_seats, description="Book seats on a crossing.", args_schema=Booking, metadata=metadata
        )
    ]


def main() -> None:
    rules = {"roles": {"agent": ["book_seats"]}}
    tools = [{"use": "examples.agent_with_tools:build"}]
    with small_system({"orchestration": {"tools": tools, "policy": rules}}) as system:
        waiting = ask(system, "Please book 2 seats on crossing C-104.")
        bookings = system.context.data_dir / Options().file
        print(f"ada asks         {waiting.text}")
        print(f"so far           {waiting.status}; bookings made: {(bookings.exists() and bookings.read_text()) or 0}")
        assert waiting.approval is not None
        decision = Decision(approval_id=waiting.approval.approval_id, approve=True)
        for person in (VISITOR, CLERK, CLERK):
            try:
                print(f"{person.subject} approves".ljust(17) + asyncio.run(resume(system.agent, decision, person)).text)
            except SixplyError as error:
                print(f"{person.subject} approves".ljust(17) + f"refused ({error.code}): {error}")
        print(f"in the end       bookings made: {len(bookings.read_text().splitlines())}")
        print(f"ada asks         {ask(system, 'How long does the crossing take?').text}")
    print("One layer up: an agent that does research first? python -m examples.research_agent")


if __name__ == "__main__":
    main()
