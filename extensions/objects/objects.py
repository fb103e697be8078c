"""Answers as objects: valid against a schema, or a failure that says why.

What the text states is read first, since reading does not invent; the chat model writes only required fields that are left.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Generic, Literal, cast
from uuid import uuid4

from pydantic import BaseModel, RootModel, ValidationError, model_validator

from extensions.objects.field_extraction import Field, fields_of, fill_fields
from extensions.structured.generating import Object, ask_in, generate_object, object_from
from foundation import names
from foundation.errors import BudgetExceeded, ComponentError, InvalidRequest
from foundation.machine.deadline import in_thread_within, unless_refused
from foundation.output.money import Usd
from foundation.text.patterns import check_schema, find_mistake
from foundation.tracing import span, trace_id
from foundation.types import Principal, Usage
from models.contract import BaseChatModel
from orchestration.contract import AgentParts, Demand
from orchestration.effects.records import Recorders, record_of_answer
from orchestration.events import Status, StopReason
from orchestration.run.budget import Budget
from orchestration.run.run import Run
from retrieval.documents import Citation, Hit
from retrieval.grounding.citing import Evidence
from serving.wiring import System

# Most sentences of documents that an object is made from
SENTENCES = 8

# Most characters of a text and items of a list that the model writes, where the schema sets no limit
CHARACTERS, ITEMS = 120, 8

# Most fields of an object
FIELDS = 100

# Most seconds for extracting fields; an ordinary object takes less than one
READING_S = 10.0

# Most ways to try a caller's pattern at one place of a text, and the number that a * or + counts for
WAYS, ENDLESS = 10_000, 5_000
PLAIN = (
    f"it must be a regular expression of at most {CHARACTERS} characters without a repeated group or a back reference, and "
    f"there must be at most {WAYS:,} ways to try it: a * or + counts {ENDLESS:,}, a ? or a | two, {{2,5}} four."
)
# A part of a pattern: an escaped character, a class, the start of a special group, a repeat, any other character
_PART = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*+(?:\]|\Z)|\(\?|\{\d*+,?\d*+\}|.", re.DOTALL)

Failure = Literal["insufficient_evidence", "budget", "model"]


@dataclass(frozen=True, kw_only=True)
class ObjectAnswer(Generic[Object]):
    """The outcome of a request for an object: either `object` or `failure` is set."""

    answer_id: str
    object: Object | None = None
    failure: Failure | None = None
    told: str = ""
    """The reason for the failure, to show to a person."""
    read: tuple[str, ...] = ()
    written: tuple[str, ...] = ()
    """Fields that the chat model filled; check them."""
    citations: tuple[Citation, ...] = ()
    degraded: tuple[str, ...] = ()
    usage: Usage
    cost_usd: Usd | None
    seconds: float
    trace_id: str | None

    @property
    def status(self) -> Status:
        if self.failure is None:
            return "answered"
        return "abstained" if self.failure == "insufficient_evidence" else "failed"

    @property
    def stop_reason(self) -> StopReason:
        reasons: dict[Failure | None, StopReason] = {None: "complete", "model": "error"}
        return reasons.get(self.failure, cast("StopReason", self.failure))


class Objects:
    """Makes objects where no guard refuses it, and has each recorded."""

    def __init__(
        self,
        parts: AgentParts,
        demand: Demand,
        recorders: Recorders,
        tenants: Mapping[str, BaseChatModel] | None = None,
    ) -> None:
        """`tenants` are the chat models of tenants that have their own."""
        self._parts, self._demand, self._recorders, self._tenants = parts, demand, recorders, tenants or {}

    @classmethod
    def of(cls, system: System) -> Objects:
        """Return what makes them in an open system."""
        return cls(system.parts, system.hooks.demand, system.orchestration.recorders, system.models.tenants)

    async def answer_as(
        self, schema: type[Object], question: str, principal: Principal, *, text: str | None = None
    ) -> ObjectAnswer[Object]:
        """Fill an object of `schema` from `text`, or from the documents that answer `question`.

        Raises InvalidRequest (the question is blank, the schema has no fields or too many, or a pattern takes too long in the
        text), Stopped (the caller's tenant, or everything, is stopped).
        """

        def demand() -> None:
            self._demand("tenant", principal.tenant)

        demand()
        fields = fields_of(schema.model_json_schema())
        if not question.strip() or not fields:
            raise InvalidRequest("An object needs a question and a schema with at least one field.")
        if len(fields) > FIELDS:
            raise InvalidRequest(
                f"An object has at most {FIELDS} fields; this schema has {len(fields)}. Ask for it in parts."
            )
        parts = replace(self._parts, chat=self._tenants.get(principal.tenant, self._parts.chat))
        budget = Budget(parts.settings.budget, parts.clock, max_usd=None)
        run = Run(parts=parts, principal=principal, answer_id=uuid4().hex, budget=budget, emit=lambda _: None)
        answer = await unless_refused(_answer_as(schema, fields, question, text, run), demand)
        await self._recorders.record(**record_of_answer(answer, principal))
        return answer


async def _answer_as(
    schema: type[Object], fields: Sequence[Field], question: str, text: str | None, run: Run
) -> ObjectAnswer[Object]:
    attributes = {names.ANSWER_ID: run.answer_id, names.TENANT: run.principal.tenant}
    with span(names.INVOKE_AGENT, "object", layer="orchestration", attributes=attributes) as current:
        try:
            content: dict[str, Any] = await _make_object(schema, fields, question, text, run)
        except BudgetExceeded as error:
            content = {"failure": "budget", "told": str(error)}
        except ComponentError as error:
            content = {"failure": "model", "told": error.public}
        finally:
            await run.bill.close()
            current.set_attribute(names.PROMPTS, ", ".join(sorted(run.notes.prompts.values())))
        return ObjectAnswer(
            answer_id=run.answer_id,
            usage=run.bill.usage,
            cost_usd=run.bill.cost_usd,
            seconds=run.bill.seconds,
            trace_id=trace_id(),
            degraded=tuple(run.notes.degraded),
            **content,
        )


def model_of(schema: Mapping[str, Any]) -> type[BaseModel]:
    """Return a pydantic model of the objects of a caller's JSON schema. Raises InvalidRequest: it is no JSON schema of an
    object, too long, or has a reference or a pattern that can backtrack for long.
    """
    from jsonschema import FormatChecker

    check_schema(schema, _demand_plain)
    formats = FormatChecker(("date", "email"))  # a time needs a zone there, which no text names

    class Fitting(RootModel[dict[str, Any]]):
        @model_validator(mode="after")
        def fits(self) -> Fitting:
            if mistake := find_mistake(self.root, schema, formats):
                raise ValueError(mistake)
            return self

        @classmethod
        def model_json_schema(cls, *_: Any, **__: Any) -> dict[str, Any]:
            return dict(schema)

    Fitting.__name__ = str(schema.get("title", "Object"))
    return Fitting


def _demand_plain(schema: Any) -> None:
    if isinstance(schema, list):
        for part in schema:
            _demand_plain(part)
    if not isinstance(schema, Mapping):
        return
    for key, value in schema.items():
        if key in ("$ref", "$dynamicRef", "patternProperties"):
            raise InvalidRequest(f"A schema with {key} is not taken. Write out what it stands for.")
        if key == "pattern" and isinstance(value, str) and not _is_plain(value):
            raise InvalidRequest(f"The pattern {value[:100]!r} is not taken: {PLAIN}")
        _demand_plain(value)


def _is_plain(pattern: str) -> bool:
    """Whether a search for the pattern is fast: the product of its choices, which bounds the tries at one place, is at most `WAYS`."""
    if len(pattern) > CHARACTERS:
        return False
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError):
        return False
    ways = 1
    for before, part in pairwise(["", *_PART.findall(pattern)]):
        choices = _choices(part)
        if part == "{":
            return False  # not a repeat: by itself to `re`, the beginning of an inexact match to `regex`
        if (before == ")" and choices is not None and part != "|") or re.fullmatch(r"\\[1-9]", part):
            return False
        ways *= choices or 1
    # in an expression with the flag x a blank may stand between a group and its repeat
    return ways <= WAYS and re.search(r"\(\?(?:P=|[a-zA-Z-]*x)", pattern) is None


def _choices(part: str) -> int | None:
    """Return the number of choices of a pattern's part; `None` where it is neither a repeat nor an alternative."""
    if part in ("*", "+"):
        return ENDLESS
    if part in ("?", "|"):
        return 2
    if repeat := re.fullmatch(r"\{(\d*+)(,?)(\d*+)\}", part):
        least, several, most = repeat.groups()
        return 1 if not several else ENDLESS if not most else int(most) - int(least or 0) + 1
    return None


async def _make_object(
    schema: type[Object], fields: Sequence[Field], question: str, text: str | None, run: Run
) -> dict[str, Any]:
    citations: tuple[Citation, ...] = ()
    if text is None:
        evidence = await run.in_thread(_best_sentences, question, await run.search(question), run)
        if not evidence:
            return {"failure": "insufficient_evidence", "told": "The documents that you may read do not say this."}
        text = " ".join(item.text for item in evidence)
        citations = tuple(run.parts.grounding.cite(item, number) for number, item in enumerate(evidence, 1))
    reading_s = min(READING_S, run.budget.remaining_s())
    filled, values = await in_thread_within(reading_s, _read_fields, schema, fields, text)
    if filled is None:
        messages = object_from(run.prompt("object"), question, text, values)
        shape = _narrow_schema(schema.model_json_schema(), values)
        filled = await generate_object(schema, messages, ask_in(run), shape=shape)
    written = tuple(field.name for field in fields if field.required and field.name not in values)
    return {"object": filled, "read": tuple(values), "written": written, "citations": citations}


def _best_sentences(question: str, hits: Sequence[Hit], run: Run) -> list[Evidence]:
    """Return the best sentences of the best document, in reading order; empty where the evidence is too thin."""
    grounding = run.parts.grounding
    evidence = grounding.evidence(question, hits, limit=SENTENCES)
    if not evidence or grounding.strength(question, evidence) < grounding.settings.min_evidence:
        return []
    best = evidence[0].hit.chunk.document_id  # an object is about one thing
    return sorted((item for item in evidence if item.hit.chunk.document_id == best), key=lambda item: item.start)


def _read_fields(schema: type[Object], fields: Sequence[Field], text: str) -> tuple[Object | None, dict[str, Any]]:
    """Return the object, `None` unless the text states enough for it, and the extracted values that the schema allows."""
    values = fill_fields(fields, text)
    try:
        return schema.model_validate(values), values
    except ValidationError as error:
        for mistake in error.errors(include_url=False, include_input=False, include_context=False):
            values.pop(str(mistake["loc"][0]) if mistake["loc"] else "", None)
        return None, values


def _narrow_schema(schema: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema with these values fixed and without optional fields that have none."""
    wanted = [name for name in schema["properties"] if name in values or name in schema.get("required", ())]
    unfixed = _bound_schema({name: schema["properties"][name] for name in wanted if name not in values})
    fixed = {name: {"const": values[name]} if name in values else unfixed[name] for name in wanted}
    return {**_bound_schema(schema), "properties": fixed, "required": wanted}


def _bound_schema(schema: Any) -> Any:
    # a small model may never stop by itself, so every text and list gets an end
    if isinstance(schema, list):
        return [_bound_schema(part) for part in schema]
    if not isinstance(schema, Mapping):
        return schema
    ends = {"string": {"maxLength": CHARACTERS}, "array": {"maxItems": ITEMS}}.get(str(schema.get("type")), {})
    exact = {"pattern", "format", "enum", "const"} & schema.keys()
    return {**({} if exact else ends), **{key: _bound_schema(value) for key, value in schema.items()}}
