"""An object is valid or a failure says why; what the text states is read, and the model writes only the rest."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, Field

from extensions.development.scripted_chat import ScriptedChat
from extensions.objects import field_extraction, objects, text_values
from extensions.objects.field_extraction import fields_of, fill_fields
from extensions.objects.objects import Objects, model_of
from foundation.errors import InvalidRequest, Stopped, UpstreamDown
from foundation.text import patterns
from orchestration.settings import BudgetSettings
from tests.doubles.orchestration import NORTH, SOUTH, World


class State(StrEnum):
    SHIPPED = "shipped"
    WAITING = "waiting"


class Order(BaseModel):
    order_id: str = Field(pattern=r"^QM-\d{5}$", description="number of the order")
    quantity: int = Field(ge=1, description="how many devices were ordered")
    total_usd: float = Field(gt=0, description="total price in dollars")
    ordered_on: date = Field(description="day of the order")
    status: State = Field(description="state of the order")
    customer: str = Field(max_length=60, description="name of the customer")
    gift: bool | None = Field(default=None, description="whether it is wrapped as a gift")


TEXT = (
    "Ada Quill ordered 12 label printers on 3 May 2026 under QM-10042. The total is 1,250.50 USD. The order is shipped."
)
QUESTION = "Which order is this?"


@pytest.fixture
def world(data_dir: Path) -> Iterator[World]:
    made = World(data_dir)
    yield made
    made.close()


def making(world: World) -> Objects:
    return Objects(world.parts(), lambda *_: None, world.recorders)


async def test_what_the_text_states_is_read_and_no_model_is_asked(world: World) -> None:
    given = await making(world).answer_as(Order, QUESTION, NORTH, text=TEXT)
    assert given.object == Order(
        order_id="QM-10042",
        quantity=12,
        total_usd=1250.5,
        ordered_on=date(2026, 5, 3),
        status=State.SHIPPED,
        customer="Ada Quill",
    )
    assert (given.written, given.usage.output_tokens) == ((), 0)
    assert {charge.kind for charge in world.till.charges} == {"machine"}


async def test_only_what_is_not_there_is_written_by_the_model_and_named(world: World) -> None:
    text = TEXT.replace("12 label printers", "label printers")
    known = {"order_id": "QM-10042", "total_usd": 1250.5, "ordered_on": "2026-05-03", "status": "shipped"}
    world.chat = ScriptedChat(replies=(json.dumps({**known, "customer": "Ada Quill", "quantity": 4}),))
    given = await making(world).answer_as(Order, QUESTION, NORTH, text=text)
    assert given.object is not None
    assert (given.object.quantity, given.written) == (4, ("quantity",))


async def test_a_reply_that_fits_neither_at_once_nor_repaired_is_a_failure_and_no_object(world: World) -> None:
    world.chat = ScriptedChat(replies=("nothing of the kind", '{"quantity": 0}'))
    given = await making(world).answer_as(Order, QUESTION, NORTH, text="An order came in.")
    assert (given.object, given.failure) == (None, "model")
    assert "Order" in given.told


async def test_a_model_that_is_down_is_a_failure(world: World) -> None:
    world.chat = ScriptedChat(replies=(UpstreamDown("Nobody is there."),))
    given = await making(world).answer_as(Order, QUESTION, NORTH, text="An order came in.")
    assert (given.object, given.failure, given.told) == (None, "model", "Nobody is there.")


async def test_a_budget_that_does_not_allow_the_call_is_a_failure(world: World) -> None:
    world.budget = BudgetSettings(tokens=10)
    given = await making(world).answer_as(Order, QUESTION, NORTH, text="An order came in.")
    assert (given.object, given.failure) == (None, "budget")


class Limit(BaseModel):
    kilograms: int = Field(ge=1, description="how many kilograms a parcel may weigh at most")


async def test_without_a_text_the_documents_are_asked_and_cited(world: World) -> None:
    given = await making(world).answer_as(Limit, "How many kilograms may a parcel weigh?", NORTH)
    assert given.object == Limit(kilograms=30)
    assert [citation.uri for citation in given.citations][:1] == ["parcels.md"]


async def test_documents_that_do_not_say_it_or_may_not_be_read_are_a_failure(world: World) -> None:
    class Days(BaseModel):
        days: int = Field(description="days for which the northern depot keeps parcels")

    question = "How many days does the northern depot keep parcels?"
    assert (await making(world).answer_as(Days, question, NORTH)).object == Days(days=14)
    given = await making(world).answer_as(Days, question, SOUTH)
    assert given.object is None or given.object.days != 14
    nothing = await making(world).answer_as(Days, "Which colour does the director's bicycle have?", NORTH)
    assert (nothing.object, nothing.failure) == (None, "insufficient_evidence")


async def test_every_object_is_in_the_audit_and_a_stopped_tenant_gets_none(world: World) -> None:
    given = await making(world).answer_as(Order, QUESTION, NORTH, text=TEXT)
    assert [(record.run_id, record.act) for record in world.records] == [(given.answer_id, "answer")]

    def refuse(kind: str, name: str = "") -> None:
        raise Stopped(f"{kind} {name} was stopped for a trial.")

    stopped = Objects(world.parts(), refuse, world.recorders)
    with pytest.raises(Stopped, match="tenant north"):
        await stopped.answer_as(Order, QUESTION, NORTH, text=TEXT)


@pytest.mark.parametrize("question", ["", "  \n"])
async def test_a_blank_question_is_refused(world: World, question: str) -> None:
    with pytest.raises(InvalidRequest):
        await making(world).answer_as(Order, question, NORTH, text=TEXT)


def test_a_model_of_a_json_schema_lets_pass_what_fits_and_nothing_else() -> None:
    schema = {"type": "object", "properties": {"on": {"type": "string", "format": "date"}}, "required": ["on"]}
    model = model_of(schema)
    assert model.model_validate({"on": "2026-05-03"}).model_dump() == {"on": "2026-05-03"}
    for wrong in ({}, {"on": 3}, {"on": "tomorrow"}):
        with pytest.raises(ValueError, match="breaks"):
            model.model_validate(wrong)


SLOW = [
    "a?" * 25 + "a" * 25,
    "(a|a)" * 20,
    "a{0,99}" * 6,
    r"\\+\\+\\+!",
    "(?x)(a+) +",
    "(?x:(a+) +)",
    "(a+)(?#)+",
    r"(a+)\1",
]
"""Each takes longer than anybody waits on some text of a few dozen characters."""


@pytest.mark.parametrize(
    "plain", [r"^QM-\d{5}$", r"^\+?\d{1,3}[ -]?\d{2,4}[ -]?\d{3,4}$", "^(open|closed)$", "^[a-z*+?|]+$"]
)
def test_a_pattern_with_few_choices_is_taken(plain: str) -> None:
    model_of({"type": "object", "properties": {"a": {"type": "string", "pattern": plain}}})


@pytest.mark.parametrize(
    ("schema", "told"),
    [
        ({"type": "string"}, "of an object"),
        ({"type": "object", "properties": 3}, "no JSON schema"),
        ({"type": "object", "properties": {"a": {"$ref": "http://127.0.0.1:9/secret"}}}, r"\$ref"),
        ({"type": "object", "patternProperties": {"(a+)+$": {}}}, "patternProperties"),
        ({"type": "object", "properties": {"a": {"type": "string", "pattern": "^(a+)+$"}}}, "not taken"),
        ({"type": "object", "properties": {"a": {"type": "string", "pattern": "a*b*c*$"}}}, "not taken"),
        ({"type": "object", "properties": {"a": {"type": "string", "pattern": "("}}}, "regex"),
        ({"type": "object", "properties": {"a": {"pattern": "a{99999999999}"}}}, "cannot be read"),
        *(({"type": "object", "properties": {"a": {"type": "string", "pattern": slow}}}, "not taken") for slow in SLOW),
    ],
)
def test_a_schema_from_outside_that_is_none_or_that_could_do_harm_is_refused(schema: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidRequest, match=told):
        model_of(schema)


@pytest.mark.parametrize(
    ("told", "text", "value"),
    [
        ({"type": "integer"}, "We need three of them.", 3),
        ({"type": "number", "description": "weight in kg"}, "It costs 20 USD and weighs 2.5 kg.", 2.5),
        ({"type": "number", "description": "price in USD"}, "It costs 20 USD and weighs 2.5 kg.", 20),
        ({"type": "integer", "maximum": 10}, "There were 400 guests at 7 tables.", 7),
        ({"type": "string", "format": "date"}, "Due on March 4th, 2026.", "2026-03-04"),
        ({"type": "string", "format": "date"}, "Due on 31 February 2026.", None),
        ({"type": "string", "format": "time"}, "We meet at 12:30 or not.", "12:30:00"),
        ({"type": "string", "format": "time"}, "We meet at 12 am.", "00:00:00"),
        ({"enum": ["low", "high"], "description": "priority"}, "The priority is high.", "high"),
        ({"type": "boolean", "description": "whether it is resolved"}, "It is not resolved yet.", False),
        ({"type": "boolean", "description": "whether it is resolved"}, "It was resolved today.", True),
        ({"type": "string", "description": "name of the city"}, "They moved to the city of Porto.", "Porto"),
        ({"type": "string", "format": "email"}, "Write to Ada at ada.q@alder.example.", "ada.q@alder.example"),
        ({"type": "string", "format": "uri"}, "See https://alder.example/a?b=1.", "https://alder.example/a?b=1"),
        ({"type": "string", "pattern": r"^E-\d{3}$"}, "It shows e-104 again.", "E-104"),
        ({"type": "number"}, "A wire of 440Hz costs nothing.", 440),
        ({"type": "number"}, "They sold 1.5 million of them.", 1_500_000),
        ({"type": "string", "description": "title"}, "It is titled 'Ten Ways Home'.", "Ten Ways Home"),
        ({"type": "array", "items": {"type": "integer"}}, "1, 2 and 3", [1, 2, 3]),
        ({"type": "array", "items": {"enum": ["wifi", "usb"]}}, "It has USB and wifi.", ["wifi", "usb"]),
        ({"type": "array", "items": {"type": "string"}}, "It has USB and wifi.", None),
    ],
)
def test_a_value_is_found_by_its_kind(world: World, told: dict[str, Any], text: str, value: Any) -> None:
    fields = fields_of({"properties": {"wanted": told}, "required": ["wanted"]})
    assert fill_fields(fields, text).get("wanted") == value


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "number", "description": "discount in percent"},
        {"type": "number", "format": "double"},
        {"type": "integer", "format": "int32"},
        {"type": "string", "format": "uuid"},
    ],
)
def test_an_optional_field_that_the_text_does_not_state_stays_empty(world: World, schema: dict[str, Any]) -> None:
    fields = fields_of({"properties": {"discount": schema}})
    assert fill_fields(fields, "The invoice of 3 June came with 12 pages.") == {}


def test_a_date_is_read_for_an_optional_field_that_the_text_does_not_name() -> None:
    fields = fields_of({"properties": {"day": {"anyOf": [{"type": "string", "format": "date"}, {"type": "null"}]}}})
    assert fill_fields(fields, "Please book 4 seats for 12 June 2027.") == {"day": "2027-06-12"}


def test_no_two_fields_get_the_same_words(world: World) -> None:
    properties = {name: {"type": "string", "format": "date"} for name in ("first_day", "last_day")}
    fields = fields_of({"properties": properties, "required": list(properties)})
    text = "It is lent from 1 July 2026 until 15 July 2026."
    assert fill_fields(fields, text) == {"first_day": "2026-07-01", "last_day": "2026-07-15"}


@pytest.mark.parametrize(
    ("kind", "unit"),
    [
        ({"type": "string"}, "A of "),
        ({"type": "string"}, "Ab "),
        ({"type": "string"}, "(ab)"),
        ({"type": "string", "maxLength": 1000}, "It is ab. "),
        ({"type": "integer"}, "1 "),
        ({"type": "array", "items": {"type": "integer"}}, "1. A "),
        ({"type": "string", "format": "date"}, "2026-01-02 "),
        ({"type": "boolean"}, "It is ab. "),
        ({"type": "string", "enum": ["ab", "cd"]}, "Ab. Cd. "),
    ],
)
def test_reading_looks_at_the_time_as_often_as_its_text_is_long(
    world: World, monkeypatch: pytest.MonkeyPatch, kind: dict[str, Any], unit: str
) -> None:
    def looks(length: int) -> int:
        counted = 0

        def count() -> None:
            nonlocal counted
            counted += 1

        for module in (field_extraction, text_values):
            monkeypatch.setattr(module, "check", count)
        fields = fields_of({"properties": {"first": kind, "second": kind}, "required": ["first", "second"]})
        fill_fields(fields, unit * (length // len(unit)))
        return counted

    short, long = looks(2_000), looks(8_000)
    assert short > 0
    assert long < 6 * short + 100  # four times the text; pairs of its parts would be sixteen times


async def test_reading_that_takes_too_long_is_a_failure_of_the_budget(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "READING_S", 1e-9)
    given = await making(world).answer_as(Order, QUESTION, NORTH, text=TEXT)
    assert (given.object, given.failure) == (None, "budget")


def test_a_schema_of_references_to_references_is_refused_before_they_are_followed() -> None:
    parts = {f"a{n}": {"allOf": [{"$ref": f"#/$defs/a{n + 1}"}] * 2} for n in range(40)} | {"a40": {}}
    for schema in ({"$ref": "#/$defs/a0", "$defs": parts}, {"$ref": "http://127.0.0.1:9/schema"}):
        with pytest.raises(InvalidRequest, match="Write out what it stands for"):
            model_of({"type": "object", **schema})


def test_a_pattern_whose_search_takes_too_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patterns, "PATTERN_S", 0.05)
    schema = {"type": "object", "properties": {"a": {"type": "string", "pattern": r"\W*\Wx$"}}}
    with pytest.raises(InvalidRequest, match="takes longer than"):
        fill_fields(fields_of(schema), "-" * 19_990 + "xa")
    with pytest.raises(InvalidRequest, match="takes longer than"):
        model_of(schema).model_validate({"a": "-" * 19_990 + "xa"})


@pytest.mark.parametrize("text", ["a" * 50_001, "ä" * 50_001])
def test_a_schema_has_an_end(text: str) -> None:
    with pytest.raises(InvalidRequest, match="at most 50,000 characters"):
        model_of({"type": "object", "properties": {"a": {"description": text}}})


async def test_an_object_has_at_most_a_hundred_fields(world: World) -> None:
    schema = model_of({"type": "object", "properties": {f"a{number}": {} for number in range(101)}})
    with pytest.raises(InvalidRequest, match="at most 100 fields"):
        await making(world).answer_as(schema, QUESTION, NORTH, text=TEXT)


def test_long_runs_of_the_same_character_are_read_in_one_pass() -> None:
    """In a process of its own, because an expression cannot be stopped: one pass takes milliseconds, the others hours."""
    read = "from extensions.objects.text_values import _CODE\n_ = [_CODE.findall(each * 200_000) for each in (' ', '7', '7-')]"
    subprocess.run([sys.executable, "-c", read], check=True, timeout=300)
