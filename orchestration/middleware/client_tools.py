"""Tools that the client carries out: offered to the model beside ours. A call of one pauses the run until its result is sent.

A result of the client's is the client's word: it is read, and vouches for no argument of an effect.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any

from langchain.agents.middleware import AgentMiddleware, ModelRequest, ModelResponse
from langchain.agents.middleware.types import AgentState
from langchain.tools.tool_node import ToolCallRequest
from langchain_core.messages import AIMessage, AnyMessage, ToolMessage
from langchain_core.messages.tool import ToolCall as ToolCallDict
from langgraph.types import Command, interrupt

from orchestration.events import ToolCall
from orchestration.middleware.instructions import client_options
from orchestration.middleware.policy import place_of
from orchestration.requests import ClientOptions
from orchestration.run.run import current_run

ONE_AT_A_TIME = (
    "Nothing was called: the client takes one call at a time. Make this call again once the other one is done."
)
_CALL_ID = re.compile(r"call_([0-9a-f]{32})\d{1,8}")


class ClientToolsMiddleware(AgentMiddleware[AgentState[Any], Any]):
    """Stands outside of `PolicyMiddleware`: a call of a client's tool is none of the executor's."""

    async def awrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]]
    ) -> ModelResponse[Any]:
        run = current_run()
        client = client_options(run)
        if not _names(client):
            return await handler(request)
        changes: dict[str, Any] = {"tools": [*request.tools, *client.tools]}
        if run.must_call and not run.calls:  # the client's choice is about its own tools, and about the first reply
            changes = {"tools": list(client.tools), "tool_choice": run.must_call}
        if not client.parallel_tool_calls:
            changes["model_settings"] = {**request.model_settings, "parallel_tool_calls": False}
        return await handler(request.override(**changes))

    async def awrap_tool_call(
        self,
        request: ToolCallRequest,
        handler: Callable[[ToolCallRequest], Awaitable[ToolMessage | Command[Any]]],
    ) -> ToolMessage | Command[Any]:
        run, call, messages = current_run(), request.tool_call, request.state["messages"]
        client, call_id = (
            client_options(run),
            f"call_{run.state['thread_id']}{place_of(request.tool_call['id'] or '', messages)}",
        )
        sent = run.request.results if run.request else {}
        if call_id not in sent and call["name"] not in _names(client):
            return await handler(request)
        if call_id not in sent and not client.parallel_tool_calls and not _is_first(call, messages, client):
            return ToolMessage(ONE_AT_A_TIME, name=call["name"], tool_call_id=call["id"], status="error")
        handed = ToolCall(call_id=call_id, tool=call["name"], arguments=call["args"], status="waiting")
        reply = interrupt({"client_call": handed.model_dump(mode="json"), "approval_id": "", "text": ""})
        return ToolMessage(reply["text"], name=call["name"], tool_call_id=call["id"], status=reply["status"])


def _is_first(call: ToolCallDict, messages: Sequence[AnyMessage], client: ClientOptions) -> bool:
    """Whether no call of a client's tool stands before it in the same reply."""
    reply = next(message for message in reversed(messages) if isinstance(message, AIMessage))
    return call["id"] == next(made["id"] for made in reply.tool_calls if made["name"] in _names(client))


def _names(client: ClientOptions) -> frozenset[str]:
    return frozenset() if client.tool_choice == "none" else frozenset(map(name_of, client.tools))


def name_of(tool: dict[str, Any]) -> str:
    return str(tool["function"]["name"])


def thread_of(call_ids: Collection[str]) -> str | None:
    """The conversation in which calls with these ids were handed to a client, where all of them are ours and of one."""
    threads = {match[1] if (match := _CALL_ID.fullmatch(call_id)) else None for call_id in call_ids}
    return threads.pop() if len(threads) == 1 else None
