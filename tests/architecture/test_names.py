"""Six common words are our package names; this is what keeps them ours."""

from __future__ import annotations

import ast
import importlib
import shutil
import subprocess
import sys
import tomllib
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


def test_what_is_installed_and_guarded_are_the_layers_and_the_examples():
    """And the lab, which guards itself. A package of your own beside them is guarded by rules of your own."""
    described = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    tools = described["tool"]
    made = "sixply" in tools  # by make new: a project has a folder of its own, and neither examples nor the lab
    own = described["project"]["name"].replace("-", "_") if made else "lab"
    beside = {"extensions"} if made else {"extensions", "examples"}
    installed = {name.rstrip("*") for name in tools["setuptools"]["packages"]["find"]["include"]}
    assert installed - {own} == {*LAYERS, *beside}
    assert set(tools["mypy"]["packages"]) == set(tools["importlinter"]["root_packages"]) == {*LAYERS, *beside}
    assert {*LAYERS, *beside, "tests", *(() if made else ("lab",))} == set(
        tools["ruff"]["include"][0].split("}")[0].lstrip("{").split(",")
    )


def test_a_package_of_your_own_is_not_linted_by_our_rules(tmp_path):
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for package in ("acme", "foundation"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "sloppy.py").write_text("import os\nx=eval('1')\n", encoding="utf-8")
    ruff = Path(sys.executable).with_name("ruff")
    for command in (["check", "--output-format=concise"], ["format", "--check"]):
        done = subprocess.run(
            [ruff, *command, "--no-cache", "."], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 1
        assert "foundation/sloppy.py" in done.stdout
        assert "acme" not in done.stdout


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
