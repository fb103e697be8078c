"""A middleware that changes what the model is asked, and passes its reply on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from langchain.agents.middleware import AgentMiddleware, ModelRequest, ModelResponse
from langchain.tools.tool_node import ToolCallRequest
from langchain_core.messages import ToolMessage
from langgraph.types import Command

ModelHandler = Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]]
ToolReply = ToolMessage | Command[Any]
ToolHandler = Callable[[ToolCallRequest], Awaitable[ToolReply]]


class RequestMiddleware(AgentMiddleware[Any, Any]):
    async def prepare(self, request: ModelRequest[Any]) -> ModelRequest[Any]:
        """The request as the model is to have it."""
        raise NotImplementedError

    async def awrap_model_call(self, request: ModelRequest[Any], handler: ModelHandler) -> ModelResponse[Any]:
        return await handler(await self.prepare(request))
