"""Types that the routes of several resources share, and pages of their lists. Those of a single one are in its own file."""

import base64
import binascii
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, TypeVar

from fastapi import Depends, Query
from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints

from foundation.errors import InvalidRequest
from foundation.output.rendering import encodable

T = TypeVar("T")


def _storable(text: str) -> str:
    """Refuse NUL, where databases end a text, and lone surrogates, which JSON can spell and UTF-8 cannot encode."""
    if "\0" in text or encodable(text) != text:  # fast on the event loop, also for megabytes of history
        raise ValueError("must not contain NUL or lone surrogate characters")
    return text


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be empty")
    return text


Text = Annotated[str, AfterValidator(_storable)]
Question = Annotated[Text, AfterValidator(_not_blank)]
Name = Annotated[Text, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]
Identifier = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._:\-]{1,128}$")]


class RequestBody(BaseModel):
    """A request body. Unknown members are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


# The value of a document's field or attribute. A text such as 2026-01-15 is a date.
Known = bool | float | Annotated[Text, StringConstraints(max_length=2000)]


@dataclass(frozen=True, slots=True)
class Paging:
    """The page that a caller asked for."""

    limit: int
    after: str | None
    """Key of the last item of the previous page; `None` for the first page."""

    def page(
        self, items: Sequence[T], key: Callable[[T], str], *, newest_first: bool = False
    ) -> tuple[list[T], str | None]:
        """Return the page in the order of `key`, which must be unique, and the next cursor (`None` at the end)."""
        ordered = sorted(items, key=key, reverse=newest_first)
        if (after := self.after) is not None:
            ordered = [item for item in ordered if (key(item) < after if newest_first else key(item) > after)]
        page = ordered[: self.limit]
        if len(ordered) == len(page):
            return page, None
        return page, base64.urlsafe_b64encode(key(page[-1]).encode("utf-8", "surrogatepass")).decode()


async def paging_of(
    limit: Annotated[int, Query(ge=1, le=1000, description="Items in a page.")] = 100,
    cursor: Annotated[
        str | None, Query(max_length=4000, description="`next_cursor` of the page before; the first page if absent.")
    ] = None,
) -> Paging:
    """Raises InvalidRequest: the cursor was not made by this server."""
    if cursor is None:  # an empty one names an item with an empty key
        return Paging(limit, None)
    try:
        return Paging(limit, base64.b64decode(cursor, altchars=b"-_", validate=True).decode("utf-8", "surrogatepass"))
    except (binascii.Error, ValueError) as error:
        raise InvalidRequest(
            "This cursor was not given by this server. Send next_cursor of the page before, or leave it out."
        ) from error


Pages = Annotated[Paging, Depends(paging_of)]
