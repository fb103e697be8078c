"""The first reply to a request, given again in place of doing the request again: serving/http/idempotency.py keeps it.

It is given by the rule that each route declares (serving/access/identity.py), once the caller was found to be allowed to make the request.
"""

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
    """Raised in place of doing a request again, once the caller was found to be allowed to make it."""

    def __init__(self, reply: Reply) -> None:
        super().__init__("This request was answered before.")
        self.reply = reply


def is_answered(request: Request) -> bool:
    """Whether the first reply to this request is at hand, so that nothing will be done for it."""
    return getattr(request.state, "first_reply", None) is not None


def end_if_answered(request: Request) -> None:
    """Called when the caller was found to be allowed to make this request. Raises FirstReply: it was made and answered before."""
    if is_answered(request):
        raise FirstReply(request.state.first_reply)


async def give_first_reply(request: Request, error: Exception) -> Response:
    """The handler of `FirstReply`."""
    del request
    assert isinstance(error, FirstReply)
    reply = error.reply
    headers = {REPLAYED: "true", "cache-control": "no-store"} | ({"content-type": reply.media} if reply.media else {})
    return Response(reply.body, status_code=reply.status, headers=headers)
