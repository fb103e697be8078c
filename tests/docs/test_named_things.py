"""What the pages name exists: settings, environment variables, commands, routes, metrics and attributes."""

from __future__ import annotations

import importlib
import re
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import typer
from pydantic import BaseModel

from foundation import names
from foundation.extensions import installed
from foundation.settings import Part
from serving.app import create_app
from serving.settings import with_sections
from tests import make_rules
from tests.doubles.serving import world

ROOT = Path(__file__).parents[2]
RECORDS = (*"0123456789", "tried")
"""They tell how things were when they were decided."""
FOLDERS = (ROOT / "docs", ROOT / ".agents", ROOT / "lab" / "notes")
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "AGENTS.md", "stack.toml")),
    *sorted(
        path
        for folder in FOLDERS
        for path in folder.rglob("*.md")
        if "decisions" not in path.parts and not path.name.startswith(RECORDS)
    ),
]
PROGRAMS = [importlib.import_module(program).app for program in make_rules.PROGRAMS]
COMMANDS = {name for program in PROGRAMS for name in typer.main.get_command(program).commands}  # type: ignore[attr-defined]  # groups
SERIES = {
    value.replace(".", "_") + suffix
    for value in vars(names).values()
    if isinstance(value, str)
    for suffix in (
        "",
        "_total",
        "_seconds",
        "_bucket",
        "_count",
        "_sum",
        "_seconds_bucket",
        "_seconds_count",
        "_seconds_sum",
    )
}
OF_EXTENSIONS = [
    importlib.import_module(f"extensions.{file.parent.name}.span_names")
    for file in ROOT.glob("extensions/*/span_names.py")
]
ATTRIBUTES = {value for module in (names, *OF_EXTENSIONS) for value in vars(module).values() if isinstance(value, str)}
FILES = (".json", ".key", ".env")
"""`sixply.key` is a file and no attribute."""
PATTERN = "SIXPLY__SECTION__KEY"
"""How the pages say what such a variable looks like."""
TOPICS = "foundation|models|retrieval|orchestration|serving|observability"


EVERY = with_sections(tuple(installed()))
"""The settings with all extensions on."""


def models_in(kind: Any) -> Iterator[type[BaseModel]]:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        yield kind
    for inner in typing.get_args(kind):
        yield from models_in(inner)


def is_setting(path: list[str], section: type[BaseModel] = EVERY) -> bool:
    """Whether a dotted path leads to a setting. What stands below a part belongs to its options, and to other tests."""
    if not path or issubclass(section, Part):
        return True
    if path[0] not in section.model_fields:
        return False
    kind = section.model_fields[path[0]].annotation
    rest = path[2:] if re.search(r"Mapping|dict", str(kind)) else path[1:]  # below a name that the operator chose
    inner = list(models_in(kind))
    names = section.model_fields[path[0]].default
    if len(path) > 1 and not inner and isinstance(names, Mapping) and names and "*" not in names:
        return path[1] in names  # a mapping with names of its own
    return not rest or not inner or any(is_setting(rest, each) for each in inner)


@pytest.fixture(scope="module")
def patterns(tmp_path_factory: pytest.TempPathFactory) -> list[re.Pattern[str]]:
    """Of every address that the server answers at, and of those that no description of the API lists."""
    app = create_app(world(Path(tmp_path_factory.mktemp("world")), extensions=tuple(installed())).system)
    paths = {*app.openapi()["paths"], "/mcp", "/docs", "/openapi.json", "/v1"}
    return [re.compile(re.sub(r"\{[^}]*\}", "[^/]+", path.rstrip("/")) + "/?") for path in paths]


def code_of(page: Path) -> str:
    """Its code, in blocks and in lines."""
    text = page.read_text(encoding="utf-8")
    return (
        text
        if page.suffix == ".toml"
        else "\n".join(re.findall(r"`[^`\n]+`|^    .*$|^```.*?^```", text, re.MULTILINE | re.DOTALL))
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_names_exists(page: Path, patterns: list[re.Pattern[str]]) -> None:
    assert missing(page, patterns) == []


def test_what_does_not_exist_is_noticed(tmp_path: Path, patterns: list[re.Pattern[str]]) -> None:
    page = tmp_path / "page.md"
    named = (
        "SIXPLY__MODELS__CHATTER__USE",
        "sixply askk",
        "sixply_answer",
        "sixply.answer.mood",
        "/v1/answer",
        "[serving.htp]",
    )
    page.write_text("\n".join(f"    {one}" for one in named) + "\n")
    assert len(missing(page, patterns)) == len(named)


def missing(page: Path, patterns: list[re.Pattern[str]]) -> list[str]:
    """What the code of a page names that is not there."""
    code = code_of(page)
    variables = re.findall(r"\bSIXPLY__[A-Z0-9_]+", code)
    sections = re.findall(rf"^\W*\[\[?((?:{TOPICS})[\w.]*)\]\]?", code, re.MULTILINE)
    keys = re.findall(rf"`\[\[?((?:{TOPICS})[\w.]*)\]\]? ([a-z_]+)`", code)
    dotted = [f"{section}.{key}" for section, key in keys]
    paths = re.findall(r"(?<![\w.])(/(?:v1|health|metrics|mcp|docs|openapi)[\w/{}.-]*)", code)
    found = [
        *(name for name in variables if name != PATTERN and not is_setting(name.lower().split("__")[1:])),
        *(name for name in [*sections, *dotted] if not name.endswith(".md") and not is_setting(name.split("."))),
        *(
            f"sixply {name}"
            for name in re.findall(r"(?:bin/|`|    )sixply ([a-z][a-z-]+)", code)
            if name not in COMMANDS
        ),
        *(name for name in re.findall(r"\bsixply_[a-z_]+", code) if name not in SERIES),
        *(
            name
            for name in re.findall(r"\bsixply\.[a-z_.]+[a-z]", code)
            if name not in ATTRIBUTES and not name.endswith(FILES)
        ),
        *(path for path in paths if not any(pattern.fullmatch(path.rstrip(".")) for pattern in patterns)),
    ]
    return sorted(set(found))
