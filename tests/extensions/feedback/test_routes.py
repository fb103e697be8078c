"""What people say of answers: who may, and what is kept."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from extensions.feedback.store import OutcomeStore
from serving.app import create_app
from tests.doubles.serving import World, world


@pytest.fixture
def given(tmp_path: Path) -> World:
    return world(tmp_path, extensions=("feedback",))


@pytest.fixture
async def api(given: World) -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(create_app(given.system))
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        yield client


def store_of(given: World) -> OutcomeStore:
    store: OutcomeStore = given.system.hooks.service(OutcomeStore)
    return store


async def say(api: httpx2.AsyncClient, key: str, answer_id: str = "a-1", **body: Any) -> httpx2.Response:
    headers = {"Authorization": f"Bearer {key}"}
    return await api.post(f"/v1/answers/{answer_id}/feedback", json=body, headers=headers)


@pytest.mark.parametrize(
    ("body", "note"),
    [
        ({"verdict": "accepted"}, ""),
        ({"verdict": "edited", "edit": "It ships on Mondays.", "minutes": 2.5}, "It ships on Mondays."),
        ({"verdict": "rejected", "reason": "Out of date.", "minutes": 4}, "Out of date."),
        ({"verdict": "escalated"}, ""),
    ],
)
async def test_feedback_is_kept_with_who_said_it_and_the_minutes(
    given: World, api: httpx2.AsyncClient, body: dict[str, Any], note: str
) -> None:
    said = await say(api, given.reader, **body)
    assert said.status_code == 200, said.text
    (kept,) = store_of(given).all()
    assert (kept.answer_id, kept.verdict, kept.note, kept.minutes) == (
        "a-1",
        body["verdict"],
        note,
        body.get("minutes"),
    )
    assert (kept.recorded_by, kept.tenant) == ("reader@north", "north")
    assert said.json()["recorded_by"] == "reader@north"
    listed = await api.get("/v1/feedback", headers={"Authorization": f"Bearer {given.reader}"})
    assert listed.json()["feedback"] == [said.json()]
    hidden = await api.get("/v1/feedback", headers={"Authorization": f"Bearer {given.stranger}"})
    assert hidden.json()["feedback"] == []


@pytest.mark.parametrize(
    "body",
    [
        {}, {"verdict": "loved"}, {"verdict": "edited"}, {"verdict": "edited", "edit": " "}, {"verdict": "rejected"},
        {"verdict": "accepted", "minutes": -1}, {"verdict": "accepted", "reason": "x"},
        {"verdict": "accepted", "minutes": 1e9},
    ],
)  # fmt: skip
async def test_feedback_that_lacks_its_edit_or_reason_is_refused(
    given: World, api: httpx2.AsyncClient, body: dict[str, Any]
) -> None:
    assert (await say(api, given.reader, **body)).status_code == 422
    assert store_of(given).all() == []


async def test_the_last_word_counts_and_a_key_is_not_kept(given: World, api: httpx2.AsyncClient) -> None:
    await say(api, given.reader, verdict="accepted")
    said = await say(api, given.operator, verdict="rejected", reason="It told my password=s3cret-4711.")
    assert "s3cret-4711" not in said.text
    (kept,) = store_of(given).all()
    assert (kept.verdict, kept.recorded_by) == ("rejected", "operator@north")
    assert "s3cret-4711" not in kept.note


async def test_another_tenants_answer_does_not_exist(given: World, api: httpx2.AsyncClient) -> None:
    hidden = await say(api, given.stranger, verdict="accepted")
    absent = await say(api, given.stranger, answer_id="a-2", verdict="accepted")
    assert (hidden.status_code, absent.status_code) == (404, 404)
    assert hidden.json()["detail"] == absent.json()["detail"].replace("a-2", "a-1")
    assert store_of(given).all() == []


async def test_only_the_asker_and_who_judges_says_what_became_of_an_answer(
    given: World, api: httpx2.AsyncClient
) -> None:
    await say(api, given.reader, verdict="edited", edit="CANARYX77 opens the vault.")
    for key in (given.agent, given.approver, given.key("reader", subject="nora")):
        hidden = await say(api, key, verdict="rejected", reason="HACKED")
        assert (hidden.status_code, "of yours" in hidden.text) == (404, True)
    (kept,) = store_of(given).all()
    assert (kept.verdict, kept.recorded_by) == ("edited", "reader@north")


async def test_what_was_said_of_an_answer_is_read_by_whoever_may_read_what_it_cites(
    given: World, api: httpx2.AsyncClient
) -> None:
    hanna = given.key("reader", groups=["hr"])  # the same subject as the reader's, who asked
    await say(api, hanna, verdict="edited", edit="CANARYX77 opens the vault.", minutes=2)

    async def notes(key: str) -> list[str]:
        listed = await api.get("/v1/feedback", headers={"Authorization": f"Bearer {key}"})
        return [row["edit"] or row["reason"] for row in listed.json()["feedback"]]

    text = "CANARYX77 opens the vault."
    assert await notes(hanna) == [text]
    assert await notes(given.agent) == await notes(given.stranger) == []
    assert await notes(given.operator) == [""], "a verdict to count, and not its words"
    assert await notes(given.key("operator", subject="olga", groups=["hr", "it"])) == [text]
    # feedback that was stored before it was noted who may read it
    store_of(given).record(store_of(given).all()[0])
    assert await notes(given.key("operator", subject="olga", groups=["hr", "it"])) == [""]
    assert await notes(hanna) == [text]


async def test_off_nothing_of_it_is_there(tmp_path: Path) -> None:
    given = world(tmp_path)
    transport = httpx2.ASGITransport(create_app(given.system))
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as api:
        assert (await say(api, given.reader, verdict="accepted")).status_code == 404
        assert (await api.get("/v1/feedback", headers={"Authorization": f"Bearer {given.reader}"})).status_code == 404
    assert not (tmp_path / "outcomes.sqlite").exists()
