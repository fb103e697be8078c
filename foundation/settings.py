"""Settings from `stack.toml`, its profile and the environment: merged, checked and frozen, with the origin of each.

SIXPLY__MODELS__CHAT__USE=anthropic   overrides   [models.chat] use
SIXPLY__MODELS__CHAT__PROFILE='{"tool_calling": true}'   tables and lists are JSON
SIXPLY_PROFILE=test                   adds        [profiles.test] of stack.toml over the rest
"""

import logging
import os
import stat
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_core import PydanticCustomError, from_json
from pydantic_settings import EnvSettingsSource, SettingsError

from foundation.errors import InvalidSetting, UnknownSetting, did_you_mean
from foundation.output.credentials import is_secret, mask_values

log = logging.getLogger(__name__)
PREFIX = "SIXPLY__"
MISSING = "it is needed and not set"
CODE = Path(__file__).resolve().parent
SectionType = TypeVar("SectionType", bound=BaseModel)
SECRET_NAMES = ("api_key", "password", "secret", "token", "dsn")
# Marks the field of a file or folder to read, which in stack.toml is relative to that file's folder (json_schema_extra).
# What the system writes (data_dir) is relative to the current folder instead
BESIDE_STACK: dict[str, Any] = {"relative_to": "stack.toml"}


class Section(BaseModel):
    """A frozen section of `stack.toml`, the options of a part, or a line of a file; unknown keys are errors, and so are `inf` and `nan`."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Part(BaseModel):
    """The adapter of a port and its options. Values whose key names a secret are masked."""

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


# A part that may be written as its name alone
NamedPart = Annotated[Part, BeforeValidator(lambda given: {"use": given} if isinstance(given, str) else given)]


def one_of(names: Iterable[str]) -> AfterValidator:
    """Return the check that the key of a mapping is one of `names`, else it is unknown as any other setting."""

    def check(name: str) -> str:
        if name not in names:
            raise PydanticCustomError("extra_forbidden", "{known}", {"known": did_you_mean(name, names)})
        return name

    return AfterValidator(check)


# Days for which data are kept; None: for good
RETENTION: Mapping[str, float | None] = {
    "spans_days": 30,
    "conversations_days": None,  # since the last turn
    "approvals_days": None,  # decided or expired ones. Audit, effects and costs hold no words and stay
}
Days = Mapping[Annotated[str, one_of(RETENTION)], Annotated[float, Field(gt=0, le=36_500)] | None]


class LoggingSettings(Section):
    """Logging of `make serve`, to standard error. It never has people's words: `observability/telemetry/logs.py`."""

    level: Literal["debug", "info", "warning", "error"] = "info"


class FoundationSettings(Section):
    data_dir: Path = Path("var")
    """Folder of all files that the system writes."""
    retention: Annotated[Days, AfterValidator(lambda given: {**RETENTION, **given})] = RETENTION
    """Days for which each kind of data is kept. The command `retention` applies it."""
    records: Part = Part(use="sqlite")
    """Where approvals and the like stand: `sqlite`, a file for each in the data folder; or what all replicas share."""
    logging: LoggingSettings = LoggingSettings()
    seed: int = 7
    threads: int = Field(default=2, ge=1)
    """CPU threads of local models; more than the free cores slow each other down."""


def make_data_dir(folder: Path) -> Path:
    """Create the data folder, for its owner alone, and return it. Raises InvalidSetting: it cannot be used."""
    try:
        if not (why := _why_misplaced(folder)):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            state = folder.stat()
            # one of another user, for everybody (/tmp) or a group, or with something in it stays; what we write is closed
            for_others = state.st_uid != os.geteuid() or state.st_mode & (stat.S_ISVTX | stat.S_ISGID)
            if not for_others and not any(folder.iterdir()):
                folder.chmod(0o700)
            if not os.access(folder, os.W_OK):
                raise PermissionError(0, "it is not writable")
    except (OSError, RuntimeError) as error:  # a RuntimeError: links in a circle, before Python 3.13
        why = getattr(error, "strerror", None) or str(error)
        why += " (make it writable)" if isinstance(error, PermissionError) else ""
    if why:
        raise InvalidSetting(
            f"The data folder {folder} cannot be made or written: {why}. Choose another: "
            f"[foundation] data_dir in stack.toml or SIXPLY__FOUNDATION__DATA_DIR=..."
        )
    return folder


def _why_misplaced(folder: Path) -> str:
    if folder.is_absolute():
        return "it holds the system's own code" if CODE.is_relative_to(folder.resolve()) else ""
    here = Path.cwd()
    if here.is_relative_to(folder.resolve()):  # also the folder of an empty text
        return "it holds the folder that you are in"
    return "it is relative to /, where systemd and cron start; name it in full" if here == here.parent else ""


def read_settings(
    root: type[SectionType], path: Path, *, profile: str | None = None, overrides: Mapping[str, Any] | None = None
) -> tuple[SectionType, dict[str, str]]:
    """Return the merged, checked settings and the origin of each dotted key. Raises UnknownSetting, InvalidSetting."""
    file = read_stack(path, root)
    profiles = file.pop("profiles", {})
    profile = profile or os.environ.get("SIXPLY_PROFILE")
    sources: list[tuple[str, Mapping[str, Any]]] = [(path.name, file)]
    if profile:
        if isinstance(profiles, Mapping) and profile not in profiles:
            raise UnknownSetting(f'{path.name} has no profile "{profile}". {did_you_mean(profile, profiles)}')
        values = profiles[profile] if isinstance(profiles, Mapping) else None
        if not isinstance(values, Mapping):
            raise InvalidSetting(
                f"{path.name}: [profiles.{profile}] is no table. Give it sections as the file has them."
            )
        sources.append((f"profile {profile}", _anchor(values, root, path.parent)))
    sources.append(("environment", _environment(root)))
    sources.append(("command line", overrides or {}))
    sources[:0] = _policy(path, sources)

    merged: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for origin, given in sources:
        merged = _merge(merged, given)
        origins |= {key: origin for key, _ in flatten(given)}
    try:
        # over the defaults, so that an option of a part without its `use` belongs to the default part
        return root(**_merge(root().model_dump(), merged)), origins
    except ValidationError as error:
        raise _explain(error, origins, path, root) from error


def _policy(path: Path, sources: Sequence[tuple[str, Mapping[str, Any]]]) -> list[tuple[str, dict[str, Any]]]:
    """Return the policy file as a source below all others; empty where none is named. Raises InvalidSetting."""
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
    """Yield the leaves of nested mappings as (dotted key, value).

    >>> list(flatten({"a": {"b": 1}, "c": 2}))
    [('a.b', 1), ('c', 2)]
    """
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def read_toml(path: Path) -> dict[str, Any]:
    """Read a configuration file. Raises InvalidSetting: it is missing or no TOML."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))  # some editors begin a file with a mark
    except FileNotFoundError:
        raise InvalidSetting(
            f"No configuration at {path}. Run from the repository's root, or name one: STACK=path."
        ) from None
    except OSError as error:
        raise InvalidSetting(f"{path} cannot be read: {error.strerror}. Name a file: STACK=path.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidSetting(f"{path} is not valid TOML: {error}. Correct that line.") from error


def read_stack(path: Path, root: type[BaseModel]) -> dict[str, Any]:
    """Read stack.toml. Outside of profiles, paths of fields marked `BESIDE_STACK` become relative to its folder. Raises as `read_toml`."""
    return {name: _anchor(value, root.model_fields.get(name), path.parent) for name, value in read_toml(path).items()}


def _anchor(value: Any, field: Any, folder: Path) -> Any:
    if isinstance(value, Mapping):
        below = _fields_of(field)
        # a name that is not a field is the operator's own, such as a tenant
        return {name: _anchor(inner, below.get(name, field), folder) for name, inner in value.items()}
    marked = isinstance(value, str) and getattr(field, "json_schema_extra", None) == BESIDE_STACK
    return str(folder / value) if marked else value


def _fields_of(field: Any) -> Mapping[str, Any]:
    """Return the fields of a section, or of the one that a field has; empty where there is none."""
    kind = getattr(field, "annotation", field)
    parts = (part for part in (kind, *get_args(kind)) if isinstance(part, type) and issubclass(part, BaseModel))
    return next((part.model_fields for part in parts), {})


def read_section(path: Path, section: type[SectionType]) -> SectionType:
    """Read a file that is one section. Raises UnknownSetting, InvalidSetting: the text names the key, or why it cannot be read."""
    try:
        return section(**read_toml(path))
    except ValidationError as error:
        key, why, hint = find_mistake(error, section)
        if hint is not None:
            raise UnknownSetting(f'{path.name} has an unknown key "{key}". {hint}') from error
        raise InvalidSetting(f'{path.name}: "{key}" does not fit: {why}. Correct it.') from error


def _environment(root: type[BaseModel]) -> dict[str, Any]:
    unknown = [
        name
        for name in os.environ
        if name.startswith(PREFIX) and name.removeprefix(PREFIX).split("__")[0].lower() not in root.model_fields
    ]
    if unknown:
        layer = unknown[0].removeprefix(PREFIX).split("__")[0].lower()
        hint = _explain_unknown(root, layer) or did_you_mean(layer, root.model_fields)
        raise UnknownSetting(f'{unknown[0]} names no layer: "{layer}". {hint}')
    for name in os.environ:
        words = [word for word in name.lower().split("_") if word]
        if not name.startswith(PREFIX) and words[:1] == ["sixply"] and words[1:2] and words[1] in root.model_fields:
            right = PREFIX + "__".join(_split_keys(words[1:], root)).upper()
            raise UnknownSetting(f"{name} sets nothing: two underscores stand between the keys. Say {right}.")
    try:
        given = EnvSettingsSource(root, env_prefix=PREFIX, env_nested_delimiter="__")()  # type: ignore[arg-type]  # it reads fields alone
        return {name: _read_json(value) for name, value in given.items()}
    except SettingsError as error:
        names = ", ".join(sorted(name for name in os.environ if name.startswith(PREFIX)))
        raise InvalidSetting(
            f"A variable holds no JSON where a table or a list belongs, one of {names}: {error.__cause__}. Correct it, or set "
            f"each key by itself: {PREFIX}MODELS__CHAT__USE=..."
        ) from error


def _read_json(value: Any) -> Any:
    """Read tables and lists that are written as JSON where only a part knows the type, in its options; other text stays."""
    if isinstance(value, Mapping):
        return {name: _read_json(inner) for name, inner in value.items()}
    with suppress(ValueError):
        if isinstance(value, str) and isinstance(read := from_json(value), dict | list):
            return read
    return value


def _split_keys(words: list[str], section: Any) -> list[str]:
    fields = getattr(section, "model_fields", {})
    # the longest names first, since a name may hold an underscore
    for count in range(len(words), 0, -1):
        if (key := "_".join(words[:count])) in fields:
            return [key, *_split_keys(words[count:], fields[key].annotation)]
    return ["_".join(words)] if words else []


def _merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        if isinstance(value, Mapping) and isinstance(old, Mapping):
            # the options of another part's `use` belong to that part
            exchanged = "use" in value and "use" in old and value["use"] != old["use"]
            merged[key] = dict(value) if exchanged else _merge(old, value)
        else:
            merged[key] = value
    return merged


def _explain(
    error: ValidationError, origins: Mapping[str, str], path: Path, root: type[BaseModel]
) -> UnknownSetting | InvalidSetting:
    key, why, hint = find_mistake(error, root)
    below = (place for name, place in origins.items() if name.startswith(f"{key}."))
    origin = origins.get(key) or next(below, path.name)
    if hint is not None:
        return UnknownSetting(f'Unknown setting "{key}" ({origin}). {hint}')
    rejected = error.errors(include_url=False)[0]["input"]
    if why == MISSING:  # what is beside it in its place, where it may be misspelt
        beside = f" Found beside it: {', '.join(sorted(rejected))}." if rejected else ""
        return InvalidSetting(f'Setting "{key}" ({origin}) does not fit: {why}.{beside}')
    steps = key.split(".")
    value = "" if any(map(is_secret, steps)) else f" (found {mask_values(rejected, name=steps[-1])!r})"
    return InvalidSetting(f'Setting "{key}" ({origin}) does not fit: {why}{value}.')


def find_mistake(
    error: ValidationError, root: type[BaseModel], *, beside: Iterable[str] = ()
) -> tuple[str, str, str | None]:
    """Return the first mistake: its dotted key, why it does not fit, and for an unknown key a text with the known ones, else `None`.

    `beside` are the keys that stand beside the fields of `root`, and are read by somebody else.
    """
    # a misspelt key is unknown and leaves the right one missing: the first says more
    problems = error.errors(include_url=False, include_input=False)
    first = min(problems, key=lambda problem: problem["type"] != "extra_forbidden")
    where = [str(step) for step in first["loc"]]
    if where[-1:] == ["[key]"]:  # of a mapping, where pydantic names the place so
        return ".".join(where[:-1]), first["msg"], first["msg"]
    fields = {**dict.fromkeys(beside), **_fields_of(root)} if len(where) == 1 else _fields_of(root)
    for step in where[:-1]:
        fields = _fields_of(fields.get(step)) or fields
    hint = None
    if first["type"] == "extra_forbidden":
        hint = _explain_unknown(root, where[0]) or did_you_mean(where[-1], fields)
    return ".".join(where), MISSING if first["type"] == "missing" else first["msg"], hint


def _explain_unknown(root: type[BaseModel], section: str) -> str:
    """Return what `root` itself says of a section that it does not have; empty where it says nothing."""
    explain: Callable[[str], str] = getattr(root, "explain_unknown", lambda _: "")
    return explain(section)
