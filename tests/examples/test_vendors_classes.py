"""LangChain's classes of more vendors as they are, by their dotted names, through the agent and the API.

Each provider is a double on loopback that answers 400 to what the vendor's own API answers with 400.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx2
import pytest

from foundation.clock import SystemClock
from retrieval.documents import Source
from retrieval.ingest.preparation import Item
from serving.access.identity import KeyStore
from serving.server import running
from serving.settings import load
from serving.wiring import open_system
from tests.doubles.provider import Behaviour, FaultyProvider
from tests.doubles.stacks import stack
from tests.doubles.vendors import READ, THOUGHT, WROTE, says

pytestmark = pytest.mark.filterwarnings(
    "ignore:Inheritance class AiohttpClientSession:DeprecationWarning"
)  # Google's client

ROOT = Path(__file__).resolve().parents[2]
VENDORS = {
    "langchain_ollama:ChatOllama": 'model = "a-thinking-one"\nbase_url = "{url}"\nreasoning = true\nprofile = {{ tool_calling = true }}',
    "langchain_mistralai:ChatMistralAI": 'model = "mistral-large-latest"\nendpoint = "{url}/v1"\napi_key = "a key for tests"\nmax_retries = 0',
    "langchain_google_genai:ChatGoogleGenerativeAI": 'model = "gemini-2.5-pro"\nbase_url = "{url}"\napi_key = "a key for tests"\nmax_retries = 1\ninclude_thoughts = true',
    "openai_compatible": """model = "o4-mini"\nbase_url = "{url}/v1"\napi_key = "a key for tests"
extra = {{ use_responses_api = true, reasoning = {{ effort = "low", summary = "auto" }} }}""",
    "langchain_openai:ChatOpenAI": """model = "o4-mini"\nbase_url = "{url}/v1"\napi_key = "a key for tests"\nmax_retries = 0
use_responses_api = true\nstore = false\ninclude = ["reasoning.encrypted_content"]\nreasoning = {{ effort = "low" }}""",
}
if find_spec(
    "langchain_aws"
):  # it needs an older python-dateutil than Chroma's kubernetes: in an environment of its own
    VENDORS[
        "langchain_aws:ChatBedrockConverse"
    ] = """model = "anthropic.claude-sonnet-4-20250514-v1:0"\nbase_url = "{url}"\nmax_retries = 0
region_name = "eu-central-1"\naws_access_key_id = "a key"\naws_secret_access_key = "for tests"\nprofile = {{ tool_calling = true }}
additional_model_request_fields = {{ thinking = {{ type = "enabled", budget_tokens = 1024 }} }}"""
MORE = """
[models.resilience]
attempts = 1
[models.prices]
use = "genai"
stated = {{ {prices} }}
[orchestration]
policy_file = "policy.toml"
[orchestration.agent]
use = "auto"
tool_calling = {{ rounds = 4 }}
[[orchestration.tools]]
use = "examples.support_desk.tools:build"
"""
PRICED = (
    "a-thinking-one",
    "mistral-large-latest",
    "gemini-2.5-pro",
    "gemini-double",
    "o4-mini",
    "anthropic.claude-sonnet-4-20250514-v1:0",
)
TEXT = b"# Parcels\n\nA parcel may weigh at most 30 kilograms.\n\n# Letters\n\nLetters go out at noon."
WEIGHT = ("search_documents", {"query": "weight of a parcel"})
LETTERS = ("search_documents", {"query": "when letters go out"})
SAID = "A parcel may weigh at most **30 kilograms** [1]."
UNCHECKED = []
TENANT, QUESTION = "alder-clinics", "How heavy may a parcel be?"
STREAM = {"Accept": "text/event-stream"}

Serve = Callable[..., AbstractContextManager[tuple[httpx2.Client, FaultyProvider]]]


@pytest.fixture(params=VENDORS)
def vendor(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def serve(vendor: str, tmp_path: Path) -> Serve:
    @contextmanager
    def serving(*behaviours: Behaviour) -> Iterator[tuple[httpx2.Client, FaultyProvider]]:
        with FaultyProvider(*behaviours) as provider:
            chat = f'use = "{vendor}"\n' + VENDORS[vendor].format(url=provider.url)
            prices = ", ".join(f'"{name}" = {{ input = 1.0, output = 10.0 }}' for name in PRICED)
            (tmp_path / "policy.toml").write_text((ROOT / "policy.toml").read_text("utf-8"), encoding="utf-8")
            with open_system(load(stack(tmp_path, MORE.format(prices=prices), chat=chat))) as system:
                system.retrieval.ingestor.ingest_one(Item(Source("desk.md", TENANT), TEXT, "desk.md"), scope=None)
                keys = KeyStore.of(system.settings, SystemClock())
                ana, lena = (
                    {"Authorization": f"Bearer {keys.create(subject=name, tenant=TENANT, roles=[role])}"}
                    for name, role in (("ana", "agent"), ("lena", "approver"))
                )
                with (
                    running(system) as url,
                    httpx2.Client(base_url=url, headers=ana, timeout=60, trust_env=False) as client,
                ):
                    client.lead = lena  # type: ignore[attr-defined]
                    yield client, provider

    return serving


def _events(client: httpx2.Client, **asked: Any) -> list[dict[str, Any]]:
    with client.stream("POST", "/v1/answers", json={"question": QUESTION, **asked}, headers=STREAM) as reply:
        assert reply.status_code == 200, reply.read()
        return [json.loads(line.removeprefix("data: ")) for line in reply.iter_lines() if line.startswith("data: ")]


def test_two_searches_at_once_and_one_more_end_in_a_streamed_cited_answer_with_its_price(
    serve: Serve, vendor: str
) -> None:
    thinks = "Mistral" not in vendor
    with serve(
        says("Let me look.", WEIGHT, LETTERS, thoughts="They ask for a weight."),
        says("", WEIGHT, thoughts="Once more."),
        says(SAID, thoughts="Thirty it is."),
    ) as (client, provider):
        events = _events(client)
    answer = events[-1]["answer"]
    assert (answer["text"], answer["status"], answer["degraded"]) == (SAID, "answered", UNCHECKED), answer
    assert [cited["uri"] for cited in answer["citations"]] == ["desk.md"]
    words = [event["token"] for event in events if event.get("token") and event["round"] == 3]
    assert "".join(words) == SAID
    assert len(words) > 2, "as the provider said them"
    wrote = WROTE + (
        THOUGHT if thinks and "Ollama" not in vendor else 0
    )  # Ollama counts thoughts among what was written
    assert (answer["usage"]["input_tokens"], answer["usage"]["output_tokens"]) == (3 * READ, 3 * wrote)
    assert float(answer["cost_usd"]) > 3 * (READ * 1.0 + wrote * 10.0) / 1e6, "as stated, and the machine's time"
    assert json.dumps(provider.requests[-1][2]).count("Thirty") == 0


def test_an_action_waits_for_a_colleague_and_the_conversation_goes_on(serve: Serve) -> None:
    refund = says("", ("refund", {"order_id": "QM-10017", "reason": "it arrived broken"}), thoughts="A refund.")
    done = "Order QM-10017 has been refunded: 178.00 USD."
    with serve(refund, says(done), says("You are welcome.")) as (client, provider):
        waiting = client.post("/v1/answers", json={"question": "Refund order QM-10017, it arrived broken."}).json()
        assert (waiting["status"], len(provider.requests)) == ("waiting", 1), waiting
        address = f"/v1/approvals/{waiting['approval']['approval_id']}"
        decided = client.post(address, json={"approve": True}, headers=client.lead)  # type: ignore[attr-defined]
        assert decided.json()["text"] == done, decided.text
        thanked = client.post("/v1/answers", json={"question": "Thank you.", "thread_id": waiting["thread_id"]})
    assert thanked.json()["text"] == "You are welcome.", thanked.text
    assert "has been refunded" in json.dumps(provider.requests[1][2])


def test_an_error_of_the_provider_in_the_middle_is_told_in_the_stream(serve: Serve, vendor: str) -> None:
    breaks = 8 if "openai" in vendor else 5
    with serve(says("", WEIGHT), says(SAID, breaks_after=breaks)) as (client, _):
        events = _events(client)
    assert "parcel" in "".join(event.get("token", "") for event in events)
    assert events[-1]["kind"] == "error", events[-1]
    assert events[-1]["code"] in {"upstream_down", "upstream_malformed"}


def test_the_last_round_is_told_so_in_an_order_of_messages_that_the_vendor_takes(serve: Serve) -> None:
    with serve(*[says("", WEIGHT, thoughts="More.")] * 3, says(SAID)) as (client, provider):
        answer = client.post("/v1/answers", json={"question": QUESTION}).json()
    assert answer["text"] == SAID, answer
    assert len(provider.requests) == 4
    assert any("asked to answer from what it had" in note for note in answer["degraded"])


@pytest.mark.parametrize(
    ("path", "body", "fault"),
    [
        ("/api/chat", {"model": "plain", "messages": [], "tools": [{}]}, "does not support tools"),
        ("/api/chat", {"model": "plain", "messages": [], "think": True}, "does not support thinking"),
        (
            "/v1/chat/completions",
            {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "stream_options": {}},
            "Extra inputs are not permitted",
        ),
        (
            "/v1/chat/completions",
            {
                "model": "m",
                "messages": [
                    {"role": "assistant", "tool_calls": [{"id": "t1", "function": {"name": "f", "arguments": "{}"}}]},
                    {"role": "tool", "tool_call_id": "t1", "content": "x"},
                    {"role": "user", "content": "Well?"},
                ],
            },
            "a length of 9.*|Unexpected role 'user' after role 'tool'",
        ),
        (
            "/v1beta/models/g:generateContent",
            {"contents": [{"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {}}}]}]},
            "number of function response parts",
        ),
        (
            "/v1beta/models/g:generateContent",
            {"contents": [{"role": "model", "parts": [{"functionCall": {"name": "f", "args": {}}}]}]},
            "missing a thought_signature",
        ),
        (
            "/v1/responses",
            {"model": "o", "input": [{"type": "function_call_output", "call_id": "c", "output": "x"}]},
            "No tool call found for function call output with call_id c",
        ),
        (
            "/v1/responses",
            {
                "model": "o",
                "input": [
                    {"type": "function_call", "id": "fc_1r-0", "call_id": "c", "name": "f", "arguments": "{}"},
                    {"type": "function_call_output", "call_id": "c", "output": "x"},
                ],
            },
            "without its required 'reasoning' item: 'rs_1r'",
        ),
        ("/v1/responses", {"model": "o", "input": [{"type": "reasoning", "id": "rs_1r"}]}, "required following item"),
        (
            "/model/claude/converse",
            {
                "messages": [
                    {"role": "user", "content": [{"toolResult": {"toolUseId": "t", "content": [{"text": "x"}]}}]}
                ]
            },
            "Expected toolResult blocks.*The toolConfig field must be defined",
        ),
        (
            "/model/claude/converse",
            {"messages": [{"role": "assistant", "content": [{"text": " "}]}]},
            "end with one.*is blank",
        ),
    ],
)
def test_the_doubles_refuse_what_the_vendors_refuse(path: str, body: dict[str, Any], fault: str) -> None:
    with FaultyProvider(says("Hello.")) as provider:
        reply = httpx2.post(f"{provider.url}{path}", json=body, trust_env=False)
    assert reply.status_code == 400
    assert re.search(fault, reply.text), reply.text


@pytest.mark.parametrize("vendor", ["openai_compatible", "langchain_openai:ChatOpenAI"])
def test_a_stop_that_openais_responses_would_not_get_is_refused(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIXPLY__EXTENSIONS", '["forks", "jobs", "openai_api", "structured"]')
    body = {"model": "sixply", "messages": [{"role": "user", "content": QUESTION}], "stop": ["END"]}
    with serve(says(SAID)) as (client, provider):
        refused = client.post("/v1/chat/completions", json=body)
        assert provider.requests == []
    assert (refused.status_code, "Leave it out" in refused.json()["error"]["message"]) == (400, True), refused.text
