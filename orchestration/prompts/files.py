"""Prompts as Markdown files: the bundled ones, and replacements from your folder, for all tenants or for one.

A file begins with `name`, `version` and `measured_on` between lines of `---`. Places such as `{reason}` are filled in.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path

from foundation.errors import InvalidSetting, did_you_mean
from orchestration.settings import PromptSettings

FOLDER = Path(__file__).parent
_PLACE = re.compile(r"\{([a-z_]+)\}")


@dataclass(frozen=True, slots=True)
class Prompt:
    name: str
    version: str
    text: str

    @property
    def label(self) -> str:
        """Name, version and digest of the prompt, for spans and reports: `tool_calling@1 3f2a9c1b`."""
        return f"{self.name}@{self.version} {hashlib.sha256(self.text.encode()).hexdigest()[:8]}"

    @property
    def places(self) -> frozenset[str]:
        """The names in braces, to be filled in."""
        return frozenset(_PLACE.findall(self.text))

    def fill(self, **values: str) -> str:
        """Return the text with each name in braces replaced by its value. Other braces stay.

        >>> Prompt("refusal", "1", 'Not here. {reason} {"json": 1}').fill(reason="Too late {x}.")
        'Not here. Too late {x}. {"json": 1}'
        """
        return _PLACE.sub(lambda place: values.get(place[1], place[0]), self.text)


@dataclass(frozen=True, slots=True)
class Prompts:
    """All prompts by name, for everybody and for single tenants."""

    everybody: Mapping[str, Prompt]
    tenants: Mapping[str, Mapping[str, Prompt]]
    """All prompts of each tenant that replaces some."""

    def of(self, tenant: str) -> Mapping[str, Prompt]:
        return self.tenants.get(tenant, self.everybody)

    def labels(self) -> dict[str, str]:
        """Return the label of each prompt by name, and of a tenant's replacements by "tenant/name"."""
        labels = {name: prompt.label for name, prompt in self.everybody.items()}
        for tenant, prompts in self.tenants.items():
            own = {name: prompt for name, prompt in prompts.items() if prompt != self.everybody[name]}
            labels |= {f"{tenant}/{name}": prompt.label for name, prompt in own.items()}
        return labels


def open_prompts(settings: PromptSettings, brought: Iterable[str] = ()) -> Prompts:
    """Read all prompts: ours, those in the packages that extensions bring, and your replacements.

    Raises InvalidSetting: a folder is missing, a file replaces no prompt or has other places, or two that are brought have one name.
    """
    bundled: dict[str, Prompt] = {}
    for folder in (FOLDER, *(Path(import_module(package).__path__[0]) for package in brought)):
        for path in sorted(folder.glob("*.md")):
            if path.stem in bundled:
                raise InvalidSetting(f"{path} has the name of another prompt. Rename it.")
            bundled[path.stem] = read_prompt(path.stem, folder)
    everybody = bundled | _replacements(settings.folder, bundled, "folder")
    tenants = {
        tenant: everybody | _replacements(section.folder, bundled, f"tenants.{tenant}.folder")
        for tenant, section in settings.tenants.items()
    }
    return Prompts(everybody, tenants)


@cache
def read_prompt(name: str, folder: Path = FOLDER) -> Prompt:
    """Read the prompt in `folder/name.md`. Raises InvalidSetting: it cannot be read, or lacks its name, version or text."""
    path = folder / f"{name}.md"
    try:
        content = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidSetting(f"{path} cannot be read as UTF-8: {error}. Save it as a text in UTF-8.") from error
    head, _, text = content.removeprefix("---\n").partition("\n---\n")
    fields = dict(line.split(": ", 1) for line in head.splitlines() if ": " in line)
    if not content.startswith("---\n") or fields.get("name") != name or not fields.get("version") or not text.strip():
        needs = f"must begin with ---, name: {name}, version: ..., and ---, and a text must follow"
        raise InvalidSetting(f"{path} {needs}. Found: {content[:80]!r}")
    return Prompt(name, fields["version"], text.strip())


def _replacements(folder: Path | None, bundled: Mapping[str, Prompt], setting: str) -> dict[str, Prompt]:
    if folder is None:
        return {}
    if not folder.is_dir():
        raise InvalidSetting(
            f"[orchestration.prompts] {setting} names {folder}, and there is no such folder. Make it, with a file for each "
            f"prompt that is to be another: {', '.join(sorted(bundled))}."
        )
    replacements = {}
    for path in sorted(folder.glob("*.md")):
        if (name := path.stem) not in bundled:
            raise InvalidSetting(
                f"{path} replaces no prompt. {did_you_mean(name, bundled)} There are: {', '.join(sorted(bundled))}."
            )
        replacements[name] = read_prompt(name, folder)
        places = bundled[name].places
        if odd := replacements[name].places ^ places:
            wrong = min(odd)
            needs = ", ".join(f"{{{place}}}" for place in sorted(places)) or "no"
            raise InvalidSetting(
                f"{path} {'lacks' if wrong in places else 'has'} {{{wrong}}}. The text is filled in where it has {needs} "
                "names in braces: write just these."
            )
    return replacements
