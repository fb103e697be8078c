"""How do data flow in and come back as a valid, typed object, every time?

Three letters go in. Values are read from a letter where it states them; the others stay empty and are named, because a
value that nobody wrote is worse than none. The object is validated before anybody gets it.
"""

import asyncio
from datetime import date

from pydantic import BaseModel, Field

from examples.small_system import VISITOR, small_system
from extensions.objects.objects import Objects
from serving.wiring import System

LETTERS = {
    "the whole letter": "Please book 4 seats on crossing C-104 for 12 June 2027. Mara",
    "a letter in a hurry": "crossing C-221 pls, 2 seats. Thanks, Jon",
    "about something else": "Your restaurant was lovely. We shall come again next summer!",
}


class Booking(BaseModel):
    """A booking of seats on a ferry."""

    crossing: str | None = Field(None, pattern=r"^C-\d{3}$", description="number of the crossing")
    seats: int | None = Field(None, ge=1, le=9, description="number of seats")
    day: date | None = Field(None, description="date of the crossing")


async def read_letters(system: System) -> None:
    for name, letter in LETTERS.items():
        answer = await Objects.of(system).answer_as(Booking, "What is booked?", VISITOR, text=letter)
        booking = answer.object or Booking()
        missing = [field for field, value in booking if value is None]
        print(f"{name}: “{letter}”")
        print(f"  object   {booking!r}")
        print(f"  missing  {', '.join(missing) or 'nothing'}")


def main() -> None:
    with small_system() as system:
        asyncio.run(read_letters(system))
    print("Three letters, three valid objects, and no value that its letter does not state.")
    print("One layer up: where does an answer come from when nobody sent a letter? python -m examples.cited_answer")


if __name__ == "__main__":
    main()
