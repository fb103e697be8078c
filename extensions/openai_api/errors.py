"""Errors in the shape of OpenAI's API, whose clients read no others. Streams send the same objects."""

from typing import Any

from foundation.errors import NotFound, RequestError, SixplyError
from serving.http.errors import DETAIL_SHOWN, QuestionTooLong, shorten

# Codes for errors that OpenAI's clients handle; every other code is ours
CODES = {
    "budget_exceeded": "insufficient_quota",
    "quota_exceeded": "rate_limit_exceeded",
    "unauthenticated": "invalid_api_key",
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
    code = CODES.get(error.code, error.code)
    if isinstance(error, UnknownModel | QuestionTooLong):
        code = "model_not_found" if isinstance(error, UnknownModel) else "context_length_exceeded"
    message = {"message": shorten(error.public, DETAIL_SHOWN), "param": getattr(error, "param", param), "code": code}
    kept = {"thread_id": error.thread_id} if error.thread_id else {}
    return {"error": {"type": "invalid_request_error" if error.status < 500 else "server_error"} | message | kept}
