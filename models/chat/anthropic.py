"""Claude models through Anthropic's messages API, or any server that speaks it."""

from functools import cached_property
from typing import Any

import anthropic
import httpx2
from langchain_anthropic import ChatAnthropic
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessageChunk
from langchain_core.messages.ai import InputTokenDetails, UsageMetadata
from pydantic import Field, PrivateAttr

from foundation.components import Context
from models.pricing import USAGE_AT_START
from models.remote_options import RemoteChatOptions

ANTHROPIC = "https://api.anthropic.com"
# Request arguments that make the provider cache the prompt up to its last cacheable block
MARK = {"type": "ephemeral"}
CACHE_PROMPTS = {"cache_control": MARK}


class Options(RemoteChatOptions):
    base_url: str = Field(default=ANTHROPIC, pattern="^https?://")
    """Address without the version."""
    cache_prompts: bool | None = None
    """Whether the provider caches prompts for the next round, for a price; `None`: only at Anthropic's own address."""


class AnthropicChat(ChatAnthropic):
    """LangChain's client with our own connections. Its own have a single timeout, and all event loops share them."""

    _http: tuple[httpx2.Client, httpx2.AsyncClient] = PrivateAttr()

    def _get_request_payload(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        payload: dict[str, Any] = super()._get_request_payload(*args, **kwargs)
        if "cache_control" in payload:
            # the mark of the whole prompt serves one conversation; these two serve every one with the same tools and instructions
            if tools := payload.get("tools"):
                payload["tools"] = [*tools[:-1], {**tools[-1], **CACHE_PROMPTS}]
            system = payload.get("system")
            blocks = [{"type": "text", "text": system}] if isinstance(system, str) and system else system
            if blocks:
                payload["system"] = [*blocks[:-1], {**blocks[-1], **CACHE_PROMPTS}]
        return payload

    @cached_property
    def _client(self) -> anthropic.Client:
        return anthropic.Client(**self._own_params, http_client=self._http[0])

    @cached_property
    def _async_client(self) -> anthropic.AsyncClient:
        return anthropic.AsyncClient(**self._own_params, http_client=self._http[1])

    @property
    def _own_params(self) -> dict[str, Any]:
        return {**self._client_params, "timeout": self._http[0].timeout}

    def _make_message_chunk_from_anthropic_event(self, event: Any, **options: Any) -> tuple[AIMessageChunk | None, Any]:
        # the parent takes the input usage from the end, where not every server repeats it and which an abandoned stream never has
        chunk, block = super()._make_message_chunk_from_anthropic_event(event, **options)
        if event.type == "message_start" and chunk is not None:
            kinds = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
            # The provider counts the three apart; some servers of its API count nothing yet
            fresh, reads, writes = (getattr(event.message.usage, kind, None) or 0 for kind in kinds)
            total = fresh + reads + writes
            details = InputTokenDetails(cache_read=reads, cache_creation=writes)
            chunk.response_metadata[USAGE_AT_START] = UsageMetadata(
                input_tokens=total, output_tokens=0, total_tokens=total, input_token_details=details
            )
        return chunk, block

    def close(self) -> None:
        """Close idle connections. A second call does nothing."""
        self._http[0].close()


def build(options: Options, context: Context) -> BaseChatModel:  # noqa: ARG001  # every adapter has this signature
    """Create the client; nothing is connected yet. Raises MissingCredential: there is no key."""
    own_address = options.base_url.rstrip("/") == ANTHROPIC
    caches = own_address if options.cache_prompts is None else options.cache_prompts
    extra = options.extra_for(AnthropicChat)
    model = AnthropicChat(
        model=options.model,
        api_key=options.key(),
        base_url=options.base_url,
        temperature=options.temperature,
        max_tokens=options.max_tokens,
        profile=options.profile,
        max_retries=0,  # resilience/attempts.py tries again, for all models alike
        **extra | {"model_kwargs": (CACHE_PROMPTS if caches else {}) | extra.get("model_kwargs", {})},
    )
    model._http = options.connect(keep_alive=options.keep_alive)  # noqa: SLF001  # private to pydantic; this is its maker
    return model
