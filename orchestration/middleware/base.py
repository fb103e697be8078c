"""The base of middleware that changes the model's request and passes its reply on."""

from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from typing import Any

from langchain.agents.middleware import AgentMiddleware, ModelRequest, ModelResponse
from langchain.tools.tool_node import ToolCallRequest
from langchain_core.messages import AnyMessage, ToolMessage
from langchain_core.tools import BaseTool, StructuredTool
from langgraph.types import Command
from langsmith import set_runtime_overrides
from langsmith.utils import tracing_is_enabled

ModelHandler = Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]]
ToolReply = ToolMessage | Command[Any]
ToolHandler = Callable[[ToolCallRequest], Awaitable[ToolReply]]


class ReportingTool(StructuredTool):
    """A tool of a middleware that vouches for what the executor did meanwhile: `outcomes` and `read` of its artifact count."""


def reading_tool(
    method: Callable[..., Any], name: str, description: str, kind: type[StructuredTool] = StructuredTool, **options: Any
) -> BaseTool:
    """Return a read-only tool of a middleware; its errors go to the model as its result."""
    details: dict[str, Any] = {"name": name, "description": description, "metadata": {"effect": False}, **options}
    # pydantic takes longer to make a schema than all else about an agent, so each is made once a process
    key = getattr(method, "__func__", method), name
    if "args_schema" not in details and key in _SCHEMAS:
        details["args_schema"] = _SCHEMAS[key]
    tool = kind.from_function(coroutine=method, handle_tool_error=True, **details)
    _SCHEMAS.setdefault(key, tool.args_schema)
    return tool


_SCHEMAS: dict[tuple[Callable[..., Any], str], Any] = {}


async def _trace_on_loop(
    in_thread: Any, context: Context, function: Callable[..., Any], /, *args: Any, **kwargs: Any
) -> Any:
    # LangSmith goes to a thread twice for each middleware of each model call, also where nothing is traced to it
    if tracing_is_enabled():
        return await in_thread(context, function, *args, **kwargs)
    return context.run(function, *args, **kwargs)


set_runtime_overrides(aio_to_thread=_trace_on_loop)


class RequestMiddleware(AgentMiddleware[Any, Any]):
    async def prepare(self, request: ModelRequest[Any]) -> ModelRequest[Any]:
        """Return the request to send to the model."""
        # not abstract: LangChain's base class is no ABC
        raise NotImplementedError(f"{type(self).__name__} has no method `prepare`.")

    async def awrap_model_call(self, request: ModelRequest[Any], handler: ModelHandler) -> ModelResponse[Any]:
        return await handler(await self.prepare(request))


class ToolChoiceMiddleware(RequestMiddleware):
    """Offers the model some of the tools."""

    def choose(self, tools: Sequence[Any], messages: Sequence[AnyMessage]) -> list[Any]:
        """Return the tools to offer in a conversation, those of a new one without `messages`."""
        # not abstract, as above
        raise NotImplementedError(f"{type(self).__name__} has no method `choose`.")

    async def prepare(self, request: ModelRequest[Any]) -> ModelRequest[Any]:
        return request.override(tools=self.choose(request.tools, request.messages))
