"""A chat model of several: each request is answered by the one that whoever asks has chosen."""
# ruff: noqa: SLF001  # LangChain spells the hooks of a chat model with an underscore, and a wrapper must call them

from collections.abc import Iterator, Mapping, Sequence
from contextlib import aclosing
from contextvars import ContextVar
from typing import Any, cast

from langchain_core.language_models import BaseChatModel, ModelProfile
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from pydantic import ConfigDict

from foundation.errors import InvalidRequest, InvalidSetting, did_you_mean
from models.resilience.bindings import ChatWrapper, bound_arguments, rebind
from models.resilience.resilient_chat import ResilientChatModel, resilient
from models.resilience.streams import Chunks

# The name under `[models.choices]` that the current request is answered by; empty: `[models.chat]`
chosen_model: ContextVar[str] = ContextVar("chosen_model", default="")


class ChosenChatModel(ChatWrapper):
    """`usual`, or of `choices` the one that `chosen_model` names. Its profile is what all of them can, since one agent is made for it."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    usual: ResilientChatModel
    choices: Mapping[str, ResilientChatModel]

    @property
    def answering(self) -> ResilientChatModel:
        return self.choices.get(chosen_model.get(), self.usual)

    @property
    def primary(self) -> BaseChatModel:
        return self.answering.primary

    def who_answered(self, message: AIMessage) -> BaseChatModel:
        return self.answering.who_answered(message)

    def _resolve_model_profile(self) -> ModelProfile | None:
        profiles: list[dict[str, Any]] = [{**(it.profile or {})} for it in (self.usual, *self.choices.values())]
        usual, others = profiles[0], profiles[1:]
        for key, value in usual.items():
            given = [other.get(key) for other in others]
            if key == "tool_calling":  # `offer` has looked at it; what is not known of a model is tried
                continue
            alike = value if all(it == value for it in given) else False
            usual[key] = min([value, *filter(None, given)]) if type(value) is int else alike
        return cast("ModelProfile", usual) or None

    def get_token_ids(self, text: str) -> list[int]:
        return self.answering.get_token_ids(text)

    def get_num_tokens_from_messages(self, messages: list[BaseMessage], tools: Sequence[Any] | None = None) -> int:
        return self.answering.get_num_tokens_from_messages(messages, tools)

    def bind_tools(
        self, tools: Sequence[Any], *, tool_choice: str | None = None, **kwargs: Any
    ) -> Runnable[Any, AIMessage]:
        bound = self.bind(**bound_arguments(self.answering, tools, tool_choice, **kwargs))
        return cast("Runnable[Any, AIMessage]", bound)

    def with_structured_output(self, schema: Any, *, include_raw: bool = False, **kwargs: Any) -> Runnable[Any, Any]:
        structured = self.answering.with_structured_output(schema, include_raw=include_raw, **kwargs)
        return rebind(structured, self.answering, self)

    def _generate(
        self, messages: list[BaseMessage], stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
    ) -> ChatResult:
        return self.answering._generate(messages, stop, run_manager, **kwargs)

    def _stream(
        self, messages: list[BaseMessage], stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
    ) -> Iterator[ChatGenerationChunk]:
        yield from self.answering._stream(messages, stop, run_manager, **kwargs)

    async def _agenerate(
        self, messages: list[BaseMessage], stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
    ) -> ChatResult:
        return await self.answering._agenerate(messages, stop, run_manager, **kwargs)

    async def _astream(
        self, messages: list[BaseMessage], stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
    ) -> Chunks:
        async with aclosing(self.answering._astream(messages, stop, run_manager, **kwargs)) as chunks:
            async for chunk in chunks:
                yield chunk


def offer(usual: ResilientChatModel, choices: Mapping[str, ResilientChatModel]) -> BaseChatModel:
    """Return the model that each request may choose from, or `usual` where there is no choice. Raises InvalidSetting: one calls no tools,
    while the agent is made for a model that does.
    """
    calls_tools = (usual.profile or {}).get("tool_calling") is not False
    for name, choice in choices.items():
        if calls_tools and (choice.profile or {}).get("tool_calling") is False:
            raise InvalidSetting(
                f"[models.choices.{name}] calls no tools, and {usual.model_name} of [models.chat] does, for which the agent is made. Offer "
                "another model, or correct its profile: make model-check says what it can."
            )
    return ChosenChatModel(usual=usual, choices=choices) if choices else usual


def resilient_as(usual: BaseChatModel, chat: BaseChatModel) -> BaseChatModel:
    """Return the chat model within the same limits and under the same guards as the `usual` one."""
    like = usual.usual if isinstance(usual, ChosenChatModel) else usual
    return resilient(chat, (), like.settings, like.clock, like.demand) if isinstance(like, ResilientChatModel) else chat


def choices_in(chat: BaseChatModel) -> Mapping[str, BaseChatModel]:
    """Return the models that a request may choose in place of the usual one, by name."""
    return chat.choices if isinstance(chat, ChosenChatModel) else {}


def demand_choice(chat: BaseChatModel, name: str) -> None:
    """Raises InvalidRequest: there is no model of that name to choose. An empty one is the usual."""
    if name and name not in choices_in(chat):
        raise InvalidRequest(
            f'There is no model "{name}" to choose. {did_you_mean(name, choices_in(chat))} Leave it out for the usual one.'
        )
