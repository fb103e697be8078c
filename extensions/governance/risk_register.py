"""The risk register, `risks.toml`: risks, the code and setting of each control, and its test. All references are checked."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from foundation.settings import Section, read_section

FILE = Path("risks.toml")


class Control(Section):
    what: str
    code: str
    """`file.py`, `file.py:name` of a function or class, or `file.py:Class.method`."""
    setting: str | None = None
    test: str
    """`file.py::name`."""


class Risk(Section):
    id: str
    risk: str
    cause: str
    controls: tuple[Control, ...]
    residual: str


class Limit(Section):
    """A limit of the system that readers may not expect."""

    what: str
    figure: str
    """The measured figure, as written on the page."""
    page: str = ""
    command: str = ""
    """A project made from this one has neither the lab's pages nor its commands."""


class Register(Section):
    risks: tuple[Risk, ...] = ()
    limits: tuple[Limit, ...] = ()


def load_register(path: Path = FILE) -> Register:
    """Read the register. Raises as `foundation.settings.read_section`."""
    return read_section(path, Register)


def find_gone(register: Register, root: Path, settings: type[BaseModel]) -> list[str]:
    """Return the references that are not below `root`, with their entries. Folders that it lacks are not checked."""
    broken = []
    for risk in register.risks:
        for control in risk.controls:
            lookups = {
                control.code: _defines(root, *control.code.partition(":")[::2]),
                control.test: _defines(root, *control.test.partition("::")[::2]),
                f"setting {control.setting}": control.setting is None or is_setting(control.setting, settings),
            }
            gone = (reference for reference, there in lookups.items() if not there)
            broken += [f"{risk.id}: there is no {reference}" for reference in gone]
    for limit in register.limits:
        page = root / (limit.page or "no folder/page")
        lookups = {
            f'"{limit.figure}" in {limit.page}': not page.parent.is_dir() or limit.figure in _text(page),
            limit.command: not limit.command or _is_command(root, limit.command.removeprefix("make ").split()[0]),
        }
        broken += [f"{limit.what}: there is no {reference}" for reference, there in lookups.items() if not there]
    return broken


def _is_command(root: Path, name: str) -> bool:
    of_the_lab = list(root.glob("*/cli.py"))
    definition = re.compile(rf'"{re.escape(name)}"|\ndef {re.escape(name)}\(')
    # where the lab was deleted its commands are unknown, and any name passes
    return not of_the_lab or any(
        definition.search(_text(path))
        for path in (root / "serving/cli/main.py", *root.glob("extensions/*/__init__.py"), *of_the_lab)
    )


def _defines(root: Path, file: str, name: str) -> bool:
    """Whether the file exists, and defines `name` if that is given."""
    path = root / file
    if not path.parent.is_dir():
        return True
    text = _text(path)
    defined = (
        re.search(rf"^ *(?:async )?(?:class|def) {re.escape(part)}\b", text, re.MULTILINE) for part in name.split(".")
    )
    return path.is_file() and (not name or all(defined))


def is_setting(key: str, settings: type[BaseModel]) -> bool:
    """Whether a dotted key, such as `foundation.seed`, is one of the settings."""
    section: Any = settings.model_fields
    for step in key.split("."):
        if not isinstance(section, Mapping) or step not in section:
            return False
        field = section[step]
        section = getattr(getattr(field, "annotation", None), "model_fields", getattr(field, "default", None))
    return True


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""
