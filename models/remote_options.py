"""Options of all chat models on other machines."""

from typing import Any

from langchain_core.language_models import BaseChatModel, ModelProfile
from pydantic import Field, field_validator

from models.resilience.http_clients import RemoteOptions


class RemoteChatOptions(RemoteOptions):
    section = "models.chat"

    temperature: float | None = Field(default=None, ge=0)
    """Sampling temperature; `None` sends none, since newer models accept only their own. 0 makes most replies repeatable."""
    max_tokens: int = Field(default=4096, ge=1)
    """Most tokens of one reply, including the model's thinking."""
    profile: ModelProfile | None = None
    """Abilities of the model, such as `{ tool_calling = true, structured_output = true }`; `None`: what LangChain
    knows of it. False ones are refused, unknown ones tried."""
    extra: dict[str, Any] = Field(default_factory=dict)
    """Further options of LangChain's class, such as `{ reasoning_effort = "low" }`; unknown ones go to its client."""
    keep_alive: bool = False
    """Whether connections are reused. Only for calls from a single event loop, as in the API server."""

    @field_validator("extra")
    @classmethod
    def _has_no_option_of_ours(cls, extra: dict[str, Any]) -> dict[str, Any]:
        ours = sorted(extra.keys() & {*cls.model_fields, "max_retries", "timeout", "http_client", "http_async_client"})
        if ours:
            raise ValueError(f'"{ours[0]}" belongs beside "extra", not into it, or is set by the adapter')
        return extra

    def extra_for(self, chat: type[BaseChatModel]) -> dict[str, Any]:
        """Return `extra` as keyword arguments of that class."""
        names = {*chat.model_fields, *(field.alias for field in chat.model_fields.values())}
        unknown = {name: value for name, value in self.extra.items() if name not in names}
        model_kwargs = {**self.extra.get("model_kwargs", {}), **unknown}
        return {name: self.extra[name] for name in self.extra.keys() & names} | {"model_kwargs": model_kwargs}
