"""Error responses: problem+json (RFC 9457), and on the paths of other vendors' APIs what their clients expect."""

import itertools
import json
import logging
import math
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.routing import Match

from foundation.errors import (
    BudgetExceeded,
    ComponentError,
    Conflict,
    DocumentRefused,
    InvalidRequest,
    NotFound,
    RequestError,
    SixplyError,
    TooLarge,
    Unauthenticated,
)
from foundation.types import Principal

log = logging.getLogger("sixply.serving")
Body = TypeVar("Body", bound=BaseModel)

MEDIA_TYPE = "application/problem+json"
CHALLENGE = 'Bearer realm="sixply"'
FIELDS_SHOWN = 20
# of a path, or of a field's name: the caller's own text, which can be as long as the body
PLACE_SHOWN = 200
DETAIL_SHOWN = 2000
CONFLICT = "It conflicts with the current state: already decided, busy, waiting, or the first request is still running."
# a person opens these in a browser, which can send a key only as HTTP Basic
BROWSER_PATHS = ("/docs", "/openapi.json")


@dataclass(frozen=True, kw_only=True)
class Surface:
    """What is special of some paths: who calls there, where their key is, what their clients read as an error."""

    paths: tuple[str, ...]
    """How the paths begin."""
    identify: Callable[[HTTPConnection], Awaitable[Principal]] | None = None
    """Identifies callers in the place of keys and tokens, which these paths then do not take. Their requests are those of programs within
    a page: they are neither traced nor logged one by one, and may be uploads and websockets. Raises Unauthenticated, Forbidden,
    StoreUnavailable.
    """
    key_header: str = ""
    """A header that may have the key in the place of `Authorization`."""
    shape: Callable[[SixplyError, int, str | None], tuple[int, dict[str, Any]]] | None = None
    """Makes status and content of an error from the error, its status and the wrong field."""
    hints: Mapping[str, str] = field(default_factory=dict)
    """How a path ends that is not there -> what its client should do."""
    counted: bool | None = None
    """Whether quotas count its requests; `None`: as any other path, those below `/v1/`."""


class FieldProblem(BaseModel):
    location: str
    message: str


class Problem(BaseModel):
    """An error, for a person (`detail`) and for a program (`code`, `retryable`)."""

    type: str = Field(examples=["urn:sixply:error:not_found"])
    title: str
    status: int
    detail: str
    code: str
    retryable: bool
    request_id: str
    thread_id: str | None = None
    """The conversation in which an answer failed. The same question, asked there again, goes on from what was done."""
    reason: str | None = None
    """Stable code of the reason, for a refused document."""
    fields: list[FieldProblem] | None = None
    """The fields that are not valid, for a request that fails validation."""


class QuestionTooLong(TooLarge):
    """The question has more characters than the settings allow."""

    code = TooLarge.code


class QuotaExceeded(BudgetExceeded):
    """429: a quota is used up for now. Retry-After says when it is available again."""

    retryable = True


class InternalError(SixplyError):
    """A defect on our side, without details that a caller must not see: the log has them, by request id."""

    def __init__(self, message: str = "Something failed inside. The log has the details, by request id.") -> None:
        super().__init__(message)


class BodyRefused(HTTPException):
    """An error in the body, raised while a route reads it. FastAPI would turn any other class into a 400."""

    def __init__(self, error: SixplyError) -> None:
        super().__init__(error.status)
        self.error = error


class CallerLeft(Exception):
    """The client closed the connection before its answer was ready."""


def responses(*statuses: int, vendor: bool = False) -> dict[int | str, dict[str, Any]]:
    """Return the error responses of a route for OpenAPI: `statuses`, and those that any route can return."""
    texts = {
        400: "The request cannot be read.",
        401: "No valid API key.",
        403: "The key's roles do not allow this.",
        404: "It does not exist, or is not yours.",
        409: CONFLICT,
        410: "It has expired.",
        413: "Larger than allowed.",
        422: "Something in the request does not fit.",
        429: "A quota or a budget is used up; Retry-After says when there is more of a quota.",
        503: "A part is down, busy or stopping. `retryable` and Retry-After say whether and when to try again.",
        504: "A model did not answer in time.",
    }
    schema = {"type": "object"} if vendor else {"$ref": f"#/components/schemas/{Problem.__name__}"}
    described: dict[str, Any] = {"content": {"application/json" if vendor else MEDIA_TYPE: {"schema": schema}}}
    common = (400, 401, 403, 413, 422, 429, 503)
    return {
        status: described | {"description": texts[status]} | ({} if vendor else {"model": Problem})
        for status in sorted({*common, *statuses})
    }


def declare(document: dict[str, Any], surfaces: Iterable[Surface]) -> None:
    """Remove responses that FastAPI documents and no caller gets: 422 on paths with errors of their own, problems as plain JSON."""
    vendor_paths = tuple(itertools.chain.from_iterable(surface.paths for surface in surfaces if surface.shape))
    for path, operations in document["paths"].items():
        for operation in operations.values():
            if path.startswith(vendor_paths):
                operation["responses"].pop("422", None)
            for response in operation["responses"].values():
                if MEDIA_TYPE in response.get("content", {}):
                    response["content"].pop("application/json", None)


def install(app: FastAPI) -> None:
    """Register a handler for every class of exception."""

    async def respond_known(request: Request, error: Exception) -> Response:
        assert isinstance(error, SixplyError)
        if isinstance(error, RequestError | ComponentError | InternalError):
            return respond(request, error)
        # one for the operator to mend: its text may name paths
        return await unforeseen(request, error)

    async def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        fields = [field_problem(item) for item in error.errors()[:FIELDS_SHOWN]]
        return respond(request, InvalidRequest(_describe(request, fields)), fields=fields)

    async def http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        path, known, headers = request.url.path[:PLACE_SHOWN], from_http(error), error.headers or {}
        if error.status_code == 404 and error.detail == "Not Found":
            hints = {end: hint for surface in _surfaces(request) for end, hint in surface.hints.items()}
            hint = next((hint for end, hint in hints.items() if path.endswith(end)), "")
            known = NotFound(f"There is no {path} here. {hint}/openapi.json lists what there is.")
        elif error.status_code == 405:
            # Starlette names those of the first route alone
            ways = [{**request.scope, "method": m} for m in ("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT")]
            taken = [way["method"] for way in ways if any(r.matches(way)[0] is Match.FULL for r in request.app.routes)]
            headers = {"Allow": ", ".join(taken)}
            known = RequestError(f"{path} does not take {request.method}. It takes: {headers['Allow']}.")
        response = respond(request, known, status=error.status_code)
        response.headers.update(headers)
        return response

    async def unforeseen(request: Request, error: Exception) -> Response:
        log.error("request %s failed", request_id(request), exc_info=error)
        request.state.explained = True  # or it would be logged twice
        return respond(request, InternalError())

    async def respond_left(_: Request, __: Exception) -> Response:
        return Response(status_code=499)  # for logs and metrics, as nginx's "client closed request"

    for kind, handler in {
        CallerLeft: respond_left,
        SixplyError: respond_known,
        RequestValidationError: invalid,
        HTTPException: http,
        Exception: unforeseen,
    }.items():
        app.add_exception_handler(kind, handler)


def _describe(request: Request, fields: list[FieldProblem]) -> str:
    media_type = request.headers.get("content-type", "")
    # by FastAPI's rule, which excludes text/json
    is_json = re.match(r"application/([\w.+-]+\+)?json\s*(;|$)", media_type, re.IGNORECASE)
    if fields[0].location == "body" and not is_json:
        return f'The Content-Type is "{media_type}". Send a JSON object, with Content-Type: application/json.'
    return "; ".join(f"{field.location}: {field.message}" for field in fields[:3])


def respond(
    request: Request, error: SixplyError, *, status: int | None = None, fields: list[FieldProblem] | None = None
) -> Response:
    """Return the response for `error`, in the shape that clients of the request's path expect."""
    if error.public != str(error):
        log.error("request %s: %s", request_id(request), error)
    status, body, media_type = shape_error(
        surface_of(request), error, status=status or error.status, request_id=request_id(request), fields=fields
    )
    response = Response(body, status_code=status, media_type=media_type)
    # OpenAI's and Anthropic's clients else send anything of 409 and above 500 again
    response.headers["X-Should-Retry"] = str(error.retryable).lower()
    if error.retry_after_s is not None:
        response.headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_s)))
    if isinstance(error, Unauthenticated):
        schemes = [CHALLENGE, 'Basic realm="sixply"'] if request.url.path.startswith(BROWSER_PATHS) else [CHALLENGE]
        response.headers["WWW-Authenticate"] = ", ".join(schemes)
    return response


def surface_of(connection: HTTPConnection) -> Surface | None:
    """Return what is special of the path, if anything is."""
    path = connection.url.path
    return next((surface for surface in _surfaces(connection) if path.startswith(surface.paths)), None)


def _surfaces(connection: HTTPConnection) -> Sequence[Surface]:
    surfaces: Sequence[Surface] = connection.app.state.runtime.system.hooks.surfaces
    return surfaces


def shape_error(
    surface: Surface | None,
    error: SixplyError,
    *,
    status: int,
    request_id: str,
    fields: list[FieldProblem] | None = None,
) -> tuple[int, bytes, str]:
    """Return status, body and media type for `error`, as clients expect them."""
    if surface and surface.shape:
        param = fields[0].location.removeprefix("body.") if fields else None
        # no vendor's API knows 422
        status, content = surface.shape(error, 400 if status == 422 else status, param)
        return status, to_json(content), "application/json"
    problem = Problem(
        type=f"urn:sixply:error:{error.code}",
        title=error.code.replace("_", " ").capitalize(),
        status=status,
        detail=shorten(error.public, DETAIL_SHOWN),
        code=error.code,
        retryable=error.retryable,
        request_id=request_id,
        thread_id=error.thread_id,
        reason=error.reason if isinstance(error, DocumentRefused) else None,
        fields=fields,
    )
    return status, to_json(problem.model_dump(exclude_none=True)), MEDIA_TYPE


def to_json(content: Any) -> bytes:
    # as ASCII, so that a lone surrogate quoted from the request cannot break the response
    return json.dumps(content, ensure_ascii=True).encode("ascii")


def request_id(request: Request) -> str:
    return str(getattr(request.state, "request_id", ""))


def from_http(error: HTTPException) -> SixplyError:
    """Convert an exception of a library, or of the limit on bodies, to one of our errors."""
    if isinstance(error.__cause__, UnicodeDecodeError):
        return RequestError(f"The body is not UTF-8: {error.__cause__}. Send JSON in UTF-8.")
    return error.error if isinstance(error, BodyRefused) else from_status(error.status_code, str(error.detail))


def from_status(status: int, detail: str) -> SixplyError:
    """Return our nearest error for a status that a library chose."""
    if status == 413:
        return TooLarge("The body is larger than this server takes ([serving.http] max_body_bytes).")
    kinds: dict[int, type[SixplyError]] = {404: NotFound, 409: Conflict, 422: InvalidRequest}
    return kinds.get(status, RequestError)(detail)


def field_problem(item: Mapping[str, Any]) -> FieldProblem:
    """Convert one validation error of pydantic's to the field and the message that a caller sees."""
    where, what = item["loc"], str(item["msg"]).removeprefix("Value error, ")
    if item["type"] == "json_invalid":
        return FieldProblem(location="body", message=f"{what} at character {where[-1]}: {item['ctx']['error']}")
    # for a union, pydantic puts the type that it tried ("list[TextPart]") into the path; the request has no such field
    place = ".".join(shorten(str(step), PLACE_SHOWN) for step in where if "[" not in str(step))
    return FieldProblem(location=shorten(place, PLACE_SHOWN), message=shorten(what, PLACE_SHOWN))


def validate(shape: type[Body], **values: Any) -> Body:
    """Validate values like the body of a route, for callers that come another way. Raises InvalidRequest."""
    try:
        return shape.model_validate(values)
    except ValidationError as error:
        first = field_problem(error.errors(include_url=False, include_input=False)[0])
        raise InvalidRequest(f"{first.location}: {first.message}.".removeprefix(": ")) from error


def shorten(text: str, most: int) -> str:
    """Cut `text` to `most` characters, with an ellipsis."""
    return text if len(text) <= most else text[: most - 1] + "…"
