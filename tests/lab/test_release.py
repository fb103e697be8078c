"""What `sixply release-check` lets pass, what it refuses, and what it says was not done."""

from __future__ import annotations

import json
import subprocess
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from foundation.errors import InvalidRequest
from lab import cli
from lab.release import check
from lab.release.check import Step

ROOT = Path(__file__).resolve().parents[2]
PROJECT = '[project]\ndependencies = ["acme>=1", "Some_Thing[extra]~=2.0", "torch>=2"]\n'
HASHED = "acme==1.2 \\\n    --hash=sha256:00\n    # via sixply\nsome-thing==2.0.1 ; python_version > '3' \\\n    --hash=sha256:11\n"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "pyproject.toml").write_text(PROJECT)
    for lock in check.LOCKS:
        (tmp_path / lock).write_text(HASHED)
    return tmp_path


def test_a_lock_with_every_dependency_and_hash_passes(tree: Path) -> None:
    assert check.locks(tree).outcome == "passed"
    assert check.pins(tree / "requirements.lock") == {"acme": "1.2", "some-thing": "2.0.1"}


def test_a_pin_without_a_hash_and_a_dependency_without_a_pin_fail(tree: Path) -> None:
    (tree / "requirements.lock").write_text("acme==1.2\n")
    step = check.locks(tree)
    assert step.outcome == "failed"
    assert "acme in requirements.lock has no hash" in step.told
    assert "some-thing is not in requirements.lock" in step.told


def test_an_installed_version_that_is_not_the_locked_one_fails(tree: Path) -> None:
    (tree / "requirements.lock").write_text("pytest==0.0.1 \\\n    --hash=sha256:00\n")
    step = check.environment(tree)
    assert step.outcome == "failed"
    assert "pytest is " in step.told
    assert "locked 0.0.1" in step.told


@pytest.mark.parametrize(
    ("licence", "refused"),
    [
        ("MIT", False), ("Apache-2.0", False), ("LGPL-3.0-only", False), ("MPL-2.0 AND MIT", False), ("BSD License", False),
        ("GNU Lesser General Public License v2 or later (LGPLv2+)", False),
        ("MPL-1.1 OR GPL-2.0-only OR LGPL-2.1-or-later", False),
        ("GPL-3.0", True), ("AGPL-3.0-or-later", True), ("GNU General Public License v3 (GPLv3)", True),
        ("GNU Affero General Public License v3", True), ("SSPL-1.0", True), ("BUSL-1.1", True), ("CC-BY-NC-4.0", True),
        ("MIT AND GPL-2.0-only", True), ("GPL-2.0-only OR AGPL-3.0-only", True), ("Other/Proprietary License", True),
    ],
)  # fmt: skip
def test_licences_that_bind_whoever_uses_us_are_refused(licence: str, *, refused: bool) -> None:
    assert check.refuses(licence) is refused


def test_a_package_under_a_refused_licence_or_under_none_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    told = {"pytest": "AGPL-3.0", "rich": "", "typer": "MIT"}
    monkeypatch.setattr(check, "licence_of", told.get)
    step = check.licences([*told, "not-installed-here"])
    assert (step.outcome, step.found["refused"], step.found["unknown"]) == ("failed", {"pytest": "AGPL-3.0"}, ["rich"])


def test_licences_are_read_from_expression_classifier_or_text() -> None:
    assert check.licence_of("pytest") == "MIT"
    shipped = check.licences(check.pins(ROOT / "requirements.lock"))
    assert (shipped.outcome, shipped.found["unknown"]) == ("passed", []), shipped.told


def answered(monkeypatch: pytest.MonkeyPatch, said: str | Exception) -> None:
    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        if isinstance(said, Exception):
            raise said
        return subprocess.CompletedProcess(command, 1, said, "")

    monkeypatch.setattr(check, "_run", run)


@pytest.mark.parametrize("said", [subprocess.TimeoutExpired("pip-audit", 1), "no route to the database", "{}"])
def test_an_audit_that_reached_nobody_is_not_done_and_not_passed(
    said: str | Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered(monkeypatch, said)
    assert check.holes(ROOT).outcome == "not done"


def test_a_known_hole_fails_and_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"name": "acme", "version": "1", "vulns": [{"id": "CVE-1"}]}, {"name": "fine", "version": "1", "vulns": []}]
    answered(monkeypatch, json.dumps({"dependencies": rows}))
    assert check.holes(ROOT) == Step("known holes", "failed", "acme: CVE-1", {"acme": ["CVE-1"]})


def test_the_wheel_is_built_from_the_tree_and_starts_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))  # nobody needs a home that can be written to
    built = check.packages(ROOT, tmp_path)
    assert built.outcome == "passed", built.told
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {"serving/cli/main.py", "extensions/value/value.html", "models/entailment/signs.json"} <= names
    assert not [name for name in names if name.startswith(("tests/", "docs/"))]
    started = check.start(ROOT, tmp_path)
    assert started.outcome == "passed", started.told


@pytest.mark.parametrize(("outcomes", "code"), [(("passed", "not done"), 0), (("passed", "failed"), 1)])
def test_what_failed_blocks_and_what_was_not_done_is_told(
    outcomes: tuple[Any, Any], code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = (Step(name, outcome, "because") for name, outcome in zip(("first", "second"), outcomes, strict=True))
    steps: Mapping[str, Step] = dict.fromkeys(
        ("locks", "environment", "packages", "start", "materials", "licences"), one
    )
    for name, step in {**steps, "holes": other}.items():
        monkeypatch.setattr(check, name, lambda *_, step=step: step)
    ran = CliRunner().invoke(cli.app, ["release-check", "--out", str(tmp_path / "dist"), "--json", "-"])
    told = json.loads(ran.stdout)
    assert (ran.exit_code, told["passed"], len(told["steps"])) == (code, code == 0, 7)


def test_outside_a_checkout_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidRequest, match="repository's root"):
        check.check(tmp_path / "dist", None)
