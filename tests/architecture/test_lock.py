"""What `make setup` installs is what the lock names, and the lock is what pyproject.toml asks for."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from models import weights

ROOT = Path(__file__).resolve().parents[2]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LOCKS = ["requirements.lock", "requirements-dev.lock"]
PIN = re.compile(r"^(?P<name>[\w.-]+)(?:\[[\w,-]+\])?==(?P<version>\S+)(?P<rest>(?:.*\\\n)(?:    .*\n)*)", re.MULTILINE)


def pins(lock: str) -> dict[str, str]:
    text = (ROOT / lock).read_text(encoding="utf-8")
    return {canonicalize_name(pin["name"]): pin["version"] for pin in PIN.finditer(text)}


def asked(lock: str) -> list[Requirement]:
    groups = PROJECT["dependency-groups"]
    lines = PROJECT["project"]["dependencies"] + groups["setup"] + (groups["dev"] if "dev" in lock else [])
    included = [line for group in lines if isinstance(group, dict) for line in groups[group["include-group"]]]
    return [Requirement(line) for line in [*lines, *included] if isinstance(line, str)]


@pytest.mark.parametrize("lock", LOCKS)
def test_the_lock_answers_every_dependency_of_the_project(lock):
    pinned = pins(lock)
    for requirement in asked(lock):
        if requirement.name != "torch":
            version = pinned.get(canonicalize_name(requirement.name))
            assert version is not None, f"{requirement.name} is not in {lock}. Run: make lock"
            assert requirement.specifier.contains(version, prereleases=True), (
                f"{requirement} but {version}. Run: make lock"
            )


@pytest.mark.parametrize("lock", LOCKS)
def test_every_pin_carries_hashes_and_no_address(lock):
    text = (ROOT / lock).read_text(encoding="utf-8")
    found = list(PIN.finditer(text))  # a package may stand here twice, once for older Pythons
    assert len(found) == len(re.findall(r"(?m)^[a-z0-9][\w.-]*==", text)) > 100
    assert all("--hash=sha256:" in pin["rest"] for pin in found)
    assert "://" not in text
    assert not re.search(r"^(-i|--index-url|--extra-index-url|--find-links|-e)\b", text, re.MULTILINE)


@pytest.mark.parametrize("lock", LOCKS)
def test_the_lock_leaves_torch_and_its_cuda_packages_to_the_machine(lock):
    machine = [name for name in pins(lock) if re.match(r"torch$|triton|nvidia-|cuda-", name)]
    assert machine == [], "add them to no-emit-package in pyproject.toml"


def test_the_developers_lock_contains_the_base_lock_unchanged():
    assert pins("requirements.lock").items() <= pins("requirements-dev.lock").items()


def test_the_rules_of_set_up_and_the_project_agree():
    assert re.findall(r"^TORCHES = (.+)$", MAKEFILE, re.MULTILINE)[0] in PROJECT["project"]["dependencies"]
    lowest = re.findall(r"^FITTING = .*\((\d+), (\d+)\) <=", MAKEFILE, re.MULTILINE)[0]
    assert PROJECT["project"]["requires-python"] == f">={'.'.join(lowest)}"
    assert str(weights.SMOLLM2.path.relative_to(ROOT)) in MAKEFILE
