"""The section [serving], and the whole configuration, joined from the sections of all six layers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field, PrivateAttr, model_validator

from foundation import names
from foundation.components import Context, is_there, load_if_there, load_removable
from foundation.output.credentials import mask_values
from foundation.settings import BESIDE_STACK, FoundationSettings, Part, Section, flatten, make_data_dir, read_settings
from foundation.stores.sqlite_file import SqliteFile
from models.settings import ModelsSettings
from observability.settings import ObservabilitySettings
from orchestration.settings import OrchestrationSettings
from retrieval.settings import RetrievalSettings

_optional = load_if_there("serving.access.optional_settings")
Sections: Any = _optional.OptionalSections if _optional else Section


class HttpSettings(Section):
    host: str = "127.0.0.1"
    port: int = Field(default=8600, ge=0, le=65535)
    """TCP port; 0 for any free one."""
    allowed_hosts: tuple[str, ...] = ()
    """Host names, besides loopback and `host`, under which the API is reachable, such as behind a proxy."""
    max_body_bytes: int = Field(default=10_000_000, gt=0)
    """Maximum size of an upload."""
    max_json_bytes: int = Field(default=1_000_000, gt=0)
    """Maximum size of every other request body."""
    concurrent_answers: int = Field(default=4, ge=1)
    """Answers at once, in each worker; half as many more may wait, others get 503 at once."""
    grace_s: float = Field(default=15, gt=0)
    """Seconds that running answers have to finish when the server is told to stop."""


class BrandSettings(Section):
    """Name and look of the page, the sign-in and the API's documentation."""

    name: str = Field(default=names.TITLE, min_length=1, max_length=60)
    logo: Path | None = Field(default=None, json_schema_extra=BESIDE_STACK)
    """An SVG without scripts, a PNG, JPEG or WebP of at most 200 kB."""
    primary: str | None = Field(default=None, pattern=r"^#[0-9a-fA-F]{6}$")
    """Colour of buttons and links, such as #2457c5; dark enough to be read on white."""

    @model_validator(mode="after")
    def _check(self) -> BrandSettings:
        if (self.logo or self.primary) and (brand := load_if_there("serving.page.brand")):
            brand.check(self)
        return self


class ServingSettings(Sections):  # type: ignore[misc]  # those of jobs, cached answers, tokens and quotas, where these are there
    brand: BrandSettings = BrandSettings()
    http: HttpSettings = HttpSettings()
    workers: int = Field(default=1, ge=1)
    """Processes on one socket, or on the cluster. More than one need shared stores: PostgreSQL, pgvector and Redis."""
    cache: Part = Part(use="memory")
    """Memory that workers share and may lose: counters of quotas, cached answers."""


class Settings(Section):
    """The sections of all six layers. Build it with `load`, which records the origin of each value."""

    # a removable module -> the settings and sections that it alone reads
    read_by: ClassVar[Mapping[str, str]] = {
        "observability.evaluation.online": "observability.scored_share",
        "orchestration.flow.cascade": "orchestration.cascade",
        "orchestration.flow.document_steps": "orchestration.answers.compose",
        "orchestration.flow.planned_agent": "orchestration.planner",
        "retrieval.grounding.claims": "retrieval.grounding.judged_below retrieval.grounding.min_claim_support",
        "retrieval.ingest.fetching": "retrieval.fetching",
        "retrieval.ingest.ray_workers": "foundation.cluster",
        "serving.jobs.store": "serving.jobs",
        "serving.judge.worth": "observability.outcomes_file",
        "serving.page.brand": "serving.brand.logo serving.brand.primary",
    }

    _folder: Path = PrivateAttr(default=Path())
    foundation: FoundationSettings = FoundationSettings()
    models: ModelsSettings = ModelsSettings()
    retrieval: RetrievalSettings = RetrievalSettings()
    orchestration: OrchestrationSettings = OrchestrationSettings()
    serving: ServingSettings = ServingSettings()
    observability: ObservabilitySettings = ObservabilitySettings()


@dataclass(frozen=True)
class Loaded:
    """The settings, and the origin of each dotted key that was set explicitly."""

    settings: Settings
    origins: Mapping[str, str]
    path: Path = Path("stack.toml")

    def rows(self) -> Iterator[tuple[str, str, str]]:
        """Yield every value as dotted key, printable value with secrets masked, and origin."""
        for key, value in flatten(mask_values(self.settings.model_dump(mode="python"))):
            yield key, str(value), self.origins.get(key, "default")

    def answers_by(self) -> dict[str, str]:
        """Return what an answer depends on, by dotted key: all that models, retrieval and orchestration are set to, secrets masked."""
        sections = self.settings.model_dump(mode="python", include={"models", "retrieval", "orchestration"})
        values = flatten(mask_values(sections))
        return {key: str(value.resolve() if isinstance(value, Path) else value) for key, value in values}


def context_of(settings: Settings) -> Context:
    """Return the context that every part gets. Raises InvalidSetting: the data folder cannot be made or written."""
    records, shared = settings.foundation.records, "foundation.stores.shared_records"
    return Context(
        data_dir=make_data_dir(settings.foundation.data_dir),
        stack_dir=settings._folder,  # noqa: SLF001 - of this module
        seed=settings.foundation.seed,
        threads=settings.foundation.threads,
        machine_usd_per_hour=settings.models.machine_usd_per_hour,
        records=SqliteFile if records.use == "sqlite" else load_removable(shared).SharedRecords(records),
    )


def load(
    path: Path = Path("stack.toml"), *, profile: str | None = None, overrides: Mapping[str, Any] | None = None
) -> Loaded:
    """Read, merge and validate the configuration. Raises as `read_settings`; MissingDependency: nobody would read a setting."""
    settings, origins = read_settings(Settings, path, profile=profile, overrides=overrides)
    for module, places in Settings.read_by.items():
        sections = tuple(f"{place}." for place in places.split())
        for key, origin in origins.items():
            if f"{key}.".startswith(sections) and not is_there(module):
                load_removable(module, asking=f'"{key}" ({origin})')
    settings._folder = path.parent  # noqa: SLF001
    return Loaded(settings, origins, path)
