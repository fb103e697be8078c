"""Chat models behind OpenAI's chat API: OpenAI itself, vLLM, Ollama, llama.cpp's server and most gateways."""

import json
from collections.abc import AsyncIterator
from inspect import signature
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from langchain_core.language_models import BaseChatModel, LangSmithParams
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_openai import ChatOpenAI
from openai import APIStatusError, AsyncOpenAI, AsyncStream, BadRequestError, UnprocessableEntityError
from openai._base_client import make_request_options
from openai._streaming import ServerSentEvent
from openai.resources.chat import AsyncCompletions
from openai.types.chat import ChatCompletionMessageFunctionToolCall
from openai.types.chat.chat_completion_message_function_tool_call import Function
from pydantic import BaseModel, BeforeValidator, Field, ValidationError

from foundation.components import Context
from models.pricing import MOST_TOKENS
from models.remote_options import RemoteChatOptions
from models.resilience.http_clients import OPENAI, langchain_arguments


class Options(RemoteChatOptions):
    provider: str | None = None
    """Name of the provider in traces and for prices; `None`: "openai" at OpenAI's own address, elsewhere the host's name."""
    seed: int | None = None
    limit_name: Literal["auto", "max_completion_tokens", "max_tokens"] = "auto"
    """The request's name for the most tokens of a reply; `auto`: the first, unless the server refuses that and takes the second."""


# the rest says how to send, or is unknown, which the client's own method refuses
LIMITS = ["max_completion_tokens", "max_tokens"]
SENT_AS_THEY_ARE = signature(AsyncCompletions.create).parameters.keys() - {"extra_headers", "extra_query", "timeout"}

Count = Annotated[int, Field(ge=0, le=MOST_TOKENS)]


class Details(BaseModel):
    cached_tokens: Count | None = None
    cache_write_tokens: Count | None = None
    reasoning_tokens: Count | None = None


# Gateways add details of their own, and send an empty list for none
MoreDetails = Annotated[Details | None, BeforeValidator(lambda details: details or None)]


class Used(BaseModel):
    prompt_tokens: Count
    completion_tokens: Count
    prompt_tokens_details: MoreDetails = None
    completion_tokens_details: MoreDetails = None


def read_counts(used: Any) -> dict[str, Any] | None:
    try:
        return Used.model_validate(used, from_attributes=True).model_dump()
    except ValidationError:  # of what is no count nothing is known
        return None


class PlainStream(AsyncStream[object]):
    """The pieces as dictionaries, and what was used once, at the end: some servers tell it with each piece, and LangChain adds up."""

    done = False  # whether the server said so, which some do instead of giving a reason

    async def _iter_events(self) -> AsyncIterator[ServerSentEvent]:
        async for event in super()._iter_events():
            if event.data:  # by the specification, one without is none
                self.done = event.data.startswith("[DONE]")
                yield event

    async def __stream__(self) -> AsyncIterator[Any]:
        used: Any = None
        reasons: set[str] = set()
        piece: Any
        async for piece in super().__stream__():
            used = piece.pop("usage", None) or used
            reasons.update(str(choice.get("finish_reason") or "") for choice in piece.get("choices") or ())
            yield piece
        if self.done and reasons == {""}:
            yield {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
        if used := read_counts(used):
            yield {"choices": [], "usage": used}


class PlainCompletions(AsyncCompletions):
    """OpenAI's chat completions, streamed as they stand on the wire."""

    def __init__(self, client: AsyncOpenAI, limit_name: str) -> None:
        super().__init__(client)
        self._names = LIMITS if limit_name == "auto" else [limit_name]

    async def create(self, **asked: Any) -> Any:
        limit = next((asked.pop(name) for name in LIMITS if name in asked), None)
        if limit is None:
            return await self._create(**asked)
        name, *others = self._names
        try:
            return await self._create(**asked, **{name: limit})
        except (BadRequestError, UnprocessableEntityError) as refused:
            if not others or name not in str(refused):
                raise
            try:
                made = await self._create(**asked, **{others[0]: limit})
            except APIStatusError:
                raise refused from None
            self._names = [others[0]]
            return made

    async def _create(self, **asked: Any) -> Any:
        # LangChain writes and reads plain dictionaries. OpenAI's client holds each message, each tool and each word of the
        # answer against its types, which is half of what a stream computes
        if not asked.get("stream") or not asked.keys() <= SENT_AS_THEY_ARE:
            return await super().create(**asked)
        more = asked.pop("extra_body", None) or {}
        body = {**asked, **more}
        # pieces of `object` are not parsed
        options = make_request_options(security={"bearer_auth": True})
        return await self._client.post(
            "/chat/completions", cast_to=object, body=body, options=options, stream=True, stream_cls=PlainStream
        )


class OpenAICompatibleChat(ChatOpenAI):
    """LangChain's client with the provider's own name and connections that can be closed."""

    provider: str = "openai"
    thinks: bool = False
    """Whether the profile that was stated says so: thoughts may then begin in the prompt, so that only their end tells."""

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        return {**super()._get_ls_params(stop=stop, **kwargs), "ls_provider": self.provider}

    def _get_request_payload(self, input_: Any, *, stop: list[str] | None = None, **kwargs: Any) -> dict[str, Any]:
        payload: dict[str, Any] = super()._get_request_payload(input_, stop=stop, **kwargs)
        # DeepSeek's kind refuses a call of a tool without the thoughts that led to it, and others think worse without; LangChain
        # leaves them out. OpenAI's own API gives none, and refuses those that a fallback had
        if self.openai_api_base != OPENAI:
            for message, sent in zip(
                self._convert_input(input_).to_messages(), payload.get("messages", ()), strict=False
            ):
                thoughts = message.additional_kwargs.get("reasoning_content")
                if thoughts and getattr(message, "tool_calls", ()):
                    sent["reasoning_content"] = thoughts
        return payload

    def _convert_chunk_to_generation_chunk(
        self, chunk: dict[str, Any], default_chunk_class: type, base_generation_info: dict[str, Any] | None
    ) -> ChatGenerationChunk | None:
        # a second choice, where somebody asked for several, would be mixed into the first
        chunk["choices"] = [choice for choice in chunk.get("choices") or () if not choice.get("index")]
        thoughts = None
        for choice in chunk["choices"]:
            # some servers leave out what LangChain looks up, or send all at once; beside deltas it is the same words again
            delta = choice["delta"] = choice.get("message" if choice.get("delta") is None else "delta") or {}
            delta.pop("role", None)  # some name another one than the assistant's, of which LangChain makes no reply
            if refused := delta.get("refusal"):  # LangChain leaves it out
                delta["content"] = f"{delta.get('content') or ''}{refused}"
            thoughts = delta.get("reasoning_content") or delta.get("reasoning")
            # LangChain makes no call of this older shape, which some send beside the newer one
            if (older := delta.pop("function_call", None)) and not delta.get("tool_calls"):
                delta["tool_calls"] = [{"index": 0, "function": older}]
            for call in delta.get("tool_calls") or ():
                call.setdefault("index", None)
                custom = call.get("custom") or {}  # a call in plain text: the agent tells the model that it takes none
                written = {"name": custom.get("name"), "arguments": custom.get("input")}
                function = call["function"] = call.get("function") or written
                if isinstance(function.get("arguments"), dict):
                    function["arguments"] = json.dumps(function["arguments"])
        made = super()._convert_chunk_to_generation_chunk(chunk, default_chunk_class, base_generation_info)
        if made and thoughts:  # LangChain leaves them out, and a model that thinks long would seem to be silent
            made.message.additional_kwargs["reasoning_content"] = str(thoughts)
        return made

    def _create_chat_result(self, response: Any, generation_info: dict[str, Any] | None = None) -> ChatResult:
        response.usage = response.usage if read_counts(getattr(response, "usage", None)) else None
        for choice in getattr(response, "choices", None) or ():
            message = choice.message
            message.role, message.content = "assistant", message.content or message.refusal
            older, message.function_call = message.function_call, None
            if getattr(older, "name", None) and not message.tool_calls:  # as in a stream
                called = ChatCompletionMessageFunctionToolCall.model_construct(id="", function=older, type="function")
                message.tool_calls = [called]
            for call in message.tool_calls or ():
                if custom := getattr(call, "custom", None):
                    call.function = Function.model_construct(name=custom.name, arguments=custom.input)
                if isinstance(call.function.arguments, dict):  # as some servers send them
                    call.function.arguments = json.dumps(call.function.arguments)
        return super()._create_chat_result(response, generation_info)

    def close(self) -> None:
        """Close idle connections. A second call does nothing."""
        if self.http_client is not None:
            self.http_client.close()


def build(options: Options, context: Context) -> BaseChatModel:  # noqa: ARG001  # every adapter has this signature
    """Create the client; nothing is connected yet. Raises MissingCredential: there is no key."""
    model = OpenAICompatibleChat(
        model=options.model,
        base_url=options.base_url,
        api_key=options.key(),
        provider=options.provider
        or ("openai" if options.base_url == OPENAI else urlsplit(options.base_url).hostname or ""),
        temperature=options.temperature,
        seed=options.seed,
        max_completion_tokens=options.max_tokens,
        profile=options.profile,
        thinks=bool((options.profile or {}).get("reasoning_output")),
        **{"stream_usage": True, "use_responses_api": False, **options.extra_for(OpenAICompatibleChat)},
        **langchain_arguments(options.connect(keep_alive=options.keep_alive)),
    )
    model.async_client = PlainCompletions(model.root_async_client, options.limit_name)
    return model
