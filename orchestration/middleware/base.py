"""The base of middleware that changes the model's request and passes its reply on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from langchain.agents.middleware import AgentMiddleware, ModelRequest, ModelResponse
from langchain.tools.tool_node import ToolCallRequest
from langchain_core.messages import ToolMessage
from langchain_core.tools import BaseTool, StructuredTool
from langgraph.types import Command

ModelHandler = Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]]
ToolReply = ToolMessage | Command[Any]
ToolHandler = Callable[[ToolCallRequest], Awaitable[ToolReply]]


def reading_tool(method: Callable[..., Any], name: str, description: str, **options: Any) -> BaseTool:
    """Return a read-only tool of a middleware; its errors go to the model as its result."""
    said: dict[str, Any] = {"name": name, "description": description, "metadata": {"effect": False}, **options}
    return StructuredTool.from_function(coroutine=method, handle_tool_error=True, **said)


class RequestMiddleware(AgentMiddleware[Any, Any]):
    async def prepare(self, request: ModelRequest[Any]) -> ModelRequest[Any]:
        """Return the request to send to the model."""
        raise NotImplementedError

    async def awrap_model_call(self, request: ModelRequest[Any], handler: ModelHandler) -> ModelResponse[Any]:
        return await handler(await self.prepare(request))
