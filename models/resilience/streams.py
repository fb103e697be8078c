"""Streams of a chat model: begun, bounded and read one chunk at a time."""
# ruff: noqa: SLF001  # LangChain spells the hooks of a chat model with an underscore, and a wrapper must call them

import asyncio
import math
import re
import time
from collections import defaultdict
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Any, cast

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, message_chunk_to_message
from langchain_core.messages.tool import invalid_tool_call, tool_call
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk

from foundation.errors import UpstreamDown, UpstreamMalformed
from foundation.text.json_values import read_object
from models.pricing import USAGE_AT_START, usage_of

# Characters allowed per requested token, several times the longest tokens of any text, and in addition for each stream
ROOM_PER_TOKEN, LEAST_ROOM = 40, 2_000
# Seconds that the reading of a stream may keep the event loop from everybody else
HOLDS_S = 0.02
# How vendors say that a reply ended at its limit of tokens
LIMIT_REACHED = frozenset(
    {"length", "max_tokens", "max_output_tokens", "model_context_window_exceeded", "model_length"}
)
# Where vendors say why a reply ended
ENDED = ("finish_reason", "stop_reason", "stopReason", "done_reason", "reason")
FILTERED = frozenset({"content_filter", "content_filtered", "guardrail_intervened", "refusal", "safety"})
# How thoughts begin and end that a server leaves in the text of a reply; quoted, it is a text about thoughts
_BEGIN, _END = r"(?:(?i:<think(?:ing)?>)|\[THINK\])", r"(?<![`'\"])(?:(?i:</think(?:ing)?>)|\[/THINK\])"
THINKING = re.compile(rf"\s*{_BEGIN}")
_OPENED = re.compile(rf"({_END})(?![`'\"])\s*")
# Without a beginning a tag within a sentence, in JSON or in markup is one that the answer speaks of, unless it begins a line or sentence
_BEGINS = r"(?<=[\n.!?…。！？])"  # noqa: RUF001 - full-width signs are meant
_UNOPENED = re.compile(
    rf"(?<![`'\"]){_BEGIN}|((?:{_BEGINS}{_END}(?=[ \t]+\S)|{_END}(?![ \t]+\S)))(?![`'\"”’.,;:)\]<\\])\s*"
)
Chunks = AsyncGenerator[ChatGenerationChunk, None]


async def bound_stream(chunks: Chunks, model: str, max_tokens: int | None) -> Chunks:
    """Yield the stream. Raises UpstreamMalformed once it is longer than `max_tokens` can be. UpstreamDown: it ends with an error."""
    room = math.inf if max_tokens is None else LEAST_ROOM + ROOM_PER_TOKEN * max_tokens
    paused_s = time.monotonic()
    async with aclosing(chunks):
        async for chunk in chunks:
            if time.monotonic() - paused_s > HOLDS_S:  # a class in this process may never wait for anything
                await asyncio.sleep(0)
                paused_s = time.monotonic()
            if metadata_of(chunk).get("finish_reason") == "error":  # as OpenRouter says it
                broken = UpstreamDown(f"The provider behind {model} broke off. Try again.")
                broken.reply = chunk.message
                raise broken
            message = chunk.message
            blocks = [message.content] if isinstance(message.content, str) else message.content
            texts = [value for block in blocks for value in (block.values() if isinstance(block, dict) else [block])]
            texts += [call.get("args") or "" for call in getattr(message, "tool_call_chunks", ())]
            texts += message.additional_kwargs.values()
            # endless empty chunks end too
            room -= max(1, sum(len(str(text)) for text in texts))
            if room < 0:
                raise UpstreamMalformed(
                    f"{model} was asked for at most {max_tokens} tokens and goes on beyond any that many could be. It was cut "
                    "off. Use a server that keeps to `max_tokens`."
                )
            yield chunk


async def stream_of(
    model: BaseChatModel, messages: list[BaseMessage], stop: list[str] | None, kwargs: Mapping[str, Any]
) -> Chunks:
    """Yield the model's stream, or its whole reply as one chunk where it cannot stream."""
    if model._should_stream(async_api=True, stream=True, **kwargs):
        async with aclosing(cast("Chunks", model._astream(messages, stop=stop, **kwargs))) as chunks:
            async for chunk in chunks:
                yield chunk
        return
    result = await model._agenerate(messages, stop=stop, **kwargs)
    (generation, *_), told = result.generations, result.llm_output or {}  # where Anthropic's class says why it ended
    whole = AIMessageChunk(**generation.message.model_dump(exclude={"type"}))
    ended = {name: told[name] for name in ENDED if told.get(name)}
    yield ChatGenerationChunk(message=whole, generation_info={**ended, **(generation.generation_info or {})})


def metadata_of(generation: ChatGeneration) -> dict[str, Any]:
    """Return the message's metadata with why the reply ended, which OpenAI's client says beside the message."""
    # not the model's name, which stands there too: it may be no name that has a price
    beside = generation.generation_info or {}
    return {name: beside[name] for name in ENDED if beside.get(name)} | generation.message.response_metadata


def without_thoughts(text: str) -> str:
    """Return a reply's text without the thoughts at its head, whose beginning some chat templates write into the prompt."""
    end = end_of_thoughts(text)
    return text[end:] if end or not THINKING.match(text) else ""


def end_of_thoughts(text: str, start: int = 0) -> int:
    """Return where the thoughts at the head of a text end, looking from `start` on; 0: nowhere."""
    end = (_OPENED if THINKING.match(text) else _UNOPENED).search(text, start)
    return end.end() if end and end[1] else 0


def join_chunks(chunks: Sequence[AIMessageChunk]) -> AIMessage:
    """Return the message that the chunks make. A call whose arguments are not whole is an invalid one."""
    whole = chunks[0] + chunks[1:]  # all at once: one by one, long arguments would be parsed anew with each piece
    message = cast("AIMessage", message_chunk_to_message(whole))
    for block in message.content:
        # what the model says instead, in OpenAI's Responses
        if isinstance(block, dict) and block.get("type") == "refusal":
            block |= {"type": "text", "text": block.get("refusal") or ""}
        if isinstance(block, dict) and block.get("type") == "text":
            block["text"] = without_thoughts(block.get("text") or "")
    if isinstance(message.content, str):
        message.content = without_thoughts(message.content)
    # LangChain strings together what a server says twice, such as "stop" and "stop"
    said = [item for chunk in chunks for item in chunk.response_metadata.items()]
    said.sort(key=lambda item: item[1] in (*LIMIT_REACHED, *FILTERED))  # these hold, whatever is said after them
    message.response_metadata |= {name: value for name, value in said if value and isinstance(value, str)}
    if usage_of(message).input_tokens is None:  # counts that are none cannot be stored
        message.usage_metadata = None
        message.response_metadata.pop(USAGE_AT_START, None)
    # no arguments at all are none only where the reply was not cut off before them
    nothing = "" if is_cut_off(message) or is_filtered(message) else "{}"
    message.tool_calls, message.invalid_tool_calls = [], []
    names: dict[Any, set[str]] = defaultdict(set)
    for piece in (piece for chunk in chunks for piece in chunk.tool_call_chunks if piece["name"]):
        names[piece["index"]].add(str(piece["name"]))
    for call in whole.tool_call_chunks:
        # some servers say the same name with each piece
        name = min(said_as) if len(said_as := names[call["index"]]) == 1 else call["name"] or ""
        call_id, text = call["id"], call["args"] or ""
        # LangChain completes what was cut off, such as {"amount": 1 of {"amount": 1000}, and it would be carried out
        try:
            message.tool_calls.append(tool_call(name=name, args=read_object(text or nothing), id=call_id))
        except ValueError as wrong:
            message.invalid_tool_calls.append(invalid_tool_call(name=name, args=text, id=call_id, error=str(wrong)))
    return message


def is_cut_off(message: AIMessage) -> bool:
    """Whether the reply ended at its limit of tokens."""
    return _ended_by(message, LIMIT_REACHED)


def is_filtered(message: AIMessage) -> bool:
    """Whether a filter of the provider's ended the reply."""
    return _ended_by(message, FILTERED)


def _ended_by(message: AIMessage, reasons: frozenset[str]) -> bool:
    said = message.response_metadata | (message.response_metadata.get("incomplete_details") or {})
    return any(str(said.get(name)).lower() in reasons for name in ENDED)


def empty_reply_of(message: AIMessage) -> str:
    """Explain an empty reply to the operator."""
    usage = usage_of(message)
    if usage.reasoning_tokens:
        return (
            f"The chat model used {usage.reasoning_tokens} of {usage.output_tokens} tokens for thinking and wrote no word. Give it more: "
            '[models.chat] max_tokens, or let it think less: extra = { reasoning_effort = "low" }.'
        )
    if is_cut_off(message):
        return "The chat model reached its limit of tokens before a whole word or call. Give it more: [models.chat] max_tokens."
    return "The chat model gave an empty reply. Use another one."


async def read_first_words(chunks: Chunks) -> tuple[list[ChatGenerationChunk], Chunks]:
    """Return the chunks up to the first with content, until which a retry can hide a failure, and the rest of the stream."""
    first: list[ChatGenerationChunk] = []
    try:
        while (chunk := await anext(chunks, None)) is not None:
            first.append(chunk)
            said = chunk.message.content or chunk.message.additional_kwargs.get("reasoning_content")
            if said or getattr(chunk.message, "tool_call_chunks", None):
                break
    except BaseException:
        await chunks.aclose()
        raise
    if not first:
        raise UpstreamMalformed(
            "The stream ended before it began. Try again; if it stays, check the model's server, and where it cannot stream set "
            "extra = { disable_streaming = true } below the model."
        )
    return first, chunks
