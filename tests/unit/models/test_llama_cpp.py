"""The in-process language model and the door that it opens on loopback."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from pydantic import BaseModel

from foundation.components import Context, load
from foundation.errors import WeightsInvalid
from foundation.settings import Part
from models.pricing import identity
from orchestration.prompts.files import read_prompt
from orchestration.prompts.frames import answer_from

pytestmark = pytest.mark.real_model


def _load(tmp_path: Path, **options: Any) -> Any:
    return load(
        "models.chat", Part.model_validate({"use": "llama_cpp", **options}), Context(data_dir=tmp_path, threads=1)
    )


@pytest.fixture(scope="module")
def chat(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    model = _load(tmp_path_factory.mktemp("data"), max_tokens=32)
    yield model
    model.close()


@pytest.fixture
def door(chat: Any) -> Iterator[httpx2.Client]:
    """A stranger on the same machine."""
    with httpx2.Client(base_url=str(chat.client().openai_api_base).removesuffix("/v1"), timeout=30) as client:
        yield client


def _key(chat: Any) -> dict[str, str]:
    return {"Authorization": f"Bearer {chat.client().openai_api_key.get_secret_value()}"}


def test_it_listens_on_loopback_only(chat: Any) -> None:
    assert str(chat.client().openai_api_base).startswith("http://127.0.0.1:")


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/completion", "/tokenize", "/v1/embeddings"])
def test_a_request_without_the_key_or_with_another_is_refused(door: httpx2.Client, path: str) -> None:
    body = {"messages": [{"role": "user", "content": "hello"}], "prompt": "hello", "content": "hello"}
    assert door.post(path, json=body).status_code == 401
    assert door.post(path, json=body, headers={"Authorization": "Bearer guess"}).status_code == 401


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://localhost:3000"])
def test_a_page_from_elsewhere_is_not_allowed_to_read_replies(door: httpx2.Client, chat: Any, origin: str) -> None:
    asked = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    for reply in (
        door.get("/v1/models", headers={**_key(chat), "Origin": origin}),
        door.options("/v1/chat/completions", headers=asked),
    ):
        assert reply.headers.get("access-control-allow-origin", "") == ""
        assert reply.headers.get("access-control-allow-credentials", "false") == "false"


@pytest.mark.parametrize("path", ["/", "/index.html", "/slots", "/metrics"])
def test_it_serves_no_pages_and_no_insight_even_with_the_key(door: httpx2.Client, chat: Any, path: str) -> None:
    assert door.get(path, headers=_key(chat)).status_code in {404, 501}


def test_its_properties_cannot_be_changed(door: httpx2.Client, chat: Any) -> None:
    assert door.post("/props", headers=_key(chat), json={"chat_template": "x"}).status_code == 501


def test_every_server_has_a_key_of_its_own_and_shows_it_to_nobody(chat: Any, tmp_path: Path) -> None:
    other = _load(tmp_path)
    key = chat.client().openai_api_key.get_secret_value()
    assert other.client().openai_api_key.get_secret_value() != key
    assert key not in repr(chat)
    assert key not in str(chat._get_invocation_params())
    other.close()


def test_after_closing_nobody_listens(tmp_path: Path) -> None:
    model = _load(tmp_path)
    address = str(model.client().openai_api_base).removesuffix("/v1")
    model.close()
    with pytest.raises(httpx2.ConnectError):
        httpx2.get(f"{address}/health")


def test_the_same_prompt_gets_the_same_reply(chat: Any) -> None:
    assert len({chat.invoke("Name a colour.").text for _ in range(3)}) == 1


def test_a_prompt_that_begins_like_the_one_before_is_read_from_where_it_differs(tmp_path: Path) -> None:
    passages = ["The parcel weighs at most 30 kilograms.", "Parcels are kept for a week."]
    model = _load(tmp_path, max_tokens=4, slots=1, reuse_prompts=True)
    try:
        told = [
            model.invoke(answer_from(read_prompt("answer"), question, passages)).usage_metadata
            for question in ("How heavy?", "Until when?")
        ]
    finally:
        model.close()
    first, second = (usage["input_token_details"]["cache_read"] for usage in told)
    assert first == 0
    assert second > told[1]["input_tokens"] // 2


def test_structured_output_follows_the_schema(chat: Any) -> None:
    class Ticket(BaseModel):
        urgent: bool
        days: int

    found = chat.with_structured_output(Ticket).invoke("A refund takes 14 days. Fill in the ticket.")
    assert isinstance(found, Ticket)


def test_tokens_are_counted_by_the_models_own_tokenizer(chat: Any) -> None:
    assert chat.get_num_tokens("Refunds are paid.") == len(chat.get_token_ids("Refunds are paid.")) > 2


def test_a_prompt_longer_than_the_context_is_an_error(chat: Any) -> None:
    from foundation.clock import SystemClock
    from foundation.errors import UpstreamRejected
    from models.resilience.resilient_chat import resilient
    from models.settings import ResilienceSettings

    with pytest.raises(UpstreamRejected, match="takes no prompt that long"):
        resilient(chat, (), ResilienceSettings(), SystemClock()).invoke("lemon " * 6000)


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "broken.gguf"
    path.write_bytes(b"GGUF" + bytes(1000))
    with pytest.raises(WeightsInvalid, match=r"could not load .*broken\.gguf"):
        _load(tmp_path, path=str(path))


def test_a_proxy_in_the_environment_does_not_get_the_prompts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    model = _load(tmp_path, max_tokens=4)
    assert model.invoke("hello").text
    model.close()


def test_a_process_that_forgets_to_close_it_still_ends_in_silence() -> None:
    program = (
        "from pathlib import Path; from foundation.components import *; from foundation.settings import Part;"
        "chat = load('models.chat', Part(use='llama_cpp', max_tokens=4), Context(data_dir=Path('.'), threads=1));"
        "print(bool(chat.invoke('hello').text))"
    )
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, timeout=120, check=False
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "True\n", "")


def test_the_bundled_model_is_started_by_its_first_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from models.chat import llama_cpp

    started, start = [], llama_cpp._start
    monkeypatch.setattr(llama_cpp, "_start", lambda *args, **named: started.append(args) or start(*args, **named))
    model = _load(tmp_path, max_tokens=2)
    assert identity(model) == ("llama_cpp", "SmolLM2-135M-Instruct")
    assert not started
    copy = model.model_copy(update={"max_tokens": 1})
    assert [copy.invoke("hello").usage_metadata["output_tokens"], len(started)] == [1, 1]
    assert [model.invoke("hello").usage_metadata["output_tokens"], len(started)] == [2, 1]
    model.close()


def test_what_is_said_of_it_before_it_runs_is_so(chat: Any) -> None:
    assert chat.profile["tool_calling"] == chat.has_tool_template()
