"""Jobs: acknowledged means on the disk, each item by itself, and the next process goes on."""

import asyncio
import errno
import json
import os
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest

from extensions.jobs import store as jobs
from extensions.jobs.queue import ATTEMPTS, LOOK_S
from extensions.jobs.store import JobStore
from foundation import extensions
from foundation.errors import Overloaded, Stopped, StorageFull
from foundation.settings import FoundationSettings
from foundation.stores.registry import Person
from foundation.types import Principal
from serving.access.admission import Admission, FairTurns
from serving.access.identity import KeyStore
from serving.app import ROUTES, create_app
from serving.cli import doctor
from serving.http.quotas import QuotaAgent
from serving.server import running
from serving.settings import Settings
from tests.doubles.serving import TEXT, FakeSystem, World, world
from tests.forks import fork, preload
from tests.there import is_there

PATIENCE_S = 60
stoppable = pytest.mark.needs("extensions.kill_switches.stops")
ON = ("jobs", "kill_switches") if is_there("extensions.kill_switches.stops") else ("jobs",)
preload(__name__, *ROUTES)


@pytest.fixture
def given(tmp_path: Path) -> World:
    return world(tmp_path, extensions=ON)


@pytest.fixture
def base_url(given: World) -> Iterator[str]:
    with running(given.system) as url:
        yield url


def call(base_url: str, key: str, method: str, path: str, **body: Any) -> httpx2.Response:
    headers = {"Authorization": f"Bearer {key}"}
    return httpx2.request(method, f"{base_url}/v1/jobs{path}", headers=headers, timeout=PATIENCE_S, **body)


def test_the_description_of_the_api_says_nothing_of_what_callers_do_not_see(given: World) -> None:
    schemas = create_app(given.system).openapi()["components"]["schemas"]
    told = json.dumps([schemas["Job"], schemas["JobItem"]])
    assert not {word for word in ("given", "attempts", "principal") if word in told}


def ended(base_url: str, key: str, job_id: str) -> dict[str, Any]:
    return when(base_url, key, job_id, lambda job: job["status"] != "running")


def when(base_url: str, key: str, job_id: str, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        found = call(base_url, key, "GET", f"/{job_id}").json()
        if holds(found["job"]):
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.02)


def batch(*questions: str) -> dict[str, Any]:
    return {"json": {"questions": [{"question": one} for one in questions]}}


def test_documents_are_taken_in_and_a_bad_one_stops_no_other(given: World, base_url: str) -> None:
    texts = {"a.md": TEXT, "b.md": "a\0b", "c.md": "", "d.md": TEXT}
    files = [("files", (name, text.encode())) for name, text in texts.items()]
    agent = given.key("agent", groups=["desk"])
    begun = call(base_url, agent, "POST", "/ingest", files=files, data={"groups": ["desk"]})
    assert (begun.status_code, begun.json()["total"]) == (202, 4), begun.text
    found = ended(base_url, agent, begun.json()["job_id"])
    assert (found["job"]["status"], found["job"]["done"], found["job"]["failed"]) == ("done", 2, 2)
    outcomes = {item["name"]: item["outcome"] for item in found["items"]}
    assert (outcomes["a.md"]["uri"], outcomes["a.md"]["groups"]) == ("a.md", ["desk"])
    assert (outcomes["b.md"]["reason"], outcomes["c.md"]["reason"]) == ("malformed", "empty")
    assert sorted(known.source.uri for known, _ in given.system.retrieval.ledger.stored.values()) == ["a.md", "d.md"]
    assert not given.system.hooks.service(JobStore).files(begun.json()["job_id"]).exists()


def test_nobody_plants_documents_for_groups_that_they_are_not_in(given: World, base_url: str) -> None:
    files = [("files", ("a.md", TEXT.encode()))]
    refused = call(base_url, given.agent, "POST", "/ingest", files=files, data={"groups": ["desk"]})
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    assert call(base_url, given.agent, "GET", "").json()["jobs"] == []


def test_a_job_is_shown_to_its_sender_with_the_rights_that_it_was_made_with(given: World, base_url: str) -> None:
    member, other = (given.key("reader", subject="ada", groups=groups) for groups in (["hr"], []))
    job_id = call(base_url, member, "POST", "/answers", **batch("When?")).json()["job_id"]
    ended(base_url, member, job_id)
    absent = call(base_url, other, "GET", f"/{'0' * len(job_id)}")
    for hidden in (call(base_url, other, "GET", f"/{job_id}"), call(base_url, other, "POST", f"/{job_id}/cancel")):
        assert hidden.status_code == absent.status_code == 404
        assert hidden.json()["detail"].replace(job_id, "") == absent.json()["detail"].replace("0" * len(job_id), "")
    assert call(base_url, other, "GET", "").json()["jobs"] == []
    more = given.key("reader", "agent", subject="ada", groups=["hr", "desk"])
    assert call(base_url, more, "GET", f"/{job_id}").status_code == 200


def test_a_version_has_its_series_and_days_and_two_files_cannot_be_one_version(given: World, base_url: str) -> None:
    about = {"series": "fees", "effective_from": "2026-06-01", "published": "2026-05-20"}
    files = [("files", (name, TEXT.encode())) for name in ("june.md", "july.md")]
    refused = call(base_url, given.agent, "POST", "/ingest", files=files, data=about)
    assert (refused.status_code, "Send each by itself" in refused.json()["detail"]) == (422, True)
    begun = call(base_url, given.agent, "POST", "/ingest", files=files[:1], data=about)
    (item,) = ended(base_url, given.agent, begun.json()["job_id"])["items"]
    assert {name: item["outcome"][name] for name in about} == about


def test_questions_are_answered_and_a_failure_is_a_problem_of_its_own(given: World, base_url: str) -> None:
    begun = call(base_url, given.reader, "POST", "/answers", **batch("When?", "down", "explode", "Why?"))
    found = ended(base_url, given.reader, begun.json()["job_id"])
    assert [item["status"] for item in found["items"]] == ["done", "failed", "failed", "done"]
    assert found["items"][0]["outcome"]["text"] == "The double ships on Tuesdays [1]."
    assert (found["items"][1]["outcome"]["code"], found["items"][1]["outcome"]["retryable"]) == ("upstream_down", True)
    assert "secret" not in found["items"][2]["outcome"]["detail"]
    callers = {caller.subject for _, caller in given.system.agent.asked}
    assert callers == {"reader@north"}


def test_a_cancelled_job_breaks_off_and_keeps_what_is_done(given: World, base_url: str) -> None:
    job_id = call(base_url, given.reader, "POST", "/answers", **batch("When?", "wait", "Why?")).json()["job_id"]
    assert given.system.agent.started.wait(PATIENCE_S)
    cancelled = call(base_url, given.reader, "POST", f"/{job_id}/cancel").json()
    assert (cancelled["status"], cancelled["done"]) == ("cancelled", 1)
    assert given.system.agent.cancelled.wait(PATIENCE_S)
    found = ended(base_url, given.reader, job_id)
    assert [item["status"] for item in found["items"]] == ["done", "waiting", "waiting"]
    assert call(base_url, given.reader, "POST", f"/{job_id}/cancel").json()["status"] == "cancelled"
    assert "Why?" not in [request.question for request, _ in given.system.agent.asked]


def test_a_job_that_another_worker_is_told_to_cancel_ends_with_its_current_item(given: World) -> None:
    other = FakeSystem(given.system.settings, given.system.context)
    with running(given.system) as url:
        job_id = call(url, given.reader, "POST", "/answers", **batch("wait", "Why?")).json()["job_id"]
        assert given.system.agent.started.wait(PATIENCE_S)
        with running(other) as second:  # type: ignore[arg-type]
            assert call(second, given.reader, "POST", f"/{job_id}/cancel").json()["status"] == "cancelled"
        given.system.agent.let_go.set()
        when(url, given.reader, job_id, lambda job: job["done"] == 1)
    assert [request.question for request, _ in given.system.agent.asked] == ["wait"]


def test_people_come_first(tmp_path: Path) -> None:
    given = world(tmp_path, extensions=ON, concurrent_answers=2)
    with running(given.system) as url:
        job_id = call(url, given.reader, "POST", "/answers", **batch("wait")).json()["job_id"]
        assert given.system.agent.started.wait(PATIENCE_S)
        second = call(url, given.reader, "POST", "/answers", **batch("Why?")).json()["job_id"]
        headers = {"Authorization": f"Bearer {given.reader}"}
        answered = httpx2.post(f"{url}/v1/answers", json={"question": "When?"}, headers=headers, timeout=PATIENCE_S)
        assert answered.status_code == 200, "a place was left for whoever waits"
        assert "Why?" not in [request.question for request, _ in given.system.agent.asked]
        given.system.agent.let_go.set()
        for one in (job_id, second):
            assert ended(url, given.reader, one)["job"]["done"] == 1


def test_the_next_process_goes_on_where_one_was_stopped(given: World) -> None:
    with running(given.system) as url:
        job_id = call(url, given.agent, "POST", "/answers", **batch("When?", "wait", "Why?")).json()["job_id"]
        assert given.system.agent.started.wait(PATIENCE_S)
    assert given.system.agent.cancelled.is_set()
    path = given.system.settings.foundation.data_dir / "jobs" / "jobs.sqlite"
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE jobs SET worker = '1:0.0'")  # as a process of another time would have left it
    again = FakeSystem(given.system.settings, given.system.context)
    again.agent.let_go.set()
    with running(again) as url:  # type: ignore[arg-type]
        assert ended(url, given.agent, job_id)["job"]["done"] == 3
    assert [request.question for request, _ in again.agent.asked] == ["wait", "Why?"]


def test_a_job_is_its_callers_own(given: World, base_url: str) -> None:
    job_id = call(base_url, given.reader, "POST", "/answers", **batch("When?")).json()["job_id"]
    for stranger in (given.stranger, given.agent):
        assert call(base_url, stranger, "GET", f"/{job_id}").status_code == 404
        assert call(base_url, stranger, "POST", f"/{job_id}/cancel").status_code == 404
        assert call(base_url, stranger, "GET", "").json()["jobs"] == []
    assert [job["job_id"] for job in call(base_url, given.reader, "GET", "").json()["jobs"]] == [job_id]


def test_what_does_not_fit_is_refused_before_anything_is_stored(given: World, base_url: str) -> None:
    files = [("files", (f"{number}.md", b"x")) for number in range(101)]
    assert call(base_url, given.agent, "POST", "/ingest", files=files).status_code == 422
    assert call(base_url, given.reader, "POST", "/ingest", files=files[:1]).status_code == 403
    assert call(base_url, given.agent, "POST", "/ingest", files=files[:1], data={"shared": "true"}).status_code == 403
    misspelt = call(base_url, given.agent, "POST", "/ingest", files=files[:1], data={"group": "desk"})
    assert misspelt.status_code == 422, "it would be for everybody"
    assert call(base_url, given.reader, "POST", "/answers", **batch()).status_code == 422
    assert call(base_url, given.reader, "POST", "/answers", **batch("x" * 9_000)).status_code == 413
    assert call(base_url, given.agent, "GET", "").json()["jobs"] == []


def ingest(url: str, key: str, *names: str) -> str:
    files = [("files", (name, TEXT.encode())) for name in names]
    begun = call(url, key, "POST", "/ingest", files=files)
    assert begun.status_code == 202, begun.text
    return str(begun.json()["job_id"])


def keys_of(given: World) -> KeyStore:
    return KeyStore.of(given.system.settings, given.system.context.clock)


def revoke(given: World, key: str) -> None:
    keys = keys_of(given)
    keys.revoke(keys.digest_of(key)[:12])


@stoppable
@pytest.mark.parametrize("switch", [("all", ""), ("tenant", "north")])
@pytest.mark.parametrize("kind", ["ingest", "answers"])
def test_a_stopped_job_does_nothing_and_goes_on_when_it_is_lifted(
    given: World, base_url: str, kind: str, switch: tuple[Any, str]
) -> None:
    given.system.stops.add(*switch, by="ola", reason="a leak")
    store = given.system.hooks.service(JobStore)
    asyncio.run(
        begin_unasked(store, kind, Principal("agent@north", "north", credential=credential(given, given.agent)))
    )
    with running(FakeSystem(given.system.settings, given.system.context)) as url:  # type: ignore[arg-type]
        time.sleep(4 * LOOK_S)
        assert given.system.stops.list()
        assert [item.status for item in asyncio.run(store.items("job-1"))] == ["waiting", "waiting"]
        given.system.stops.lift(*switch)
        assert ended(url, given.agent, "job-1")["job"]["done"] == 2


@stoppable
@pytest.mark.parametrize("text", [TEXT, "binary \0"])
def test_a_document_that_is_under_way_when_its_tenant_is_stopped_is_stored_when_that_is_lifted(
    given: World, base_url: str, text: str
) -> None:
    files = [("files", ("a.md", f"wait {text}".encode()))]
    job_id = call(base_url, given.agent, "POST", "/ingest", files=files).json()["job_id"]
    assert given.system.retrieval.ingestor.begun.wait(PATIENCE_S)
    given.system.stops.add("tenant", "north", by="ola", reason="")
    given.system.retrieval.ingestor.begun.clear()
    given.system.retrieval.ingestor.let_go.set()
    wait_until(lambda: not given.system.hooks.service(JobStore)._file.read_now(attempts))
    assert given.system.retrieval.ledger.stored == {}
    given.system.stops.lift("tenant", "north")
    found = ended(base_url, given.agent, job_id)
    assert (found["job"]["done"], found["job"]["failed"]) == ((1, 0) if text == TEXT else (0, 1))


def test_a_document_that_is_under_way_when_its_key_is_revoked_is_not_stored(given: World, base_url: str) -> None:
    files = [("files", ("a.md", b"wait"))]
    job_id = call(base_url, given.agent, "POST", "/ingest", files=files).json()["job_id"]
    assert given.system.retrieval.ingestor.begun.wait(PATIENCE_S)
    again = keys_of(given).create(subject="agent@north", tenant="north", roles=["agent"])
    revoke(given, given.agent)
    given.system.retrieval.ingestor.let_go.set()
    assert ended(base_url, again, job_id)["job"]["status"] == "revoked"
    assert given.system.retrieval.ledger.stored == {}


@stoppable
def test_an_upload_that_is_under_way_when_its_tenant_is_stopped_is_not_stored(given: World, base_url: str) -> None:
    headers = {"Authorization": f"Bearer {given.agent}"}
    files = {"file": ("a.md", b"wait")}
    with ThreadPoolExecutor(1) as pool:
        upload = pool.submit(httpx2.post, f"{base_url}/v1/documents", files=files, headers=headers, timeout=PATIENCE_S)
        assert given.system.retrieval.ingestor.begun.wait(PATIENCE_S)
        given.system.stops.add("tenant", "north", by="ola", reason="a leak")
        given.system.retrieval.ingestor.let_go.set()
        refused = upload.result()
    assert (refused.status_code, refused.json()["code"]) == (503, "stopped")
    assert given.system.retrieval.ledger.stored == {}


def attempts(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT sum(attempts) FROM items").fetchone()[0])


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def serve_until_poisoned(folder: Path) -> None:
    """A process whose double of an agent kills it when it is asked for poison."""
    system = world(folder, extensions=ON).system
    stream = system.agent.stream

    def swallow(request: Any, principal: Any) -> Any:
        if request.question == "poison":
            os.kill(os.getpid(), signal.SIGKILL)
        return stream(request, principal)

    system.agent.stream = swallow
    with running(system):
        time.sleep(PATIENCE_S)


@pytest.mark.timeout(300)
def test_an_item_that_kills_its_process_is_given_up_by_name_and_the_others_are_done(given: World) -> None:
    store, folder = given.system.hooks.service(JobStore), given.system.settings.foundation.data_dir
    caller = Principal("agent@north", "north", credential=credential(given, given.agent))
    questions = [(question, {"question": question}) for question in ("When?", "poison", "Why?")]
    asyncio.run(store.add("answers", caller, questions, {}))
    store._file.run_now(lambda connection: connection.execute("UPDATE jobs SET worker = '1:0.0'"))
    for _ in range(ATTEMPTS):
        process = fork(serve_until_poisoned, folder)
        process.join(PATIENCE_S)
        assert process.exitcode == -signal.SIGKILL
    last = fork(serve_until_poisoned, folder)
    try:
        wait_until(lambda: not last.is_alive() or not asyncio.run(store.items("job-1", waiting=True)))
        first, poison, third = asyncio.run(store.items("job-1"))
    finally:
        last.kill()
        last.join()
    assert [item.status for item in (first, poison, third)] == ["done", "failed", "done"]
    assert poison.outcome is not None
    assert (poison.outcome["code"], poison.outcome["retryable"]) == ("internal", False)
    assert 'died 3 times while it worked on "poison"' in poison.outcome["detail"]


@stoppable
def test_an_item_that_is_put_off_or_was_stopped_with_its_server_counts_no_attempt(given: World) -> None:
    with running(given.system) as url:
        call(url, given.reader, "POST", "/answers", **batch("wait"))
        assert given.system.agent.started.wait(PATIENCE_S)
        assert given.system.hooks.service(JobStore)._file.read_now(attempts) == 1
        given.system.stops.add("tenant", "north", by="ola", reason="")
        wait_until(lambda: given.system.hooks.service(JobStore)._file.read_now(attempts) == 0)
        given.system.agent.started.clear()
        given.system.stops.lift("tenant", "north")
        assert given.system.agent.started.wait(PATIENCE_S)
        wait_until(lambda: given.system.hooks.service(JobStore)._file.read_now(attempts) == 1)
    assert given.system.hooks.service(JobStore)._file.read_now(attempts) == 0


def credential(given: World, key: str) -> str:
    return keys_of(given).authenticate(f"Bearer {key}").credential


async def begin_unasked(store: JobStore, kind: Any, caller: Principal) -> None:
    """A job that a process left which is gone, as the next one finds it."""
    about = {"tenant": "north", "groups": [], "series": None, "effective_from": None, "published": None}
    given = about if kind == "ingest" else {"question": "When?"}
    await store.add(kind, caller, [("a.md", given), ("b.md", given)], {"1": TEXT.encode(), "2": TEXT.encode()})
    store._file.run_now(lambda connection: connection.execute("UPDATE jobs SET worker = '1:0.0'"))


@stoppable
def test_an_answer_under_way_is_broken_off_by_a_stop_and_given_after_it(given: World, base_url: str) -> None:
    job_id = call(base_url, given.reader, "POST", "/answers", **batch("wait", "Why?")).json()["job_id"]
    assert given.system.agent.started.wait(PATIENCE_S)
    given.system.stops.add("tenant", "north", by="ola", reason="")
    assert given.system.agent.cancelled.wait(PATIENCE_S)
    given.system.agent.let_go.set()
    given.system.stops.lift("tenant", "north")
    assert ended(base_url, given.reader, job_id)["job"]["done"] == 2
    assert [request.question for request, _ in given.system.agent.asked] == ["wait", "wait", "Why?"]


def test_a_revoked_key_ends_its_jobs_and_the_answer_under_way(given: World, base_url: str) -> None:
    job_id = call(base_url, given.reader, "POST", "/answers", **batch("wait", "Why?")).json()["job_id"]
    assert given.system.agent.started.wait(PATIENCE_S)
    again = keys_of(given).create(subject="reader@north", tenant="north", roles=["reader"])
    revoke(given, given.reader)
    assert given.system.agent.cancelled.wait(PATIENCE_S)
    found = ended(base_url, again, job_id)
    assert (found["job"]["status"], found["job"]["done"]) == ("revoked", 0)
    assert [request.question for request, _ in given.system.agent.asked] == ["wait"]


def test_a_job_of_a_key_that_was_revoked_meanwhile_is_not_gone_on_with_by_the_next_process(given: World) -> None:
    caller = Principal("agent@north", "north", credential=credential(given, given.agent))
    asyncio.run(begin_unasked(given.system.hooks.service(JobStore), "ingest", caller))
    again = keys_of(given).create(subject="agent@north", tenant="north", roles=["agent"])
    revoke(given, given.agent)
    with running(given.system) as url:
        assert ended(url, again, "job-1")["job"]["status"] == "revoked"
    assert given.system.retrieval.ledger.stored == {}
    assert not given.system.hooks.service(JobStore).files("job-1").exists()


def test_a_job_without_a_known_credential_is_nobodys(given: World) -> None:
    asyncio.run(begin_unasked(given.system.hooks.service(JobStore), "answers", Principal("agent@north", "north")))
    with running(given.system) as url:
        assert ended(url, given.agent, "job-1")["job"]["status"] == "revoked"


def edit_key(given: World, key: str, **changes: Any) -> None:
    """As an operator who edits the file."""
    keys, digest = keys_of(given), keys_of(given).digest_of(key)
    entries = json.loads(keys.path.read_text())
    keys._file.write([{**entry, **(changes if entry["sha256"] == digest else {})} for entry in entries])


def test_each_item_is_done_with_the_roles_and_groups_that_the_key_has_then(given: World, base_url: str) -> None:
    job_id = call(base_url, given.agent, "POST", "/answers", **batch("wait", "Why?")).json()["job_id"]
    assert given.system.agent.started.wait(PATIENCE_S)
    edit_key(given, given.agent, roles=["reader"], groups=["desk"])
    given.system.agent.let_go.set()
    both = given.key(
        "agent", "reader", groups=["desk"]
    )  # the same person: what was answered is for these rights together
    assert ended(base_url, both, job_id)["job"]["done"] == 2
    for fewer in (given.agent, given.key("agent"), given.key("agent", "reader")):
        assert call(base_url, fewer, "GET", f"/{job_id}").status_code == 404
    first, second = [caller for _, caller in given.system.agent.asked]
    assert (first.roles, first.groups) == ({"agent"}, frozenset())
    assert (second.roles, second.groups) == ({"reader"}, {"desk"})


@stoppable
def test_a_key_that_may_no_longer_write_ends_its_ingest(given: World, base_url: str) -> None:
    given.system.stops.add("tenant", "north", by="ola", reason="")
    caller = Principal("agent@north", "north", credential=credential(given, given.agent))
    asyncio.run(begin_unasked(given.system.hooks.service(JobStore), "ingest", caller))
    edit_key(given, given.agent, roles=["reader"])
    given.system.stops.lift("tenant", "north")
    with running(FakeSystem(given.system.settings, given.system.context)) as url:  # type: ignore[arg-type]
        assert ended(url, given.agent, "job-1")["job"]["status"] == "revoked"
    assert given.system.retrieval.ledger.stored == {}


@pytest.mark.parametrize("harm", ["missing", "unreadable"])
def test_while_nobody_can_say_which_keys_count_a_job_waits(given: World, base_url: str, harm: str) -> None:
    job_id = call(base_url, given.reader, "POST", "/answers", **batch("wait", "Why?")).json()["job_id"]
    assert given.system.agent.started.wait(PATIENCE_S)
    path = keys_of(given).path
    content = path.read_text()
    path.unlink() if harm == "missing" else path.write_text("{")
    assert given.system.agent.cancelled.wait(PATIENCE_S)
    given.system.agent.let_go.set()
    path.write_text(content)
    assert ended(base_url, given.reader, job_id)["job"]["done"] == 2


def test_tenants_take_turns_item_by_item(given: World, base_url: str) -> None:
    jobs = [call(base_url, given.reader, "POST", "/answers", **batch("wait", *["Why?"] * 30)).json() for _ in range(6)]
    assert given.system.agent.started.wait(PATIENCE_S)
    stranger = call(base_url, given.stranger, "POST", "/answers", **batch(*["When?"] * 5)).json()
    given.system.agent.let_go.set()
    assert ended(base_url, given.stranger, stranger["job_id"])["job"]["done"] == 5
    for job in jobs:
        ended(base_url, given.reader, job["job_id"])
    tenants = [caller.tenant for _, caller in given.system.agent.asked]
    last = max(number for number, tenant in enumerate(tenants) if tenant == "south")
    assert last < 30, "after each few of the other tenant's comes one of theirs, and not after one of each of its jobs"


def test_a_tenant_has_so_many_jobs_at_work_and_no_more(tmp_path: Path) -> None:
    given = world(tmp_path, extensions=ON, sections={"jobs": {"running_per_tenant": 2}})
    with running(given.system) as url:
        sent = [call(url, given.reader, "POST", "/answers", **batch("wait")) for _ in range(3)]
        assert [one.status_code for one in sent] == [202, 202, 429]
        assert (sent[2].json()["code"], sent[2].json()["retryable"]) == ("quota_exceeded", True)
        assert "2 jobs that are not done" in sent[2].json()["detail"]
        assert int(sent[2].headers["retry-after"]) > 0
        assert call(url, given.stranger, "POST", "/answers", **batch("When?")).status_code == 202
        call(url, given.reader, "POST", f"/{sent[0].json()['job_id']}/cancel")
        assert call(url, given.reader, "POST", "/answers", **batch("When?")).status_code == 202
        given.system.agent.let_go.set()


def test_the_bytes_of_a_tenants_jobs_have_a_limit_and_old_ones_make_room(tmp_path: Path) -> None:
    given = world(tmp_path, extensions=ON, sections={"jobs": {"mb_per_tenant": 0.01}})
    with running(given.system) as url:
        first = call(url, given.reader, "POST", "/answers", **batch(*["When? " + "x" * 1_500] * 2)).json()["job_id"]
        ended(url, given.reader, first)
        second = call(url, given.reader, "POST", "/answers", **batch(*["wait " + "x" * 1_500] * 2))
        assert second.status_code == 202, second.text
        assert call(url, given.reader, "GET", f"/{first}").status_code == 404
        third = call(url, given.reader, "POST", "/answers", **batch(*["wait " + "x" * 1_500] * 2))
        assert (third.status_code, third.json()["code"]) == (429, "quota_exceeded")
        assert "mb_per_tenant" in third.json()["detail"]
        given.system.agent.let_go.set()
        ended(url, given.reader, second.json()["job_id"])


def test_a_full_disk_is_said_and_leaves_no_folder(given: World, base_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(number: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(jobs.os, "fsync", full)
    files = [("files", ("a.md", TEXT.encode()))]
    refused = call(base_url, given.agent, "POST", "/ingest", files=files)
    assert (refused.status_code, refused.json()["code"]) == (503, "storage_full")
    assert str(given.system.settings.foundation.data_dir) not in refused.text
    folder = given.system.settings.foundation.data_dir / "jobs"
    assert [path.name for path in folder.iterdir() if path.is_dir()] == []
    assert call(base_url, given.agent, "GET", "").json()["jobs"] == []
    monkeypatch.undo()
    assert ended(base_url, given.agent, ingest(base_url, given.agent, "a.md"))["job"]["done"] == 1


def test_a_process_that_dies_while_a_job_arrives_leaves_nothing_behind(
    given: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between row and files, and between the files and the word that they are there; and a folder of no row."""
    store, folder = given.system.hooks.service(JobStore), given.system.settings.foundation.data_dir / "jobs"

    class Killed(BaseException):
        pass

    def killed(*_: object) -> None:
        raise Killed

    async def unable(_: str) -> None:
        pass

    monkeypatch.setattr(store, "_drop", unable)
    for harmed in ("mkdir", "fsync"):
        monkeypatch.setattr(*((Path, "mkdir") if harmed == "mkdir" else (jobs.os, "fsync")), killed)
        with pytest.raises(Killed):
            asyncio.run(begin_unasked(store, "ingest", Principal("agent@north", "north")))
        monkeypatch.undo()
        monkeypatch.setattr(store, "_drop", unable)
    store._file.run_now(lambda connection: connection.execute("UPDATE jobs SET worker = '1:0.0'"))
    (folder / "0123").mkdir()
    (folder / "0123" / "1").write_text("secret")
    with running(FakeSystem(given.system.settings, given.system.context)) as url:  # type: ignore[arg-type]
        assert call(url, given.agent, "GET", "").json()["jobs"] == []
    assert [path.name for path in folder.iterdir() if path.is_dir()] == []


def test_a_job_waits_for_a_store_that_cannot_be_used_for_a_while_and_does_nothing_twice(
    given: World, base_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = threading.Event()
    settle = given.system.hooks.service(JobStore).settle

    async def full_once(*told: Any) -> None:
        if not failed.is_set():
            failed.set()
            raise StorageFull("No room.")
        await settle(*told)

    monkeypatch.setattr(given.system.hooks.service(JobStore), "settle", full_once)
    job_id = call(base_url, given.reader, "POST", "/answers", **batch("When?", "Why?")).json()["job_id"]
    assert ended(base_url, given.reader, job_id)["job"]["done"] == 2
    assert failed.is_set()
    assert [request.question for request, _ in given.system.agent.asked] == ["When?", "Why?"]


def test_a_stopped_model_fails_the_item_and_a_stopped_tenant_does_not(given: World, base_url: str) -> None:
    def refuse(request: Any, principal: Any) -> Any:
        raise Stopped("The model was stopped.")

    given.system.agent.stream = refuse
    job_id = call(base_url, given.reader, "POST", "/answers", **batch("When?")).json()["job_id"]
    (item,) = ended(base_url, given.reader, job_id)["items"]
    assert (item["status"], item["outcome"]["code"]) == ("failed", "stopped")


async def test_a_turn_that_was_given_to_somebody_who_leaves_is_passed_on() -> None:
    turns, held = FairTurns(1), []

    async def hold(tenant: str) -> None:
        async with turns.turn(Principal("ann", tenant)):
            held.append(tenant)

    async with turns.turn(Principal("ann", "a")):
        waiting = [asyncio.create_task(hold(tenant)) for tenant in ("a", "b", "a", "c")]
        await asyncio.sleep(0)
        waiting[1].cancel()
    waiting[0].cancel()  # its turn was given a moment ago
    await asyncio.gather(*waiting, return_exceptions=True)
    assert sorted(held) == ["a", "c"]
    async with asyncio.timeout(PATIENCE_S), turns.turn(Principal("ann", "d")):
        pass


def test_an_item_fails_where_its_person_has_nothing_left_to_spend(tmp_path: Path) -> None:
    given = world(tmp_path, extensions=ON, serving={"quotas": {"tenant": {"tokens": {"day": 10}}}})
    system = given.system
    system.agent = QuotaAgent(system.agent, system.serving.quotas)
    with running(system) as url:
        asyncio.run(system.serving.quotas.reserve(Principal("reader@north", "north"), tokens=10, usd=None))
        job_id = call(url, given.reader, "POST", "/answers", **batch("When?")).json()["job_id"]
        (item,) = ended(url, given.reader, job_id)["items"]
    assert (item["status"], item["outcome"]["code"]) == ("failed", "quota_exceeded")


def test_off_there_are_no_jobs_and_those_of_a_person_are_still_erased(tmp_path: Path) -> None:
    given = world(tmp_path, extensions=ON)
    reader = Principal("reader@north", "north")
    asyncio.run(begin_unasked(given.system.hooks.service(JobStore), "answers", reader))
    without = world(tmp_path)
    with running(without.system) as url:
        assert call(url, without.reader, "GET", "").status_code == 404
    (store,) = [store for store in extensions.stores() if store.name == "jobs"]
    assert store.erase
    assert store.erase(tmp_path, Person(tenant="north", subject="reader@north")) == 1


def test_the_doctor_tells_of_jobs_that_stand_while_they_are_off(data_dir: Path) -> None:
    assert doctor.check_extensions(Settings(foundation=FoundationSettings(data_dir=data_dir))).advice == ""
    (data_dir / "jobs").mkdir()
    (data_dir / "jobs" / "jobs.sqlite").touch()
    check = doctor.check_extensions(Settings(foundation=FoundationSettings(data_dir=data_dir)))
    assert (check.ok, check.found) == (True, "none")
    assert "jobs is off, and what it stored stays" in check.advice
    assert "make add NAME=jobs" in check.advice


async def test_a_job_has_its_turns_in_a_flood_of_another_tenants_requests(tmp_path: Path) -> None:
    given = world(tmp_path, extensions=ON, concurrent_answers=2)
    app = create_app(given.system)
    reader = {"Authorization": f"Bearer {given.reader}"}
    transport = httpx2.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1", headers=reader) as api,
    ):
        over = asyncio.Event()

        async def come_again(places: Admission, over: asyncio.Event) -> None:
            while not over.is_set():
                await asyncio.sleep(0)
                with suppress(Overloaded):
                    async with places.place(Principal("eve", "evil")):
                        await asyncio.sleep(0)

        places = app.state.runtime.admission["answers"]
        floods = [asyncio.create_task(come_again(places, over)) for _ in range(3)]
        begun = await api.post("/v1/jobs/answers", json={"questions": [{"question": "When does it ship?"}]})
        job_id = begun.json()["job_id"]
        async with asyncio.timeout(60):
            while (await api.get(f"/v1/jobs/{job_id}")).json()["job"]["done"] < 1:
                pass
        over.set()
        await asyncio.gather(*floods)
