"""Options of clients of the vendors' APIs: tools that the client carries out, and answers as JSON.

A call of a client's tool pauses the run until its result comes, which vouches for no argument of an effect. Wrong JSON is rewritten once, else an error.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from langchain.agents.middleware import AgentMiddleware, ModelRequest, hook_config
from langchain.tools.tool_node import ToolCallRequest
from langchain_core.messages import AIMessage, AnyMessage, SystemMessage, ToolMessage
from langgraph.types import interrupt

from extensions.structured.generating import REPAIR, VALIDATING_S, json_of
from foundation.errors import InvalidRequest, UpstreamMalformed, UpstreamRejected
from foundation.machine.deadline import in_thread_within
from foundation.text.patterns import find_mistake
from models.pricing import usage_of
from models.resilience.streams import is_cut_off
from orchestration.contract import ClientMiddleware
from orchestration.events import ToolCall
from orchestration.middleware.base import RequestMiddleware, ToolHandler, ToolReply
from orchestration.middleware.citations import CheckedState, CitationMiddleware, as_object, repaired_drafts
from orchestration.middleware.instructions import client_options
from orchestration.requests import ClientOptions
from orchestration.run.metered_chat import MeteredChatModel, texts_read
from orchestration.run.run import current_run

ONE_AT_A_TIME = "Nothing was called: the client takes one call at a time. Make this call again once the other is done."


class ClientToolsMiddleware(RequestMiddleware):
    """Offers the client's tools, and applies its settings. Stands outside of `PolicyMiddleware`: such a call does not go to the executor."""

    async def prepare(self, request: ModelRequest[Any]) -> ModelRequest[Any]:
        run = current_run()
        client = client_options(run)
        settings = {**request.model_settings, **client.settings}
        if not _names(client):
            return request.override(model_settings=settings)
        changes: dict[str, Any] = {"tools": [*request.tools, *client.tools]}
        choice = run.request.client.tool_choice if run.request else "auto"
        # the client's choice is about its own tools, and about the first reply
        if choice != "auto" and not run.bill.calls:
            changes = {"tools": list(client.tools), "tool_choice": choice}
        if not client.parallel_tool_calls:
            settings["parallel_tool_calls"] = False
        return request.override(**changes, model_settings=settings)

    async def awrap_tool_call(self, request: ToolCallRequest, handler: ToolHandler) -> ToolReply:
        run, call, messages = current_run(), request.tool_call, request.state["messages"]
        client, thread = client_options(run), run.state.get("thread_id", "")
        call_id = f"call_{thread}{_place_of(call['id'] or '', messages)}"
        sent = run.request.results if run.request else {}
        if call_id not in sent and call["name"] not in _names(client):
            return await handler(request)
        last = next(message for message in reversed(messages) if isinstance(message, AIMessage))
        first = next((mine["id"] for mine in last.tool_calls if mine["name"] in _names(client)), None)
        if call_id not in sent and not client.parallel_tool_calls and call["id"] != first:
            return ToolMessage(ONE_AT_A_TIME, name=call["name"], tool_call_id=call["id"], status="error")
        handed = ToolCall(call_id=call_id, tool=call["name"], arguments=call["args"], status="waiting")
        reply = interrupt({"client_call": handed.model_dump(mode="json"), "approval_id": "", "text": ""})
        return ToolMessage(reply["text"], name=call["name"], tool_call_id=call["id"], status=reply["status"])


def _place_of(call_id: str, messages: Sequence[AnyMessage]) -> int:
    """Return the number of a tool call in the conversation, from 1; it stays the same after a crash or a pause."""
    calls = [call["id"] for message in messages if isinstance(message, AIMessage) for call in message.tool_calls]
    return len(calls) - calls[::-1].index(call_id) if call_id in calls else len(calls) + 1


def _names(client: ClientOptions) -> frozenset[str]:
    return frozenset() if client.tool_choice == "none" else frozenset(map(name_of, client.tools))


def name_of(tool: dict[str, Any]) -> str:
    return str(tool["function"]["name"])


class FormatMiddleware(CitationMiddleware):
    """Checks answers that a client wants as JSON, and the others as `CitationMiddleware` does: a step less than both."""

    async def prepare(self, request: ModelRequest[Any]) -> ModelRequest[Any]:
        run, request = current_run(), await super().prepare(request)
        wanted = client_options(run).response_format
        if wanted is None:
            return request
        schema = schema_in(wanted)
        shape = f"It fits this JSON schema:\n{json.dumps(schema, ensure_ascii=False)}" if schema else ""
        said = request.system_message.text if request.system_message else ""
        system = SystemMessage(f"{said}\n\n{run.prompt('json').fill(shape=shape)}".strip())
        return request.override(system_message=system, model=_constrain_model(request.model, wanted))

    @hook_config(can_jump_to=["model"])
    async def aafter_model(self, state: CheckedState, runtime: Any) -> dict[str, Any] | None:
        run, message = current_run(), state["messages"][-1]
        wanted, tries = client_options(run).response_format, state.get("repairs", 0)
        if wanted is None or not isinstance(message, AIMessage) or message.tool_calls or not message.text.strip():
            return await super().aafter_model(state, runtime)
        text = json_of(message)
        mistake = await in_thread_within(VALIDATING_S, _mistake_in, text, schema_in(wanted))
        if not mistake:
            result = as_object(text, [*texts_read(state["messages"], run), json.dumps(wanted)], run)
            return {"messages": repaired_drafts(state["messages"]), "findings": "", "result": result}
        if is_cut_off(message):  # a repair would be cut off, too
            raise UpstreamRejected(
                f"The JSON that was asked for was cut off at the limit of {usage_of(message).output_tokens or 'its'} tokens. Ask "
                "for less, send a higher limit, or let the operator raise [models.chat] max_tokens."
            )
        if tries:
            raise UpstreamMalformed(
                f"The language model's answer is not the JSON that was asked for, nor is its repair: {mistake}. Try again, "
                "with a simpler schema, or use a model that keeps to a JSON schema."
            )
        return {"findings": REPAIR.format(wrong=mistake), "repairs": tries + 1, "jump_to": "model"}


def schema_in(wanted: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the schema of a Chat Completions `response_format`; `None`: any object."""
    schema: dict[str, Any] | None = wanted["json_schema"]["schema"] if wanted["type"] == "json_schema" else None
    return schema


def _mistake_in(text: str, schema: Mapping[str, Any] | None) -> str:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        return f"it is no JSON ({error})"
    from referencing.exceptions import Unresolvable

    if not isinstance(content, dict):
        return "it is no JSON object"
    try:
        return find_mistake(content, schema or {})
    except Unresolvable as error:
        raise InvalidRequest(f"The schema of the answer refers to {error.ref!r}, which is not in it.") from error


def _constrain_model(model: Any, wanted: Mapping[str, Any]) -> Any:
    # its words are not streamed before the check
    if not isinstance(model, MeteredChatModel):
        return model
    native = wanted["type"] == "json_schema" and (model.profile or {}).get("structured_output")
    return model.model_copy(update={"told": False, "response_format": dict(wanted) if native else None})


class VendorClients(ClientMiddleware):
    """What clients of the vendors' APIs may set."""

    def tools(self) -> AgentMiddleware[Any, Any]:
        return ClientToolsMiddleware()

    def checks(self) -> AgentMiddleware[Any, Any]:
        return FormatMiddleware()
