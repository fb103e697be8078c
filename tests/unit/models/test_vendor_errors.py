"""Vendor exceptions become errors of our own tree."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx2
import openai
import pytest
from langchain_core import exceptions as lc
from openai.types.chat import ChatCompletion

from foundation.errors import (
    LONGEST_WAIT_S,
    BudgetExceeded,
    ComponentError,
    ContextTooLong,
    UpstreamDown,
    UpstreamLimited,
    UpstreamMalformed,
    UpstreamRejected,
    UpstreamTimeout,
)
from models.resilience.http_clients import clients
from models.resilience.vendor_errors import translate

REQUEST = httpx2.Request("POST", "http://127.0.0.1/v1/chat/completions")


def _response(status: int, headers: dict[str, str] | None = None) -> Any:
    return httpx2.Response(status, request=REQUEST, headers=headers)


def _of_bedrock(name: str, status: int | None = None) -> Exception:
    """A double of botocore's error of that name, which has its response as a dictionary."""
    error: Exception = type(name, (Exception,), {"__module__": "botocore.exceptions"})("the vendor's words")
    error.response = {"Error": {"Code": "X"}, "ResponseMetadata": {"HTTPStatusCode": status}}  # type: ignore[attr-defined]
    return error


CASES = [
    (_of_bedrock("ClientError", 400), UpstreamRejected),
    (_of_bedrock("ClientError", 429), UpstreamLimited),
    (_of_bedrock("ClientError", 503), UpstreamDown),
    (_of_bedrock("EventStreamError", 400), UpstreamDown),
    (_of_bedrock("ReadTimeoutError"), UpstreamTimeout),
    (_of_bedrock("NoCredentialsError"), UpstreamRejected),
    (openai.RateLimitError("slow down", response=_response(429), body=None), UpstreamLimited),
    (openai.AuthenticationError("bad key sk-secret", response=_response(401), body=None), UpstreamRejected),
    (openai.PermissionDeniedError("no", response=_response(403), body=None), UpstreamRejected),
    (openai.BadRequestError("no", response=_response(400), body=None), UpstreamRejected),
    (openai.UnprocessableEntityError("no", response=_response(422), body=None), UpstreamRejected),
    (openai.InternalServerError("oops", response=_response(500), body=None), UpstreamDown),
    (openai.InternalServerError("oops", response=_response(504), body=None), UpstreamTimeout),
    (openai.APITimeoutError(REQUEST), UpstreamTimeout),
    (openai.APIConnectionError(request=REQUEST), UpstreamDown),
    (openai.APIResponseValidationError(_response(200), None), UpstreamMalformed),
    (openai.LengthFinishReasonError(completion=ChatCompletion.model_construct(usage=None)), UpstreamMalformed),
    (openai.ContentFilterFinishReasonError(), UpstreamMalformed),
    (openai.APIError("error inside a stream", REQUEST, body=None), UpstreamDown),
    (httpx2.ConnectError("refused"), UpstreamDown),
    (httpx2.ReadError("reset"), UpstreamDown),
    (httpx2.RemoteProtocolError("cut"), UpstreamDown),
    (httpx2.ReadTimeout("late"), UpstreamTimeout),
    (httpx2.HTTPStatusError("no", request=REQUEST, response=_response(503)), UpstreamDown),
    (lc.ModelRateLimitError(), UpstreamLimited),
    (lc.ModelAuthenticationError(), UpstreamRejected),
    (lc.ModelRefusalError(), UpstreamRejected),
    (lc.ContextOverflowError(), ContextTooLong),
    (lc.ModelAPIError(), UpstreamDown),
    (lc.ModelConnectionError(), UpstreamDown),
    (lc.ModelTimeoutError(), UpstreamTimeout),
    (TimeoutError(), UpstreamTimeout),
    (ConnectionResetError(), UpstreamDown),
    (json.JSONDecodeError("no", "<html>", 0), UpstreamMalformed),
    (TypeError("'NoneType' object is not iterable"), UpstreamMalformed),
    (KeyError("choices"), UpstreamMalformed),
    (RuntimeError("never seen before"), ComponentError),
]


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"code": "context_length_exceeded", "message": "Your input exceeds the window."}},  # OpenAI
        {
            "error": {"code": 400, "message": "This model's maximum context length is 8192 tokens. However, you ..."}
        },  # vLLM
        {"error": {"code": 400, "type": "exceed_context_size_error", "message": "too much"}},  # llama.cpp
        {
            "type": "error",
            "error": {"type": "invalid_request_error", "message": "prompt is too long: 9 > 8"},
        },  # Anthropic
    ],
)
def test_a_prompt_that_is_too_long_is_told_apart_from_other_refusals(body: dict[str, Any]) -> None:
    error = openai.BadRequestError(f"Error code: 400 - {body}", response=_response(400), body=body)
    assert type(translate(error)) is ContextTooLong
    other = openai.BadRequestError("Error code: 400 - no such model", response=_response(400), body=None)
    assert type(translate(other)) is UpstreamRejected


@pytest.mark.parametrize(("error", "expected"), CASES, ids=lambda case: getattr(case, "__name__", type(case).__name__))
def test_each_has_its_kind(error: Exception, expected: type[ComponentError]) -> None:
    translated = translate(error, model="m-1")
    assert type(translated) is expected
    assert str(translated).startswith("m-1 ")
    assert type(error).__name__ in str(translated)


def test_every_error_of_langchains_own_tree_is_known() -> None:
    """A new one in an update must be given a kind on purpose."""
    kinds = [each for each in vars(lc).values() if isinstance(each, type) and issubclass(each, lc.ModelError)]
    assert len(kinds) > 5
    for kind in kinds:
        if kind is not lc.ModelError:
            assert type(translate(kind())) is not ComponentError, kind


def test_our_own_errors_pass_unchanged() -> None:
    error = BudgetExceeded("enough", limit="usd")
    assert translate(error) is error


def test_the_text_never_repeats_the_vendors_words() -> None:
    error = openai.AuthenticationError("bad key sk-secret in: my prompt", response=_response(401), body=None)
    assert "sk-secret" not in str(translate(error))
    assert "my prompt" not in str(translate(error))


def test_the_operator_reads_the_address_that_was_called_and_a_caller_does_not() -> None:
    request = httpx2.Request("POST", "http://ada:s3cret@10.1.2.3:8000/v1/chat/completions?key=hidden")
    told = translate(openai.APIConnectionError(request=request), model="m-1")
    assert "check its address" in str(told)
    assert str(told).endswith("(APIConnectionError, http://10.1.2.3:8000/v1/chat/completions).")
    assert "10.1.2.3" not in told.public
    assert told.public.endswith("(APIConnectionError).")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_no_outage_and_is_named(status: int) -> None:
    error = openai.APIStatusError("elsewhere", response=_response(status), body=None)
    told = translate(error)
    assert type(told) is UpstreamRejected
    assert "sends the request on to another address" in str(told)


@pytest.mark.parametrize("keep_alive", [True, False])
def test_no_client_follows_a_redirect(*, keep_alive: bool) -> None:
    both = clients(connect_s=1, read_s=1, keep_alive=keep_alive)
    assert [client.follow_redirects for client in both] == [False, False]


@pytest.mark.parametrize(
    "value",
    ["1e400", "nan", "inf", "-inf", "Fri, 31 Dec 9999 23:59:59 GMT", "Fri, 31 Dec 99999 23:59:59 GMT", "9" * 400],
)
def test_an_absurd_time_to_wait_is_none_or_at_most_a_month(value: str) -> None:
    error = openai.RateLimitError("slow down", response=_response(429, {"Retry-After": value}), body=None)
    seconds = translate(error).retry_after_s
    assert seconds is None or 0 < seconds <= LONGEST_WAIT_S


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("7", 7.0), ("0.5", 0.5), ("-3", 0.0), ("soon", None), (None, None), ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0)],
)
def test_the_time_to_wait_comes_from_the_header(value: str | None, seconds: float | None) -> None:
    headers = {} if value is None else {"Retry-After": value}
    error = openai.RateLimitError("slow down", response=_response(429, headers), body=None)
    assert translate(error).retry_after_s == seconds


def test_the_time_to_wait_may_be_a_date() -> None:
    at = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    error = openai.RateLimitError("slow down", response=_response(429, {"Retry-After": at}), body=None)
    assert 3000 < (translate(error).retry_after_s or 0) <= 3600


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_names_the_variable_and_a_refused_request_does_not(status: int) -> None:
    refused = translate(openai.APIStatusError("no", response=_response(status), body=None), model="m-1")
    assert str(refused).startswith(
        "m-1 refused the key. Set the right one in the environment: SIXPLY__MODELS__CHAT__API_KEY"
    )
    assert isinstance(refused, UpstreamRejected)
    other = translate(openai.APIStatusError("no", response=_response(400), body=None), model="m-1")
    assert "API_KEY" not in str(other)


def test_a_model_that_did_not_answer_in_time_names_the_settings_to_raise() -> None:
    assert "raise first_token_s, gap_s or timeout_s in [models.resilience]" in str(translate(TimeoutError(), model="m"))
