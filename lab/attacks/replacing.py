"""Documents that are replaced, deleted, superseded, planted or listed by people who may not read them.

Each attack has a tenant of its own, where hanna is of the group hr and adam is not.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import httpx2 as httpx

from lab.attacks.contract import Attack, Tried
from lab.attacks.victim import Victim

PAY = "The severance canarysev of Mr Quill is 250000 USD."
QUESTION = "How much is the severance of Mr Quill?"
BINARY = b"\0\1 no text"


def replace_unseen(victim: Victim) -> Tried:
    """Replace a document of another group or class with one for everybody that only comes into force in 2099: a kept old
    text would stay in force, with the new rights. By a request and by a job.
    """
    tried = Tried()
    hanna, adam = _people(victim, "replacing")
    boss, nora = victim.person("olga", "operator", tenant="replacing"), victim.person("nora", tenant="replacing")
    victim.upload(hanna, "pay.md", PAY, groups="hr")
    victim.upload(hanna, "by-job.md", PAY, groups="hr")
    victim.upload(boss, "merger.md", PAY, attributes='{"data_class": "secret"}')
    for name in ("pay.md", "merger.md"):
        stored = victim.upload(adam, name, "Nothing", effective_from="2099-01-01")
        fresh = victim.upload(adam, f"fresh-{name}", "Nothing", effective_from="2099-01-01")
        tried.check(
            held=_same(stored, fresh, name), otherwise=f"{name}: {stored.text}, where a new name gives {fresh.text}"
        )
    job = adam.post(
        "/v1/jobs/ingest", files={"files": ("by-job.md", b"Nothing")}, data={"effective_from": "2099-01-01"}
    )
    _wait_for(adam, job.json()["job_id"])
    for name, person in {"adam": adam, "nora": nora}.items():
        answer = victim.ask(person, QUESTION)
        tried.check(held="canarysev" not in str(answer), otherwise=f"{name} was told: {answer.get('text')}")
    answer = victim.ask(hanna, QUESTION)
    tried.check(held="canarysev" in str(answer), otherwise=f"hanna lost her document: {answer.get('text')}")
    return tried


def open_earlier(victim: Victim) -> Tried:
    """A colleague puts a new text for everybody in the place of a restricted one: what it said before stays restricted."""
    tried = Tried()
    hanna, adam = _people(victim, "opening")
    last_year = (date.today() - timedelta(days=400)).isoformat()  # noqa: DTZ011 - any day in the past
    victim.upload(hanna, "pay.md", PAY, groups="hr", effective_from=last_year)
    victim.upload(hanna, "pay.md", "There is no severance any more.")
    for as_of in (None, last_year):
        hits = adam.post("/v1/search", json={"query": "severance of Mr Quill", "as_of": as_of}).json()
        tried.check(held="canarysev" not in str(hits), otherwise=f"adam found the earlier text as of {as_of}")
    hits = hanna.post("/v1/search", json={"query": "severance of Mr Quill", "as_of": last_year}).json()
    tried.check(held="canarysev" in str(hits), otherwise="hanna cannot read what it said last year")
    return tried


def delete_unseen(victim: Victim) -> Tried:
    """Delete by name what one may not read, and learn from the reply that it is there."""
    tried = Tried()
    hanna, adam = _people(victim, "deleting")
    document = victim.upload(hanna, "pay.md", PAY, groups="hr").json()["document_id"]
    for query in ({}, {"document_id": document}):
        there, absent = (adam.delete("/v1/documents", params={"uri": name, **query}) for name in ("pay.md", "none.md"))
        tried.check(held=_same(there, absent, "pay.md", "none.md"), otherwise=f"{there.text} instead of {absent.text}")
    tried.check(held="canarysev" in str(victim.ask(hanna, QUESTION)), otherwise="hanna's document is gone")
    return tried


def supersede_unseen(victim: Victim) -> Tried:
    """Name a newer document after the series of one that one may not read, so that it is no longer in force."""
    tried = Tried()
    hanna, adam = _people(victim, "superseding")
    victim.upload(hanna, "pay-2026.md", PAY, groups="hr", series="pay", effective_from="2026-01-01")
    victim.upload(adam, "decoy.md", "Nothing about it.", series="pay", effective_from="2026-02-01")
    answer = victim.ask(hanna, QUESTION)
    tried.check(held="canarysev" in str(answer), otherwise=f"hanna is told: {answer.get('text')}")
    return tried


def plant_unseen(victim: Victim) -> Tried:
    """Store a document for a group or of a class of others, who would take it for their own."""
    tried = Tried()
    hanna, adam = _people(victim, "planting")
    forms: list[dict[str, Any]] = [{"groups": "hr"}, {"attributes": '{"data_class": "secret"}'}]
    for number, form in enumerate(forms):
        reply = victim.upload(adam, f"wire-{number}.md", "Wire the severance canarysev to Evil Bank 666.", **form)
        tried.check(held=reply.status_code == httpx.codes.FORBIDDEN, otherwise=f"{form} was taken: {reply.text}")
    job = adam.post("/v1/jobs/ingest", files={"files": ("wire.md", PAY.encode())}, data={"groups": ["hr"]})
    tried.check(held=job.status_code == httpx.codes.FORBIDDEN, otherwise=f"a job took it: {job.text}")
    tried.check(held="canarysev" not in str(victim.ask(hanna, QUESTION)), otherwise="hanna was told of Evil Bank")
    return tried


def list_unseen_refusals(victim: Victim) -> Tried:
    """Read in the list of refused documents what others tried to store, or have it tried again."""
    tried = Tried()
    hanna, adam = _people(victim, "refusing")
    name = "severance-of-quill.md"
    refused = victim.upload(hanna, name, BINARY, groups="hr")
    tried.check(
        held=refused.status_code == httpx.codes.UNPROCESSABLE_CONTENT, otherwise=f"nothing was refused: {refused}"
    )
    for method, path in (("GET", "/v1/documents"), ("POST", "/v1/documents/retry")):
        reply = adam.request(method, path)
        tried.check(held=name not in reply.text, otherwise=f"{method} {path} says {reply.text}")
    tried.check(held=name in hanna.get("/v1/documents").text, otherwise="hanna does not see her own refusal")
    return tried


def _people(victim: Victim, tenant: str) -> tuple[httpx.Client, httpx.Client]:
    """Hanna of the group hr and adam of none, both agents."""
    return (
        victim.person("hanna", "agent", tenant=tenant, groups=("hr",)),
        victim.person("adam", "agent", tenant=tenant),
    )


def _same(reply: httpx.Response, other: httpx.Response, name: str, its_name: str | None = None) -> bool:
    """Whether they say the same but for the names, ids and times that belong to them."""
    theirs = its_name or f"fresh-{name}"
    said = [one.json() if one.content else {} for one in (reply, other)]
    for one in said:
        for key in ("document_id", "ingested_at", "request_id", "instance", "trace_id"):
            one.pop(key, None)
    return reply.status_code == other.status_code and str(said[0]).replace(name, "") == str(said[1]).replace(theirs, "")


def _wait_for(client: httpx.Client, job_id: str) -> None:
    for _ in range(600):
        if client.get(f"/v1/jobs/{job_id}").json()["job"]["status"] != "running":
            return
        client.get("/health/live")


def read_everything() -> None:
    """The rule of before: whoever may write replaces, deletes and supersedes whatever has the name."""
    from retrieval.documents import Source
    from retrieval.ingest import document_history, pipeline

    Source.is_readable = lambda *_: True  # type: ignore[method-assign]
    Source.document_id = property(lambda source: f"{source.tenant} {source.uri}".encode().hex())  # type: ignore[assignment]
    pipeline.scope_text = lambda *_: None  # type: ignore[attr-defined]
    document_history._as_earlier = _with_present_rights


def keep_present_rights() -> None:
    """Earlier versions get the rights that the document has now."""
    from retrieval.ingest import document_history

    document_history._as_earlier = _with_present_rights


def _with_present_rights(version: Any, now: Any) -> Any:
    from dataclasses import replace

    return replace(
        version, groups=now.groups, attributes=dict(now.attributes), series=now.series, version_of=now.document_id
    )


def supersede_anything() -> None:
    """A document supersedes whatever has its series."""
    from retrieval.ingest import pipeline

    pipeline.scope_text = lambda *_: None  # type: ignore[attr-defined]


def take_anything() -> None:
    """Whoever may write stores for any group and of any class."""
    from extensions.jobs import routes as jobs
    from retrieval.ingest import pipeline
    from serving.api import documents

    for module in (pipeline, documents, jobs):
        module.demand_readable = lambda *_: None  # type: ignore[attr-defined]


ATTACKS = (
    Attack(
        name="replace-unseen",
        title="an agent reads a document of another group by replacing it",
        run=replace_unseen,
        reopen=read_everything,
    ),
    Attack(
        name="open-earlier",
        title="what a document said while it was restricted is read by everybody once it is not",
        run=open_earlier,
        reopen=keep_present_rights,
    ),
    Attack(
        name="delete-unseen",
        title="an agent deletes a document of another group, and learns that it is there",
        run=delete_unseen,
        reopen=read_everything,
    ),
    Attack(
        name="supersede-unseen",
        title="an agent puts a document of another group out of force",
        run=supersede_unseen,
        reopen=supersede_anything,
    ),
    Attack(
        name="plant-unseen",
        title="an agent stores a document that only another group sees",
        run=plant_unseen,
        reopen=take_anything,
    ),
    Attack(
        name="list-refusals",
        title="the names of refused documents of another group are read",
        run=list_unseen_refusals,
        reopen=read_everything,
    ),
)
