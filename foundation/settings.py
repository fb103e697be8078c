"""The configuration in force: `stack.toml`, then its profile, then the environment; frozen, checked, with origins.

SIXPLY__MODELS__CHAT__USE=anthropic   overrides   [models.chat] use
SIXPLY_PROFILE=test                   adds        [profiles.test] of stack.toml over the rest
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, EnvSettingsSource

from foundation.errors import InvalidSetting, UnknownSetting, did_you_mean
from foundation.output.masking import is_secret, mask_values

PREFIX = "SIXPLY__"
SettingsType = TypeVar("SettingsType", bound=BaseSettings)
SECRET_NAMES = ("api_key", "password", "secret", "token", "dsn")


class Section(BaseModel):
    """A frozen section of `stack.toml`, or the options of a part; a key that it does not know is an error."""

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


def make_data_dir(folder: Path) -> Path:
    """The data folder, made where it is not there, and closed to everybody but its owner.

    Raises:
        InvalidSetting: it cannot be made or written.
    """
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


def read_settings(
    root: type[SettingsType], path: Path, *, profile: str | None = None, overrides: Mapping[str, Any] | None = None
) -> tuple[SettingsType, dict[str, str]]:
    """Read, merge and check a configuration; the settings, and for each dotted key that was set the place that set it.

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
    sources.append(("environment", _environment(root)))
    sources.append(("command line", overrides or {}))
    sources[:0] = _policy(path, sources)

    merged: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for origin, values in sources:
        merged = _merge(merged, values)
        origins |= {key: origin for key, _ in flatten(values)}
    try:
        return root(**merged), origins
    except ValidationError as error:
        raise _explain(error, origins, path, root) from error


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


def _environment(root: type[BaseSettings]) -> dict[str, Any]:
    unknown = [
        name
        for name in os.environ
        if name.startswith(PREFIX) and name.removeprefix(PREFIX).split("__")[0].lower() not in root.model_fields
    ]
    if unknown:
        layer = unknown[0].removeprefix(PREFIX).split("__")[0].lower()
        raise UnknownSetting(f'{unknown[0]} names no layer: "{layer}". {did_you_mean(layer, root.model_fields)}')
    for name in os.environ:
        words = [word for word in name.lower().split("_") if word]
        if not name.startswith(PREFIX) and words[:1] == ["sixply"] and words[1:2] and words[1] in root.model_fields:
            right = PREFIX + "__".join(_split_keys(words[1:], root)).upper()
            raise UnknownSetting(f"{name} sets nothing: two underscores stand between the keys. Say {right}.")
    return EnvSettingsSource(root)()


def _split_keys(words: list[str], section: Any) -> list[str]:
    """The words of a variable as the keys that they most likely mean, the longest names first."""
    fields = getattr(section, "model_fields", {})
    for count in range(len(words), 0, -1):
        if (key := "_".join(words[:count])) in fields:
            return [key, *_split_keys(words[count:], fields[key].annotation)]
    return ["_".join(words)] if words else []


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


def _explain(
    error: ValidationError, origins: Mapping[str, str], path: Path, root: type[BaseModel]
) -> UnknownSetting | InvalidSetting:
    key, why, known = find_mistake(error, root)
    origin = next((place for name, place in origins.items() if name == key or name.startswith(f"{key}.")), path.name)
    if known is not None:
        return UnknownSetting(f'Unknown setting "{key}" ({origin}). {known}')
    steps = key.split(".")
    found = error.errors(include_url=False)[0]["input"]
    value = "" if any(map(is_secret, steps)) else f" (found {mask_values(found, name=steps[-1])!r})"
    return InvalidSetting(f'Setting "{key}" ({origin}) does not fit: {why}{value}.')


def find_mistake(error: ValidationError, root: type[BaseModel]) -> tuple[str, str, str | None]:
    """What to correct first of what `root` refused: its dotted key, why it does not fit, and of an unknown key the known ones."""
    # a misspelt key is unknown and leaves the right one missing: the first says more
    problems = error.errors(include_url=False, include_input=False)
    first = min(problems, key=lambda problem: problem["type"] != "extra_forbidden")
    where = [str(step) for step in first["loc"]]
    unknown = first["type"] == "extra_forbidden"
    return ".".join(where), first["msg"], did_you_mean(where[-1], _keys_of(root, where[:-1])) if unknown else None


def _keys_of(section: type[BaseModel], where: list[str]) -> list[str]:
    for step in where:
        if step in section.model_fields:
            kind = section.model_fields[step].annotation
            kinds = [part for part in (*get_args(kind), kind) if isinstance(part, type)]
            section = next((part for part in kinds if issubclass(part, BaseModel)), section)
    return list(section.model_fields)
