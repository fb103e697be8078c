"""Steps for people who watch the run: one for each call of the model or of a tool, stored with the run."""

from __future__ import annotations

import time
from typing import Any

from langchain.agents.middleware import AgentMiddleware, ExtendedModelResponse, ModelRequest, ModelResponse
from langchain.agents.middleware.types import AgentState
from langchain.tools.tool_node import ToolCallRequest
from langchain_core.messages import AIMessage, ToolMessage
from langgraph.errors import GraphBubbleUp
from langgraph.types import Command

from foundation import names
from foundation.stores.crashpoints import crash_point
from foundation.tracing import span
from orchestration.events import Event, Step
from orchestration.middleware.base import ModelHandler, ToolHandler, ToolReply
from orchestration.run.run import Run, current_run


class ProgressMiddleware(AgentMiddleware[AgentState[Any], Any]):
    """Reports steps. Stands first, so that it sees the result of the other middleware."""

    async def awrap_model_call(self, request: ModelRequest[Any], handler: ModelHandler) -> ExtendedModelResponse[Any]:
        run, begun_s, outcome, detail = current_run(), time.perf_counter(), "failed", ""
        crash_point("model_begun")
        try:
            response = await handler(request)
            outcome, detail = "done", _describe(response)
        finally:
            _report(run, "model", detail, outcome, begun_s)
        crash_point("model_done")
        return ExtendedModelResponse(model_response=response, command=Command(update=_steps(run)))

    async def awrap_tool_call(self, request: ToolCallRequest, handler: ToolHandler) -> ToolReply:
        run, begun_s, outcome = current_run(), time.perf_counter(), "failed"
        name = request.tool_call["name"]
        pause: GraphBubbleUp | None = None
        crash_point("tool_begun")
        try:
            with span("tool", layer="orchestration", attributes={names.STEP: name}):
                try:
                    message = await handler(request)
                except GraphBubbleUp as caught:  # it waits for a person; the span has not failed
                    pause = caught
            if pause is not None:
                outcome = "waiting"
                raise pause
            outcome = "failed" if isinstance(message, ToolMessage) and message.status == "error" else "done"
        finally:
            _report(run, name, outcome, outcome, begun_s)
        crash_point("tool_done")
        return Command(update={"messages": [message], **_steps(run)})


def _describe(response: ModelResponse[Any]) -> str:
    replies = [message for message in response.result if isinstance(message, AIMessage)]
    calls = [call["name"] for message in replies for call in message.tool_calls]
    return f"calls {', '.join(calls)}" if calls else "wrote the answer"


def _report(run: Run, name: str, detail: str, outcome: str, begun_s: float) -> None:
    step = Step(name=name, detail=detail, outcome=outcome, ms=(time.perf_counter() - begun_s) * 1000)
    run.steps.append(step)
    run.emit(Event(kind="step", thread_id=run.state.get("thread_id"), step=step))


def _steps(run: Run) -> dict[str, Any]:
    return {"steps": [step.model_dump() for step in run.steps]}
