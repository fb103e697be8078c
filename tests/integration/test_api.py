"""The API in process: who gets in, what comes back, in which shape."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock, Mock

import httpx2
import pytest
from langchain_core.tools import Tool

from foundation.errors import IndexRebuilding, StorageFull, StoreUnavailable
from orchestration.actions import Approval
from retrieval.documents import Refusal
from serving.app import create_app
from serving.runtime import PROBED_S, StoreProbe
from tests.doubles.serving import TEXT, World, approval, charge, world

JSON = {"Content-Type": "application/json"}


@pytest.fixture
def given(tmp_path: Path) -> World:
    return world(tmp_path)


@pytest.fixture
async def api(given: World) -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(create_app(given.system))
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        yield client


def bearer(key: str, **headers: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}", **headers}


async def ask(api: httpx2.AsyncClient, key: str, question: str, **headers: str) -> httpx2.Response:
    return await api.post("/v1/answers", json={"question": question}, headers=bearer(key, **headers))


async def upload(
    api: httpx2.AsyncClient, key: str, text: str = TEXT, name: str = "double.md", **form: Any
) -> httpx2.Response:
    return await api.post("/v1/documents", files={"file": (name, text.encode())}, data=form, headers=bearer(key))


def events(response: httpx2.Response) -> list[tuple[str, dict]]:
    blocks = [block.split("\n") for block in response.text.strip().split("\n\n")]
    return [(block[0].removeprefix("event: "), json.loads(block[1].removeprefix("data: "))) for block in blocks]


def assert_problem(response: httpx2.Response, status: int, code: str) -> dict:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert body["code"] == code
    assert body["status"] == status
    assert body["request_id"] == response.headers["x-request-id"]
    return body


# -- who gets in; the rule of every route: test_api_access.py ----------------------------------------------------------


async def test_a_path_that_does_not_exist_is_closed_to_strangers_and_404_to_callers(
    given: World, api: httpx2.AsyncClient
) -> None:
    assert_problem(await api.get("/v1/nothing"), 401, "unauthenticated")
    assert_problem(await api.get("/v1/nothing", headers=bearer(given.reader)), 404, "not_found")


@pytest.mark.parametrize(
    ("request_", "reply_"),
    [
        (
            ({"Content-Type": "application/x-www-form-urlencoded"}, b'{"question": "When does it ship?"}'),
            (422, 'is "application/x-www-form-urlencoded". Send a JSON object, with Content-Type: application/json.'),
        ),
        (({}, b""), (422, 'is "". Send a JSON object, with Content-Type: application/json.')),
        (({"Content-Type": "text/json"}, b"{}"), (422, 'is "text/json". Send a JSON object')),
        (
            ({"Content-Type": "Application/JSON; charset=utf-8"}, b"[]"),
            (422, "body: Input should be a valid dictionary"),
        ),
        (
            ({"Content-Type": "application/json"}, b'{"question": "Caf\xe9?"}'),
            (400, "is not UTF-8: 'utf-8' codec can't decode"),
        ),
        (({"Content-Type": "application/json"}, b"[]"), (422, "body: Input should be a valid dictionary")),
    ],
)
async def test_a_body_that_is_no_json_is_told_what_to_send(
    given: World, api: httpx2.AsyncClient, request_: tuple[dict[str, str], bytes], reply_: tuple[int, str]
) -> None:
    (headers, content), (status, says) = request_, reply_
    reply = await api.post("/v1/answers", content=content, headers=headers | bearer(given.reader))
    assert reply.status_code == status
    assert says in reply.json()["detail"]


async def test_an_operator_reads_the_documentation(given: World, api: httpx2.AsyncClient) -> None:
    page = await api.get("/docs", headers={"Authorization": httpx2.BasicAuth("me", given.operator)._auth_header})
    assert page.status_code == 200
    assert "//cdn" not in page.text
    for asset in ("swagger-ui-bundle.js", "swagger-ui.css", "favicon.png"):
        assert (await api.get(f"/docs/{asset}", headers=bearer(given.operator))).status_code == 200
    assert (await api.get("/docs/core.py", headers=bearer(given.operator))).status_code == 404


async def test_basic_credentials_change_nothing(given: World, api: httpx2.AsyncClient) -> None:
    basic = {"Authorization": httpx2.BasicAuth("me", given.agent)._auth_header}
    assert_problem(await api.post("/v1/answers", json={"question": "q"}, headers=basic), 401, "unauthenticated")


async def test_no_origin_is_ever_allowed(given: World, api: httpx2.AsyncClient) -> None:
    for response in (
        await ask(api, given.reader, "When?", Origin="https://evil.example"),
        await api.options(
            "/v1/answers", headers={"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
        ),
    ):
        assert not [name for name in response.headers if name.startswith("access-control")]


# -- answers -----------------------------------------------------------------------------------------------------------


async def test_an_answer_as_json_carries_citations_cost_and_trace(given: World, api: httpx2.AsyncClient) -> None:
    response = await ask(api, given.reader, "When does it ship?")
    assert response.status_code == 200
    body = response.json()
    assert body["text"] == "The double ships on Tuesdays [1]."
    assert body["citations"][0]["quote"] == TEXT[body["citations"][0]["start"] : body["citations"][0]["end"]]
    assert (body["cost_usd"], body["trace_id"], body["ai_generated"]) == ("0.000012", "0" * 31 + "1", True)


async def test_the_caller_is_the_one_of_the_key_whatever_the_request_says(
    given: World, api: httpx2.AsyncClient
) -> None:
    body = {"question": "When?", "tenant": "south"}
    assert_problem(await api.post("/v1/answers", json=body, headers=bearer(given.reader)), 422, "invalid_request")
    await ask(api, given.reader, "When?", **{"X-Tenant": "south"})
    (_, caller), = given.system.agent.asked  # fmt: skip
    assert caller.tenant == "north"


async def test_a_stream_has_steps_tokens_and_the_answer_last(given: World, api: httpx2.AsyncClient) -> None:
    response = await ask(api, given.reader, "When?", Accept="text/event-stream")
    assert response.headers["content-type"].startswith("text/event-stream")
    assert "content-encoding" not in response.headers
    assert [kind for kind, _ in events(response)] == ["step", "token", "answer"]
    assert events(response)[-1][1]["answer"]["text"] == "The double ships on Tuesdays [1]."


@pytest.mark.parametrize(
    ("question", "status", "code", "retryable"),
    [
        ("down", 503, "upstream_down", True),
        ("limited", 503, "upstream_limited", True),
        ("report", 504, "upstream_timeout", True),
        ("explode", 500, "internal", False),
        ("vanish", 500, "internal", False),
    ],
)
async def test_a_failure_is_a_problem_in_json_and_the_last_event_of_a_stream(
    given: World, api: httpx2.AsyncClient, question: str, status: int, code: str, *, retryable: bool
) -> None:
    body = assert_problem(await ask(api, given.reader, question), status, code)
    assert body["retryable"] is retryable
    streamed = await ask(api, given.reader, question, Accept="text/event-stream")
    assert streamed.status_code == 200
    kind, last = events(streamed)[-1]
    assert (kind, last["code"], last["retryable"]) == ("error", code, retryable)
    assert "secret" not in streamed.text + json.dumps(body)


async def test_retry_after_is_whole_seconds_rounded_up(given: World, api: httpx2.AsyncClient) -> None:
    assert (await ask(api, given.reader, "limited")).headers["retry-after"] == "7"


async def test_a_defect_is_logged_once_under_the_request_id(
    given: World, api: httpx2.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    response = await ask(api, given.reader, "explode", **{"X-Request-Id": "find-me"})
    (record,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert "find-me" in record.getMessage()
    assert record.exc_info
    assert response.json()["request_id"] == "find-me"


async def test_after_a_failure_the_next_request_works(given: World, api: httpx2.AsyncClient) -> None:
    await ask(api, given.reader, "explode")
    assert (await ask(api, given.reader, "When?")).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        b'{"question": ""}', b'{"question": "  \\n"}', b'{"question": "a\\u0000b"}', b'{"question": "\\ud800"}',
        b'{"question": 7}', b"{}", b"", b"{", b"\xff\xfe", b"[]", b'{"question": "q", "\\ud800": 1}',
        b'{"question": "q", "thread_id": "../x"}', b'{"question": "q", "max_usd": -1}',
    ],
)  # fmt: skip
async def test_a_request_that_does_not_fit_is_422(given: World, api: httpx2.AsyncClient, body: bytes) -> None:
    response = await api.post("/v1/answers", content=body, headers=bearer(given.reader, **JSON))
    assert assert_problem(response, 422, "invalid_request")["fields"]
    assert not given.system.agent.asked


async def test_a_question_of_100_000_characters_is_refused_with_the_limit(
    given: World, api: httpx2.AsyncClient
) -> None:
    assert "8,000" in assert_problem(await ask(api, given.reader, "x" * 100_000), 413, "too_large")["detail"]


# -- documents ---------------------------------------------------------------------------------------------------------


async def test_the_callers_refused_documents_are_tried_again(given: World, api: httpx2.AsyncClient) -> None:
    now = datetime.now(UTC)
    for tenant in ("north", "south", "*"):
        given.system.retrieval.ledger.refused.append(Refusal(f"{tenant}.pdf", tenant, "too_large", "Too large.", now))

    async def retried(key: str) -> list[str]:
        answer = await api.post("/v1/documents/retry", headers=bearer(key))
        return [one["uri"] for one in answer.json()["refused"]]

    assert await retried(given.agent) == ["north.pdf"]
    assert sorted(await retried(given.all_roles)) == ["*.pdf", "north.pdf"]
    assert_problem(await api.post("/v1/documents/retry", headers=bearer(given.reader)), 403, "forbidden")


async def test_a_form_with_a_field_that_is_none_is_refused_and_nothing_is_stored(
    given: World, api: httpx2.AsyncClient
) -> None:
    refused = await upload(api, given.agent, group="staff")
    assert 'Did you mean "groups"?' in assert_problem(refused, 422, "invalid_request")["detail"]
    two = {"file": ("double.md", b"One."), "another": ("b.md", b"Two.")}
    assert_problem(await api.post("/v1/documents", files=two, headers=bearer(given.agent)), 422, "invalid_request")
    assert (await api.get("/v1/documents", headers=bearer(given.agent))).json()["documents"] == []
    nobody = await api.post("/v1/documents", files=two)
    assert nobody.status_code == 401, "whoever is nobody learns no fields"


async def test_a_document_is_added_listed_read_and_deleted(given: World, api: httpx2.AsyncClient) -> None:
    member = given.key("agent", groups=["desk"])
    added = await upload(api, member, title="The double", groups=["board", "desk"], effective_from="2026-01-01")
    assert added.status_code == 201
    document = added.json()
    assert (document["uri"], document["tenant"], document["groups"]) == ("double.md", "north", ["board", "desk"])
    given.system.retrieval.ledger.stored.clear()

    document = (await upload(api, given.agent)).json()
    listed = (await api.get("/v1/documents", headers=bearer(given.reader))).json()
    assert [known["document_id"] for known in listed["documents"]] == [document["document_id"]]
    span = f"/v1/documents/{document['document_id']}?start=0&end=29"
    assert (await api.get(span, headers=bearer(given.reader))).json()["text"] == TEXT[:29]
    gone = await api.delete("/v1/documents?uri=double.md", headers=bearer(given.agent))
    assert (gone.status_code, gone.content) == (204, b"")
    assert_problem(await api.get(span, headers=bearer(given.reader)), 404, "not_found")


async def test_nobody_stores_what_they_could_not_read(given: World, api: httpx2.AsyncClient) -> None:
    problem = assert_problem(await upload(api, given.agent, groups=["board"]), 403, "forbidden")
    assert problem["detail"].startswith("You could not read this document yourself")
    assert_problem(await upload(api, given.operator, groups=["board"], shared="true"), 403, "forbidden")
    assert not given.system.retrieval.ledger.stored


async def test_a_refusal_is_listed_for_those_who_could_have_read_the_document(
    given: World, api: httpx2.AsyncClient
) -> None:
    told = ("north", "too_large", "Too large.", datetime.now(UTC))
    given.system.retrieval.ledger.refused.append(Refusal("pay.pdf", *told, frozenset({"hr"})))

    async def listed(key: str) -> list[str]:
        return [one["uri"] for one in (await api.get("/v1/documents", headers=bearer(key))).json()["refusals"]]

    assert await listed(given.reader) == await listed(given.operator) == []
    assert await listed(given.key("reader", groups=["hr"])) == ["pay.pdf"]


async def test_another_tenants_document_does_not_exist(given: World, api: httpx2.AsyncClient) -> None:
    document = (await upload(api, given.agent)).json()
    path = f"/v1/documents/{document['document_id']}"
    absent = assert_problem(await api.get("/v1/documents/doc-99", headers=bearer(given.stranger)), 404, "not_found")
    hidden = assert_problem(await api.get(path, headers=bearer(given.stranger)), 404, "not_found")
    assert hidden["detail"].replace(document["document_id"], "") == absent["detail"].replace("doc-99", "")
    assert (await api.get("/v1/documents", headers=bearer(given.stranger))).json()["documents"] == []


async def test_only_an_operator_writes_for_every_tenant(given: World, api: httpx2.AsyncClient) -> None:
    assert_problem(await upload(api, given.agent, shared="true"), 403, "forbidden")
    assert (await upload(api, given.operator, shared="true")).json()["tenant"] == "*"
    assert_problem(
        await api.delete("/v1/documents?uri=double.md&shared=true", headers=bearer(given.agent)), 403, "forbidden"
    )
    assert_problem(await api.delete("/v1/documents?uri=double.md", headers=bearer(given.agent)), 404, "not_found")
    assert (await api.get("/v1/documents", headers=bearer(given.stranger))).json()["documents"]


@pytest.mark.parametrize(("text", "reason"), [("", "empty"), ("a\0b", "malformed")])
async def test_a_refused_document_says_why_and_stores_nothing(
    given: World, api: httpx2.AsyncClient, text: str, reason: str
) -> None:
    problem = assert_problem(await upload(api, given.agent, text, uri="told.md"), 422, "document_refused")
    assert problem["reason"] == reason
    assert problem["detail"].startswith("told.md is empty") == (reason == "empty")
    assert not given.system.retrieval.ledger.stored


async def test_a_body_over_the_limit_is_413(tmp_path: Path) -> None:
    given = world(tmp_path, max_body_bytes=1_000)
    transport = httpx2.ASGITransport(create_app(given.system))
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as api:
        assert_problem(await upload(api, given.agent, "x" * 2_000), 413, "too_large")
        assert_problem(await ask(api, given.reader, "x" * 2_000), 413, "too_large")
        assert (await ask(api, given.reader, "When?")).status_code == 200

        async def chunks() -> AsyncIterator[bytes]:
            yield b'{"question": "'
            for _ in range(40):
                yield b"x" * 100

        unannounced = await api.post("/v1/answers", content=chunks(), headers=bearer(given.reader, **JSON))
        assert_problem(unannounced, 413, "too_large")


# -- lists in pages, conversations, usage ------------------------------------------------------------------------------


async def test_usage_is_the_callers_own_and_a_tenants_is_for_operators(given: World, api: httpx2.AsyncClient) -> None:
    given.system.observability.costs.record(charge(subject="agent@north", usd=None))
    given.system.observability.costs.record(charge(tenant="south", usd=Decimal(5)))
    mine = (await api.get("/v1/usage", headers=bearer(given.reader))).json()
    assert (mine["subject"], mine["total"]["calls"], mine["total"]["usd"]) == ("reader@north", 1, "0.000012")
    assert [row["key"] for row in mine["by_model"]] == ["double-1"]
    assert (await api.get("/v1/usage", headers=bearer(given.stranger))).json()["total"]["calls"] == 0
    assert_problem(await api.get("/v1/usage?of=tenant", headers=bearer(given.reader)), 403, "forbidden")
    all_of_it = (await api.get("/v1/usage?of=tenant", headers=bearer(given.operator))).json()["total"]
    assert (all_of_it["calls"], all_of_it["unpriced"], all_of_it["usd"]) == (2, 1, "0.000012")


# -- approvals ---------------------------------------------------------------------------------------------------------


async def test_an_approver_sees_what_waits_and_decides_it_once(given: World, api: httpx2.AsyncClient) -> None:
    waiting = (await ask(api, given.reader, "refund my order")).json()
    assert (waiting["status"], waiting["approval"]["approval_id"]) == ("waiting", "ap-1")
    listed = (await api.get("/v1/approvals", headers=bearer(given.approver))).json()["approvals"]
    assert [(known["tool"], known["arguments"]) for known in listed] == [("refund", {"order": "o-1"})]
    for word in ("yes", "true", 1):  # nothing is done by a value that only reads like a decision
        refused = await api.post("/v1/approvals/ap-1", json={"approve": word}, headers=bearer(given.approver))
        assert refused.status_code == 422, refused.text
    decided = await api.post("/v1/approvals/ap-1", json={"approve": True}, headers=bearer(given.approver))
    assert decided.json()["text"] == "The double refunded."
    again = await api.post("/v1/approvals/ap-1", json={"approve": True}, headers=bearer(given.approver))
    assert_problem(again, 409, "conflict")


async def test_the_list_of_approvals_says_what_was_asked_for_before_and_what_a_person_waits_for_in_all(
    given: World, api: httpx2.AsyncClient
) -> None:
    def waits(number: int, amount: float | None, by: str = "eve@north", hashed: str = "h") -> Approval:
        changes = {"approval_id": f"ap-{number}", "requested_by": by, "arguments_hash": hashed}
        return approval().model_copy(update=changes | {"arguments": {"order": "o-1", "amount_usd": amount}})

    waiting = [waits(1, 0.1), waits(2, 0.2, hashed="h-2"), waits(3, 0.1), waits(4, None, by="ann@north", hashed="h-4")]
    given.system.orchestration.approvals.pending = AsyncMock(return_value=waiting)
    given.system.orchestration.tools = (Tool("refund", None, "Refund.", metadata={"units": {"amount_usd": "0.01"}}),)
    listed = (await api.get("/v1/approvals", headers=bearer(given.approver))).json()["approvals"]
    said = ("approval_id", "same_as", "same_as_status", "waiting_of_requester", "amounts_of_requester")
    assert [tuple(known[name] for name in said) for known in listed] == [
        ("ap-1", None, None, 3, {"amount_usd": 0.4}),
        ("ap-2", None, None, 3, {"amount_usd": 0.4}),
        ("ap-3", "ap-1", "pending", 3, {"amount_usd": 0.4}),
        ("ap-4", None, None, 1, {"amount_usd": 0.0}),
    ]


@pytest.mark.parametrize(("approval", "status", "code"), [("ap-404", 404, "not_found"), ("ap-old", 410, "gone")])
async def test_what_cannot_be_decided_says_so(
    given: World, api: httpx2.AsyncClient, approval: str, status: int, code: str
) -> None:
    response = await api.post(f"/v1/approvals/{approval}", json={"approve": True}, headers=bearer(given.approver))
    assert_problem(response, status, code)


# -- health ------------------------------------------------------------------------------------------------------------


async def test_readiness_names_the_part_that_fails_and_nothing_more(given: World, api: httpx2.AsyncClient) -> None:
    assert (await api.get("/health/ready")).json() == {"ready": True, "reasons": []}
    given.system.retrieval.ledger.broken = StoreUnavailable("/secret/path is locked")
    response = await api.get("/health/ready")
    assert response.status_code == 503
    assert response.json() == {"ready": False, "reasons": ["ledger: store_unavailable"]}
    assert (await api.get("/health/live")).status_code == 200
    assert [(await api.head(f"/health/{name}")).status_code for name in ("live", "ready")] == [200, 503]


async def test_readiness_knows_what_an_extension_cannot_write_and_what_cannot_be_read(
    given: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    fails = False

    def write() -> None:
        if fails:
            broken()

    def broken(*_: object) -> None:
        raise StorageFull("/secret/log.sqlite")

    given.system.hooks.ready["log"] = write
    probe = StoreProbe(given.system, lambda: now[0])
    assert probe.read({})[1] == {}
    fails = True
    monkeypatch.setattr(given.system.parts.checkpoints, "get_tuple", broken)
    monkeypatch.setattr(given.system.observability.costs, "of_trace", broken)
    assert probe.read({})[1] == {}, "anybody may ask, so it is not looked at each time"
    now[0] = PROBED_S
    stores = ("log", "conversations", "costs")
    assert probe.read({})[1] == dict.fromkeys(stores, "storage_full")
    async with httpx2.AsyncClient(
        transport=httpx2.ASGITransport(create_app(given.system)), base_url="http://127.0.0.1"
    ) as api:
        response = await api.get("/health/ready")
    assert (response.status_code, response.json()["reasons"]) == (503, [f"{store}: storage_full" for store in stores])
    monkeypatch.undo()
    fails = False
    assert probe.read({})[1] == {}, "what is well again is seen at once"


async def test_a_method_that_a_path_does_not_take_is_told_all_that_it_does(
    given: World, api: httpx2.AsyncClient
) -> None:
    response = await api.patch("/v1/documents", headers=bearer(given.agent))
    assert_problem(response, 405, "request")
    assert response.headers["allow"] == "DELETE, GET, POST"
    assert "It takes: DELETE, GET, POST." in response.json()["detail"]
    assert (await api.post("/health/live")).headers["allow"] == "GET, HEAD"


async def test_a_caller_reads_neither_paths_nor_the_words_of_a_store(given: World, api: httpx2.AsyncClient) -> None:
    def broken(*_: object) -> None:
        raise StoreUnavailable("/secret/ledger.sqlite: database disk image is malformed")

    given.system.retrieval.ledger.documents = broken
    response = await api.get("/v1/documents", headers=bearer(given.reader))
    assert_problem(response, 503, "store_unavailable")
    assert "/secret" not in response.text
    assert "malformed" not in response.text


async def test_an_index_that_is_behind_the_ledger_is_not_ready_until_it_has_caught_up(
    given: World, api: httpx2.AsyncClient
) -> None:
    given.system.retrieval.ledger.stored["a.md", "north"] = ...
    given.system.retrieval.vectors.behind = 1
    response = await api.get("/health/ready")
    assert response.status_code == 503
    assert response.json() == {"ready": False, "reasons": ["index_behind"]}
    given.system.retrieval.vectors.behind = 0
    assert (await api.get("/health/ready")).json() == {"ready": True, "reasons": []}


async def test_a_server_whose_documents_were_reindexed_with_other_parts_is_not_ready(
    given: World, api: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = IndexRebuilding("The ledger was reindexed with embedder other.")
    monkeypatch.setattr(given.system.retrieval.ingestor, "follow", Mock(side_effect=refused))
    response = await api.get("/health/ready")
    assert (response.status_code, response.json()["reasons"]) == (503, ["index_rebuilding"])


async def test_while_stopping_nothing_new_is_taken_but_health_answers(given: World) -> None:
    app = create_app(given.system)
    app.state.runtime.lifecycle.draining = True
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://127.0.0.1") as api:
        assert_problem(await ask(api, given.reader, "When?"), 503, "shutting_down")
        assert (await api.get("/health/ready")).json()["reasons"] == ["shutting_down"]
        assert (await api.get("/health/live")).status_code == 200


# -- request ids and the page ------------------------------------------------------------------------------------------


async def test_a_harmless_request_id_is_kept_and_any_other_is_replaced(given: World, api: httpx2.AsyncClient) -> None:
    kept = await api.get("/health/live", headers={"X-Request-Id": "order-42.a_b"})
    assert kept.headers["x-request-id"] == "order-42.a_b"
    for bad in ("a b", "x" * 65, "<script>", "a\tb"):
        replaced = (await api.get("/health/live", headers={"X-Request-Id": bad})).headers["x-request-id"]
        assert len(replaced) == 32
        assert replaced != bad
