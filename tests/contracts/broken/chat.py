"""Chat models with one fault each, and the promise that must catch it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from langchain_core.language_models import BaseChatModel, ModelProfile
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.utils.function_calling import convert_to_openai_tool

USAGE = UsageMetadata(input_tokens=5, output_tokens=2, total_tokens=7)


class Healthy(BaseChatModel):
    """The double from which the others are broken; it keeps every promise."""

    model_name: str = "healthy"
    caught_by: str | None = None
    profile: ModelProfile | None = ModelProfile(tool_calling=True, structured_output=True)

    @property
    def _llm_type(self) -> str:
        return "healthy"

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> Any:
        return {"ls_provider": "nobody", "ls_model_name": self.model_name, "ls_model_type": "chat"}

    def bind_tools(self, tools: Sequence[Any], *, tool_choice: str | None = None, **kwargs: Any) -> Any:
        return self.bind(tools=[convert_to_openai_tool(tool) for tool in tools], tool_choice=tool_choice, **kwargs)

    def calls(self, tools: Sequence[Mapping[str, Any]]) -> list[Any]:
        """Of the first tool, with something of the right type for each argument."""
        function = tools[0]["function"]
        fitting = {"integer": 7, "boolean": True, "string": "grey"}
        given = {name: fitting[each["type"]] for name, each in function["parameters"]["properties"].items()}
        return [{"id": "t1", "name": function["name"], "args": given}]

    def reply(self, messages: list[BaseMessage]) -> AIMessage:
        return AIMessage(
            "two words",
            usage_metadata=USAGE,
            response_metadata={"finish_reason": "stop", "model_name": self.model_name},
        )

    def chunks(self, messages: list[BaseMessage]) -> list[AIMessageChunk]:
        reply = self.reply(messages)
        last = AIMessageChunk(
            content="words", usage_metadata=reply.usage_metadata, response_metadata=reply.response_metadata
        )
        return [AIMessageChunk(content="two "), last]

    def _generate(self, messages: list[BaseMessage], *_: Any, **given: Any) -> ChatResult:
        reply = self.reply(messages)
        if given.get("tools"):
            reply.tool_calls = self.calls(given["tools"])
        return ChatResult(generations=[ChatGeneration(message=reply)])

    async def _agenerate(self, messages: list[BaseMessage], *_: Any, **given: Any) -> ChatResult:
        return self._generate(messages, **given)

    async def _astream(self, messages: list[BaseMessage], *_: Any, **given: Any) -> AsyncIterator[ChatGenerationChunk]:
        for chunk in self.chunks(messages):
            yield ChatGenerationChunk(message=chunk)
        if given.get("tools"):
            yield ChatGenerationChunk(message=AIMessageChunk(content="", tool_calls=self.calls(given["tools"])))


class Nameless(Healthy):
    """Telemetry would skip it without a word."""

    caught_by: str | None = "says_who_it_is"

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> Any:
        return {"ls_model_type": "chat"}


class ZeroUsage(Healthy):
    caught_by: str | None = "reports_usage_or_none"

    def reply(self, messages: list[BaseMessage]) -> AIMessage:
        zero = UsageMetadata(input_tokens=0, output_tokens=0, total_tokens=0)
        return super().reply(messages).model_copy(update={"usage_metadata": zero})


class ForgetsUsageInStreams(Healthy):
    caught_by: str | None = "streams_what_it_would_have_said"

    def chunks(self, messages: list[BaseMessage]) -> list[AIMessageChunk]:
        return [chunk.model_copy(update={"usage_metadata": None}) for chunk in super().chunks(messages)]


class RewritesThePrompt(Healthy):
    caught_by: str | None = "leaves_the_messages_alone"

    def reply(self, messages: list[BaseMessage]) -> AIMessage:
        messages[-1].content = "something else"
        return super().reply(messages)


class ChokesOnUnicode(Healthy):
    caught_by: str | None = "takes_any_text"

    def reply(self, messages: list[BaseMessage]) -> AIMessage:
        messages[-1].text.encode("ascii")
        return super().reply(messages)


class OneAtATime(Healthy):
    """A second call during the first fails."""

    caught_by: str | None = "survives_concurrent_calls"
    busy: bool = False

    async def _agenerate(self, messages: list[BaseMessage], *_: Any, **given: Any) -> ChatResult:
        if self.busy:
            raise RuntimeError("busy")
        self.busy = True
        await asyncio.sleep(0.001)
        self.busy = False
        return self._generate(messages, **given)


class EmptyStream(Healthy):
    caught_by: str | None = "streams_what_it_would_have_said"

    def chunks(self, messages: list[BaseMessage]) -> list[AIMessageChunk]:
        return []


class ClosesOnlyOnce(Healthy):
    caught_by: str | None = "closes_twice"
    closed: bool = False

    def close(self) -> None:
        if self.closed:
            raise RuntimeError("already closed")
        self.closed = True


class SaysNothing(Healthy):
    caught_by: str | None = "answers"

    def reply(self, messages: list[BaseMessage]) -> AIMessage:
        return super().reply(messages).model_copy(update={"content": ""})


class DropsItsTools(Healthy):
    """As llama.cpp does with a model that has no template for them, but it claims to call tools."""

    caught_by: str | None = "calls_a_tool_or_says_that_it_cannot"

    def calls(self, tools: Sequence[Mapping[str, Any]]) -> list[Any]:
        return []


class CallsAToolOfItsOwn(Healthy):
    caught_by: str | None = "calls_a_tool_or_says_that_it_cannot"

    def calls(self, tools: Sequence[Mapping[str, Any]]) -> list[Any]:
        return [{**call, "name": "search_the_web"} for call in super().calls(tools)]


class MissesTheSchema(Healthy):
    caught_by: str | None = "fills_a_schema_or_says_that_it_cannot"

    def calls(self, tools: Sequence[Mapping[str, Any]]) -> list[Any]:
        return [{**call, "args": {"colour": "mauve"}} for call in super().calls(tools)]


BROKEN = [
    Nameless, ZeroUsage, ForgetsUsageInStreams, RewritesThePrompt, ChokesOnUnicode, OneAtATime,
    EmptyStream, ClosesOnlyOnce, SaysNothing, DropsItsTools, CallsAToolOfItsOwn, MissesTheSchema,
]  # fmt: skip
