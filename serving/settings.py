"""The section [serving], and the whole configuration, joined from the sections of all six layers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, Field, NonNegativeFloat, NonNegativeInt, PrivateAttr, create_model

from foundation import extensions, names
from foundation.components import Context
from foundation.components import load as load_part
from foundation.errors import InvalidSetting, UnknownPart
from foundation.output.credentials import mask_values
from foundation.settings import (
    FoundationSettings,
    Part,
    Section,
    flatten,
    make_data_dir,
    one_of,
    read_settings,
)
from foundation.types import LAYERS
from models.settings import ModelsSettings
from observability.settings import ObservabilitySettings
from orchestration.settings import OrchestrationSettings
from retrieval.settings import RetrievalSettings

S = TypeVar("S")


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
    concurrent_answers: int | None = Field(default=None, ge=1)
    """Answers at once, in each worker; half as many more may wait, others get 503 at once. Unset: 4 with a model that runs on this
    machine, 64 with one behind an address."""
    grace_s: float = Field(default=15, gt=0)
    """Seconds that running answers have to finish when the server is told to stop."""


class BrandSettings(Section):
    """Whose system people see."""

    name: str = Field(default=names.TITLE, min_length=1, max_length=60)


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


class ServingSettings(Section):
    brand: BrandSettings = BrandSettings()
    http: HttpSettings = HttpSettings()
    quotas: QuotaSettings = QuotaSettings()
    cache: Part = Part(use="memory")
    """Memory that workers share and may lose: counters of quotas, cached answers."""


class Settings(Section):
    """The sections of all six layers, and by `with_sections` those of extensions. Build it with `load`, which records the
    origin of each value.
    """

    _folder: Path = PrivateAttr(default=Path())
    extensions: tuple[str, ...] = ()
    """Which extensions are on: `make extensions` lists all."""
    foundation: FoundationSettings = FoundationSettings()
    models: ModelsSettings = ModelsSettings()
    retrieval: RetrievalSettings = RetrievalSettings()
    orchestration: OrchestrationSettings = OrchestrationSettings()
    serving: ServingSettings = ServingSettings()
    observability: ObservabilitySettings = ObservabilitySettings()

    def __reduce__(self) -> Any:
        # another process finds the class by the names of the extensions: no module has it
        return _restore, (self.extensions, self.__getstate__())

    def section(self, kind: type[S]) -> S:
        """Return the section of an extension that is on, by its class."""
        return next(section for _, section in self if isinstance(section, kind))

    @classmethod
    def explain_unknown(cls, key: str) -> str:
        """Return what to do about the section of an extension that is off or has no settings; else an empty text."""
        name = key.partition(".")[0]
        if name in cls.model_fields or name not in extensions.installed():
            return ""
        if not extensions.find(name).settings:
            return f'The extension "{name}" has no settings. Take the section out.'
        return f'The extension "{name}" is off. Turn it on: make add NAME={name}. Or take the section out.'


def _restore(names: tuple[str, ...], state: dict[Any, Any]) -> Settings:
    kind = with_sections(names)
    settings = kind.__new__(kind)
    settings.__setstate__(state)
    return settings


@cache
def with_sections(names: tuple[str, ...]) -> type[Settings]:
    """Return the settings with the sections of these extensions. Raises UnknownPart, InvalidSetting: one cannot be turned on."""
    found = {name: extension.settings for name, extension in extensions.turn_on(names).items() if extension.settings}
    if taken := sorted(found.keys() & Settings.model_fields.keys()):
        raise InvalidSetting(f'An extension is named "{taken[0]}", as a section of the core is. Rename its folder.')
    kinds = {name: extensions.resolve(kind) for name, kind in found.items()}
    return create_model("Settings", __base__=Settings, **{name: (kind, kind()) for name, kind in kinds.items()})  # type: ignore[call-overload, no-any-return]


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
        """Return what an answer depends on, by dotted key: all that the layers which make it and the extensions are set to, secrets masked."""
        sections = self.settings.model_dump(mode="python", exclude={"foundation", "serving", "observability"})
        values = flatten(mask_values(sections))
        return {key: _as_text(value.resolve() if isinstance(value, Path) else value) for key, value in values}


def _as_text(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def configured_parts(settings: Settings) -> Iterator[tuple[str, Part]]:
    """Yield every part with its port, such as `models.chat`; one of a list or of a tenant as `models.chat[0]`."""
    for layer in LAYERS:
        for name, value in getattr(settings, layer):
            port = "models.chat" if layer == "models" and name == "fallbacks" else f"{layer}.{name}"
            if isinstance(value, Part):
                yield port, value
            elif isinstance(value, tuple):
                yield from ((f"{port}[{n}]", part) for n, part in enumerate(value) if isinstance(part, Part))
    yield from ((f"models.chat[{name}]", part) for name, part in settings.models.choices.items())
    for name, tenant in settings.models.tenants.items():
        yield from ((f"models.chat[{name}]", part) for part in (tenant.chat, *tenant.fallbacks))


def context_of(settings: Settings) -> Context:
    """Return the context that every part gets. Raises InvalidSetting: the data folder cannot be made or written."""
    context = Context(
        data_dir=make_data_dir(settings.foundation.data_dir),
        stack_dir=settings._folder,  # noqa: SLF001 - of this module
        seed=settings.foundation.seed,
        threads=settings.foundation.threads,
        machine_usd_per_hour=settings.models.machine_usd_per_hour,
        parsers=extensions.find_modules("retrieval.parsers", settings.extensions),
        recogniser=settings.retrieval.recogniser.model_dump_json() if settings.retrieval.recogniser else "",
    )
    return replace(context, records=load_part("foundation.records", settings.foundation.records, context))


def load(
    path: Path = Path("stack.toml"), *, profile: str | None = None, overrides: Mapping[str, Any] | None = None
) -> Loaded:
    """Read, merge and validate the configuration. Raises as `read_settings`; UnknownPart: a part comes with an extension that is off."""
    names = (overrides or {}).get("extensions", extensions.read_names(path, profile))
    kind = with_sections(tuple(names))
    settings, origins = read_settings(kind, path, profile=profile, overrides=overrides)
    _demand_extensions(settings)
    settings._folder = path.parent  # noqa: SLF001
    return Loaded(settings, origins, path)


def _demand_extensions(settings: Settings) -> None:
    """Raises UnknownPart: a part comes with an extension that is off."""
    brought = extensions.find_parts()
    for port, part in configured_parts(settings):
        section = port.partition("[")[0]
        for key, use in (("use", part.use), *_named_in(part.options)):
            _, name = brought.get(f"{section}/{use}", ("", ""))
            if name and name not in settings.extensions and not extensions.find(name).parts_while_off:
                raise UnknownPart(
                    f'[{section}] {key} = "{use}" comes with the extension "{name}", which is off. Turn it on: make add NAME={name}'
                )


def _named_in(options: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the options that name other parts, as `auto` does, alone or in a list."""
    for key, value in options.items():
        for item in value if isinstance(value, list | tuple) else [value]:
            use = item.get("use") if isinstance(item, Mapping) else item
            if isinstance(use, str):
                yield key, use
        if isinstance(value, Mapping):
            yield from _named_in(value)
