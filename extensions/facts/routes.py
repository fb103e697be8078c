"""Remembered facts about the caller. Those of others are invisible, even in the same tenant."""

from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, Field

from extensions.facts.store import CHARACTERS, Fact, SqliteFacts
from serving.access.identity import Asker
from serving.api.schemas import Identifier, Pages, RequestBody, Text
from serving.http.errors import responses
from serving.runtime import Running, Runtime, admit

router = APIRouter(prefix="/v1/facts", tags=["facts"], dependencies=[admit("reads")])


FactId = Annotated[Identifier, Field(examples=["fact-1"])]


class FactText(RequestBody):
    text: Text = Field(min_length=1, max_length=CHARACTERS, examples=["Our printers are all QL-20W."])


class FactList(BaseModel):
    facts: list[Fact]
    next_cursor: str | None


def _facts(runtime: Runtime) -> SqliteFacts:
    return runtime.system.hooks.service(SqliteFacts)


@router.get("", responses=responses())
def listed(caller: Asker, runtime: Running, pages: Pages) -> FactList:
    """List the facts remembered about you, oldest first."""
    page, cursor = pages.page(_facts(runtime).of(caller), lambda fact: f"{fact.at.isoformat()} {fact.fact_id}")
    return FactList(facts=page, next_cursor=cursor)


@router.post("", status_code=201, responses=responses())
def add(body: FactText, caller: Asker, runtime: Running) -> Fact:
    """Remember a fact, in your own words. Facts help to search; they never steer an action."""
    return _facts(runtime).add(caller, body.text)


@router.put("/{fact_id}", responses=responses(404))
def correct(fact_id: FactId, body: FactText, caller: Asker, runtime: Running) -> Fact:
    """Replace a fact by your own words."""
    return _facts(runtime).correct(fact_id, body.text, caller)


@router.delete("/{fact_id}", status_code=204, responses=responses(404))
def erase(fact_id: FactId, caller: Asker, runtime: Running) -> None:
    """Erase a fact. Answers that used it stay in your conversations."""
    _facts(runtime).erase(fact_id, caller)
