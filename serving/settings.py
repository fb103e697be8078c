"""[serving], and the whole configuration: the sections of all six layers, joined."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from foundation import names
from foundation.output.masking import mask_values
from foundation.settings import PREFIX, FoundationSettings, Part, Section, flatten, make_data_dir, read_settings
from models.settings import ModelsSettings
from observability.settings import ObservabilitySettings
from orchestration.settings import OrchestrationSettings
from retrieval.settings import RetrievalSettings

if TYPE_CHECKING:
    from foundation.components import Context


class HttpSettings(Section):
    host: str = "127.0.0.1"
    port: int = Field(default=8600, ge=0, le=65535)
    """0 takes any free port."""
    names: tuple[str, ...] = ()
    """Host names besides loopback and `host` under which the API may be called, e.g. behind a proxy."""
    max_body_bytes: int = Field(default=10_000_000, gt=0)
    """Of an upload."""
    max_json_bytes: int = Field(default=1_000_000, gt=0)
    """Of every other request."""
    concurrent_answers: int = Field(default=4, ge=1)
    queued_answers: int = Field(default=2, ge=0)
    """Beyond this a caller is told at once to come back. Half of the places keeps every wait below half an answer."""
    concurrent_searches: int = Field(default=4, ge=1)
    queued_searches: int = Field(default=32, ge=0)
    concurrent_writes: int = Field(default=2, ge=1)
    queued_writes: int = Field(default=8, ge=0)
    concurrent_reads: int = Field(default=8, ge=1)
    """Lists, documents, conversations, the page: whatever has no places of its own."""
    queued_reads: int = Field(default=64, ge=0)
    patience_s: float = Field(default=20, gt=0)
    """How long the head of a request may take, and how long a body or a reply may stand still."""
    grace_s: float = Field(default=15, gt=0)


class JobSettings(Section):
    """Work that a caller does not wait for (`serving/jobs/queue.py`)."""

    running_per_tenant: int = Field(default=20, ge=1)
    """Jobs that are worked on or wait; the next one is told to come back."""
    mb_per_tenant: float = Field(default=200, gt=0)
    """Of files, questions and outcomes on the disk. The oldest jobs that have ended are forgotten to stay below it, then the next
    one is refused."""


class AnswerCacheSettings(Section):
    """Answers from documents that are given again (`serving/http/answer_cache.py`). They say so, and cost no model."""

    mode: Literal["off", "exact", "semantic"] = "off"
    """`exact`: the same question, spelled the same but for case, spaces and the last mark. `semantic`: also one that means
    the same by its vector and has the same telling words: every entity, number, qualifier and negation."""
    ttl_s: float = Field(default=3600, gt=0)
    min_similarity: float = Field(default=0.9, gt=0, le=1)
    """Cosine of two questions from which they can mean the same. It depends on the embedder: `make bench-cache`."""
    recent: int = Field(default=200, ge=1)
    """Questions that a new one is compared with, for each tenant and set of permissions."""


class Windows(Section):
    """The most in any minute, hour, day or 30 days; a window without a number has no limit."""

    minute: int | None = Field(default=None, ge=0)
    hour: int | None = Field(default=None, ge=0)
    day: int | None = Field(default=None, ge=0)
    month: int | None = Field(default=None, ge=0)


class MoneyWindows(Section):
    """As `Windows`, in dollars."""

    minute: float | None = Field(default=None, ge=0)
    hour: float | None = Field(default=None, ge=0)
    day: float | None = Field(default=None, ge=0)
    month: float | None = Field(default=None, ge=0)


class QuotaLimits(Section):
    """0 lets nothing pass."""

    requests: Windows = Windows()
    tokens: Windows = Windows()
    usd: MoneyWindows = MoneyWindows()
    concurrent: int | None = Field(default=None, ge=1, le=1000)
    """Requests at work at once."""


class QuotaSettings(Section):
    """Counted in `[serving.cache]`: by each process for itself, or with `redis` by all together (`serving/access/quotas.py`)."""

    caller: QuotaLimits = QuotaLimits()
    """For each subject of a tenant, all of its keys and tokens together."""
    tenant: QuotaLimits = QuotaLimits()
    """For each tenant, all of its callers together."""
    tenants: dict[str, QuotaLimits] = Field(default_factory=dict)
    """For a tenant by its name, instead of `tenant`."""


class JwtSettings(Section):
    """Tokens of an identity provider, taken beside API keys once `jwks_file` is named (`serving/access/jwt_tokens.py`)."""

    jwks_file: Path | None = None
    """The provider's public keys, below the data folder unless absolute. Read again when it changes."""
    issuer: str = ""
    audience: str = ""
    algorithms: tuple[
        Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"], ...
    ] = ("RS256", "ES256")
    leeway_s: float = Field(default=30, ge=0, le=600)
    """How far the clocks of the provider and this server may differ."""
    subject_claim: str = "sub"
    tenant_claim: str = "tenant"
    roles_claim: str = "roles"
    groups_claim: str = "groups"
    """Claims are named by their own name, or by the path to them: `realm_access.roles`."""

    @model_validator(mode="after")
    def _whole(self) -> JwtSettings:
        if self.jwks_file is not None and not (self.issuer and self.audience):
            raise ValueError("tokens need an issuer and an audience beside the jwks_file, else any token would do")
        return self


class BrandSettings(Section):
    """Whose system people see: on the page, at the sign-in, in the API's documentation."""

    MOST_BYTES: ClassVar[int] = 200_000
    name: str = Field(default=names.TITLE, min_length=1, max_length=60)
    logo: Path | None = None
    """An SVG without scripts, PNG, JPEG or WebP of at most 200 kB."""
    primary: str | None = Field(default=None, pattern=r"^#[0-9a-fA-F]{6}$")
    """The colour of buttons and links, as #2457c5; dark enough to be read on white."""

    @model_validator(mode="after")
    def _check_logo(self) -> BrandSettings:
        if self.logo is not None:
            try:
                content = self.logo.read_bytes()
            except OSError as error:
                raise ValueError(f"the logo {self.logo} cannot be read: {error.strerror}") from error
            if len(content) > self.MOST_BYTES:
                raise ValueError(f"the logo has {len(content):,} bytes; at most {self.MOST_BYTES:,} are taken")
            self.media_type(content)
        return self

    @model_validator(mode="after")
    def _check_contrast(self) -> BrandSettings:
        if self.primary is not None:
            channels = [int(self.primary[at : at + 2], 16) / 255 for at in (1, 3, 5)]
            red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
            contrast = 1.05 / (0.2126 * red + 0.7152 * green + 0.0722 * blue + 0.05)
            if contrast < 4.5:
                raise ValueError(
                    f"{self.primary} on white has a contrast of {contrast:.1f}; 4.5 can be read. Take a darker one"
                )
        return self

    @staticmethod
    def media_type(content: bytes) -> str:
        """Of a picture, by what it holds and not by its name. Raises ValueError: it is none that is taken."""
        for start, media_type in {
            b"\x89PNG\r\n": "image/png",
            b"\xff\xd8\xff": "image/jpeg",
            b"RIFF": "image/webp",
        }.items():
            if content.startswith(start):
                return media_type
        if re.search(rb"<svg[\s>]", content) is None:
            raise ValueError("the logo is no SVG, PNG, JPEG or WebP")
        refused = re.search(
            rb"<\s*(?:[\w-]+:)?(?:script|foreignObject|iframe|style|!DOCTYPE|!ENTITY)\b|\bon\w+\s*=|javascript:|href\s*=\s*[\"'](?!#)|url\((?!#)",
            content,
            re.IGNORECASE,
        )
        if refused:
            raise ValueError(f"the logo holds {refused[0].decode(errors='replace')!r}: an SVG may hold shapes alone")
        return "image/svg+xml"


class ServingSettings(Section):
    brand: BrandSettings = BrandSettings()
    http: HttpSettings = HttpSettings()
    jobs: JobSettings = JobSettings()
    workers: int = Field(default=1, ge=1)
    """Processes on one socket. More than one need stores that several can hold: PostgreSQL, pgvector and Redis."""
    cache: Part = Part(use="memory")
    """What workers share and may forget: counters of the quotas, answers for a while."""
    answer_cache: AnswerCacheSettings = AnswerCacheSettings()
    keys_file: Path = Path("keys.json")
    """Hashed API keys with tenant, roles and groups; below the data folder unless absolute."""
    jwt: JwtSettings = JwtSettings()
    quotas: QuotaSettings = QuotaSettings()


class Settings(BaseSettings):
    """All six layers. Build it with `load`, which knows where each value came from."""

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
    """The settings, and for each dotted key that was set on purpose the place that set it."""

    settings: Settings
    origins: Mapping[str, str]

    def rows(self) -> Iterator[tuple[str, str, str]]:
        """Every value in force as (dotted key, printable value with secrets masked, origin)."""
        for key, value in flatten(mask_values(self.settings.model_dump(mode="python"))):
            yield key, str(value), self.origins.get(key, "default")


def context_of(settings: Settings) -> Context:
    """What every part may know of the system around it. Makes the data folder. Raises InvalidSetting: the folder cannot be made
    or written."""
    from foundation.components import Context

    return Context(
        data_dir=make_data_dir(settings.foundation.data_dir),
        seed=settings.foundation.seed,
        threads=settings.foundation.threads,
        machine_usd_per_hour=settings.models.machine_usd_per_hour,
    )


def load(
    path: Path = Path("stack.toml"), *, profile: str | None = None, overrides: Mapping[str, Any] | None = None
) -> Loaded:
    """Read, merge and check the configuration. Raises as `read_settings`."""
    return Loaded(*read_settings(Settings, path, profile=profile, overrides=overrides))
