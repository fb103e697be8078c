"""A person who asks as many questions at once as the server has threads, each of which waits for the model that judges its answer."""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING

import httpx2 as httpx

from lab.attacks.contract import Attack, Tried

if TYPE_CHECKING:
    from lab.attacks.victim import Victim

AT_ONCE = 4 * min(32, (os.cpu_count() or 1) + 4)
PATIENCE_S, LIMIT_S = 60.0, 20.0
STACK = f"""
[models.chat]
use = "lab.attacks.strangers:build"
[orchestration.agent]
use = "tool_calling"
[serving.http]
port = 0
concurrent_answers = {AT_ONCE}
"""


def ask_at_once(victim: Victim) -> Tried:
    """Have that many answers judged at once, and look when they and that of another tenant are there."""
    tried, start = Tried(), threading.Barrier(AT_ONCE + 1)
    crowd = victim.person("jude", "agent", tenant="judged", timeout_s=PATIENCE_S)
    other = victim.person("ola", "agent", tenant="other", timeout_s=PATIENCE_S)

    def ask(client: httpx.Client) -> float:
        start.wait(PATIENCE_S)
        began = time.perf_counter()
        body = {"model": "sixply", "messages": [{"role": "user", "content": "list_tickets now"}]}
        with suppress(httpx.TimeoutException):
            client.post("/v1/chat/completions", json=body)
        return time.perf_counter() - began

    with ThreadPoolExecutor(AT_ONCE + 1) as people:
        asked = [people.submit(ask, client) for client in [*[crowd] * AT_ONCE, other]]
        took_s = [each.result() for each in asked]
    tried.check(held=max(took_s) < LIMIT_S, otherwise=f"an answer took {max(took_s):.0f} s")
    tried.check(held=took_s[-1] < LIMIT_S, otherwise=f"that of another tenant took {took_s[-1]:.0f} s")
    return tried


def hold_places() -> None:
    """A thread keeps its place while it waits."""
    from orchestration.run import metered_chat

    vars(metered_chat)["waiting_for_loop"] = nullcontext


ATTACKS = (
    Attack(
        name="threads-that-wait",
        title="as many judged answers at once as there are threads hold up everybody's answers",
        run=ask_at_once,
        reopen=hold_places,
        stack=STACK,
        alone=True,
    ),
)
