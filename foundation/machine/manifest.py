"""The run manifest: two runs with one `manifest_id` used the same code, packages, settings, weights and seed."""

import hashlib
import json
import logging
import os
import platform
import subprocess
import tomllib
from collections.abc import Container, Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from foundation.clock import Clock
from foundation.errors import StoreUnavailable
from foundation.output.credentials import MASK, mask_values

logger = logging.getLogger(__name__)

ROOT = Path(__file__).resolve().parents[2]
# Folder of the stored manifests, in the data folder
FOLDER = "manifests"

# Packages whose version can change an answer, a score or a cost
LIBRARIES = """anthropic chromadb fastapi langchain langchain-core langgraph numpy openai opentelemetry-sdk openvino pydantic pypdf
    sentence-transformers tokenizers torch transformers xllamacpp""".split()  # noqa: SIM905 - a list of names reads as text


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """A description of a run. Digests are SHA-256 in hexadecimal, those of settings and id shortened to 16 digits."""

    manifest_id: str
    version: str
    python: str
    platform: str
    commit: str | None
    """Git commit of the working tree; `None` outside a repository."""
    dirty: bool | None
    """Whether files differ from that commit; `None` where there is no commit."""
    libraries: Mapping[str, str]
    settings: str
    """Digest of the settings, without secrets, since changing a key changes no answer."""
    weights: Mapping[str, str]
    prompts: Mapping[str, str]
    """Version and digest of each prompt, by name."""
    corpus: str | None
    seed: int
    created_at: str
    """Time of creation, ISO 8601, UTC; not part of the id."""


def build(
    settings: BaseModel,
    *,
    weights: Mapping[str, str],
    corpus: str | None,
    clock: Clock,
    prompts: Mapping[str, str] | None = None,
) -> Manifest:
    """Describe this run. `weights` has each model's SHA-256, `prompts` the version and digest of each prompt."""
    values = settings.model_dump(mode="python")
    commit, dirty = _git(ROOT)
    described: dict[str, Any] = {
        "version": product_version(),
        "python": platform.python_version(),
        "platform": f"{platform.system()}-{platform.machine()}".lower(),
        "commit": commit,
        "dirty": dirty,
        "libraries": {name: version for name in LIBRARIES if (version := _version(name))},
        "settings": _short(_without_secrets(values)),
        "weights": dict(sorted(weights.items())),
        "prompts": dict(sorted((prompts or {}).items())),
        "corpus": corpus,
        "seed": values["foundation"]["seed"],
    }
    created = clock.now().isoformat(timespec="seconds")
    return Manifest(manifest_id=_short(described), created_at=created, **described)


def describe(
    settings: Any, *, weights: Mapping[str, str], corpus: Path | None, clock: Clock, prompts: Mapping[str, str]
) -> Manifest:
    """Build the manifest of a system with these documents, and store it for `make drift`. A failure to store it is only logged."""
    digest = digest_of_files([corpus]) if corpus else None
    run = build(settings, weights=weights, corpus=digest, clock=clock, prompts=prompts)
    try:
        keep(run, settings, settings.foundation.data_dir / FOLDER)
    except OSError as error:
        logger.warning("make drift will not know what changed with this run: %s", error)
    return run


def keep(run: Manifest, settings: BaseModel, folder: Path) -> None:
    """Store a manifest once, with its settings but without secrets, so that runs can be compared. Raises OSError."""
    file = folder / f"{run.manifest_id}.json"
    if file.exists():
        file.touch()  # `prune` goes by when it last ran
        return
    folder.mkdir(exist_ok=True)
    folder.chmod(0o700)
    values = _without_secrets(settings.model_dump(mode="python"))
    new = folder / f"{run.manifest_id}.{os.getpid()}.new"
    text = json.dumps(asdict(run) | {"settings": values}, indent=1, default=str)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as writing:
        writing.write(text)  # other users of the machine must not read the settings
    new.replace(file)  # atomic, also beside another writer


def prune(folder: Path, named: Container[str], before: datetime) -> int:
    """Delete manifests not in `named` that last ran before `before`; return their number. Raises StoreUnavailable."""
    gone = 0
    try:
        for file in sorted(folder.glob("*.json")):
            # a manifest that a stored span still names explains that span
            if file.stem not in named and file.stat().st_mtime < before.timestamp():
                file.unlink()
                gone += 1
    except OSError as error:
        raise StoreUnavailable(f"{folder} cannot be tidied: {error}. Make it writable.") from error
    return gone


def digest_of_files(paths: Iterable[Path]) -> str:
    """Return the SHA-256 over files and folders, wherever a folder lies and in any order. Raises FileNotFoundError."""
    lines = []
    for path in paths:
        for file in [inner for inner in path.rglob("*") if inner.is_file()] if path.is_dir() else [path]:
            name = file.relative_to(path).as_posix() if path.is_dir() else path.name
            with file.open("rb") as stream:
                lines.append((name, hashlib.file_digest(stream, "sha256").hexdigest()))
    return hashlib.sha256("".join(f"{name}\0{digest}\n" for name, digest in sorted(lines)).encode()).hexdigest()


def _short(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _without_secrets(value: Any) -> Any:
    """Leave out values that are secret by type or name, so that a new key makes no new run; mask secrets in addresses."""
    if isinstance(value, Mapping):
        masked = mask_values(value)
        return {key: _without_secrets(inner) for key, inner in masked.items() if inner != MASK}
    if isinstance(value, list | tuple):
        return [_without_secrets(inner) for inner in value if inner != MASK]
    return value


@cache
def product_version() -> str:
    """The version that runs: of pyproject.toml, since a project's distribution has a name of its own."""
    try:
        described = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
        return str(described["project"]["version"])
    except (OSError, KeyError, tomllib.TOMLDecodeError):
        return "0+unknown"  # copied without it; the manifest carries the commit


@cache
def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _git(root: Path) -> tuple[str | None, bool | None]:
    # never describe a repository that merely contains this folder
    if not (root / ".git").exists():
        return None, None
    command = ["git", "-C", str(root), "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None, None
    commit, _, dirty = done.stdout.strip().partition("-")
    return (commit, bool(dirty)) if commit else (None, None)
