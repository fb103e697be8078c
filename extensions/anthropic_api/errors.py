"""Errors in the shape of Anthropic's API, whose clients read no others. Streams send the same objects."""

from typing import Any

from foundation.errors import SixplyError
from serving.http.errors import DETAIL_SHOWN, shorten

KINDS = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}


def anthropic_problem(error: SixplyError) -> dict[str, Any]:
    """Return Anthropic's error object for `error`."""
    kind = KINDS.get(error.status, "invalid_request_error" if error.status < 500 else "api_error")
    message: dict[str, Any] = {"message": shorten(error.public, DETAIL_SHOWN), "code": error.code}
    message |= {"thread_id": error.thread_id} if error.thread_id else {}
    if getattr(error, "param", None) == "thread":  # Anthropic's tool runners then send the whole conversation
        message["details"] = {"error_code": "thread_unsupported_request", "unsupported": ["thread"]}
    return {"type": "error", "error": {"type": kind} | message}
