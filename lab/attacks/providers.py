"""A model server that sends our prompts elsewhere, or says absurd things in its headers."""

from __future__ import annotations

from typing import Any

from lab.attacks.contract import Attack, Tried
from lab.attacks.hostile_provider import STOLEN, WAITS
from lab.attacks.victim import Victim

TENANT = "ceiling"
LONGEST_S = 31 * 86_400
STACK = """
[models.chat]
use = "lab.attacks.hostile_provider:build"
[models.resilience]
attempts = 1
"""


def send_prompts_on(victim: Victim) -> Tried:
    """Answer each prompt with a redirect to another address."""
    tried = Tried()
    agent = victim.person("rhoda", "agent", tenant=TENANT)
    victim.upload(agent, "lamp.md", "The moon lamp of redirect canarylamp runs for nine hours.")
    for status in (301, 302, 303, 307, 308):
        victim.ask(agent, f"How long does the moon lamp of redirect{status} run?", compose="generative")
        stolen = victim.data / STOLEN
        tried.check(held=not stolen.exists(), otherwise=f"a {status} sent the prompt on: {stolen}")
        stolen.unlink(missing_ok=True)
    return tried


def reopen_redirects() -> None:
    """Follow redirects with the prompt in hand."""
    import httpx2

    made = httpx2.AsyncClient.__init__

    def following(self: httpx2.AsyncClient, **given: Any) -> None:
        made(self, **(given | {"follow_redirects": True}))

    httpx2.AsyncClient.__init__ = following  # type: ignore[method-assign]


def ask_for_absurd_waits(victim: Victim) -> Tried:
    """Refuse each prompt with a `Retry-After` that is no time to wait."""
    tried = Tried()
    agent = victim.person("walt", "agent", tenant=TENANT)
    victim.upload(agent, "lamp.md", "The moon lamp of waiting runs for nine hours.")
    for number, value in enumerate(WAITS):
        question = {"question": f"How long does the moon lamp of wait{number} run?", "compose": "generative"}
        reply = agent.post("/v1/answers", json=question)
        wait = reply.headers.get("retry-after", "1")
        tried.check(
            held=reply.status_code < 500
            or (reply.status_code == 503 and wait.isdigit() and 0 < int(wait) <= LONGEST_S),
            otherwise=f"Retry-After: {value[:30]} made it {reply.status_code} with Retry-After: {wait[:30]}",
        )
    return tried


def reopen_waits() -> None:
    """Take every time to wait as it comes."""
    from foundation import errors

    errors.sensible_wait_s = lambda seconds: seconds


ATTACKS = (
    Attack(
        name="prompt-redirected",
        title="whoever answers for the model sends prompts with passages to an address of their own",
        run=send_prompts_on,
        reopen=reopen_redirects,
        stack=STACK,
    ),
    Attack(
        name="absurd-waits",
        title="a header of the model server makes answers fail as defects",
        run=ask_for_absurd_waits,
        reopen=reopen_waits,
        stack=STACK,
    ),
)
