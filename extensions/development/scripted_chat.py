"""A scripted chat model: a double for tests, labelled as one wherever it appears. In Python a reply may also be an
AIMessage (with tool calls, say), an exception to raise, or a function of the messages.
"""
# ruff: noqa: ARG002  # who calls it reports what came back

import itertools
import re
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any

from langchain_core.language_models import BaseChatModel, LangSmithParams
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage, ToolMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import ConfigDict, Field, PrivateAttr

from foundation.components import Context
from foundation.errors import ComponentError, InvalidSetting, did_you_mean
from foundation.settings import Section

NAME = "scripted (test double)"

Reply = str | AIMessage | Exception | Callable[[Sequence[BaseMessage]], Any]


class Options(Section):
    replies: tuple[str, ...] = ()
    """In turn, then from the start again."""
    patterns: dict[str, str] = Field(default_factory=dict)
    """Replies by a regular expression in the last message, tried first."""
    raises: str | None = None
    """Code of a ComponentError, such as "upstream_down", that every call raises; `None`: none."""
    searches: bool = False
    """Whether it searches the documents for each question and quotes a sentence, instead of `replies`."""


class ScriptedChat(BaseChatModel):
    """Replies by pattern, else in turn, one token a word. `seen` has the messages of every call, `bound` its keyword arguments."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    replies: tuple[Any, ...] = ()
    patterns: dict[str, Any] = Field(default_factory=dict)
    model_name: str = NAME
    searches: bool = False
    seen: list[list[BaseMessage]] = Field(default_factory=list)
    bound: list[dict[str, Any]] = Field(default_factory=list)
    _turn: Iterator[int] = PrivateAttr(default_factory=itertools.count)

    @property
    def _llm_type(self) -> str:
        return "scripted-chat"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model_name": self.model_name}

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        params = super()._get_ls_params(stop=stop, **kwargs)
        return {**params, "ls_provider": "scripted", "ls_model_name": kwargs.get("model", self.model_name)}

    def bind_tools(
        self, tools: Sequence[Any], *, tool_choice: str | None = None, **kwargs: Any
    ) -> Runnable[Any, AIMessage]:
        """Tools are recorded in `bound`; a scripted reply calls them if it has tool calls."""
        return self.bind(tools=[convert_to_openai_tool(tool) for tool in tools], tool_choice=tool_choice, **kwargs)

    def _generate(
        self, messages: list[BaseMessage], stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
    ) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=self._reply(messages, stop, kwargs))])

    def _stream(
        self, messages: list[BaseMessage], stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
    ) -> Iterator[ChatGenerationChunk]:
        yield from _chunks(self._reply(messages, stop, kwargs))

    async def _astream(
        self, messages: list[BaseMessage], stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        for chunk in _chunks(self._reply(messages, stop, kwargs)):
            yield chunk

    def _reply(self, messages: list[BaseMessage], stop: list[str] | None, kwargs: dict[str, Any]) -> AIMessage:
        self.seen.append(list(messages))
        self.bound.append(kwargs)
        reply = _search_or_quote(messages) if self.searches and kwargs.get("tools") else self._choose(messages)
        if callable(reply):
            reply = reply(messages)
        if isinstance(reply, Exception):
            raise reply
        if isinstance(reply, str):
            ends = (reply.split(mark, maxsplit=1)[0] for mark in stop or [] if mark)
            reply = AIMessage(min(ends, key=len, default=reply))
        return self._with_metadata(reply, messages)

    def _choose(self, messages: list[BaseMessage]) -> Reply:
        last = messages[-1].text if messages else ""
        for pattern, reply in self.patterns.items():
            if re.search(pattern, last, re.IGNORECASE | re.DOTALL):
                return reply  # type: ignore[no-any-return]
        if not self.replies:
            return f"[{NAME}] No reply was scripted for this prompt."
        return self.replies[next(self._turn) % len(self.replies)]  # type: ignore[no-any-return]

    def _with_metadata(self, reply: AIMessage, messages: list[BaseMessage]) -> AIMessage:
        read, wrote = sum(len(message.text.split()) for message in messages), len(reply.text.split())
        usage = UsageMetadata(input_tokens=read, output_tokens=wrote, total_tokens=read + wrote)
        finish = "tool_calls" if reply.tool_calls else "stop"
        metadata = {"model_name": self.model_name, "finish_reason": finish, "test_double": True}
        return reply.model_copy(
            update={
                "usage_metadata": reply.usage_metadata or usage,
                "response_metadata": {**metadata, **reply.response_metadata},
            }
        )


def _chunks(reply: AIMessage) -> Iterator[ChatGenerationChunk]:
    for word in re.findall(r"\s*\S+|\s+$", reply.text):
        yield ChatGenerationChunk(message=AIMessageChunk(content=word))
    last = AIMessageChunk(
        content="",
        tool_calls=reply.tool_calls,
        invalid_tool_calls=reply.invalid_tool_calls,
        usage_metadata=reply.usage_metadata,
        response_metadata=reply.response_metadata,
        chunk_position="last",
    )
    yield ChatGenerationChunk(message=last)


def build(options: Options, context: Context) -> BaseChatModel:  # noqa: ARG001  # every adapter has this signature
    if (code := options.raises) is not None:
        errors = {error.code: error for error in ComponentError.__subclasses__()}
        if code not in errors:
            raise InvalidSetting(f'[models.chat] raises = "{code}" names no error. {did_you_mean(code, errors)}')
        told = f'The scripted test double was told to raise "{code}". Remove `raises` to let it reply.'
        return ScriptedChat(replies=(errors[code](told),), profile={"tool_calling": False})
    scripted = options.model_dump(include={"replies", "patterns", "searches"})
    return ScriptedChat(**scripted, profile={"tool_calling": options.searches})


def _search_or_quote(messages: Sequence[BaseMessage]) -> AIMessage:
    """Return a call of `search_documents`, or from its passages the sentence that shares most words with the question."""
    question = next(message.text for message in reversed(messages) if isinstance(message, HumanMessage))
    if not isinstance(messages[-1], ToolMessage):
        call = {"name": "search_documents", "args": {"query": question[:1000]}, "id": f"call_{len(messages)}"}
        return AIMessage("", tool_calls=[{**call, "type": "tool_call"}])
    # what a search gave before is named by its number, and stands above
    given = "\n".join(message.text for message in messages if isinstance(message, ToolMessage))
    passages = re.findall(r'<passage id="(\d+)"[^>]*>\n(.*?)\n</passage>', given, re.DOTALL)
    quotes = [f"{sentence} [{number}]" for number, text in passages for sentence in re.split(r"(?<=[.!?])\s+", text)]
    asked = _words(question)
    return AIMessage(
        max(quotes, key=lambda quote: len(asked & _words(quote)), default="The documents do not say this.")
    )


def _words(text: str) -> set[str]:
    return set(re.findall(r"[\w-]{3,}", text.lower()))
