"""The packages of a project: those of the core, and of its extensions, with the versions and hashes that the template's locks name."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Iterable
from collections.abc import Set as AbstractSet
from pathlib import Path

PIN = re.compile(r"^\S+==.*\n(?:    .*\n)+", re.MULTILINE)
NAME = re.compile(r"[\w.-]+")
SETUP = "setup"
"""The dependency group that every environment has."""


def without_extras(text: str, gone: Collection[str]) -> str:
    """A pyproject.toml without these extras, and without the groups of test packages that have their names."""
    names = "|".join(map(re.escape, gone)) or "(?!)"
    text = re.sub(rf"^(?:{names}) = \[(?:.*\]\n|\n(?:  .*\n)*\]\n)", "", text, flags=re.MULTILINE)
    return re.sub(rf'^  \{{ include-group = "(?:{names})" \}},.*\n', "", text, flags=re.MULTILINE)


def packages_of(pyproject: Path, extras: Iterable[str] | None = None, groups: Iterable[str] | None = None) -> set[str]:
    """The packages that a pyproject.toml asks for by itself, with these extras and groups; `None` for all of them."""
    read = tomllib.loads(pyproject.read_text(encoding="utf-8"))
    project, grouped = read["project"], read.get("dependency-groups", {})
    optional = project.get("optional-dependencies", {})
    wanted = [*project["dependencies"]]
    wanted += [one for name in (optional if extras is None else extras) for one in optional.get(name, [])]
    wanted += [one for name in (grouped if groups is None else groups) for one in grouped[name]]
    return {_name(one) for one in wanted if isinstance(one, str)}


def with_pins(lock: str, every: str, wanted: AbstractSet[str]) -> str:
    """The lock, with the pins of the developers' lock where it lacks one of these packages, as those of an extension that is off in the template."""
    pins, all_pins = [*PIN.finditer(lock)], [*PIN.finditer(every)]
    if not wanted & {_name(pin.group()) for pin in all_pins} - {_name(pin.group()) for pin in pins}:
        return lock
    others = "".join(re.sub(r"^    #.* -c .*\n", "", pin.group(), flags=re.MULTILINE) for pin in all_pins)
    return lock[: pins[0].start()] + others + lock[pins[-1].end() :]


def keep_pins(lock: str, wanted: AbstractSet[str], template: str, project: str) -> str:
    """The lock of these packages of the project, and of what they need, as the lock of the template has them."""
    pins = [(_name(match.group()), match.group()) for match in PIN.finditer(lock)]
    needed_by = {
        name: set(re.findall(r"^    #(?: via)? +(?!via$)(\w[\w.-]*)", pin, re.MULTILINE)) for name, pin in pins
    }
    kept = {*wanted}
    while more := {name for name, by in needed_by.items() if name not in kept and by & kept}:
        kept |= more
    for name, pin in pins:
        lock = lock.replace(pin, _named_anew(pin, kept, template, project, own=name in wanted) if name in kept else "")
    return lock


def _named_anew(pin: str, kept: AbstractSet[str], template: str, project: str, *, own: bool) -> str:
    """A pin that says which packages of this project need it: as uv would write it, on one line where that is one."""
    head, _, said = pin.partition("    # via")
    needing = [line.removeprefix("    #").strip() for line in said.splitlines() if line.strip()]
    needing = [one for one in needing if one.startswith("-c ") or _name(one) in (kept | ({template} if own else set()))]
    needing = [re.sub(rf"^{template} \(", f"{project} (", one) for one in needing]
    listed = f" {needing[0]}\n" if len(needing) == 1 else "\n" + "".join(f"    #   {one}\n" for one in needing)
    return f"{head}    # via{listed}"


def _name(requirement: str) -> str:
    found = NAME.match(requirement)
    return re.sub(r"[._]", "-", found.group()).lower() if found else ""
