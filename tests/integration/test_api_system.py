"""The API over the real wiring, stores and agent; only the two models are doubles."""

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from observability.evaluation.golden_set import GOLDEN_SET, GoldenCase, ToolCall
from serving.access.identity import KeyStore
from serving.judge.trial import golden_report
from serving.server import running
from serving.settings import load
from serving.wiring import System, open_system
from tests.doubles import stacks
from tests.doubles.strong import NOT_SAID

DESK = """
[[orchestration.tools]]
use = "tests.doubles.desk:build"
[orchestration.policy.roles]
agent = ["refund"]
[serving.http]
port = 0
grace_s = 4
"""
FACT = "The moon lamp runs for nine hours."


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with open_system(load(stacks.stack(tmp_path_factory.mktemp("system"), DESK, chat=stacks.CLERK))) as system:
        yield system


@pytest.fixture(scope="module")
def callers(system: System) -> Iterator[dict[str, httpx2.Client]]:
    """A client for each caller, by a short name."""
    keys = KeyStore.of(system.settings, system.context.clock)

    def key(tenant: str, *roles: str) -> str:
        return keys.create(subject=f"{roles[0]}@{tenant}", tenant=tenant, roles=roles)

    given = {
        "north": key("alder-clinics", "agent"), "south": key("south", "agent"), "approver": key("alder-clinics", "approver"),
        "other approver": key("south", "approver"), "operator": key("alder-clinics", "operator"),
    }  # fmt: skip
    with running(system) as url:
        clients = {
            name: httpx2.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=60)
            for name, key in given.items()
        }
        yield clients
        for client in clients.values():
            client.close()


def ask(client: httpx2.Client, question: str, **more: Any) -> dict[str, Any]:
    response = client.post("/v1/answers", json={"question": question, "compose": "extractive", **more})
    assert response.status_code == 200, response.text
    return response.json()


def test_an_acknowledged_document_is_found_cited_and_gone_after_its_deletion(callers: dict[str, httpx2.Client]) -> None:
    north = callers["north"]
    added = north.post("/v1/documents", files={"file": ("moon.md", f"# Moon lamp\n\n{FACT}\n".encode())})
    assert added.status_code == 201, added.text
    answer = ask(north, "How long does the moon lamp run?")
    (cited,) = answer["citations"]
    span = north.get(f"/v1/documents/{cited['document_id']}", params={"start": cited["start"], "end": cited["end"]})
    assert span.json()["text"] == cited["quote"] == FACT

    for stranger in (callers["south"], callers["other approver"]):
        assert stranger.get(f"/v1/documents/{cited['document_id']}").status_code == 404
        assert stranger.delete("/v1/documents", params={"uri": "moon.md"}).status_code in {403, 404}
        assert stranger.post("/v1/search", json={"query": "moon lamp"}).json()["hits"] == []

    assert north.delete("/v1/documents", params={"uri": "moon.md"}).status_code == 204
    assert north.post("/v1/search", json={"query": "moon lamp"}).json()["hits"] == []
    gone = ask(north, "How long does the moon lamp run?")
    assert (gone["text"], gone["citations"]) == (NOT_SAID, [])


def test_a_refused_document_is_listed_with_its_reason(callers: dict[str, httpx2.Client]) -> None:
    refused = callers["north"].post("/v1/documents", files={"file": ("broken.docx", b"no archive")})
    assert (refused.status_code, refused.json()["code"]) == (422, "document_refused")
    listed = callers["north"].get("/v1/documents").json()["refusals"]
    assert [(one["uri"], one["reason"]) for one in listed] == [("broken.docx", refused.json()["reason"])]
    assert callers["south"].get("/v1/documents").json()["refusals"] == []


def test_a_refund_waits_for_an_approver_of_its_tenant_and_happens_once(callers: dict[str, httpx2.Client]) -> None:
    waiting = ask(callers["north"], "Please refund order QM-10013")
    assert waiting["status"] == "waiting", waiting
    path = f"/v1/approvals/{waiting['approval']['approval_id']}"
    listed = callers["approver"].get("/v1/approvals").json()["approvals"]
    assert [one["approval_id"] for one in listed] == [waiting["approval"]["approval_id"]]
    assert callers["other approver"].get("/v1/approvals").json()["approvals"] == []

    yes = {"approve": True, "reason": "seen"}
    assert callers["north"].post(path, json=yes).status_code == 403
    assert callers["other approver"].post(path, json=yes).status_code == 404
    done = callers["approver"].post(path, json=yes)
    assert (done.status_code, done.json()["status"]) == (200, "answered"), done.text
    again = callers["approver"].post(path, json=yes)
    assert again.status_code == 409 or again.json()["text"] == done.json()["text"]
    assert callers["approver"].get("/v1/approvals").json()["approvals"] == []


def test_an_approver_grants_less_than_was_asked_for(callers: dict[str, httpx2.Client]) -> None:
    waiting = ask(callers["north"], "Please refund order QM-10017")["approval"]
    path = f"/v1/approvals/{waiting['approval_id']}"
    less = {**waiting["arguments"], "amount_usd": 5}
    too_much = callers["approver"].post(path, json={"approve": True, "arguments": {**less, "amount_usd": 1e6}})
    assert (too_much.status_code, too_much.json()["code"]) == (422, "invalid_request"), too_much.text
    done = callers["approver"].post(path, json={"approve": True, "arguments": less}).json()
    assert "amount_usd = 5.0 in place of 178.0" in done["text"]
    kept = done["approval"]
    assert (kept["arguments"], kept["edited"]["amount_usd"]) == (waiting["arguments"], 5)
    assert kept["arguments_hash"] != kept["edited_hash"]


def test_a_request_is_one_trace_whose_root_is_the_server(system: System, callers: dict[str, httpx2.Client]) -> None:
    answer = ask(callers["north"], "What is a lamp?")
    system.observability.telemetry.flush()
    spans = system.observability.spans.trace(answer["trace_id"])
    root = next(span for span in spans if span.parent_id is None)
    assert (root.name, root.layer) == ("POST /v1/answers", "serving")
    assert {"orchestration", "retrieval"} <= {span.layer for span in spans}


def test_an_operator_scrapes_metrics_of_answers(callers: dict[str, httpx2.Client]) -> None:
    ask(callers["north"], "What is a lamp?")
    assert "http_server_request_duration" in callers["operator"].get("/metrics").text


async def test_what_a_golden_set_asks_for_waits_for_nobody_afterwards(
    system: System, callers: dict[str, httpx2.Client]
) -> None:
    callers["north"].post("/v1/documents", files={"file": ("golden.md", b"A comet is red.")})
    tool = ToolCall(name="refund", arguments={"order_id": "QM-10023"})
    question = "Please refund order QM-10023"
    case = GoldenCase(id="g", question=question, kind="tool", tenant="alder-clinics", answerable=True, tool=tool)
    report = await golden_report(system, [case])
    callers["north"].delete("/v1/documents", params={"uri": "golden.md"})
    assert report.rows[0].passed, report.rows[0]
    waiting = await system.orchestration.approvals.pending("alder-clinics")
    assert GOLDEN_SET not in {one.requested_by for one in waiting}
