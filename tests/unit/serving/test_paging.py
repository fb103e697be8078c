"""Pages of a list that changes while it is read."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundation.errors import InvalidRequest
from serving.api.schemas import Paging, paging_of


def pages(items: list[str], limit: int, *, newest_first: bool) -> list[list[str]]:
    found, paging = [], Paging(limit, None)
    while True:
        page, cursor = paging.page(items, str, newest_first=newest_first)
        found.append(page)
        if cursor is None:
            return found
        paging = asyncio.run(paging_of(limit, cursor))


@given(st.lists(st.text(), unique=True, max_size=30), st.integers(1, 7), st.booleans())
def test_the_pages_are_the_whole_list_in_its_order(items: list[str], limit: int, newest_first: bool) -> None:
    found = pages(items, limit, newest_first=newest_first)
    assert [one for page in found for one in page] == sorted(items, reverse=newest_first)
    assert all(len(page) == limit for page in found[:-1])
    assert len(found[-1]) == (len(items) % limit or min(limit, len(items)))


def test_what_is_added_or_deleted_between_two_pages_neither_repeats_nor_skips_another() -> None:
    first, cursor = Paging(2, None).page(["a", "c", "e"], str)
    assert (first, cursor is None) == (["a", "c"], False)
    assert cursor
    rest, end = asyncio.run(paging_of(5, cursor)).page(["a", "b", "d", "e"], str)
    assert (rest, end) == (["d", "e"], None)


@pytest.mark.parametrize("cursor", ["%", "YQ", "\u00e4", "_w=="])
def test_a_cursor_that_we_never_gave_is_refused(cursor: str) -> None:
    with pytest.raises(InvalidRequest, match="next_cursor"):
        asyncio.run(paging_of(1, cursor))
