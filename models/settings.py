"""[models]: which models answer, embed and rerank, and their resilience."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, StringConstraints, model_validator

from foundation.settings import Part, Section

# As a client of OpenAI's API may name it
ModelName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$")]


class ResilienceSettings(Section):
    attempts: int = Field(default=3, ge=1, le=10)
    """Most attempts of a call, including the first; only retryable errors are retried."""
    timeout_s: float = Field(default=120, gt=0)
    """Time limit of one call, including retries and fallbacks."""
    first_token_s: float = Field(default=30, gt=0)
    """Longest wait for the first word of a streamed reply. The time to connect is set by adapters."""
    gap_s: float = Field(default=15, gt=0)
    """Longest silence within a streamed reply."""


class TenantModels(Section):
    """The chat model of one tenant. Without `use`, its options are merged over those of `[models.chat]`."""

    chat: Part
    fallbacks: tuple[Part, ...] = ()
    """Fallbacks in place of `[models] fallbacks`."""


class ModelsSettings(Section):
    chat: Part = Part(use="llama_cpp")
    fallbacks: tuple[Part, ...] = ()
    """Chat parts tried in order when the first one fails."""
    choices: dict[ModelName, Part] = Field(default_factory=dict)
    """Chat models that whoever asks may choose instead, by the name that is shown: `[models.choices.NAME]`. Without `use`, over `[models.chat]`."""
    tenants: dict[str, TenantModels] = Field(default_factory=dict)
    """Chat models of tenants, by name: `[models.tenants.NAME.chat]`."""
    embedder: Part = Part(use="openvino")
    reranker: Part = Part(use="none")
    entailment: Part = Part(use="signs")
    """The judge of whether citations support a written sentence."""
    prices: Part = Part(use="genai")
    resilience: ResilienceSettings = ResilienceSettings()
    machine_usd_per_hour: float = Field(default=0.10, ge=0)
    """Price of an hour of this machine; local models are charged by their running time."""

    @property
    def parts(self) -> tuple[Part, ...]:
        """All parts that may have weights on this machine."""
        of_tenants = [part for tenant in self.tenants.values() for part in (tenant.chat, *tenant.fallbacks)]
        offered = (*self.choices.values(), *of_tenants)
        return (self.chat, *self.fallbacks, *offered, self.embedder, self.reranker, self.entailment)

    @model_validator(mode="before")
    @classmethod
    def _complete_parts(cls, values: Any) -> Any:
        if not isinstance(values, Mapping) or not isinstance(chat := values.get("chat"), Mapping):
            return values

        def complete(own: Any) -> Any:
            return {**chat, **own} if isinstance(own, Mapping) and "use" not in own else own

        completed = dict(values)
        if isinstance(tenants := values.get("tenants"), Mapping):
            completed["tenants"] = {
                name: {**tenant, "chat": complete(tenant["chat"])}
                if isinstance(tenant, Mapping) and "chat" in tenant
                else tenant
                for name, tenant in tenants.items()
            }
        if isinstance(choices := values.get("choices"), Mapping):
            completed["choices"] = {name: complete(own) for name, own in choices.items()}
        return completed
