"""Two tools of one's own: one that reads, and one with an effect, which waits until a colleague approves it and happens once."""

from typing import Any

from langchain_core.tools import BaseTool, StructuredTool
from pydantic import BaseModel

from foundation.components import Context

Result = tuple[str, dict[str, Any]]
"""What a tool says, and the same as data."""


class Options(BaseModel):
    file: str = "bookings.txt"


def build(options: Options, context: Context) -> list[BaseTool]:
    def free_seats(crossing: str) -> Result:
        """Say how many seats of a crossing, such as C-104, are free."""
        return f"{crossing}: 41 seats are free.", {"crossing": crossing, "free": 41}

    def book_seats(crossing: str, seats: int) -> Result:
        """Book seats on a crossing, such as C-104."""
        with (context.data_dir / options.file).open("a") as bookings:
            bookings.write(f"{crossing} {seats}\n")
        return f"{seats} seats on {crossing} are booked.", {"crossing": crossing, "seats": seats}

    crossing = {"crossing": "C-104"}
    reads: dict[str, Any] = {
        "effect": False,
        "sample": {"tenant": "*", "arguments": crossing},
        "examples": ["How many seats are free on C-104?", "Is there room on C-104?", "Is C-104 full?"],
    }
    acts: dict[str, Any] = {
        "effect": True,
        "arguments": {"seats": "amount"},
        "sample": {"tenant": "*", "arguments": crossing | {"seats": 2}},
        "examples": ["Book two seats on C-104.", "Reserve 12 seats on C-104.", "We need three seats on C-104."],
    }
    return [
        StructuredTool.from_function(free_seats, metadata=reads, response_format="content_and_artifact"),
        StructuredTool.from_function(book_seats, metadata=acts, response_format="content_and_artifact"),
    ]
