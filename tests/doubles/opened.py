"""What doubles have opened and nobody closes: each test closes its own, since garbage is seldom collected here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

CLOSE: list[Callable[[], object]] = []


@contextmanager
def closed_after() -> Iterator[None]:
    before = len(CLOSE)
    yield
    while len(CLOSE) > before:
        CLOSE.pop()()
