"""On CI a test that did not run has failed; on your machine it is a skip that says what to install."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import _not_run

ROOT = Path(__file__).resolve().parents[2]
SUITE = """
import pytest
from tests import services

def test_needs_a_program(): services._missing("some-server")
def test_needs_a_right(): services.refused("mount a disk")
def test_needs_its_owner(): pytest.skip(f"no call of it is known, {services.YOURS}")
class TestOfOthers:
    not_run = {"the part does not claim it": ["test_pictures"]}
    def test_text(self): pass
    def test_pictures(self): pytest.skip("no pictures")
"""
MODULE = 'import pytest\npytest.importorskip("no_such_package", reason="make setup WITH=it")\n'


@pytest.mark.parametrize(
    ("ci", "told"),
    [("true", "1 failed, 1 passed, 2 skipped, 1 deselected, 1 error"), ("", "1 passed, 4 skipped, 1 deselected")],
)
def test_only_what_a_machine_refuses_may_be_skipped_on_ci(ci: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text("from tests.conftest import *")
    (tmp_path / "test_suite.py").write_text(SUITE)
    (tmp_path / "test_module.py").write_text(MODULE)
    command = [sys.executable, "-m", "pytest", "--continue-on-collection-errors", "-rs", tmp_path]
    alone = {"CI": ci, "CONTRACT_PARTS": "", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, cwd=tmp_path, env=os.environ | alone, capture_output=True, text=True, check=False
    ).stdout
    for reason in ("apt-get install some-server", "make setup WITH=it"):
        assert reason in done
    assert done.count("CI allows no skip.") == (2 if ci else 0)
    assert told in done


def test_a_test_that_is_left_out_must_exist() -> None:
    class Suite:
        not_run = {"it has no eyes": ["test_pictured"]}  # noqa: RUF012  # as a reader would write it

    with pytest.raises(pytest.UsageError, match="names tests that it does not have: test_pictured"):
        _not_run(Suite)


def test_a_port_without_an_adapter_has_nothing_to_skip() -> None:
    alone = {"CONTRACT_PARTS": '{"retrieval.recogniser": []}', "PYTHONPATH": str(ROOT)}
    suite = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/contracts/test_recogniser.py"]
    done = subprocess.run(suite, cwd=ROOT, env=os.environ | alone, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "deselected" in done.stdout
    assert "skipped" not in done.stdout, "CI refuses a skip, and a project without recognisers has none to install"
