"""The section [serving], and the whole configuration, joined from the sections of all six layers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import AfterValidator, Field, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from foundation import names
from foundation.components import Context, load_if_there
from foundation.output.credentials import mask_values
from foundation.settings import PREFIX, FoundationSettings, Part, Section, flatten, make_data_dir, read_settings
from models.settings import ModelsSettings
from observability.settings import ObservabilitySettings
from orchestration.settings import OrchestrationSettings
from retrieval.settings import RetrievalSettings

Number = TypeVar("Number", int, float)


class HttpSettings(Section):
    host: str = "127.0.0.1"
    port: int = Field(default=8600, ge=0, le=65535)
    """TCP port; 0 for any free one."""
    names: tuple[str, ...] = ()
    """Host names, besides loopback and `host`, under which the API is reachable, such as behind a proxy."""
    max_body_bytes: int = Field(default=10_000_000, gt=0)
    """Maximum size of an upload."""
    max_json_bytes: int = Field(default=1_000_000, gt=0)
    """Maximum size of every other request body."""
    concurrent_answers: int = Field(default=4, ge=1)
    queued_answers: int = Field(default=2, ge=0)
    """Answers that may wait; others get 503 at once. Half of `concurrent_answers` keeps waits below half an answer."""
    concurrent_searches: int = Field(default=4, ge=1)
    queued_searches: int = Field(default=32, ge=0)
    concurrent_writes: int = Field(default=2, ge=1)
    queued_writes: int = Field(default=8, ge=0)
    concurrent_reads: int = Field(default=8, ge=1)
    """Lists, documents, conversations and the page: all work without a limit of its own."""
    queued_reads: int = Field(default=64, ge=0)
    patience_s: float = Field(default=20, gt=0)
    """Seconds that the head of a request may take, and that a body or a reply may stall."""
    grace_s: float = Field(default=15, gt=0)


class JobSettings(Section):
    """Background jobs (`serving/jobs/queue.py`)."""

    running_per_tenant: int = Field(default=20, ge=1)
    """Maximum running and waiting jobs of a tenant; the next one is refused for now."""
    mb_per_tenant: float = Field(default=200, gt=0)
    """Space on disk for a tenant's files, questions and outcomes. When it is full, the oldest ended jobs are
    deleted; then new ones are refused."""


class AnswerCacheSettings(Section):
    """The cache of cited answers (`serving/http/answer_cache.py`). Cached answers are marked and need no model."""

    mode: Literal["off", "exact", "semantic"] = "off"
    """`exact`: the same question but for case, spaces and the final mark. `semantic`: also a question with a near
    vector and the same significant words: every entity, number, qualifier and negation."""
    ttl_s: float = Field(default=3600, gt=0)
    min_similarity: float = Field(default=0.9, gt=0, le=1)
    """Minimum cosine of two questions that may mean the same. It depends on the embedder: see `make bench-cache`."""
    recent: int = Field(default=200, ge=1)
    """Questions kept for comparison, for each tenant and set of permissions."""


class Windows(Section, Generic[Number]):
    """Maximum in each window."""

    minute: Number | None = Field(default=None, ge=0)
    hour: Number | None = Field(default=None, ge=0)
    day: Number | None = Field(default=None, ge=0)
    month: Number | None = Field(default=None, ge=0)


class Limits(Section):
    """Limits of one caller or tenant, in any minute, hour, day or 30 days: unset for none; 0 refuses everything."""

    requests: Windows[int] = Windows[int]()
    tokens: Windows[int] = Windows[int]()
    usd: Windows[float] = Windows[float]()
    concurrent: int | None = Field(default=None, ge=1, le=1000)
    """Maximum concurrent requests."""


def _refuse_day(limits: Limits) -> Limits:
    # a moved limit could hold less than it did: a budget has other places for it, and counts on one disk
    if limits.usd.day is not None:
        raise ValueError(
            "the dollars of a tenant's day are a budget: [orchestration.budget] tenant_day or tenants.NAME"
        )
    return limits


TenantLimits = Annotated[Limits, AfterValidator(_refuse_day)]


class QuotaSettings(Section):
    """Quotas (`serving/access/quotas.py`). `[serving.cache]` counts: each process for itself, or with `redis` all."""

    caller: Limits = Limits()
    """For each subject of a tenant, with all of its keys and tokens."""
    tenant: TenantLimits = Limits()
    """For each tenant, all of its callers together."""
    tenants: dict[str, TenantLimits] = Field(default_factory=dict)
    """For tenants by name, in place of `tenant`."""


class JwtSettings(Section):
    """Tokens of an identity provider, accepted besides API keys once `jwks_file` is set."""

    jwks_file: Path | None = None
    """The provider's public keys, below the data folder unless absolute. Read again when the file changes."""
    issuer: str = ""
    audience: str = ""
    algorithms: tuple[
        Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"], ...
    ] = ("RS256", "ES256")
    leeway_s: float = Field(default=30, ge=0, le=600)
    """Maximum difference between the clocks of the provider and this server."""
    subject_claim: str = "sub"
    tenant_claim: str = "tenant"
    roles_claim: str = "roles"
    groups_claim: str = "groups"
    """Claims are given by name, or by path, such as `realm_access.roles`."""

    @model_validator(mode="after")
    def _whole(self) -> JwtSettings:
        if self.jwks_file is not None and not (self.issuer and self.audience):
            raise ValueError("tokens need an issuer and an audience beside the jwks_file, else any token would do")
        return self


class BrandSettings(Section):
    """Name and look of the page, the sign-in and the API's documentation."""

    name: str = Field(default=names.TITLE, min_length=1, max_length=60)
    logo: Path | None = None
    """An SVG without scripts, a PNG, JPEG or WebP of at most 200 kB."""
    primary: str | None = Field(default=None, pattern=r"^#[0-9a-fA-F]{6}$")
    """Colour of buttons and links, such as #2457c5; dark enough to be read on white."""

    @model_validator(mode="after")
    def _check(self) -> BrandSettings:
        if (self.logo or self.primary) and (brand := load_if_there("serving.page.brand")):
            brand.check(self)
        return self


class ServingSettings(Section):
    brand: BrandSettings = BrandSettings()
    http: HttpSettings = HttpSettings()
    jobs: JobSettings = JobSettings()
    workers: int = Field(default=1, ge=1)
    """Processes on one socket. More than one need shared stores: PostgreSQL, pgvector and Redis."""
    cache: Part = Part(use="memory")
    """Memory that workers share and may lose: counters of quotas, cached answers."""
    answer_cache: AnswerCacheSettings = AnswerCacheSettings()
    keys_file: Path = Path("keys.json")
    """Hashed API keys with tenant, roles and groups; below the data folder unless absolute."""
    jwt: JwtSettings = JwtSettings()
    quotas: QuotaSettings = QuotaSettings()


class Settings(BaseSettings):
    """The sections of all six layers. Build it with `load`, which records the origin of each value."""

    model_config = SettingsConfigDict(
        extra="forbid",
        frozen=True,
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        nested_model_default_partial_update=True,
    )

    foundation: FoundationSettings = FoundationSettings()
    models: ModelsSettings = ModelsSettings()
    retrieval: RetrievalSettings = RetrievalSettings()
    orchestration: OrchestrationSettings = OrchestrationSettings()
    serving: ServingSettings = ServingSettings()
    observability: ObservabilitySettings = ObservabilitySettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the five arguments are pydantic-settings' interface
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)  # `load` merges the sources itself, because it must remember the origin of each value


@dataclass(frozen=True)
class Loaded:
    """The settings, and the origin of each dotted key that was set explicitly."""

    settings: Settings
    origins: Mapping[str, str]

    def rows(self) -> Iterator[tuple[str, str, str]]:
        """Yield every value as dotted key, printable value with secrets masked, and origin."""
        for key, value in flatten(mask_values(self.settings.model_dump(mode="python"))):
            yield key, str(value), self.origins.get(key, "default")


def context_of(settings: Settings) -> Context:
    """Return the context that every part gets. Raises InvalidSetting: the data folder cannot be made or written."""
    return Context(
        data_dir=make_data_dir(settings.foundation.data_dir),
        seed=settings.foundation.seed,
        threads=settings.foundation.threads,
        machine_usd_per_hour=settings.models.machine_usd_per_hour,
    )


def load(
    path: Path = Path("stack.toml"), *, profile: str | None = None, overrides: Mapping[str, Any] | None = None
) -> Loaded:
    """Read, merge and validate the configuration. Raises as `read_settings`."""
    return Loaded(*read_settings(Settings, path, profile=profile, overrides=overrides))
