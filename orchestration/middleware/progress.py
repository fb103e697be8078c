"""Steps for people who watch the run: one for each call of the model or of a tool, stored with the run."""

from dataclasses import replace
from typing import Any

from langchain.agents.middleware import AgentMiddleware, ExtendedModelResponse, ModelRequest
from langchain.agents.middleware.types import AgentState
from langchain.tools.tool_node import ToolCallRequest
from langchain_core.messages import AIMessage, ToolMessage
from langgraph.errors import GraphBubbleUp
from langgraph.types import Command

from foundation import names
from foundation.stores.crashpoints import crash_point
from foundation.tracing import span
from orchestration.middleware.base import ModelHandler, ToolHandler, ToolReply
from orchestration.middleware.policy import message_in
from orchestration.run.run import Run, current_run


class ProgressMiddleware(AgentMiddleware[AgentState[Any], Any]):
    """Reports steps. Stands first, so that it sees the result of the other middleware."""

    def __init__(self, *, of: str = "") -> None:
        """`of` is the name of the sub-agent whose steps they are."""
        self._of = f"{of}: " if of else ""

    async def awrap_model_call(self, request: ModelRequest[Any], handler: ModelHandler) -> ExtendedModelResponse[Any]:
        run = current_run()
        crash_point("model_begun")
        with run.watch(f"{self._of}model") as watch:
            response = await handler(request)
            replies = (message for message in response.result if isinstance(message, AIMessage))
            calls = ", ".join(call["name"] for message in replies for call in message.tool_calls)
            watch.outcome, watch.detail = "done", f"calls {calls}" if calls else "wrote the answer"
        crash_point("model_done")
        return ExtendedModelResponse(model_response=response, command=Command(update=_steps(run)))

    async def awrap_tool_call(self, request: ToolCallRequest, handler: ToolHandler) -> ToolReply:
        run, name, pause = current_run(), request.tool_call["name"], None
        crash_point("tool_begun")
        with run.watch(f"{self._of}{name}") as watch:
            watch.detail = "failed"
            with span("tool", layer="orchestration", attributes={names.STEP: name}):
                try:
                    message = await handler(request)
                # caught inside of the span, which has not failed: the call waits for a person
                except GraphBubbleUp as caught:
                    pause = caught
            if pause is not None:
                watch.detail = watch.outcome = "waiting"
                raise pause
            said = message_in(message)
            failed = said is not None and said.status == "error"
            watch.detail = watch.outcome = "failed" if failed else "done"
        crash_point("tool_done")
        if isinstance(message, ToolMessage):
            return Command(update={"messages": [message], **_steps(run)})
        return (
            replace(message, update={**message.update, **_steps(run)}) if isinstance(message.update, dict) else message
        )


def _steps(run: Run) -> dict[str, Any]:
    return {"steps": [step.model_dump() for step in run.notes.steps]}
