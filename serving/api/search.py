"""The search route, and its filters on the fields and attributes of documents."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Self

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from foundation.machine.deadline import time_limit
from foundation.tracing import trace_id
from foundation.types import Principal
from retrieval import filters as where
from retrieval.documents import Citation, Hit
from retrieval.grounding.citing import cite_span
from serving.access.identity import Asker
from serving.api.schemas import Known, Name, Question, RequestBody
from serving.http.errors import responses
from serving.http.streams import unless_left
from serving.runtime import Running, Runtime, admit

router = APIRouter(prefix="/v1", tags=["answers"])


class Filter(RequestBody):
    """A condition on a field or an attribute of documents, `in` or `from`/`to`; or `all`, or `any`, of several."""

    key: Name | None = None
    values: list[Known] | None = Field(default=None, fail_fast=True, alias="in", min_length=1, max_length=500)
    low: Known | None = Field(default=None, alias="from")
    high: Known | None = Field(default=None, alias="to")
    every: list[Filter] | None = Field(default=None, fail_fast=True, alias="all", min_length=1, max_length=50)
    either: list[Filter] | None = Field(default=None, fail_fast=True, alias="any", min_length=1, max_length=50)

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        ranged, joins = self.low is not None or self.high is not None, [self.every, self.either]
        kinds = ranged + sum(kind is not None for kind in (self.values, *joins))
        if kinds > 1 or (self.key is None) is not any(joins):
            raise ValueError('is a "key" with "in" or with "from" and "to", or else "all" or "any" of such conditions')
        return self

    def filter(self) -> where.Where:
        if self.every is not None:
            return where.AllOf(tuple(part.filter() for part in self.every))
        if self.either is not None:
            return where.AnyOf(tuple(part.filter() for part in self.either))
        if self.values is not None:
            return where.OneOf(self.key or "", tuple(where.parse_value(value) for value in self.values))
        ends = (None if end is None else where.parse_value(end) for end in (self.low, self.high))
        return where.Between(self.key or "", *ends)


# databases refuse expressions that are too deep
CONDITIONS, VALUES = 100, 1000


def check_size(chosen: Any) -> Any:
    """Count conditions and values before any object is built. Raises ValueError: there are too many."""
    conditions = values = 0
    waiting = [chosen]
    for condition in waiting:  # it grows while it is walked
        members = condition if isinstance(condition, dict) else {}
        lists = {name: it for name, it in members.items() if isinstance(it, list)}
        parts = [*lists.get("all", ()), *lists.get("any", ())]
        waiting += parts
        conditions += not parts
        values += len(lists.get("in", ()))
    if conditions > CONDITIONS or values > VALUES:
        raise ValueError(
            f"must have at most {CONDITIONS} conditions and {VALUES:,} values; has {conditions:,} and {values:,}"
        )
    return chosen


class SearchRequest(RequestBody):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"query": "warranty", "limit": 5},
                {
                    "query": "ships",
                    "where": {"all": [{"key": "product", "in": ["QL-20"]}, {"key": "published", "from": "2026-01-01"}]},
                },
            ]
        }
    )

    query: Question
    limit: int = Field(default=10, ge=1, le=100)
    as_of: date | None = Field(default=None, description="Versions in force on that day; today if absent.")
    where: Annotated[Filter, BeforeValidator(check_size)] | None = Field(
        default=None,
        description="Only documents of which this is known: their fields, and the attributes they were added with. At most "
        f"{CONDITIONS} conditions with {VALUES:,} values.",
        examples=[{"all": [{"key": "product", "in": ["QL-20"]}, {"key": "published", "from": "2026-01-01"}]}],
    )


class SearchHit(BaseModel):
    """A passage with its score, comparable within one search only, and its rank in each search that found it."""

    score: float
    legs: dict[str, int]
    heading_path: tuple[str, ...]
    citation: Citation

    @classmethod
    def of(cls, hit: Hit, *, marker: int) -> SearchHit:
        citation = cite_span(hit, marker, hit.chunk.start, hit.chunk.text)
        return cls(score=hit.score, legs=dict(hit.ranks), heading_path=hit.chunk.heading_path, citation=citation)


class SearchResult(BaseModel):
    hits: list[SearchHit]
    trace_id: str | None


@router.post("/search", response_model=SearchResult, responses=responses(504), dependencies=[admit("searches")])
async def search(body: SearchRequest, request: Request, caller: Asker, runtime: Running) -> Response:
    """Find passages. No language model is needed, so this works while models are down."""
    result = await unless_left(_search_in_thread(body, caller, runtime), runtime.lifecycle, request)
    return Response(result, media_type=JSONResponse.media_type)


async def _search_in_thread(body: SearchRequest, caller: Principal, runtime: Runtime) -> str:
    # in the server's threads: the few of asyncio write the audit. One hop, for the JSON too
    with time_limit():
        return await run_in_threadpool(_search_as_json, body, caller, runtime)


def _search_as_json(body: SearchRequest, caller: Principal, runtime: Runtime) -> str:
    scope = runtime.system.policy.scope(caller)
    hits = runtime.system.retriever.retrieve(
        body.query, scope, limit=body.limit, as_of=body.as_of, where=body.where.filter() if body.where else None
    )
    results = [SearchHit.of(hit, marker=number) for number, hit in enumerate(hits, start=1)]
    return SearchResult(hits=results, trace_id=trace_id()).model_dump_json()
