"""From a model's reply to a priced call: plain functions, so that no adapter needs to know about money."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.messages.ai import UsageMetadata

from foundation.types import Usage
from models.contract import Call

USAGE_AT_START = "usage_at_start"
"""In the metadata of a reply: the usage that its provider told before the first word, for a reply whose end tells none."""
CACHE_WRITES = ("cache_creation", "ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens")
"""Under which LangChain's adapters tell the tokens that a provider has put into its cache, each of them once."""


def usage_of(message: AIMessage) -> Usage:
    """The tokens that the provider reported; `None` in every field where it reported none."""
    reported = message.usage_metadata
    at_start: UsageMetadata | None = message.response_metadata.get(USAGE_AT_START)
    if at_start and not (reported and reported["input_tokens"]):
        reported = {**at_start, "output_tokens": reported["output_tokens"] if reported else 0}
    if reported is None:
        return Usage()
    read: Mapping[str, Any] = reported.get("input_token_details", {})
    written = [read[name] for name in CACHE_WRITES if read.get(name) is not None]
    return Usage(
        input_tokens=reported["input_tokens"],
        output_tokens=reported["output_tokens"],
        cached_input_tokens=read.get("cache_read"),
        reasoning_tokens=reported.get("output_token_details", {}).get("reasoning"),
        cache_write_tokens=sum(written) if written else None,
    )


def empty_reply_of(message: AIMessage) -> str:
    """Why a reply without words is none, for whoever configured the model.

    >>> empty_reply_of(AIMessage(""))
    'The chat model gave an empty reply. Use another one.'
    """
    usage = usage_of(message)
    if usage.reasoning_tokens:
        return (
            f"The chat model used {usage.reasoning_tokens} of {usage.output_tokens} tokens for thinking and wrote no word. Give it more: "
            '[models.chat] max_tokens, or let it think less: extra = { reasoning_effort = "low" }.'
        )
    return "The chat model gave an empty reply. Use another one."


def identity(model: BaseChatModel) -> tuple[str, str]:
    """(provider, model name) as telemetry has them; "unknown" where the model does not say."""
    params = model._get_ls_params()  # noqa: SLF001  # the only place where every LangChain model names both
    return params.get("ls_provider") or "unknown", params.get("ls_model_name") or "unknown"


def is_local(model: BaseChatModel) -> bool:
    """Whether it computes on this machine, whose time is then its price. A class says so with `local = True`.

    An address on loopback proves nothing: a gateway to a paid provider may listen there.
    """
    return bool(getattr(model, "local", False))


def call_of(model: BaseChatModel, message: AIMessage, *, seconds: float, at: datetime) -> Call:
    """The finished call behind `message`, charged to the model that answered, which may be a fallback of `model`."""
    who_answered = getattr(model, "who_answered", None)
    answering: BaseChatModel = who_answered(message) if callable(who_answered) else model
    provider, name = identity(answering)
    return Call(
        provider=provider,
        model=str(message.response_metadata.get("model_name") or name),
        usage=usage_of(message),
        seconds=seconds,
        local=is_local(answering),
        at=at,
    )
