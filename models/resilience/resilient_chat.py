"""A resilient chat model around others: time limits, checks of what comes back, our errors, retries, fallbacks and choices.

It calls the wrapped models below LangChain's callbacks, so that a retry or a fallback makes no second span.
"""
# ruff: noqa: ARG002, SLF001  # LangChain spells the hooks of a chat model with an underscore, and reports for the wrapper

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from contextvars import ContextVar
from functools import partial
from typing import Any, NoReturn, TypeVar, cast

from langchain_core.language_models import BaseChatModel, ModelProfile
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import ConfigDict, Field, PrivateAttr

from foundation import names
from foundation.clock import Clock
from foundation.errors import InvalidRequest, InvalidSetting, UpstreamDown, UpstreamMalformed, did_you_mean
from foundation.tracing import annotate
from models.contract import requests_made
from models.pricing import call_of, identity
from models.resilience.attempts import Attempts
from models.resilience.bindings import (
    ChatWrapper,
    alternate,
    bound_arguments,
    carry_settings,
    demand_ability,
    longest_reply,
    plain_choice,
    profile_of,
    rebind,
)
from models.resilience.streams import Chunks, bound_stream, metadata_of, read_first_words, stream_of, without_thoughts
from models.resilience.vendor_errors import told_by, translate
from models.settings import ResilienceSettings

# Keys of `response_metadata`: True where a fallback answered, so that the answer is marked as degraded; the index of
# the model that answered, 1 for the first fallback
FALLBACK, ANSWERED_BY = "fallback", "answered_by"
# Providers whose streams always say why they end
SAY_THE_END = frozenset({"anthropic", "mistralai", "openai"})

# The name under `[models.choices]` that the current request is answered by; empty: `[models.chat]`
chosen_model: ContextVar[str] = ContextVar("chosen_model", default="")

T = TypeVar("T")


def resilient(
    primary: BaseChatModel,
    fallbacks: Sequence[BaseChatModel],
    settings: ResilienceSettings,
    clock: Clock,
    demand: Callable[[str], None] = lambda _: None,
    *,
    choices: Mapping[str, ResilientChatModel] = {},
) -> ResilientChatModel:
    """Wrap `primary` and its fallbacks, which are called in order when it fails. A request may choose one of `choices` instead.

    `settings.attempts` and the limits of silence hold for each model, `settings.timeout_s` for all together. `demand`
    is called with the model's name before each attempt and each chunk of a stream; if it raises (Stopped), that model has failed.
    Raises InvalidSetting: a choice calls no tools, while `primary`, for which the agent is made, does.
    """
    if profile_of(primary).get("tool_calling") is not False:
        for name, choice in choices.items():
            if profile_of(choice).get("tool_calling") is False:
                raise InvalidSetting(
                    f"[models.choices.{name}] calls no tools, and {_name(primary)} of [models.chat] does, for which the agent is "
                    "made. Offer another model, or correct its profile: make model-check says what it can."
                )
    return ResilientChatModel(
        candidates=(primary, *fallbacks),
        settings=settings,
        clock=clock,
        demand=demand,
        choices=choices,
        rate_limiter=primary.rate_limiter,
        output_version=primary.output_version,
    )


def resilient_as(usual: BaseChatModel, chat: BaseChatModel) -> BaseChatModel:
    """Return the chat model within the same limits and under the same guards as the `usual` one."""
    if not isinstance(usual, ResilientChatModel):
        return chat
    return resilient(chat, (), usual.settings, usual.clock, usual.demand)


def choices_in(chat: BaseChatModel) -> Mapping[str, BaseChatModel]:
    """Return the models that a request may choose in place of the usual one, by name."""
    return chat.choices if isinstance(chat, ResilientChatModel) else {}


def demand_choice(chat: BaseChatModel, name: str) -> None:
    """Raises InvalidRequest: there is no model of that name to choose. An empty one is the usual."""
    if name and name not in choices_in(chat):
        raise InvalidRequest(
            f'There is no model "{name}" to choose. {did_you_mean(name, choices_in(chat))} Leave it out for the usual one.'
        )


class ResilientChatModel(ChatWrapper):
    """Built by `resilient`. Identity and token counting are those of the primary model, or of the one that `chosen_model` names. Raises
    a ComponentError (the last one, when all models failed), with the vendor's exception as its cause; InvalidRequest for an empty
    list of messages.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    candidates: tuple[BaseChatModel, ...]
    settings: ResilienceSettings
    clock: Any
    demand: Any = lambda _: None
    choices: Mapping[str, ResilientChatModel] = Field(default_factory=dict)
    _attempts: Attempts = PrivateAttr()

    def model_post_init(self, context: Any, /) -> None:
        super().model_post_init(context)
        self._attempts = Attempts([*map(_name, self.candidates)], self.settings, self.clock)

    @property
    def answering(self) -> ResilientChatModel:
        """The choice that the current request is answered by, or this model."""
        return self.choices.get(chosen_model.get(), self)

    @property
    def primary(self) -> BaseChatModel:
        return self.answering.candidates[0]

    def who_answered(self, message: AIMessage) -> BaseChatModel:
        """Return the wrapped model that a reply came from."""
        index: int = message.response_metadata.get(ANSWERED_BY, 0)
        return self.answering.candidates[index]

    def _resolve_model_profile(self) -> ModelProfile | None:
        """Return what this model and all choices can, since one agent is made for them. `resilient` has looked at tool_calling."""
        own, *others_own = map(profile_of, (self.candidates[0], *self.choices.values()))
        profile: dict[str, Any] = dict(own)
        for key, value in profile.items():
            others: list[Any] = [other.get(key) for other in others_own]
            if key != "tool_calling":
                alike = value if all(other == value for other in others) else False
                profile[key] = min([value, *filter(None, others)]) if type(value) is int else alike
        return cast("ModelProfile", profile) or None

    def close(self) -> None:
        """Close every model that can be closed, the last one first."""
        for model in reversed(self.candidates):
            if hasattr(model, "close"):
                model.close()

    def get_token_ids(self, text: str) -> list[int]:
        return self.primary.get_token_ids(text)

    def get_num_tokens_from_messages(self, messages: list[BaseMessage], tools: Sequence[Any] | None = None) -> int:
        return self.primary.get_num_tokens_from_messages(messages, tools)

    def bind_tools(
        self, tools: Sequence[Any], *, tool_choice: str | None = None, **kwargs: Any
    ) -> Runnable[Any, AIMessage]:
        """Bind tools in the primary model's format; a fallback gets them in its own. Raises NotImplementedError, as LangChain does: it calls none."""
        bound = self.bind(**bound_arguments(self.primary, tools, tool_choice, **kwargs))
        return cast("Runnable[Any, AIMessage]", bound)

    def with_structured_output(self, schema: Any, *, include_raw: bool = False, **kwargs: Any) -> Runnable[Any, Any]:
        """Return the primary model's structured output with this model in its place. Raises NotImplementedError, as LangChain does: it has none."""
        demand_ability(self.primary, "structured output", "structured_output", "tool_calling")
        structured = self.primary.with_structured_output(schema, include_raw=include_raw, **kwargs)
        return rebind(structured, self.primary, self)

    async def _agenerate(
        self, messages: list[BaseMessage], stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
    ) -> ChatResult:
        if self.answering is not self:
            return await self.answering._agenerate(messages, stop, run_manager, **kwargs)

        async def generate(index: int) -> ChatResult:
            model, arguments = carry_settings(self.candidates[index], self._arguments(index, kwargs))
            return await model._agenerate(alternate(messages), stop=stop, **arguments)

        timeout_s = self.settings.timeout_s
        index, result = await self._first_success(messages, generate, self.clock.monotonic_s() + timeout_s, timeout_s)
        self._record(index, failed=False)
        self._check_choice(index, kwargs, called=any(_calls(generation.message) for generation in result.generations))
        for generation in result.generations:
            if isinstance(generation.message.content, str):
                generation.message.content = generation.text = without_thoughts(generation.text)
            origin = {ANSWERED_BY: index, FALLBACK: True} if index else {}
            generation.message.response_metadata |= origin | self._labels(index, metadata_of(generation))
        return result

    async def _astream(
        self, messages: list[BaseMessage], stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
    ) -> Chunks:
        if self.answering is not self:
            async with aclosing(self.answering._astream(messages, stop, run_manager, **kwargs)) as chunks:
                async for chunk in chunks:
                    yield chunk
            return

        async def start(index: int) -> tuple[list[ChatGenerationChunk], Chunks]:
            model, arguments = carry_settings(self.candidates[index], self._arguments(index, kwargs))
            chunks = stream_of(model, alternate(messages), stop, arguments)
            longest = longest_reply(model, arguments.get("max_tokens"))
            return await read_first_words(bound_stream(chunks, _name(model), longest))

        deadline = self.clock.monotonic_s() + self.settings.timeout_s
        index, (first, later_chunks) = await self._first_success(messages, start, deadline, self.settings.first_token_s)
        labels: dict[str, Any] = {}
        called = False
        if index:  # so that a cut-off call is charged to the model that answered
            origin = AIMessageChunk(content="", response_metadata={ANSWERED_BY: index, FALLBACK: True})
            first.insert(0, ChatGenerationChunk(message=origin))
        async with aclosing(self._stream_rest(first, later_chunks, index, deadline)) as chunks:
            async for chunk in chunks:
                labels |= {**(chunk.generation_info or {}), **metadata_of(chunk)}
                called = called or _calls(chunk.message)
                yield chunk
        self._check_choice(index, kwargs, called=called)
        added = self._labels(index, labels)
        # their classes end a cut stream silently
        if labels.get("model_provider") in SAY_THE_END and added.get("finish_reason") == "unknown":
            raise UpstreamMalformed(f"The stream of {_name(self.candidates[index])} ended in the middle. Try again.")
        yield ChatGenerationChunk(message=AIMessageChunk(content="", response_metadata=added))

    def _generate(
        self, messages: list[BaseMessage], stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
    ) -> ChatResult:
        from anyio.from_thread import start_blocking_portal

        with start_blocking_portal() as portal:
            return portal.call(partial(self._agenerate, messages, stop, **kwargs))

    def _stream(
        self, messages: list[BaseMessage], stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
    ) -> Iterator[ChatGenerationChunk]:
        from anyio.from_thread import start_blocking_portal

        with start_blocking_portal() as portal:
            chunks = self._astream(messages, stop, **kwargs)
            try:
                while (chunk := portal.call(anext, chunks, None)) is not None:
                    yield chunk
            finally:
                portal.call(chunks.aclose)

    async def _first_success(
        self, messages: list[BaseMessage], call: Callable[[int], Awaitable[T]], deadline: float, patience_s: float
    ) -> tuple[int, T]:
        if not messages:
            raise InvalidRequest("A chat model was called with no message at all. Give it at least one.")

        async def attempt(index: int) -> T:
            try:
                self.demand(_name(self.candidates[index]))
                async with self._limit(patience_s, deadline):
                    return await call(index)
            except Exception as error:  # every vendor has exceptions of its own; `translate` knows them
                reply, requests = getattr(error, "reply", None), requests_made.get()
                if reply and reply.usage_metadata and requests is not None:
                    requests.append(call_of(self.candidates[index], reply, seconds=0.0, at=self.clock.now()))
                self._fail(index, error)
            except BaseException:  # cancelled from above
                self._record(index, failed=None)
                raise

        return await self._attempts.first_success(attempt, deadline)

    async def _stream_rest(
        self, first: list[ChatGenerationChunk], chunks: Chunks, index: int, deadline: float
    ) -> Chunks:
        # A failure is raised and not retried, since the beginning is already out
        name = _name(self.candidates[index])
        async with aclosing(chunks):
            try:
                for chunk in first:
                    yield chunk
                while True:
                    async with self._limit(self.settings.gap_s, deadline):
                        later = await anext(chunks, None)
                    if later is None:
                        break
                    self.demand(name)
                    yield later
                self._record(index, failed=False)
            except Exception as error:  # as in `attempt`
                self._fail(index, error)
            finally:
                self._record(index, failed=None)  # the reader may have left; no news after a success or a failure

    def _limit(self, patience_s: float, deadline: float) -> asyncio.Timeout:
        return asyncio.timeout(max(0.0, min(patience_s, deadline - float(self.clock.monotonic_s()))))

    def _fail(self, index: int, error: Exception) -> NoReturn:
        failure = translate(error, model=_name(self.candidates[index]))
        self._record(index, failed=failure.retryable or None)
        if failure is error:
            raise failure
        annotate(names.PROVIDER_SAID, told_by(error))
        raise failure from error

    def _record(self, index: int, *, failed: bool | None) -> None:
        self._attempts.breakers[index].record(failed=failed)

    def _arguments(self, index: int, kwargs: Mapping[str, Any]) -> dict[str, Any]:
        model = self.candidates[index]
        if not kwargs.get("tools") or type(model) is type(self.primary):
            return dict(kwargs)
        tools = [convert_to_openai_tool(tool) for tool in kwargs["tools"]]
        others = {key: value for key, value in kwargs.items() if key not in {"tools", "tool_choice"}}
        return others | bound_arguments(model, tools, plain_choice(kwargs.get("tool_choice")))

    def _check_choice(self, index: int, kwargs: Mapping[str, Any], *, called: bool) -> None:
        # Servers silently drop tools that a model has no template for; a retry would not help
        choice = kwargs.get("tool_choice")
        if not called and choice is not None and plain_choice(choice) not in {"auto", "none"}:
            raise UpstreamMalformed(
                f"{_name(self.candidates[index])} had to call a tool and did not. It may have no template for "
                f"tools, or too few tokens left. Use a model that calls tools, or leave it the choice."
            )

    def _labels(self, index: int, reported: Mapping[str, Any]) -> dict[str, Any]:
        labels: dict[str, Any] = {}
        if reported.get("finish_reason") == "error":  # as OpenRouter says that the provider behind it broke off
            raise UpstreamDown(f"The provider behind {_name(self.candidates[index])} broke off. Try again.")
        if not reported.get("model_name") and not reported.get("model"):
            labels["model_name"] = _name(self.candidates[index])
        if not any(reported.get(key) for key in ("finish_reason", "stop_reason")):  # telemetry reports none as an error
            labels["finish_reason"] = reported.get("done_reason") or reported.get("status") or "unknown"
        return labels


def _name(model: BaseChatModel) -> str:
    return identity(model)[1]


def _calls(message: BaseMessage) -> bool:
    return bool(getattr(message, "tool_calls", ()) or getattr(message, "tool_call_chunks", ()))
