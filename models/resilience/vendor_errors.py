"""Translation of the exceptions of vendors' clients into our own."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import cast
from urllib.parse import urlsplit

from foundation.errors import (
    ComponentError,
    ContextTooLong,
    SixplyError,
    UpstreamDown,
    UpstreamLimited,
    UpstreamMalformed,
    UpstreamRejected,
    UpstreamTimeout,
)
from foundation.output.credentials import mask_text

# Name of an exception class -> our class, by the first listed one in its method resolution order
_KINDS: Mapping[str, type[ComponentError]] = {
    "builtins.TimeoutError": UpstreamTimeout,
    "langchain_core.exceptions.ModelTimeoutError": UpstreamTimeout,
    "openai.APITimeoutError": UpstreamTimeout,
    "anthropic.APITimeoutError": UpstreamTimeout,
    "httpx.TimeoutException": UpstreamTimeout,
    "httpx2.TimeoutException": UpstreamTimeout,
    "langchain_core.exceptions.ModelRateLimitError": UpstreamLimited,
    "langchain_core.exceptions.ModelAPIError": UpstreamDown,
    "langchain_core.exceptions.ModelConnectionError": UpstreamDown,
    "langchain_core.exceptions.ContextOverflowError": ContextTooLong,
    "langchain_core.exceptions.ModelError": UpstreamRejected,  # of all others
    "openai.APIConnectionError": UpstreamDown,
    "anthropic.APIConnectionError": UpstreamDown,
    "httpx.TransportError": UpstreamDown,
    "httpx2.TransportError": UpstreamDown,
    "builtins.OSError": UpstreamDown,
    "openai.APIResponseValidationError": UpstreamMalformed,
    "anthropic.APIResponseValidationError": UpstreamMalformed,
    "openai.LengthFinishReasonError": UpstreamMalformed,  # an object that was cut off
    "openai.ContentFilterFinishReasonError": UpstreamMalformed,
    "openai.APIError": UpstreamDown,  # without a status, as the next two: an error event inside a stream
    "anthropic.APIError": UpstreamDown,
    "ollama._types.ResponseError": UpstreamDown,
    "botocore.exceptions.ConnectTimeoutError": UpstreamTimeout,
    "botocore.exceptions.ReadTimeoutError": UpstreamTimeout,
    "botocore.exceptions.NoCredentialsError": UpstreamRejected,
    "botocore.exceptions.HTTPClientError": UpstreamDown,
    "botocore.exceptions.EventStreamError": UpstreamDown,
    # What the clients trip over when a body is not what they expect.
    "builtins.ValueError": UpstreamMalformed,
    "builtins.TypeError": UpstreamMalformed,
    "builtins.AttributeError": UpstreamMalformed,
    "builtins.LookupError": UpstreamMalformed,
}

log = logging.getLogger("sixply.models")
# Most characters of what a vendor says
MOST_TOLD = 600

_STATUSES: Mapping[int, type[ComponentError]] = {408: UpstreamTimeout, 429: UpstreamLimited, 504: UpstreamTimeout}

_ADVICE: Mapping[type[ComponentError], str] = {
    UpstreamLimited: "asks us to slow down. Try again later, or raise the quota",
    UpstreamDown: "cannot be reached or failed. Try again; if it stays, check its address and its status page",
    UpstreamTimeout: "did not answer in time. Try again, or raise first_token_s, gap_s or timeout_s in [models.resilience]",
    UpstreamMalformed: "sent an answer that cannot be used, or an error in place of one. Try again; if it stays, check that the address speaks this API",
    UpstreamRejected: "refused the request. Check the key, the model's name, what a client sets of the reply, and the length of the prompt",
    ContextTooLong: "takes no prompt that long. Ask for less, or state its window: [models.chat] profile = { max_input_tokens = ... }",
    ComponentError: "failed in an unknown way. The cause is in the log",
}

# How servers say, in a refusal, that prompt and reply do not fit: OpenAI, vLLM, Anthropic, llama.cpp, Mistral, Gemini. LangChain's
# `ContextOverflowError` is told of the first and third alone
_TOO_LONG = (
    "context_length_exceeded",
    "maximum context length",
    "prompt is too long",
    "exceed_context_size_error",
    "exceeds the available context size",
    "exceeds the maximum number of tokens",
)

_KEY = (
    "refused the key. Set the right one in the environment: SIXPLY__MODELS__CHAT__API_KEY, or the api_key of whichever section "
    "names this model"
)
_REDIRECTED = (
    "sends the request on to another address, where it is not sent. Put the address that is meant into base_url"
)
_STATUS_ADVICE = {401: _KEY, 403: _KEY} | dict.fromkeys(range(300, 400), _REDIRECTED)


def translate(error: Exception, *, model: str = "The model") -> SixplyError:
    """Return our error for any exception of a chat model; raise it `from` the original.

    Its text has the status, the exception's class and for the operator the address that was called, but never the vendor's
    text, which may quote the prompt or a key.
    """
    if isinstance(error, SixplyError):
        return error
    cause = error.__cause__
    while cause is not None:  # ours was raised by our own connections, below the vendor's client and LangChain's
        if isinstance(cause, ComponentError):
            return type(cause)(str(cause), public=cause.public, retry_after_s=cause.retry_after_s)
        cause = cause.__cause__
    status = _status(error)
    if status is not None and status >= 300:
        kind = _STATUSES.get(status, UpstreamRejected if status < 500 else UpstreamDown)
        if kind is UpstreamRejected and any(sign in str(error) for sign in _TOO_LONG):
            kind = ContextTooLong
    else:
        names = (f"{ancestor.__module__}.{ancestor.__qualname__}" for ancestor in type(error).__mro__)
        kind = next((_KINDS[name] for name in names if name in _KINDS), ComponentError)
    found_text = f"HTTP {status}, {type(error).__name__}" if status else type(error).__name__
    told = f"{model} {_STATUS_ADVICE.get(status or 0, _ADVICE[kind])}"
    log.debug("%s was refused or failed: %s", model, told_by(error))
    called = f", {address}" if (address := _address(error)) else ""
    return kind(
        f"{told} ({found_text}{called}).", public=f"{told} ({found_text}).", retry_after_s=_retry_after_s(error)
    )


def explain(error: Exception, *, model: str = "The model") -> str:
    """Return the text of `translate` with the vendor's own words, for whoever sets the model up: they may quote the prompt."""
    known = translate(error, model=model)
    return str(known) if known is error else f"{known} It said: {told_by(error)}"


def told_by(error: Exception) -> str:
    """Return the vendor's own words, without credentials; of a refusal those of its body."""
    body = getattr(error, "body", None)
    return mask_text(str(body or error))[:MOST_TOLD]


@contextmanager
def translate_errors(model: str) -> Iterator[None]:
    """Translate any exception raised inside (`translate`)."""
    try:
        yield
    except (SixplyError, NotImplementedError):  # the latter has a text of its own
        raise
    except Exception as error:  # every vendor has exceptions of its own; `translate` knows them
        raise translate(error, model=model) from error


def _address(error: Exception) -> str:
    """Return where the client had sent the request, without what may be secret there; empty where it does not say."""
    with suppress(AttributeError, RuntimeError):  # the latter: httpx's, for an error outside of a request
        url = urlsplit(str(error.request.url))  # type: ignore[attr-defined]  # of the clients of OpenAI, Anthropic and httpx
        return f"{url.scheme}://{url.netloc.rpartition('@')[2]}{url.path}"
    return ""


def _status(error: Exception) -> int | None:
    response = getattr(error, "response", None)
    # botocore's; its other errors come in a stream
    if isinstance(response, dict) and type(error).__name__ == "ClientError":
        return cast("int | None", response.get("ResponseMetadata", {}).get("HTTPStatusCode"))
    for holder in (error, response):
        if isinstance(status := getattr(holder, "status_code", None), int) and status > 0:
            return status
    return None


def _retry_after_s(error: Exception) -> float | None:
    headers = getattr(getattr(error, "response", None), "headers", None)
    value: str = headers.get("retry-after", "") if headers is not None else ""
    with suppress(ValueError, TypeError):
        return float(value)
    with suppress(ValueError, TypeError, OverflowError):
        return (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds()
    return None
