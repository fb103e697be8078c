"""A store that is down writes one line to the log, and one when it is back."""

from __future__ import annotations

import logging

from foundation.machine.outages import Outage


def test_a_pool_that_cannot_connect_writes_one_line_and_one_when_it_is_back(caplog):
    pool, outage = logging.getLogger("a pool"), Outage("The store")
    pool.addFilter(outage)
    for _ in range(3):  # as psycopg's pool does
        pool.warning("error connecting in %r: %s", "pool-1", OSError("refused"))
        pool.warning("reconnection attempt in pool %r failed after %s sec", "pool-1", 5)
    pool.warning("discarding broken connection: %s", "c-1")
    for _ in range(2):
        outage.end()
    assert caplog.messages == [
        "error connecting in 'pool-1': refused (There is no more about this until it is back.)",
        "discarding broken connection: c-1",
        "The store is back. 5 more lines about it were left out.",
    ]
