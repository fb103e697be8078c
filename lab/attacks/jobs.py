"""Jobs that go on although they were stopped, or that take the turns and the room of everybody else."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

import httpx2 as httpx

from lab.attacks.contract import Attack, Tried
from lab.attacks.victim import Victim

SETTLED_S = 2.0
"""So long it is watched whether anything is done that must not be done. Unhindered, an item takes some hundredths of a second."""
UNDER_WAY = 2
"""Items that may end although they were begun before."""
PATIENCE_S = 60.0
BEGUN_S = 0.5
"""After so long a document that is begun is past the first look at the switches. A long one then takes seconds more."""


def ingest_while_stopped(victim: Victim) -> Tried:
    """Throw the switch of the tenant in the middle of a job, and count what is taken in afterwards."""
    tried = Tried()
    tenant = "jobs-stopped"
    writer, operator = (
        victim.person("bert", "agent", tenant=tenant),
        victim.person("stan", "operator", tenant="jobs-ops"),
    )
    files = [("files", (f"{number}.md", f"Rule {number} of the house.".encode())) for number in range(100)]
    job = writer.post("/v1/jobs/ingest", files=files).json()["job_id"]
    _wait(lambda: _documents(writer))
    operator.put(f"/v1/stops/tenant:{tenant}", json={"reason": "an attack"})
    time.sleep(SETTLED_S)
    stopped = operator.get("/v1/stops").json()["stops"]
    tried.check(held=bool(stopped), otherwise="the switch was not thrown")
    operator.delete(f"/v1/stops/tenant:{tenant}")
    at_once = _done(writer, job)
    tried.check(held=at_once < 100, otherwise="all 100 documents were taken in while the tenant was stopped")
    writer.post(f"/v1/jobs/{job}/cancel")
    return tried


def documents_under_way(victim: Victim) -> Tried:
    """Send a job of one long document; while it is cut and embedded, throw the switch of its tenant, or revoke its key."""
    tried = Tried()
    operator = victim.person("stan", "operator", tenant="jobs-ops")

    def stop(tenant: str, _: str) -> None:
        operator.put(f"/v1/stops/tenant:{tenant}", json={"reason": "an attack"})

    def revoke(_: str, key: str) -> None:
        victim.keys.revoke(victim.keys.digest_of(key)[:12])

    for harm in (stop, revoke):
        _harm_under_way(victim, tried, f"jobs-long-{harm.__name__}", harm)
    return tried


def _harm_under_way(victim: Victim, tried: Tried, tenant: str, harm: Callable[[str, str], None]) -> None:
    key = victim.key("lou", "agent", tenant=tenant)
    long = "".join(f"Rule {number} of the house is kept by {number} people. " for number in range(60_000)).encode()
    victim.client(key).post("/v1/jobs/ingest", files=[("files", ("long.md", long))])
    _wait(lambda: _is_under_way(victim, tenant))
    time.sleep(BEGUN_S)
    harm(tenant, key)
    tried.check(held=_is_under_way(victim, tenant), otherwise=f"{tenant}: the document was not under way")
    _wait(lambda: not _is_under_way(victim, tenant))
    stored = _count(victim, "ledger.sqlite", "SELECT count(*) FROM documents WHERE tenant = ?", tenant)
    tried.check(held=not stored, otherwise=f"{tenant}: {stored} document was stored afterwards")


def _is_under_way(victim: Victim, tenant: str) -> bool:
    begun = "SELECT count(*) FROM jobs JOIN items USING (job_id) WHERE tenant = ? AND items.status = 'waiting' AND attempts > 0"
    return _count(victim, "jobs/jobs.sqlite", begun, tenant) > 0


def _items_done(victim: Victim, tenant: str) -> int:
    """Read from the store: over HTTP it takes a request for each job, and meanwhile more is done."""
    done = "SELECT count(*) FROM jobs JOIN items USING (job_id) WHERE tenant = ? AND items.status = 'done'"
    return _count(victim, "jobs/jobs.sqlite", done, tenant)


def _count(victim: Victim, file: str, statement: str, tenant: str) -> int:
    with closing(sqlite3.connect(f"file:{victim.data / file}?mode=ro", uri=True)) as store:
        return int(store.execute(statement, (tenant,)).fetchone()[0])


def answers_after_revoking(victim: Victim) -> Tried:
    """Revoke the key that began a job, and count what is answered afterwards; then what a second process would find."""
    tried = Tried()
    key = victim.key("ida", "agent", tenant="jobs-revoked")
    attacker, colleague = victim.client(key), victim.person("ida", "agent", tenant="jobs-revoked")
    questions = {"questions": [{"question": f"What is rule {number}?"} for number in range(200)]}
    job = attacker.post("/v1/jobs/answers", json=questions).json()["job_id"]
    _wait(lambda: _done(colleague, job))
    victim.keys.revoke(victim.keys.digest_of(key)[:12])
    tried.check(held=attacker.get("/v1/jobs").status_code == 401, otherwise="a revoked key still called the API")
    time.sleep(1.0)
    within_a_second = _done(colleague, job)
    time.sleep(SETTLED_S)
    later = _done(colleague, job)
    tried.check(
        held=later - within_a_second == 0 and later < 200,
        otherwise=f"{later} of 200 questions were answered, {later - within_a_second} of them a second after the key was revoked",
    )
    colleague.post(f"/v1/jobs/{job}/cancel")
    return tried


def hog_the_turns(victim: Victim) -> Tried:
    """Fill the line with jobs of one tenant, and count how many of its items are done before five of another's."""
    tried = Tried()
    hog, guest = victim.person("hog", tenant="jobs-hog"), victim.person("guest", tenant="jobs-guest")
    questions = {"questions": [{"question": f"What is rule {number}?"} for number in range(60)]}
    hogs = [hog.post("/v1/jobs/answers", json=questions).json()["job_id"] for _ in range(15)]
    before = _items_done(victim, "jobs-hog")
    guest.post("/v1/jobs/answers", json={"questions": questions["questions"][:5]})
    _wait(lambda: _items_done(victim, "jobs-guest") == 5)
    theirs = _items_done(victim, "jobs-hog") - before
    tried.check(held=theirs <= 35, otherwise=f"{theirs} items of one tenant were done before five of another's")
    for hogged in hogs:
        hog.post(f"/v1/jobs/{hogged}/cancel")
    return tried


def fill_with_jobs(victim: Victim) -> Tried:
    """Send more jobs than a tenant may have."""
    tried = Tried()
    greedy = victim.person("gil", tenant="jobs-greedy")
    questions = {"questions": [{"question": f"What is rule {number}?"} for number in range(200)]}
    sent = [greedy.post("/v1/jobs/answers", json=questions) for _ in range(30)]
    taken = [reply.json()["job_id"] for reply in sent if reply.status_code == httpx.codes.ACCEPTED]
    tried.check(held=len(taken) <= 22, otherwise=f"{len(taken)} jobs of one tenant were taken at once")
    for job in taken:
        greedy.post(f"/v1/jobs/{job}/cancel")
    return tried


def _documents(person: httpx.Client) -> int:
    return len(person.get("/v1/documents").json().get("documents", ()))


def _done(person: httpx.Client, *jobs: str) -> int:
    return sum(person.get(f"/v1/jobs/{job}").json()["job"]["done"] for job in jobs)


def _wait(holds: Callable[[], Any]) -> None:
    give_up = time.monotonic() + PATIENCE_S
    while not holds() and time.monotonic() < give_up:
        time.sleep(0.02)


def _ignore(*kinds: str) -> Callable[[], None]:
    """Jobs do not mind what these errors of `Allow` say."""

    def reopen() -> None:
        from extensions.jobs.queue import Jobs

        begin: Any = Jobs.__init__

        def heedless(jobs: Jobs, *parts: Any) -> None:
            *others, allow = parts

            def permit(permission: Any, principal: Any) -> Any:
                try:
                    return allow(permission, principal)
                except Exception as error:
                    if type(error).__name__ in kinds:
                        return principal
                    raise

            begin(jobs, *others, permit)

        setattr(Jobs, "__init__", heedless)  # noqa: B010 - a defence is taken out

    return reopen


def reopen_turns() -> None:
    """First come, first served."""
    from foundation.types import Principal
    from serving.access.admission import FairTurns

    fair = FairTurns.turn
    setattr(FairTurns, "turn", lambda turns, _: fair(turns, Principal("", "")))  # noqa: B010 - a defence is taken out


def reopen_limits() -> None:
    """A tenant has as many jobs as it likes."""
    from extensions.jobs.store import JobStore

    setattr(JobStore, "_make_room", lambda *_: None)  # noqa: B010 - a defence is taken out


def reopen_demand() -> None:
    """A document that is begun is stored."""
    from retrieval.ingest.pipeline import Ingestor

    ingest_one: Any = Ingestor.ingest_one

    def heedless(ingestor: Ingestor, item: Any, *, scope: Any, demand: Any) -> Any:
        del demand
        return ingest_one(ingestor, item, scope=scope)

    setattr(Ingestor, "ingest_one", heedless)  # noqa: B010 - a defence is taken out


ATTACKS = (
    Attack(
        name="jobs-document-under-way",
        title="a document is stored after its tenant was stopped or its key revoked, because it was begun before",
        run=documents_under_way,
        reopen=reopen_demand,
        alone=True,
    ),
    Attack(
        name="jobs-ingest-while-stopped",
        title="a job takes in documents for a tenant that is stopped",
        run=ingest_while_stopped,
        reopen=_ignore("Stopped"),
    ),
    Attack(
        name="jobs-answer-after-revoking",
        title="a revoked key goes on asking by its job",
        run=answers_after_revoking,
        reopen=_ignore("Unauthenticated"),
    ),
    Attack(
        name="jobs-hog-the-turns",
        title="the jobs of one tenant hold up those of another",
        run=hog_the_turns,
        reopen=reopen_turns,
    ),
    Attack(
        name="jobs-without-number",
        title="a tenant fills the disk and the line with jobs",
        run=fill_with_jobs,
        reopen=reopen_limits,
    ),
)
