"""A resilient chat model around others: time limits, retries, fallbacks in order, a circuit breaker for each.

It calls the wrapped models below LangChain's callbacks, so that a retry or a fallback makes no second span. Waits have
full jitter: Brooker, "Exponential Backoff And Jitter" (2015). Retries are a share of the calls: Nygard, "Release It!".
"""
# ruff: noqa: ARG002, SLF001  # LangChain spells the hooks of a chat model with an underscore, and reports for the wrapper

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from typing import Any, NoReturn, TypeVar, cast

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import ConfigDict, PrivateAttr
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, wait_random_exponential

from foundation.clock import Clock
from foundation.errors import ComponentError, InvalidRequest, ModelForbidden, UpstreamMalformed
from models.pricing import identity
from models.resilience.bindings import (
    ChatWrapper,
    bound_arguments,
    carry_order,
    carry_settings,
    demand_ability,
    longest_reply,
    plain_choice,
    rebind,
)
from models.resilience.breaker import Breaker, RetryBudget
from models.resilience.streams import Chunks, bound_stream, metadata_of, read_first_words, stream_of
from models.resilience.vendor_errors import translate
from models.settings import ResilienceSettings

__all__ = ["ANSWERED_BY", "FALLBACK", "ResilientChatModel", "resilient", "translate"]

# Keys of `response_metadata`: True where a fallback answered, so that the answer is marked as degraded; the index of
# the model that answered, 1 for the first fallback
FALLBACK, ANSWERED_BY = "fallback", "answered_by"
# Providers whose streams always say why they end
SAY_THE_END = frozenset({"anthropic", "mistralai", "openai"})

# Share of a model's calls that may be retries, after ten saved ones are spent, so that an outage does not multiply the load
RETRY_SHARE = 0.2
# Longest wait before a retry, also where the provider asks for a longer one: a person waits for the answer
WAIT_MAX_S = 8.0
# Failures in a row after which a model is left alone, and for how long
BREAKER_FAILURES, BREAKER_OPEN_S = 5, 30.0

T = TypeVar("T")
# A check of a model's name; raises a ComponentError, such as Stopped, where the model may not be called
Demand = Callable[[str], None]


def resilient(
    primary: BaseChatModel,
    fallbacks: Sequence[BaseChatModel],
    settings: ResilienceSettings,
    clock: Clock,
    demand: Demand = lambda _: None,
) -> ResilientChatModel:
    """Wrap `primary` and its fallbacks, which are called in order when it fails.

    `settings.attempts` and the limits of silence hold for each model, `settings.timeout_s` for all together. `demand`
    is called with the model's name before each attempt and each chunk of a stream; if it raises, that model has failed.
    """
    return ResilientChatModel(
        candidates=(primary, *fallbacks),
        settings=settings,
        clock=clock,
        demand=demand,
        rate_limiter=primary.rate_limiter,
        output_version=primary.output_version,
    )


class ResilientChatModel(ChatWrapper):
    """Built by `resilient`. Identity and token counting are those of the primary model. Raises a ComponentError (the last
    one, when all models failed), with the vendor's exception as its cause; InvalidRequest for an empty list of messages.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    candidates: tuple[BaseChatModel, ...]
    settings: ResilienceSettings
    clock: Any
    demand: Any = lambda _: None
    _breakers: tuple[Breaker, ...] = PrivateAttr()
    _retries: tuple[RetryBudget, ...] = PrivateAttr()

    def model_post_init(self, context: Any, /) -> None:
        super().model_post_init(context)
        self._breakers = tuple(
            Breaker(name=identity(model)[1], failures=BREAKER_FAILURES, open_s=BREAKER_OPEN_S, clock=self.clock)
            for model in self.candidates
        )
        self._retries = tuple(RetryBudget(RETRY_SHARE) for _ in self.candidates)

    @property
    def primary(self) -> BaseChatModel:
        return self.candidates[0]

    def who_answered(self, message: AIMessage) -> BaseChatModel:
        """Return the wrapped model that a reply came from."""
        index: int = message.response_metadata.get(ANSWERED_BY, 0)
        return self.candidates[index]

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
        """Bind tools in the primary model's format; a fallback gets them in its own when it is called. Raises
        NotImplementedError: the primary model calls no tools.
        """
        bound = self.bind(**bound_arguments(self.primary, tools, tool_choice, **kwargs))
        return cast("Runnable[Any, AIMessage]", bound)

    def with_structured_output(self, schema: Any, *, include_raw: bool = False, **kwargs: Any) -> Runnable[Any, Any]:
        """Return the primary model's structured output, with this model in its place. Raises NotImplementedError: the
        primary model has neither structured output nor tool calling.
        """
        demand_ability(self.primary, "structured output", "structured_output", "tool_calling")
        structured = self.primary.with_structured_output(schema, include_raw=include_raw, **kwargs)
        return rebind(structured, self.primary, self)

    async def _agenerate(
        self, messages: list[BaseMessage], stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
    ) -> ChatResult:
        async def generate(index: int) -> ChatResult:
            model, arguments = carry_settings(self.candidates[index], self._arguments(index, kwargs))
            return await model._agenerate(carry_order(model, messages), stop=stop, **arguments)

        timeout_s = self.settings.timeout_s
        index, result = await self._first_success(messages, generate, self.clock.monotonic_s() + timeout_s, timeout_s)
        self._breakers[index].record_success()
        self._check_choice(index, kwargs, called=any(_calls(generation.message) for generation in result.generations))
        for generation in result.generations:
            metadata = generation.message.response_metadata
            metadata.update(_origin(index), **self._labels(index, metadata_of(generation)))
        return result

    async def _astream(
        self, messages: list[BaseMessage], stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
    ) -> Chunks:
        async def start(index: int) -> tuple[list[ChatGenerationChunk], Chunks]:
            model, arguments = carry_settings(self.candidates[index], self._arguments(index, kwargs))
            chunks = stream_of(model, carry_order(model, messages), stop, arguments)
            longest = longest_reply(model, arguments.get("max_tokens"))
            return await read_first_words(bound_stream(chunks, identity(model)[1], longest))

        deadline = self.clock.monotonic_s() + self.settings.timeout_s
        index, (first, later_chunks) = await self._first_success(messages, start, deadline, self.settings.first_token_s)
        labels: dict[str, Any] = {}
        called = False
        if index:  # first, so that a cut-off call is charged to the model that answered
            yield ChatGenerationChunk(message=AIMessageChunk(content="", response_metadata=_origin(index)))
        async with aclosing(self._stream_rest(first, later_chunks, index, deadline)) as chunks:
            async for chunk in chunks:
                labels |= {**(chunk.generation_info or {}), **metadata_of(chunk)}
                called = called or _calls(chunk.message)
                yield chunk
        self._check_choice(index, kwargs, called=called)
        added = self._labels(index, labels)
        # their classes end a cut stream silently
        if labels.get("model_provider") in SAY_THE_END and added.get("finish_reason") == "unknown":
            raise UpstreamMalformed(f"The stream of {self._breakers[index].name} ended in the middle. Try again.")
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
        failures: list[ComponentError] = []
        for index in range(len(self.candidates)):
            try:
                return index, await self._with_retries(index, call, deadline, patience_s)
            except ComponentError as error:
                failures.append(error)
        raise _combine(failures)

    async def _with_retries(
        self, index: int, call: Callable[[int], Awaitable[T]], deadline: float, patience_s: float
    ) -> T:
        breaker, retries = self._breakers[index], self._retries[index]

        def give_up(state: RetryCallState) -> bool:
            late = self.clock.monotonic_s() + state.upcoming_sleep >= deadline
            return state.attempt_number >= self.settings.attempts or breaker.is_open or late or not retries.spend()

        breaker.admit()
        retries.earn()
        retrying = AsyncRetrying(
            retry=retry_if_exception(self._worth_retrying), wait=self._wait_s, stop=give_up, sleep=_sleep, reraise=True
        )
        return cast("T", await retrying(self._attempt, index, call, deadline, patience_s))

    async def _attempt(self, index: int, call: Callable[[int], Awaitable[T]], deadline: float, patience_s: float) -> T:
        try:
            self.demand(self._breakers[index].name)
            async with self._limit(patience_s, deadline):
                return await call(index)
        except Exception as error:  # every vendor has exceptions of its own; `translate` knows them
            self._fail(index, error)
        except BaseException:  # cancelled from above
            self._breakers[index].record_no_verdict()
            raise

    async def _stream_rest(
        self, first: list[ChatGenerationChunk], chunks: Chunks, index: int, deadline: float
    ) -> Chunks:
        # A failure is raised and not retried, since the beginning is already out
        breaker = self._breakers[index]
        async with aclosing(chunks):
            try:
                for chunk in first:
                    yield chunk
                while True:
                    async with self._limit(self.settings.gap_s, deadline):
                        later = await anext(chunks, None)
                    if later is None:
                        break
                    self.demand(breaker.name)
                    yield later
                breaker.record_success()
            except Exception as error:  # as in `_attempt`
                self._fail(index, error)
            finally:
                breaker.record_no_verdict()  # the reader may have left; no news after a success or a failure

    def _limit(self, patience_s: float, deadline: float) -> asyncio.Timeout:
        return asyncio.timeout(max(0.0, min(patience_s, deadline - float(self.clock.monotonic_s()))))

    def _fail(self, index: int, error: Exception) -> NoReturn:
        breaker = self._breakers[index]
        failure = translate(error, model=breaker.name)
        breaker.record_failure() if failure.retryable else breaker.record_no_verdict()
        if failure is error:
            raise failure
        raise failure from error

    def _worth_retrying(self, error: BaseException) -> bool:
        # Not after our own time limit, nor where the provider asks for a longer wait than anybody has
        if not isinstance(error, ComponentError) or not error.retryable or type(error.__cause__) is TimeoutError:
            return False
        return (error.retry_after_s or 0.0) <= WAIT_MAX_S

    def _wait_s(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, ComponentError) and error.retry_after_s is not None:
            return error.retry_after_s
        return wait_random_exponential(multiplier=0.25, max=WAIT_MAX_S)(state)

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
                f"{self._breakers[index].name} had to call a tool and did not. It may have no template for "
                f"tools, or too few tokens left. Use a model that calls tools, or leave it the choice."
            )

    def _labels(self, index: int, reported: Mapping[str, Any]) -> dict[str, Any]:
        labels: dict[str, Any] = {}
        if not reported.get("model_name") and not reported.get("model"):
            labels["model_name"] = self._breakers[index].name
        if not any(reported.get(key) for key in ("finish_reason", "stop_reason")):  # telemetry reports none as an error
            labels["finish_reason"] = reported.get("done_reason") or reported.get("status") or "unknown"
        return labels


def _origin(index: int) -> dict[str, Any]:
    return {ANSWERED_BY: index, FALLBACK: True} if index else {}


def _calls(message: BaseMessage) -> bool:
    return bool(getattr(message, "tool_calls", ()) or getattr(message, "tool_call_chunks", ()))


async def _sleep(seconds: float) -> None:
    await asyncio.sleep(seconds)


def _combine(failures: Sequence[ComponentError]) -> ComponentError:
    """Return the only failure, or one of the last model's kind that names them all, with the shortest wait."""
    if len(failures) == 1:
        return failures[0]
    waits = [error.retry_after_s for error in failures if error.retry_after_s is not None]
    text = " Then: ".join(str(error) for error in failures)
    failure = next((error for error in reversed(failures) if not isinstance(error, ModelForbidden)), failures[-1])
    combined = type(failure)(f"All {len(failures)} chat models failed. {text}", retry_after_s=min(waits, default=None))
    combined.__cause__ = failure
    return combined
