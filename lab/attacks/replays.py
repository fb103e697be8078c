"""Replies that were made for one set of rights, asked for with another: under an Idempotency-Key, and from jobs."""

from __future__ import annotations

import time

import httpx2 as httpx

from lab.attacks.contract import Attack, Tried
from lab.attacks.victim import Victim

PAY = "The bonus canarybonus of Ms Ferro is 9000 USD."
QUESTION = "How much is the bonus of Ms Ferro?"
BODY = {"question": QUESTION, "compose": "extractive"}


def replay(victim: Victim) -> Tried:
    """Send a request again under its key: without the group, and after the tenant was stopped."""
    tried = Tried()
    ada = victim.person("ada", "agent", tenant="replaying", groups=("hr",))
    victim.upload(ada, "bonus.md", PAY, groups="hr")
    headers = {"Idempotency-Key": "bonus-1"}
    first = ada.post("/v1/answers", json=BODY, headers=headers)
    tried.check(held="canarybonus" in first.text, otherwise=f"ada was told nothing: {first.text}")
    left = victim.person("ada", "agent", tenant="replaying")
    olga = victim.person("olga", "operator", tenant="replaying-olga")
    reply = left.post("/v1/answers", json=BODY, headers=headers)
    tried.check(held="canarybonus" not in reply.text, otherwise=f"without the group: {reply.text}")
    olga.put("/v1/stops/tenant:replaying", json={"reason": "We are looking."})
    try:
        reply = ada.post("/v1/answers", json=BODY, headers=headers)
        tried.check(
            held=reply.status_code == httpx.codes.SERVICE_UNAVAILABLE, otherwise=f"of a stopped tenant: {reply.text}"
        )
    finally:
        olga.delete("/v1/stops/tenant:replaying")
    reply = ada.post("/v1/answers", json=BODY, headers=headers)
    tried.check(held=reply.content == first.content, otherwise=f"ada is no longer given her reply: {reply.text}")
    return tried


def read_job(victim: Victim) -> Tried:
    """Read what a job answered for somebody in the group, as the same person without it."""
    tried = Tried()
    ada = victim.person("ada", "agent", tenant="job-reading", groups=("hr",))
    victim.upload(ada, "bonus.md", PAY, groups="hr")
    job_id = ada.post("/v1/jobs/answers", json={"questions": [BODY]}).json()["job_id"]
    give_up = time.monotonic() + 60
    while ada.get(f"/v1/jobs/{job_id}").json()["job"]["status"] == "running" and time.monotonic() < give_up:
        time.sleep(0.05)
    tried.check(held="canarybonus" in ada.get(f"/v1/jobs/{job_id}").text, otherwise="ada's job told nothing")
    left = victim.person("ada", "agent", tenant="job-reading")
    for path in ("/v1/jobs", f"/v1/jobs/{job_id}"):
        reply = left.get(path)
        tried.check(held=job_id not in reply.text or reply.is_error, otherwise=f"GET {path}: {reply.text[:300]}")
        tried.check(held="canarybonus" not in reply.text, otherwise=f"GET {path}: {reply.text[:300]}")
    return tried


def replay_first() -> None:
    """A reply stands before authorization, for whoever is the same person."""
    from starlette.types import ASGIApp, Receive, Scope, Send

    from extensions.idempotency import replies as idempotency

    idempotency._rights = lambda *_: ""
    pass_on = idempotency.Idempotency.__call__

    async def call(self: idempotency.Idempotency, scope: Scope, receive: Receive, send: Send) -> None:
        app: ASGIApp = self._app

        async def reply_or_pass(scope: Scope, receive: Receive, send: Send) -> None:
            reply = scope.get("state", {}).get("first_reply")
            if reply is None:
                await app(scope, receive, send)
                return
            await idempotency.to_response(reply)(scope, receive, send)

        inner = idempotency.Idempotency(reply_or_pass, self._store)
        await pass_on(inner, scope, receive, send)

    idempotency.Idempotency.__call__ = call  # type: ignore[method-assign]


def show_all_jobs() -> None:
    """A job is shown to whoever is the same person."""
    from foundation.types import Principal

    Principal.holds_rights_of = lambda *_: True  # type: ignore[method-assign]


ATTACKS = (
    Attack(
        name="replay-first",
        title="a reply under an Idempotency-Key is given without the group, or to a stopped tenant",
        run=replay,
        reopen=replay_first,
    ),
    Attack(
        name="job-of-other-rights",
        title="what a job answered is read without the group that it was asked with",
        run=read_job,
        reopen=show_all_jobs,
    ),
)
