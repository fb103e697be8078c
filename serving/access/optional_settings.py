"""The sections [serving.jobs], answer_cache, jwt and quotas. This file goes when nothing of these is left."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, NonNegativeFloat, NonNegativeInt, model_validator

from foundation.settings import Section, one_of


class JobSettings(Section):
    """Background jobs (`serving/jobs/queue.py`)."""

    running_per_tenant: int = Field(default=20, ge=1)
    """Maximum running and waiting jobs of a tenant; the next one is refused for now."""
    mb_per_tenant: float = Field(default=200, gt=0)
    """Disk space of a tenant's files, questions and outcomes. Full: the oldest ended jobs go, then new ones are refused."""


class AnswerCacheSettings(Section):
    """The cache of cited answers (`serving/http/answer_cache.py`). Cached answers are marked and need no model."""

    mode: Literal["off", "exact", "semantic"] = "off"
    """`exact`: the same question but for case, spaces and the final mark. `semantic`: also a question with a near
    vector and the same significant words: every entity, number, qualifier and negation."""
    ttl_s: float = Field(default=3600, gt=0)
    min_similarity: float = Field(default=0.9, gt=0, le=1)
    """Minimum cosine of two questions that may mean the same. It depends on the embedder: see `make bench-cache`."""


Window = Annotated[str, one_of(("minute", "hour", "day", "month"))]


class Limits(Section):
    """Limits of one caller or tenant, in any minute, hour, day or 30 days: unset for none; 0 refuses everything."""

    requests: Mapping[Window, NonNegativeInt] = {}
    """Such as `{ minute = 60, month = 100_000 }`."""
    tokens: Mapping[Window, NonNegativeInt] = {}
    usd: Mapping[Window, NonNegativeFloat] = {}
    """Of a tenant's day not here, but as its budget in `[orchestration.budget]`."""
    concurrent: int | None = Field(default=None, ge=1, le=1000)
    """Maximum concurrent requests. Without it, 64 of a caller in each process."""


def _refuse_day(limits: Limits) -> Limits:
    # a moved limit could hold less than it did: a budget has other places for it, and counts on one disk
    if "day" in limits.usd:
        raise ValueError("a tenant's dollars of a day are a budget: [orchestration.budget] tenant_day or tenants.NAME")
    return limits


TenantLimits = Annotated[Limits, AfterValidator(_refuse_day)]


class QuotaSettings(Section):
    """Quotas (`serving/http/quotas.py`). `[serving.cache]` counts: each process for itself, or with `redis` all."""

    caller: Limits = Limits()
    """For each subject of a tenant, with all of its keys and tokens."""
    tenant: TenantLimits = Limits()
    """For each tenant, all of its callers together."""
    tenants: dict[str, TenantLimits] = Field(default_factory=dict)
    """For tenants by name, in place of `tenant`."""


CLAIMS: Mapping[str, str] = {"subject": "sub", "tenant": "tenant", "roles": "roles", "groups": "groups"}
Claims = Mapping[Annotated[str, one_of(CLAIMS)], Annotated[str, Field(min_length=1)]]


class JwtSettings(Section):
    """Tokens of an identity provider, accepted besides API keys once `jwks_file` is set."""

    jwks_file: Path | None = None
    """The provider's public keys, below the data folder unless absolute. Read again when the file changes."""
    issuer: str = ""
    audience: str = ""
    algorithms: tuple[
        Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"], ...
    ] = ("RS256", "ES256")
    claims: Annotated[Claims, AfterValidator(lambda given: {**CLAIMS, **given})] = CLAIMS
    """The claim that holds each part of a caller, by its name or path, such as `realm_access.roles`."""

    @model_validator(mode="after")
    def _whole(self) -> JwtSettings:
        if self.jwks_file is not None and not (self.issuer and self.audience):
            raise ValueError("tokens need an issuer and an audience beside the jwks_file, else any token would do")
        return self


class OptionalSections(Section):
    jobs: JobSettings = JobSettings()
    answer_cache: AnswerCacheSettings = AnswerCacheSettings()
    jwt: JwtSettings = JwtSettings()
    quotas: QuotaSettings = QuotaSettings()
