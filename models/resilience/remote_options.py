"""The options that the chat models of other machines have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_core.language_models import BaseChatModel, ModelProfile
from pydantic import Field, SecretStr, field_validator

from foundation.settings import Section
from models.resilience.http_clients import clients

if TYPE_CHECKING:
    import httpx2


class RemoteChatOptions(Section):
    model: str
    api_key: SecretStr | None = None
    """Needed everywhere but on this machine."""
    temperature: float | None = Field(default=None, ge=0)
    """`None` sends none: the newer models accept no other than their own. 0 makes most others repeat themselves."""
    max_tokens: int = Field(default=4096, ge=1)
    """Of one reply at most; what a model thinks counts as well."""
    profile: ModelProfile | None = None
    """What the model can, such as `{ tool_calling = true, structured_output = true }`; `None` is what LangChain knows of
    the vendors' own models. What is false is refused, and what is not said is tried."""
    extra: dict[str, Any] = Field(default_factory=dict)
    """Any other option of LangChain's class, such as `{ reasoning_effort = "low" }`; what it does not know is for its client."""
    connect_timeout_s: float = Field(default=5, gt=0)
    read_timeout_s: float = Field(default=60, gt=0)
    """The longest silence: before the first token, between two, or before a whole reply that is not streamed."""
    keep_alive: bool = False
    """Reuse connections. Only where all calls come from one event loop, as in the API server."""

    def connect(self, *, proxies: bool = True) -> tuple[httpx2.Client, httpx2.AsyncClient]:
        """The connections of one model, as `clients`."""
        connect_s, read_s = self.connect_timeout_s, self.read_timeout_s
        return clients(connect_s=connect_s, read_s=read_s, keep_alive=self.keep_alive, proxies=proxies)

    @field_validator("extra")
    @classmethod
    def _has_no_option_of_ours(cls, extra: dict[str, Any]) -> dict[str, Any]:
        ours = sorted(extra.keys() & {*cls.model_fields, "max_retries", "timeout", "http_client", "http_async_client"})
        if ours:
            raise ValueError(f'"{ours[0]}" belongs beside "extra", not into it, or is set by the adapter')
        return extra

    def extra_for(self, chat: type[BaseChatModel]) -> dict[str, Any]:
        """`extra` as keywords of that class."""
        known = {*chat.model_fields, *(field.alias for field in chat.model_fields.values())}
        unknown = {name: value for name, value in self.extra.items() if name not in known}
        model_kwargs = {**self.extra.get("model_kwargs", {}), **unknown}
        return {name: self.extra[name] for name in self.extra.keys() & known} | {"model_kwargs": model_kwargs}
