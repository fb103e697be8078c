"""[models]: which models answer, embed and rerank, and what stands around them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field, model_validator

from foundation.settings import Part, Section


class ResilienceSettings(Section):
    attempts: int = Field(default=3, ge=1, le=10)
    """Calls in all, the first included; only errors marked retryable are tried again."""
    retry_share: float = Field(default=0.2, ge=0, le=1)
    """Of a model's calls, how many may be retries once ten saved ones are spent: an outage must not multiply the load."""
    timeout_s: float = Field(default=120, gt=0)
    """For one call in all, retries and fallbacks included."""
    first_token_s: float = Field(default=30, gt=0)
    """Of a streamed reply: the longest wait for its first word. The time to connect belongs to the adapters."""
    gap_s: float = Field(default=15, gt=0)
    """Of a streamed reply: the longest silence after that."""
    wait_max_s: float = Field(default=8, ge=0)
    breaker_failures: int = Field(default=5, ge=1)
    breaker_open_s: float = Field(default=30, gt=0)


class TenantModels(Section):
    """Who answers for one tenant. Without `use`, what is said here stands over `[models.chat]`."""

    chat: Part
    fallbacks: tuple[Part, ...] = ()
    """In the place of `[models] fallbacks`."""


class ModelsSettings(Section):
    chat: Part = Part(use="llama_cpp")
    fallbacks: tuple[Part, ...] = ()
    """Chat parts tried in order when the first one fails."""
    cheaper: tuple[Part, ...] = ()
    """Chat parts that are asked first, the cheapest first; a question goes up where their answer is not sure enough."""
    tenants: dict[str, TenantModels] = Field(default_factory=dict)
    """By the tenant's name, its own chat model: `[models.tenants.NAME.chat]`."""
    embedder: Part = Part(use="openvino")
    reranker: Part = Part(use="none")
    entailment: Part = Part(use="signs")
    """What judges whether a written sentence is supported by what it cites."""
    prices: Part = Part(use="genai")
    resilience: ResilienceSettings = ResilienceSettings()
    machine_usd_per_hour: float = Field(default=0.10, ge=0)
    """What an hour of this machine costs; local models are priced by the seconds that they run."""

    @property
    def parts(self) -> tuple[Part, ...]:
        """Those that may have weights here."""
        of_tenants = [part for tenant in self.tenants.values() for part in (tenant.chat, *tenant.fallbacks)]
        return (self.chat, *self.fallbacks, *self.cheaper, *of_tenants, self.embedder, self.reranker, self.entailment)

    @model_validator(mode="before")
    @classmethod
    def _complete_tenants(cls, values: Any) -> Any:
        if not isinstance(values, Mapping) or not isinstance(values.get("tenants"), Mapping):
            return values
        chat, tenants = values.get("chat"), dict(values["tenants"])
        for name, tenant in tenants.items():
            own = tenant.get("chat") if isinstance(tenant, Mapping) else None
            if isinstance(chat, Mapping) and isinstance(own, Mapping) and "use" not in own:
                tenants[name] = {**tenant, "chat": {**chat, **own}}
        return {**values, "tenants": tenants}
