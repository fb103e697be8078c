"""Pages of long lists. A cursor names the last item of its page, so that later changes cause no repeats or gaps."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, TypeVar

from fastapi import Depends, Query

from foundation.errors import InvalidRequest

T = TypeVar("T")


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


async def _paging(
    limit: Annotated[int, Query(ge=1, le=1000, description="Items in a page.")] = 100,
    cursor: Annotated[
        str | None, Query(max_length=4000, description="`next_cursor` of the page before; the first page if absent.")
    ] = None,
) -> Paging:
    """Raises InvalidRequest: the cursor was not made by this server."""
    return Paging(limit, None if cursor is None else _key(cursor))


Pages = Annotated[Paging, Depends(_paging)]


def _key(cursor: str) -> str:
    try:
        return base64.b64decode(cursor, altchars=b"-_", validate=True).decode("utf-8", "surrogatepass")
    except (binascii.Error, ValueError) as error:
        raise InvalidRequest(
            "The cursor is none that this server gave. Send next_cursor of the page before, or leave it out."
        ) from error
