"""Tools that give one promise away each. The contract suite must reject every one of them."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool, StructuredTool, ToolException
from pydantic import BaseModel

from foundation.types import Principal

OWNED = {"QM-10042": "alder-clinics"}
_NUMBERS = itertools.count()


class OneOrder(BaseModel):
    order_id: str


class SomebodysOrder(OneOrder):
    tenant: str = "alder-clinics"


def _principal(config: RunnableConfig) -> Principal:
    principal: Principal | None = config.get("configurable", {}).get("principal")
    if principal is None:
        raise ToolException("Nobody is signed in.")
    return principal


def _healthy(order_id: str, config: RunnableConfig) -> tuple[str, dict[str, Any]]:
    if OWNED.get(order_id) != _principal(config).tenant:
        raise ToolException(f"There is no order {order_id}.")
    return f"Order {order_id} has been looked at.", {"order_id": order_id}


def _tool(function: Any = _healthy, schema: Any = OneOrder, **changes: Any) -> BaseTool:
    metadata = {"effect": True, "idempotent": True, "examples": ("Look at QM-10042", "See QM-10042", "QM-10042?")}
    given: dict[str, Any] = {"description": "Looks at one order.", "response_format": "content_and_artifact"}
    return StructuredTool.from_function(
        func=function, name="look", args_schema=schema, **(given | {"metadata": metadata} | changes)
    )


def takes_the_tenant_from_the_conversation(_: Path) -> BaseTool:
    def look(order_id: str, config: RunnableConfig, tenant: str = "") -> tuple[str, dict[str, Any]]:
        del tenant
        return _healthy(order_id, config)

    return _tool(look, SomebodysOrder)


def has_a_schema_that_nobody_can_check(_: Path) -> BaseTool:
    return _tool(schema={"type": "object", "title": "look", "properties": {"order_id": {"type": "string"}}})


def does_not_say_what_it_is(_: Path) -> BaseTool:
    return _tool(metadata={"examples": ("Look at QM-10042",) * 3})


def gives_no_examples(_: Path) -> BaseTool:
    return _tool(metadata={"effect": False})


def answers_without_data(_: Path) -> BaseTool:
    def look(order_id: str, config: RunnableConfig) -> str:
        return _healthy(order_id, config)[0]

    return _tool(look, response_format="content")


def serves_nobody(_: Path) -> BaseTool:
    def look(order_id: str) -> tuple[str, dict[str, Any]]:
        return f"Order {order_id} has been looked at.", {}

    return _tool(look)


def shows_every_tenant_everything(_: Path) -> BaseTool:
    def look(order_id: str, config: RunnableConfig) -> tuple[str, dict[str, Any]]:
        _principal(config)
        return f"Order {order_id} has been looked at.", {}

    return _tool(look)


def tells_whose_order_it_is(_: Path) -> BaseTool:
    def look(order_id: str, config: RunnableConfig) -> tuple[str, dict[str, Any]]:
        if order_id in OWNED and OWNED[order_id] != _principal(config).tenant:
            raise ToolException(f"Order {order_id} belongs to somebody else.")
        return _healthy(order_id, config)

    return _tool(look)


def acts_again_with_the_same_key(_: Path) -> BaseTool:
    def look(order_id: str, config: RunnableConfig) -> tuple[str, dict[str, Any]]:
        text, artifact = _healthy(order_id, config)
        return text, {**artifact, "number": next(_NUMBERS)}

    return _tool(look)


BROKEN: dict[Callable[[Path], BaseTool], str] = {
    takes_the_tenant_from_the_conversation: "no_argument_names_a_tenant_or_a_person",
    has_a_schema_that_nobody_can_check: "its_arguments_can_be_checked",
    does_not_say_what_it_is: "it_says_whether_it_is_an_effect",
    gives_no_examples: "it_can_be_found_by_what_people_say",
    answers_without_data: "it_answers_in_a_sentence_and_in_data",
    serves_nobody: "nobody_is_nobody",
    shows_every_tenant_everything: "another_tenant_sees_nothing_of_it",
    tells_whose_order_it_is: "another_tenant_sees_nothing_of_it",
    acts_again_with_the_same_key: "the_same_key_acts_once",
}
