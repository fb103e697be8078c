"""Jobs: acknowledged means on the disk, each item by itself, and the next process goes on."""

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx2
import pytest

from serving.server import running
from tests.doubles.serving import TEXT, FakeSystem, World, world

PATIENCE_S = 60


@pytest.fixture
def given(tmp_path: Path) -> World:
    return world(tmp_path)


@pytest.fixture
def base_url(given: World) -> Iterator[str]:
    with running(given.system) as url:
        yield url


def call(base_url: str, key: str, method: str, path: str, **body: Any) -> httpx2.Response:
    headers = {"Authorization": f"Bearer {key}"}
    return httpx2.request(method, f"{base_url}/v1/jobs{path}", headers=headers, timeout=PATIENCE_S, **body)


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
    begun = call(base_url, given.agent, "POST", "/ingest", files=files, data={"groups": ["desk"]})
    assert (begun.status_code, begun.json()["total"]) == (202, 4), begun.text
    found = ended(base_url, given.agent, begun.json()["job_id"])
    assert (found["job"]["status"], found["job"]["done"], found["job"]["failed"]) == ("done", 2, 2)
    outcomes = {item["name"]: item["outcome"] for item in found["items"]}
    assert (outcomes["a.md"]["uri"], outcomes["a.md"]["groups"]) == ("a.md", ["desk"])
    assert (outcomes["b.md"]["reason"], outcomes["c.md"]["reason"]) == ("malformed", "empty")
    assert sorted(known.source.uri for known, _ in given.system.ledger.stored.values()) == ["a.md", "d.md"]
    assert not given.system.jobs.files(begun.json()["job_id"]).exists()


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
    given = world(tmp_path, concurrent_answers=2, queued_answers=0)
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
    assert call(base_url, given.reader, "POST", "/answers", **batch()).status_code == 422
    assert call(base_url, given.reader, "POST", "/answers", **batch("x" * 9_000)).status_code == 413
    assert call(base_url, given.agent, "GET", "").json()["jobs"] == []
