"""Errors in the shapes of OpenAI's and Anthropic's APIs, whose clients read no others. Streams send the same objects."""

from typing import Any

from foundation.errors import NotFound, RequestError, SixplyError
from serving.http import errors
from serving.http.errors import ANTHROPIC_PATHS, DETAIL_SHOWN, QuestionTooLong, shorten

# with those of its routes that we do not serve
OPENAI_PATHS = (
    "/v1/audio/", "/v1/batches", "/v1/chat/", "/v1/completions", "/v1/embeddings", "/v1/files", "/v1/images/", "/v1/models",
    "/v1/moderations", "/v1/responses", "/v1/vector_stores",
)  # fmt: skip
# Codes for errors that OpenAI's clients handle; every other code is ours
OPENAI_CODES = {
    "budget_exceeded": "insufficient_quota",
    "quota_exceeded": "rate_limit_exceeded",
    "unauthenticated": "invalid_api_key",
}
ANTHROPIC_KINDS = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}


class UnsupportedParameter(RequestError):
    """A parameter of another vendor's API that would change the answer and is not supported here."""

    def __init__(self, message: str, *, param: str) -> None:
        super().__init__(message)
        self.param = param


class UnknownModel(NotFound):
    """The name in `model` is not one of ours."""

    code = NotFound.code
    param = "model"


def openai_problem(error: SixplyError, param: str | None = None) -> dict[str, Any]:
    """Return OpenAI's error object for `error`."""
    code = OPENAI_CODES.get(error.code, error.code)
    if isinstance(error, UnknownModel | QuestionTooLong):
        code = "model_not_found" if isinstance(error, UnknownModel) else "context_length_exceeded"
    message = {"message": shorten(error.public, DETAIL_SHOWN), "param": getattr(error, "param", param), "code": code}
    return {"error": {"type": "invalid_request_error" if error.status < 500 else "server_error"} | message}


def anthropic_problem(error: SixplyError) -> dict[str, Any]:
    """Return Anthropic's error object for `error`."""
    kind = ANTHROPIC_KINDS.get(error.status, "invalid_request_error" if error.status < 500 else "api_error")
    message: dict[str, Any] = {"message": shorten(error.public, DETAIL_SHOWN), "code": error.code}
    if getattr(error, "param", None) == "thread":  # Anthropic's tool runners then send the whole conversation
        message["details"] = {"error_code": "thread_unsupported_request", "unsupported": ["thread"]}
    return {"type": "error", "error": {"type": kind} | message}


errors.VENDORS |= {
    OPENAI_PATHS: lambda error, status, param: (
        400 if isinstance(error, QuestionTooLong) else status,
        openai_problem(error, param),
    ),
    ANTHROPIC_PATHS: lambda error, status, _: (status, anthropic_problem(error)),
}
