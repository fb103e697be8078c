"""From a model's reply to a `Call` that can be priced, so that no adapter needs to know about prices."""

from collections.abc import Sequence
from datetime import datetime
from functools import reduce
from typing import Any, cast

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.ai import UsageMetadata, add_usage
from langchain_core.messages.utils import count_tokens_approximately

from foundation.types import Usage
from models.contract import Call

# Key in a reply's metadata: the usage that the provider reported before the first word, used where the end reports none
USAGE_AT_START = "usage_at_start"
# Keys of LangChain's adapters for tokens that were written into the provider's cache, each token under one of them
CACHE_WRITES = ("cache_creation", "ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens")

# A higher count is an error of the provider, as is a negative one, which would lower the bill
MOST_TOKENS = 10**9


def usage_of(message: AIMessage) -> Usage:
    """Return the reported tokens; all fields are `None` where nothing was reported."""
    reported = message.usage_metadata
    at_start: UsageMetadata | None = message.response_metadata.get(USAGE_AT_START)
    if at_start and not (reported and reported["input_tokens"]):
        reported = {**at_start, "output_tokens": reported["output_tokens"] if reported else 0}
    if not reported or not all(is_count(reported[kind]) for kind in ("input_tokens", "output_tokens")):
        return Usage()
    details: dict[str, Any] = {**reported.get("output_token_details", {}), **reported.get("input_token_details", {})}
    read = {name: count for name, count in details.items() if is_count(count)}
    written = [read[name] for name in CACHE_WRITES if name in read]
    return Usage(
        input_tokens=reported["input_tokens"],
        output_tokens=reported["output_tokens"],
        cached_input_tokens=read.get("cache_read"),
        reasoning_tokens=read.get("reasoning"),
        cache_write_tokens=sum(written) if written else None,
    )


def message_until_cut(heard: Sequence[AIMessageChunk], messages: Sequence[BaseMessage]) -> AIMessage:
    """Return what was said before a call was cut off; tokens that the provider had not reported are estimated."""
    text = "".join(chunk.text for chunk in heard)
    metadata = {key: value for chunk in heard for key, value in chunk.response_metadata.items()}
    counted = [at for at, chunk in enumerate(heard) if chunk.usage_metadata]
    if counted and not any(map(_join_written, heard[counted[-1] + 1 :])):  # else it counts a part only
        reported = AIMessage(text, response_metadata=metadata)
        reported.usage_metadata = reduce(add_usage, (heard[at].usage_metadata for at in counted), None)
        if usage_of(reported).output_tokens is not None:
            return reported
    output = "".join(map(_join_written, heard))
    wrote = count_tokens_approximately([AIMessage(output)]) if output else 0
    at_start = metadata.get(USAGE_AT_START) or {"input_tokens": count_tokens_approximately(messages)}
    usage = cast("UsageMetadata", at_start | {"output_tokens": wrote, "total_tokens": at_start["input_tokens"] + wrote})
    return AIMessage(text, usage_metadata=usage, response_metadata=metadata)


def _join_written(chunk: AIMessageChunk) -> str:
    thoughts = [block.get("thinking") for block in chunk.content if isinstance(block, dict)]
    arguments = [call["args"] for call in chunk.tool_call_chunks]
    parts = [chunk.text, *thoughts, *arguments, chunk.additional_kwargs.get("reasoning_content")]
    return "".join(str(part or "") for part in parts)


def is_count(reported: Any) -> bool:
    return isinstance(reported, int) and 0 <= reported <= MOST_TOKENS


def identity(model: BaseChatModel) -> tuple[str, str]:
    """Return (provider, model name) as in telemetry; "unknown" where the model does not say."""
    params = model._get_ls_params()  # noqa: SLF001  # the only place where every LangChain model names both
    return params.get("ls_provider") or "unknown", params.get("ls_model_name") or "unknown"


def is_local(model: BaseChatModel) -> bool:
    """Whether the model runs on this machine, whose time is then its price. A class declares it with `local = True`."""
    # An address on loopback would prove nothing: a gateway to a paid provider may listen there
    return bool(getattr(model, "local", False))


def call_of(model: BaseChatModel, message: AIMessage, *, seconds: float, at: datetime) -> Call:
    """Return the finished call behind `message`, of the model that answered, which may be a fallback of `model`."""
    answering: BaseChatModel = model.who_answered(message) if hasattr(model, "who_answered") else model
    provider, name = identity(answering)
    return Call(
        provider=provider,
        model=str(message.response_metadata.get("model_name") or name),
        usage=usage_of(message),
        seconds=seconds,
        local=is_local(answering),
        at=at,
    )
