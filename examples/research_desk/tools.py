"""Two tools of one's own: one that reads, and one with an effect, which waits until a colleague approves it and happens once."""

from typing import Any

from langchain_core.tools import BaseTool, StructuredTool
from pydantic import BaseModel

from foundation.components import Context


class Options(BaseModel):
    file: str = "bookings.txt"


def build(options: Options, context: Context) -> list[BaseTool]:
    def free_seats(crossing: str) -> str:
        """Say how many seats of a crossing, such as C-104, are free."""
        return f"{crossing}: 41 seats are free."

    def book_seats(crossing: str, seats: int) -> str:
        """Book seats on a crossing, such as C-104."""
        with (context.data_dir / options.file).open("a") as bookings:
            bookings.write(f"{crossing} {seats}\n")
        return f"{seats} seats on {crossing} are booked."

    acts: dict[str, Any] = {"arguments": {"seats": "amount"}}  # an effect, as there is no word that it only reads
    return [
        StructuredTool.from_function(free_seats, metadata={"effect": False}),
        StructuredTool.from_function(book_seats, metadata=acts),
    ]
