"""What the system can do besides answering. Replace the room by something of yours, and name the tool in policy.toml."""

from typing import Annotated, Any

from langchain_core.tools import BaseTool, StructuredTool, ToolException
from pydantic import BaseModel, Field

from foundation.components import Context
from foundation.types import Principal

SEATS = {"R-12": 8, "R-14": 20}


class Options(BaseModel):
    largest_group: int = 20  # `[[orchestration.tools]]` may set it beside `use`


class Booking(BaseModel):
    room: Annotated[str, Field(pattern=r"^R-\d{2}$", description="the number of the room, like R-12")]
    people: int = Field(gt=0, description="the number of people")


def build(options: Options, _: Context) -> list[BaseTool]:
    def preview(arguments: dict[str, Any], principal: Principal) -> str:
        """What whoever approves will read. A ToolException says that it cannot be done, and nobody is asked."""
        if arguments["people"] > min(SEATS.get(arguments["room"], 0), options.largest_group):
            raise ToolException(f"{arguments['room']} does not seat {arguments['people']}.")
        return f"Book {arguments['room']} for {arguments['people']} people of {principal.tenant}."

    def book_room(room: str, people: int) -> tuple[str, dict[str, Any]]:
        # yours: a database or a service. The words are for people and the model, the data for programs
        return f"{room} is booked for {people}.", {"room": room, "people": people}

    examples = ["Please book room R-14 for 5 people", "Reserve R-12 for four of us", "We need R-14 for 12"]
    metadata = {
        "effect": True,  # it changes something, so a person approves it, and it happens once
        "preview": preview,
        "arguments": {"people": "amount"},
        "examples": examples,
        "not_requests": ["How do I book a room?"],
        "sample": {"tenant": "*", "arguments": {"room": "R-12", "people": 4}},  # make contracts calls it so
    }
    about: dict[str, Any] = {"description": "Book a room.", "args_schema": Booking, "metadata": metadata}
    return [StructuredTool.from_function(book_room, response_format="content_and_artifact", **about)]
