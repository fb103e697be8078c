"""Six common words are our package names; this is what keeps them ours."""

from __future__ import annotations

import ast
import importlib
from importlib.util import find_spec
from pathlib import Path

import pytest

from foundation.types import LAYERS

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted(path for layer in LAYERS for path in (ROOT / layer).rglob("*.py"))


@pytest.mark.parametrize("name", LAYERS)
def test_each_layer_resolves_inside_the_repository(name):
    spec = find_spec(name)
    assert spec is not None
    assert spec.origin is not None, f'"{name}" has no __init__.py, so an installed package of that name would shadow it'
    assert Path(spec.origin).parent == ROOT / name


def test_there_is_no_further_top_level_package():
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py") if not path.parent.name.startswith(".")}
    assert packages - {"lab"} == {*LAYERS, "examples"}


def test_every_name_in_an_all_list_exists():
    missing = []
    for path in SOURCES:
        names = exported(path)
        if names:
            module = importlib.import_module(
                ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            )
            missing += [f"{module.__name__}.{name}" for name in names if not hasattr(module, name)]
    assert missing == []


def test_no_file_is_a_drawer_for_everything():
    assert [path for path in SOURCES if path.stem in {"utils", "helpers", "common", "manager", "misc"}] == []


def exported(path: Path) -> list[str]:
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and any(isinstance(to, ast.Name) and to.id == "__all__" for to in node.targets):
            return list(ast.literal_eval(node.value))
    return []
