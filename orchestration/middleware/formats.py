"""The answer as JSON, where the client wants it so: said to the model, checked, written again once, else an error."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from langchain.agents.middleware import AgentMiddleware, ModelRequest, ModelResponse, hook_config
from langchain_core.messages import AIMessage, SystemMessage

from foundation.errors import InvalidRequest, UpstreamMalformed
from foundation.machine.deadline import in_thread_within
from orchestration.answers.patterns import bound_validator
from orchestration.answers.structured import REPAIR, VALIDATING_S, json_of
from orchestration.middleware.citations import CheckedState, repaired_drafts
from orchestration.middleware.instructions import client_options
from orchestration.run.metered_chat import MeteredChatModel
from orchestration.run.run import current_run
from orchestration.run.state import as_result

UNCHECKED = "the values of this JSON were not held against what was read"
SCHEMA_CHARACTERS = 50_000
"""Of a client's JSON schema."""


class FormatMiddleware(AgentMiddleware[CheckedState, Any]):
    """Stands inside of `CitationMiddleware`, which shows the model what has to be repaired and leaves a JSON answer alone."""

    state_schema = CheckedState

    async def awrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]]
    ) -> ModelResponse[Any]:
        run = current_run()
        wanted = client_options(run).response_format
        if wanted is None:
            return await handler(request)
        schema = schema_in(wanted)
        shape = f"It fits this JSON schema:\n{json.dumps(schema, ensure_ascii=False)}" if schema else ""
        said = request.system_message.text if request.system_message else ""
        system = SystemMessage(f"{said}\n\n{run.prompt('json').fill(shape=shape)}".strip())
        return await handler(request.override(system_message=system, model=_constrain_model(request.model, wanted)))

    @hook_config(can_jump_to=["model"])
    async def aafter_model(self, state: CheckedState, runtime: Any) -> dict[str, Any] | None:  # noqa: ARG002
        run, message = current_run(), state["messages"][-1]
        wanted, tries = client_options(run).response_format, state.get("repairs", 0)
        if wanted is None or not isinstance(message, AIMessage) or message.tool_calls or not message.text.strip():
            return None
        text = json_of(message)
        mistake = await in_thread_within(VALIDATING_S, find_mistake, text, schema_in(wanted))
        if not mistake:
            run.note(UNCHECKED)
            result = {**as_result("answered", "complete", text, "generative"), "is_json": True}
            return {"messages": repaired_drafts(state["messages"]), "findings": "", "result": result}
        if tries:
            raise UpstreamMalformed(
                f"The language model's answer is not the JSON that was asked for, nor is its repair: {mistake}. Try again, "
                "with a simpler schema, or use a model that keeps to a JSON schema."
            )
        return {"findings": REPAIR.format(wrong=mistake), "repairs": tries + 1, "jump_to": "model"}


def schema_in(wanted: Mapping[str, Any]) -> dict[str, Any] | None:
    """The schema of a `response_format`, as Chat Completions have it; `None`: any object."""
    schema: dict[str, Any] | None = wanted["json_schema"]["schema"] if wanted["type"] == "json_schema" else None
    return schema


def find_mistake(text: str, schema: Mapping[str, Any] | None) -> str:
    """What keeps the text from being a JSON object that fits; empty where nothing does. Called off the event loop."""
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import best_match

    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        return f"it is no JSON ({error})"
    if not isinstance(content, dict):
        return "it is no JSON object"
    mistake = best_match(bound_validator(Draft202012Validator)(schema or {}).iter_errors(content))
    if mistake is None:
        return ""
    return f"{'.'.join(map(str, mistake.absolute_path)) or 'the object'} breaks {mistake.validator}"


def check_schema(schema: Mapping[str, Any]) -> None:
    """Refuse what no answer could be checked by. Called off the event loop.

    Raises:
        InvalidRequest: it is no JSON schema of an object, is too long, or refers to something outside of it or to itself.
    """
    from jsonschema import Draft202012Validator, SchemaError
    from referencing.exceptions import Unresolvable

    if (length := len(json.dumps(schema))) > SCHEMA_CHARACTERS:
        raise InvalidRequest(f"A schema has at most {SCHEMA_CHARACTERS:,} characters; this one has {length:,}.")
    if schema.get("type") != "object":
        raise InvalidRequest('The schema must be of an object: {"type": "object", "properties": {...}}.')
    try:
        Draft202012Validator.check_schema(schema)
        find_mistake("{}", schema)
    except SchemaError as error:
        raise InvalidRequest(f"This is no JSON schema: {error.message[:200]}.") from error
    except (Unresolvable, RecursionError, OverflowError) as error:
        raise InvalidRequest(
            "The schema refers to itself without an end, or to something that is not in it."
        ) from error


def _constrain_model(model: Any, wanted: Mapping[str, Any]) -> Any:
    """The model, held to the format in its own way where its profile says that it has one. Its words are told once checked."""
    if not isinstance(model, MeteredChatModel):
        return model
    native = wanted["type"] == "json_schema" and (model.profile or {}).get("structured_output")
    return model.model_copy(update={"told": False, "response_format": dict(wanted) if native else None})
