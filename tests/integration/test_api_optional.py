"""Search, conversations, refused documents in pages, and what whoever approves reads."""
# ruff: noqa: F401, F811 - fixtures of test_api.py

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest

from orchestration.events import Event
from retrieval.documents import Citation, Refusal
from tests.doubles.serving import TEXT, World, answer
from tests.integration.test_api import api, assert_problem, bearer, given, upload


async def test_search_needs_no_language_model_and_sees_only_the_callers_documents(
    given: World, api: httpx2.AsyncClient
) -> None:
    await upload(api, given.agent)
    found = await api.post("/v1/search", json={"query": "ships"}, headers=bearer(given.reader))
    (hit,) = found.json()["hits"]
    assert hit["citation"]["quote"] == TEXT
    assert hit["legs"] == {"keyword": 1}
    assert "vector" not in found.text
    assert (await api.post("/v1/search", json={"query": "ships"}, headers=bearer(given.stranger))).json()["hits"] == []


async def test_a_search_can_be_filtered_and_a_filter_that_makes_no_sense_is_refused(
    given: World, api: httpx2.AsyncClient
) -> None:
    added = await upload(api, given.agent, attributes='{"product": "QL-20", "since": "2026-01-15"}')
    assert added.status_code == 201
    search = {"query": "ships"}
    fitting = {"all": [{"key": "product", "in": ["QL-20"]}, {"any": [{"key": "since", "from": "2026-01-01"}]}]}
    for where, count in (
        (fitting, 1),
        ({"key": "product", "in": ["$or"]}, 0),
        ({"key": "since", "to": "2025-12-31"}, 0),
    ):
        found = await api.post("/v1/search", json=search | {"where": where}, headers=bearer(given.reader))
        assert len(found.json()["hits"]) == count, found.text
    many = {"any": [{"all": [{"key": "product", "in": ["QL-20"]}] * 26}] * 4}
    values = {"any": [{"key": "product", "in": ["QL-20"] * 300}] * 4}
    mixed, unordered = {"key": "product", "in": [1, "a"]}, {"key": "product", "from": "a"}
    for where in (mixed, unordered, {"key": "a; DROP"}, {"all": []}, many, values):
        refused = await api.post("/v1/search", json=search | {"where": where}, headers=bearer(given.reader))
        assert refused.status_code == 422, refused.text
    for attributes in ("[]", "{", '{"a": [1]}', '{"uri": "b"}'):
        assert (await upload(api, given.agent, attributes=attributes)).status_code == 422


async def test_every_list_comes_in_pages_that_end(given: World, api: httpx2.AsyncClient) -> None:
    for name in ("a.md", "b.md", "c.md"):
        await upload(api, given.agent, name=name)
    given.system.retrieval.ledger.refused.append(
        Refusal("d.pdf", "north", "too_large", "Too large.", datetime.now(UTC))
    )
    seen: list[str] = []
    page: dict = {"next_cursor": ""}
    while page["next_cursor"] is not None:
        cursor = f"&cursor={page['next_cursor']}" if page["next_cursor"] else ""
        page = (await api.get(f"/v1/documents?limit=2{cursor}", headers=bearer(given.reader))).json()
        seen += [one["uri"] for one in (*page["documents"], *page["refusals"])]
    assert seen == ["a.md", "b.md", "c.md", "d.pdf"]
    for path, role in (
        ("documents", "reader"),
        ("approvals", "approver"),
        ("conversations", "reader"),
    ):
        listed = await api.get(f"/v1/{path}", headers=bearer(getattr(given, role)))
        assert listed.json()["next_cursor"] is None
        for bad in ("cursor=%00", "limit=0", "limit=1001"):
            assert_problem(
                await api.get(f"/v1/{path}?{bad}", headers=bearer(getattr(given, role))), 422, "invalid_request"
            )


async def test_a_person_lists_reads_and_deletes_their_own_conversations(given: World, api: httpx2.AsyncClient) -> None:
    listed = await api.get("/v1/conversations", headers=bearer(given.reader))
    assert [one["thread_id"] for one in listed.json()["conversations"]] == ["t-1"]
    assert (await api.get("/v1/conversations", headers=bearer(given.agent))).json()["conversations"] == []
    for method in ("GET", "DELETE"):
        hidden = await api.request(method, "/v1/conversations/t-1", headers=bearer(given.agent))
        assert_problem(hidden, 404, "not_found")
    read = await api.get("/v1/conversations/t-1", headers=bearer(given.reader))
    assert [turn["answer_id"] for turn in read.json()["turns"]] == ["a-1"]
    named = await api.patch(
        "/v1/conversations/t-1", headers=bearer(given.reader), json={"title": " Hours ", "pinned": True}
    )
    assert (named.json()["title"], named.json()["pinned"]) == ("Hours", True)
    long = await api.patch("/v1/conversations/t-1", headers=bearer(given.reader), json={"title": "x" * 201})
    assert_problem(long, 422, "invalid_request")
    assert (await api.delete("/v1/conversations/t-1", headers=bearer(given.reader))).status_code == 204
    assert_problem(await api.get("/v1/conversations/t-1", headers=bearer(given.reader)), 404, "not_found")


async def test_whoever_approves_reads_no_documents_of_others_in_the_answer(
    given: World, api: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_hr = given.key("agent", subject="hanna", groups=["hr"])
    added = await api.post(
        "/v1/documents",
        files={"file": ("vault.md", b"CANARYX77 opens the vault.")},
        data={"groups": "hr"},
        headers=bearer(of_hr),
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
        reply = await api.post("/v1/approvals/ap-1", json=body, headers=bearer(key))
        assert reply.status_code == 200, reply.text
        return dict(reply.json())

    shown = await decided(given.approver)
    assert "CANARYX77" not in str(shown)
    assert (shown["status"], shown["answer_id"], "you may not read" in shown["text"]) == ("answered", "a-1", True)
    assert "CANARYX77" in (await decided(given.key("approver", groups=["hr"])))["text"]
