"""What people say of answers: who may, what is kept, and that the value report counts it."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from orchestration.events import Event
from retrieval.documents import Citation
from serving.app import create_app
from tests.doubles.serving import World, answer, world


@pytest.fixture
def given(tmp_path: Path) -> World:
    return world(tmp_path)


@pytest.fixture
async def api(given: World) -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(create_app(given.system))
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        yield client


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
    (kept,) = given.system.outcomes.all()
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
    assert given.system.outcomes.all() == []


async def test_the_last_word_counts_and_a_key_is_not_kept(given: World, api: httpx2.AsyncClient) -> None:
    await say(api, given.reader, verdict="accepted")
    said = await say(api, given.operator, verdict="rejected", reason="It told my password=s3cret-4711.")
    assert "s3cret-4711" not in said.text
    (kept,) = given.system.outcomes.all()
    assert (kept.verdict, kept.recorded_by) == ("rejected", "operator@north")
    assert "s3cret-4711" not in kept.note


async def test_another_tenants_answer_does_not_exist(given: World, api: httpx2.AsyncClient) -> None:
    hidden = await say(api, given.stranger, verdict="accepted")
    absent = await say(api, given.stranger, answer_id="a-2", verdict="accepted")
    assert (hidden.status_code, absent.status_code) == (404, 404)
    assert hidden.json()["detail"] == absent.json()["detail"].replace("a-2", "a-1")
    assert given.system.outcomes.all() == []


async def test_only_the_asker_and_who_judges_says_what_became_of_an_answer(
    given: World, api: httpx2.AsyncClient
) -> None:
    await say(api, given.reader, verdict="edited", edit="CANARYX77 opens the vault.")
    for key in (given.agent, given.approver, given.key("reader", subject="nora")):
        hidden = await say(api, key, verdict="rejected", reason="HACKED")
        assert (hidden.status_code, "of yours" in hidden.text) == (404, True)
    (kept,) = given.system.outcomes.all()
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
    given.system.outcomes.record(given.system.outcomes.all()[0])
    assert await notes(given.key("operator", subject="olga", groups=["hr", "it"])) == [""]
    assert await notes(hanna) == [text]


async def test_whoever_approves_reads_no_documents_of_others_in_the_answer(
    given: World, api: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_hr = given.key("agent", subject="hanna", groups=["hr"])
    added = await api.post(
        "/v1/documents",
        files={"file": ("vault.md", b"CANARYX77 opens the vault.")},
        data={"groups": "hr"},
        headers={"Authorization": f"Bearer {of_hr}"},
    )
    document_id = added.json()["document_id"]
    cited = Citation(
        marker=1, chunk_id="c-1", document_id=document_id, uri="vault.md", title="", quote="CANARYX77 opens the vault.", start=0, end=26
    )  # fmt: skip

    async def resume(*_: Any) -> AsyncIterator[Event]:
        yield Event(kind="answer", answer=answer("refund", text="CANARYX77 opens the vault. [1]", citations=(cited,)))

    monkeypatch.setattr(given.system.agent, "resume", resume)
    body = {"approve": True}

    async def decided(key: str) -> dict[str, Any]:
        reply = await api.post("/v1/approvals/ap-1", json=body, headers={"Authorization": f"Bearer {key}"})
        assert reply.status_code == 200, reply.text
        return dict(reply.json())

    shown = await decided(given.approver)
    assert "CANARYX77" not in str(shown)
    assert (shown["status"], shown["answer_id"], "you may not read" in shown["text"]) == ("answered", "a-1", True)
    assert "CANARYX77" in (await decided(given.key("approver", groups=["hr"])))["text"]
