"""The configuration in force: `stack.toml`, then its profile, then the environment; frozen, checked, with origins.

    SIXPLY__MODELS__CHAT__USE=anthropic   overrides   [models.chat] use
    SIXPLY_PROFILE=test                   adds        [profiles.test] of stack.toml over the rest

Every port is a section `[layer.port]` whose `use` names the part; the other keys are that part's own options and are
checked by the part itself (`foundation.components`).
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, IPvAnyNetwork, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from foundation.errors import InvalidSetting, UnknownSetting, did_you_mean
from foundation.output.masking import is_secret, mask_values

PREFIX = "SIXPLY__"
SECRET_NAMES = ("api_key", "password", "secret", "token", "dsn")
EVERYBODY = "*"
"""In the policy: every role, every tenant, every name."""


class Section(BaseModel):
    """A frozen section; a key that it does not know is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Part(BaseModel):
    """Which adapter fills a port, and the options for it. Values whose key names a secret are masked from here on."""

    model_config = ConfigDict(extra="allow", frozen=True)

    use: str = Field(min_length=1)

    @model_validator(mode="before")
    @classmethod
    def _mask_secrets(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        return {
            key: SecretStr(value) if isinstance(value, str) and key.endswith(SECRET_NAMES) else value
            for key, value in values.items()
        }

    @property
    def options(self) -> dict[str, Any]:
        return dict(self.model_extra or {})


class RetentionSettings(Section):
    """How long each class of what is kept may stay, in days; without a number for good. `make retention` applies it."""

    spans_days: float | None = Field(default=30, gt=0)
    conversations_days: float | None = Field(default=None, gt=0)
    """Since anything was said in them."""
    approvals_days: float | None = Field(default=None, gt=0)
    """Decided or expired ones. The audit, the effects and the costs hold no words and stay."""


class ClusterSettings(Section):
    """More machines than this one: `use = "ray"` prepares documents and serves on a Ray cluster (docs/scale.md)."""

    use: Literal["none", "ray"] = "none"
    address: str = ""
    """Of the cluster's head, `host:6379`. Empty: RAY_ADDRESS, or else a cluster of this machine alone."""
    cpus: float = Field(default=1, gt=0)
    """Processors that a worker holds while it prepares documents, and a replica while it lives."""
    replicas: int = Field(default=1, ge=1)
    """Processes that answer the API."""


class LoggingSettings(Section):
    """Of `make serve`, on standard error. Never what people wrote: `observability/telemetry/logs.py`."""

    format: Literal["json", "text"] = "json"
    """`json`: a line for each request, too, with its id, trace and tenant. `text`: for reading along at a terminal."""
    level: Literal["debug", "info", "warning", "error"] = "info"


class FoundationSettings(Section):
    data_dir: Path = Path("var")
    """Everything that the system writes lies below this folder."""
    retention: RetentionSettings = RetentionSettings()
    cluster: ClusterSettings = ClusterSettings()
    logging: LoggingSettings = LoggingSettings()
    seed: int = 7
    threads: int = Field(default=2, ge=1)
    """CPU threads of the local models. More than the free cores makes them wait for each other."""


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


class ModelsSettings(Section):
    chat: Part = Part(use="llama_cpp")
    fallbacks: tuple[Part, ...] = ()
    """Chat parts tried in order when the first one fails."""
    embedder: Part = Part(use="openvino")
    reranker: Part = Part(use="none")
    prices: Part = Part(use="genai")
    resilience: ResilienceSettings = ResilienceSettings()
    machine_usd_per_hour: float = Field(default=0.10, ge=0)
    """What an hour of this machine costs; local models are priced by the seconds that they run."""

    @property
    def parts(self) -> tuple[Part, ...]:
        """Those that may have weights here."""
        return (self.chat, *self.fallbacks, self.embedder, self.reranker)


class ParsingSettings(Section):
    max_bytes: int = Field(default=20_000_000, gt=0)
    max_pages: int = Field(default=500, gt=0)
    max_characters: int = Field(default=5_000_000, gt=0)
    timeout_s: float = Field(default=10, gt=0)
    memory_mb: int = Field(default=512, gt=0)
    """Of the parsing process, its libraries included, which take about 180."""
    keep_refused_mb: float = Field(default=200, ge=0)
    """How much of what was refused is kept below the data folder for `make ingest RETRY=1`; 0 keeps nothing."""


class FetchingSettings(Section):
    """Documents from addresses, `make ingest SRC=https://...`. Whoever names an address makes this machine call it."""

    enabled: bool = False
    hosts: tuple[str, ...] = ()
    """Only these hosts, as `example.com` or `.example.com` for all below it; empty: any that is public."""
    networks: tuple[IPvAnyNetwork, ...] = ()
    """Networks that may be called although they are not public, e.g. `10.1.0.0/16`."""
    schemes: tuple[Literal["https", "http"], ...] = ("https",)
    ports: tuple[int, ...] = (443, 80)
    redirects: int = Field(default=3, ge=0, le=20)
    timeout_s: float = Field(default=20, gt=0)
    """For all of it, redirects included."""


class RankingSettings(Section):
    top_k: int = Field(default=10, ge=1)
    """Documents served for one query."""
    candidates: int = Field(default=150, ge=1)
    """Passages fetched by each leg before fusion."""
    keyword_weight: float = Field(default=0.45, ge=0)
    vector_weight: float = Field(default=0.55, ge=0)
    foreign_vector_weight: float = Field(default=0.15, ge=0)
    """`vector_weight` for a query that is not in Latin letters: the bundled embedder reads English. With a multilingual
    one, set both alike."""
    reranked: int = Field(default=20, ge=1)
    """Documents that the reranker sees; what stands below keeps its place."""
    rerank_weight: float = Field(default=0.5, ge=0, le=1)
    """How much the reranker decides, against the fusion: 1 is its order alone."""


class GroundingSettings(Section):
    min_evidence: float = Field(default=0.46, ge=0, le=1)
    """Below this confidence in the evidence (`Grounding.confidence`) the answer is an abstention. `make calibrate` says where
    it should be."""
    min_support: float = Field(default=0.6, ge=0, le=1)
    """A generated sentence must be supported this well by its cited span."""
    foreign_wording: float = Field(default=0.5, ge=0, le=1)
    """Where most letters of a question are not Latin ones, how much its words count beside the tokens of the embedder when a
    sentence is chosen. The bundled one knows their letters rather than their words; 0 suits one of many languages."""


class RetrievalSettings(Section):
    ledger: Part = Part(use="sqlite")
    vectors: Part = Part(use="chroma")
    chunker: Part = Part(use="structure")
    parsing: ParsingSettings = ParsingSettings()
    fetching: FetchingSettings = FetchingSettings()
    keep_replaced: bool = True
    """What a document said on earlier days is kept when it is replaced, for questions about such a day."""
    ranking: RankingSettings = RankingSettings()
    grounding: GroundingSettings = GroundingSettings()


class AnswerSettings(Section):
    compose: Literal["auto", "extractive", "generative"] = "auto"
    rewrites: int = Field(default=1, ge=0, le=5)
    evidence: int = Field(default=6, ge=1)
    """Documents whose sentences are looked at."""
    passages: int = Field(default=3, ge=1)
    """Passages of each of them."""
    max_question_characters: int = Field(default=8_000, ge=1)


class DayLimits(Section):
    """Of one day (UTC); unset, there is no limit."""

    usd: float | None = Field(default=None, ge=0)
    tokens: int | None = Field(default=None, ge=0)


class BudgetSettings(Section):
    """What one request may use up, and what its model calls may cost in a day. Reserved before each call."""

    steps: int = Field(default=20, ge=1)
    tokens: int = Field(default=20_000, ge=1)
    usd: float = Field(default=0.05, ge=0)
    seconds: float = Field(default=60, gt=0)
    day: DayLimits = DayLimits()
    """For all tenants together."""
    tenant_day: DayLimits = DayLimits()
    """For each tenant."""
    tenants: dict[str, DayLimits] = {}
    """For a tenant by its name, instead of `tenant_day`."""
    warn_share: float = Field(default=0.8, gt=0, le=1)
    """Of a day's limit: from here on the log warns, once a day for each, and `sixply_budget_used_share` is to alert."""


class TenantRules(Section):
    """What a tenant may use at most, whatever its people's roles give them. `*` in a name stands for anything."""

    tools: tuple[str, ...] = (EVERYBODY,)
    models: tuple[str, ...] = (EVERYBODY,)
    data: tuple[str, ...] = (EVERYBODY,)
    """Classes of documents, by their whole names; "*" alone: every class."""


class PolicySettings(Section):
    """The rules, which stand in the file that `[orchestration] policy_file` names. `make policy` explains them."""

    roles: dict[str, tuple[str, ...]] = {}
    """Tools that each role may call. A tool in no list can be called by nobody."""
    data: dict[str, tuple[str, ...]] = {EVERYBODY: (EVERYBODY,)}
    """Classes of documents that each role may see, besides those under "*", which everybody may."""
    tenants: dict[str, TenantRules] = {}
    """Those of a tenant without a section of its own stand under "*"."""
    approvers: tuple[str, ...] = ("approver",)
    """Roles that may decide an approval."""
    four_eyes: bool = True
    """Nobody approves what they asked for themselves, whichever of their keys they use: another person has to. Off for
    somebody who works alone; `make doctor` then warns."""
    approval_expires_h: float = Field(default=24, gt=0)
    unasked: tuple[str, ...] = ()
    """Effects that need no approval where everything that steers them is traced to the person's own words
    (docs/decisions/0045). Every other effect always needs one."""
    calls_per_run: int = Field(default=25, ge=1)
    """Tool calls of one run, refused ones included: a run that goes in circles ends here."""


class OrchestrationSettings(Section):
    agent: Part = Part(use="graph")
    checkpoints: Part = Part(use="sqlite")
    tools: tuple[Part, ...] = ()
    answers: AnswerSettings = AnswerSettings()
    budget: BudgetSettings = BudgetSettings()
    policy_file: Path | None = None
    """Where the rules of `policy` stand, from the folder of stack.toml; without one, below `[orchestration.policy]`."""
    policy: PolicySettings = PolicySettings()


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
    """Answers from documents that are given again (`serving/answer_cache.py`). They say so, and cost no model."""

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
    tenants: dict[str, QuotaLimits] = {}
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


class ServingSettings(Section):
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


class CompareSettings(Section):
    """The largest loss that a swap may bring, by figure of `sixply swap-report`. Without one it is shown and not judged.

    Of shares an absolute loss: 0.02 lets recall fall from 0.90 to 0.88. Of times, money and memory a share of what it
    was: 0.25 lets an answer take a quarter longer.
    """

    recall_at_10: float | None = Field(default=0.02, ge=0)
    ndcg_at_10: float | None = Field(default=0.02, ge=0)
    mrr_at_10: float | None = Field(default=0.03, ge=0)
    answer_contained: float | None = Field(default=0.03, ge=0)
    citation_precision: float | None = Field(default=0.03, ge=0)
    citation_recall: float | None = Field(default=0.03, ge=0)
    refused: float | None = Field(default=0.05, ge=0)
    tool_right: float | None = Field(default=0.05, ge=0)
    passed: float | None = Field(default=0.03, ge=0)
    leaked: float | None = Field(default=0.0, ge=0)
    answer_p50_ms: float | None = Field(default=0.25, ge=0)
    answer_p95_ms: float | None = Field(default=None, ge=0)
    search_p50_ms: float | None = Field(default=1.0, ge=0)
    search_p95_ms: float | None = Field(default=None, ge=0)
    usd_per_answer: float | None = Field(default=0.25, ge=0)
    usd_per_correct_answer: float | None = Field(default=None, ge=0)
    peak_rss_mb: float | None = Field(default=0.5, ge=0)


class JudgeSettings(Section):
    """A language model that marks answers in `make evaluate`, as far as it has proven to agree with people
    (`make judge-agreement`)."""

    chat: Part | None = None
    """Any part of `[models.chat]`. It is sent questions, answers and passages of the golden set. Unset: nothing is judged."""
    rubric: Path | None = None
    """What it marks by; unset, the bundled `observability/evaluation/rubric.md`."""
    min_agreement: float = Field(default=0.4, ge=0, le=1)
    """What the lower end of the interval of its weighted kappa with people must reach, mark by mark."""
    min_valid: float = Field(default=0.95, ge=0, le=1)
    """Share of the answers for which it must have given a verdict at all."""


class ObservabilitySettings(Section):
    compare: CompareSettings = CompareSettings()
    exporters: tuple[Part, ...] = (Part(use="sqlite"),)
    capture_content: bool = False
    """Whether prompts and answers may enter spans. Off, as OpenTelemetry has it."""
    scored_share: float = Field(default=1.0, ge=0, le=1)
    """Share of the answers that are scored as they are given (`observability/evaluation/online.py`); `make drift` compares the weeks."""
    judge: JudgeSettings = JudgeSettings()
    service_name: str = "sixply"
    outcomes_file: Path = Path("outcomes.toml")
    golden_set: Path = Path("examples/support_desk")
    """A folder with `golden.jsonl`, the `corpus/` that its questions are about, and the gate's `baseline.json`."""


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


def made_data_dir(settings: Settings) -> Path:
    """The data folder, made where it is not there, and closed to everybody but its owner.

    Raises:
        InvalidSetting: it cannot be made or written.
    """
    folder = settings.foundation.data_dir
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _close_to_others(folder)
        why = "" if os.access(folder, os.W_OK) else "it is not writable"
    except OSError as error:
        why = error.strerror or str(error)
    if why:
        raise InvalidSetting(
            f"The data folder {folder} cannot be made or written: {why}. Make it writable, or choose another: "
            f"[foundation] data_dir in stack.toml or SIXPLY__FOUNDATION__DATA_DIR=..."
        )
    return folder


def _close_to_others(folder: Path) -> None:
    """Take every right of others off a folder that they can look into, and off what is in it. One that belongs to another
    user, such as a volume that is shared by a group, is left as that user made it."""
    state = folder.stat()
    if not state.st_mode & 0o077 or state.st_uid != os.geteuid():
        return
    for path in (*folder.rglob("*"), folder):  # itself last: killed on the way, it begins again
        with suppress(OSError):  # gone meanwhile, or another user's
            if not path.is_symlink():
                path.chmod(path.stat().st_mode & 0o7700)


def load(
    path: Path = Path("stack.toml"), *, profile: str | None = None, overrides: Mapping[str, Any] | None = None
) -> Loaded:
    """Read, merge and check the configuration.

    Raises:
        UnknownSetting: a key that no layer knows; the text names it, what exists and the nearest.
        InvalidSetting: the file is missing or is not TOML, or a value does not fit.
    """
    file = read_toml(path)
    profiles = file.pop("profiles", {})
    profile = profile or os.environ.get("SIXPLY_PROFILE")
    sources: list[tuple[str, Mapping[str, Any]]] = [(path.name, file)]
    if profile:
        if profile not in profiles:
            raise UnknownSetting(f'{path.name} has no profile "{profile}". {did_you_mean(profile, profiles)}')
        sources.append((f"profile {profile}", profiles[profile]))
    sources.append(("environment", _environment()))
    sources.append(("command line", overrides or {}))
    sources[:0] = _policy(path, sources)

    merged: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for origin, values in sources:
        merged = _merge(merged, values)
        origins |= {key: origin for key, _ in flatten(values)}
    try:
        return Loaded(Settings(**merged), origins)
    except ValidationError as error:
        raise _explain(error, origins, path) from error


def _policy(path: Path, sources: Sequence[tuple[str, Mapping[str, Any]]]) -> list[tuple[str, dict[str, Any]]]:
    """The policy file as a source below all others; none where no source names one.

    Raises:
        InvalidSetting: the file that names it has rules of its own, too.
    """
    sections = [section for _, values in sources if isinstance(section := values.get("orchestration"), Mapping)]
    named = [section["policy_file"] for section in sections if "policy_file" in section]
    if not named:
        return []
    if "policy" in sources[0][1].get("orchestration", {}):
        raise InvalidSetting(
            f"{path.name} has rules below [orchestration.policy], and names {named[-1]} for them. Move them into that "
            "file, where [orchestration.policy.roles] is [roles], or take policy_file away."
        )
    file = path.parent / str(named[-1])
    if not file.is_file():
        raise InvalidSetting(
            f"[orchestration] policy_file names {named[-1]}, and there is no {file}. Put the rules there; a role without rules "
            "may use no tool. To have none at all, take policy_file away."
        )
    return [(file.name, {"orchestration": {"policy": read_toml(file)}})]


def flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Leaves of nested mappings as (dotted key, value).

    >>> list(flatten({"a": {"b": 1}, "c": 2}))
    [('a.b', 1), ('c', 2)]
    """
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def read_toml(path: Path) -> dict[str, Any]:
    """The content of a configuration file. Raises InvalidSetting where there is none, or it is not TOML."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InvalidSetting(
            f"No configuration at {path}. Run from the repository's root, or name one: STACK=path."
        ) from None
    except OSError as error:
        raise InvalidSetting(f"{path} cannot be read: {error.strerror}. Name a file: STACK=path.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidSetting(f"{path} is not valid TOML: {error}. Correct that line.") from error


def _environment() -> dict[str, Any]:
    unknown = [
        name
        for name in os.environ
        if name.startswith(PREFIX) and name.removeprefix(PREFIX).split("__")[0].lower() not in Settings.model_fields
    ]
    if unknown:
        layer = unknown[0].removeprefix(PREFIX).split("__")[0].lower()
        raise UnknownSetting(f'{unknown[0]} names no layer: "{layer}". {did_you_mean(layer, Settings.model_fields)}')
    return EnvSettingsSource(Settings)()


def _merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """`above` over `below`. A part that is exchanged takes its old options with it: they belong to the other part."""
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        if isinstance(value, Mapping) and isinstance(old, Mapping):
            exchanged = "use" in value and "use" in old and value["use"] != old["use"]
            merged[key] = dict(value) if exchanged else _merge(old, value)
        else:
            merged[key] = value
    return merged


def _explain(error: ValidationError, origins: Mapping[str, str], path: Path) -> UnknownSetting | InvalidSetting:
    first = error.errors(include_url=False)[0]
    where = [str(step) for step in first["loc"]]
    key = ".".join(where)
    origin = next((place for known, place in origins.items() if known == key or known.startswith(f"{key}.")), path.name)
    if first["type"] == "extra_forbidden":
        return UnknownSetting(f'Unknown setting "{key}" ({origin}). {did_you_mean(where[-1], _keys_of(where[:-1]))}')
    value = "" if any(map(is_secret, where)) else f" (found {mask_values(first['input'], name=where[-1])!r})"
    return InvalidSetting(f'Setting "{key}" ({origin}) does not fit: {first["msg"]}{value}.')


def _keys_of(where: list[str]) -> list[str]:
    section: type[BaseModel] = Settings
    for step in where:
        field = section.model_fields.get(step)
        if field is None or not isinstance(field.annotation, type) or not issubclass(field.annotation, BaseModel):
            return []
        section = field.annotation
    return list(section.model_fields)
