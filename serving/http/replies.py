"""The stored first reply to a request (serving/http/idempotency.py), returned in place of doing it again."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

REPLAYED = "Idempotent-Replayed"


@dataclass(frozen=True, slots=True)
class Reply:
    """The first reply to a request."""

    status: int
    media: str
    body: bytes


class FirstReply(Exception):
    """Raised in place of doing a request again, after the caller's right to make it was checked."""

    def __init__(self, reply: Reply) -> None:
        super().__init__("This request was answered before.")
        self.reply = reply


def is_answered(request: Request) -> bool:
    """Whether the first reply is at hand, so that the request will not be done again."""
    return getattr(request.state, "first_reply", None) is not None


def end_if_answered(request: Request) -> None:
    """End a permitted request that already has a reply. Raises FirstReply: the request was answered before."""
    if is_answered(request):
        raise FirstReply(request.state.first_reply)


async def give_first_reply(request: Request, error: Exception) -> Response:
    """Handle `FirstReply`."""
    del request
    assert isinstance(error, FirstReply)
    reply = error.reply
    headers = {REPLAYED: "true", "cache-control": "no-store"} | ({"content-type": reply.media} if reply.media else {})
    return Response(reply.body, status_code=reply.status, headers=headers)
